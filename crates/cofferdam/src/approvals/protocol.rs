//! What is said on an approvals socket: one JSON object a line, a request and its reply.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::approver::Proof;

/// Longest line on the socket; arguments of a call may be as long as a message.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A call that waits for somebody's consent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Unguessable; names it to `allow` and `deny`.
    pub(crate) id: String,
    pub(crate) server: String,
    pub(crate) tool: String,
    /// The raw arguments, as the client sent them.
    pub(crate) arguments: Box<RawValue>,
    /// Of manifest, policy, tool and raw arguments.
    pub(crate) digest: String,
    /// When it is refused if nobody answers, UTC.
    pub(crate) expires: String,
    /// The level of the ladder that is asked for: 2, 3 or 4.
    pub(crate) level: u8,
    /// Why it is asked, in words.
    pub(crate) reason: String,
    /// `file:line` of the policies that let it pass with consent.
    pub(crate) policy: String,
    /// What inspection found, in words.
    pub(crate) findings: Vec<String>,
    /// What the client calls itself.
    pub(crate) client: String,
    /// Identical calls that wait with it.
    pub(crate) identical: usize,
    /// Whether a grant for the rest of the session would do.
    pub(crate) takes_grants: bool,
    /// Where it stands in the record.
    pub(crate) record: String,
    /// Keys of the people who signed so far, where it needs two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) signed: Vec<String>,
    /// The arguments of the last call of this tool that somebody approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_approved: Option<Box<RawValue>>,
}

/// What an approval is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum For {
    /// This call, once.
    Once,
    /// Every identical call, until the session or the grant ends.
    Call,
    /// Every call of this tool, until the session or the grant ends.
    Tool,
}

/// A consent that was given for more than one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) server: String,
    pub(crate) tool: String,
    /// `call` or `tool`.
    pub(crate) scope: For,
    /// For `call`: the digest of the call it is for.
    pub(crate) digest: Option<String>,
    /// UTC.
    pub(crate) expires: String,
    /// Calls that passed by it.
    pub(crate) used: u64,
}

/// What is asked of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Request {
    /// The questions that wait.
    List {},
    /// Consent.
    Allow {
        id: String,
        digest: String,
        scope: For,
        minutes: u32,
        /// Signatures of people; none for a bare answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        proofs: Vec<Proof>,
    },
    /// Refusal, for the rest of the session.
    Deny { id: String },
    /// The grants in force.
    Grants {},
    /// Takes a grant back.
    Revoke { id: String },
}

/// What a gate answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reply {
    Questions(Vec<Question>),
    Grants(Vec<Grant>),
    /// It is done; in words.
    Done(String),
    /// It is not, and why.
    Refused(String),
    /// This gate does not know the id.
    Unknown,
}
