//! What a decision rests on, in the form the record keeps.

use cofferdam_inspect::Finding;
use cofferdam_protocol::{Era, Message, Sender};
use serde::Serialize;

/// The facts of one decision. Serialises to the compact JSON object stored beside the bytes in the record.
#[derive(Debug, Serialize)]
pub struct Basis<'a> {
    /// `allow` or `deny`.
    pub decision: &'static str,
    /// The rule that denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<&'a str>,
    /// Revision of the message's era; `legacy` or `modern` where none was negotiated.
    pub era: &'a str,
    /// JSON-RPC method; of the request, for an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    /// JSON-RPC id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Tool of the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<&'a str>,
    /// The policies that permitted it, `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<&'a str>,
    /// Who consented.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentFact<'a>>,
    /// What was found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingFact<'a>>,
    /// What was taken out before sending.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub hidden: &'a [String],
}

/// A consent as the record keeps it.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct ConsentFact<'a> {
    /// The level of the ladder.
    pub level: u8,
    /// Who, or by what.
    pub who: &'a str,
}

/// A finding as the record keeps it.
#[derive(Debug, Serialize)]
pub struct FindingFact<'a> {
    rule: &'a str,
    at: &'a str,
    evidence: &'a str,
}

impl Basis<'_> {
    /// The compact JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, lists and options: serialising them cannot fail; an empty object would still be a valid record.
        serde_json::to_string(self).unwrap_or_else(|_cause| "{}".to_owned())
    }
}

pub(crate) fn finding_facts(findings: &[Finding]) -> Vec<FindingFact<'_>> {
    findings
        .iter()
        .map(|finding| FindingFact {
            rule: finding.rule.id,
            at: &finding.at,
            evidence: &finding.evidence,
        })
        .collect()
}

/// Bytes of a name that the facts keep; the payload beside them holds it whole.
const NAME_BYTES_MAX: usize = 256;

/// A name of a peer's choosing, no longer than the facts of a record should hold.
#[must_use]
pub fn shortened(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let end = (0..=NAME_BYTES_MAX)
        .rev()
        .find(|end| name.is_char_boundary(*end))
        .unwrap_or_default();
    format!("{}… ({} bytes)", name.get(..end).unwrap_or_default(), name.len())
}

/// The era in a word.
pub(crate) fn era_word(era: Era) -> &'static str {
    match era {
        Era::Legacy(Some(revision)) | Era::Modern(Some(revision)) => revision.as_str(),
        Era::Legacy(None) => "legacy",
        Era::Modern(None) => "modern",
    }
}

/// Tool name of a `tools/call` request, raw enough for a fact.
pub(crate) fn tool_of(sender: Sender, message: &Message) -> Option<String> {
    let is_call = sender == Sender::Client && message.method() == Some("tools/call");
    is_call
        .then(|| message.param_str("name").map(|name| shortened(&name)))
        .flatten()
}
