//! What is said on an approvals socket: one JSON object a line, a request and its reply.

use std::collections::BTreeSet;

use cofferdam_policy::{GrantPattern, GrantTerms, Seen};
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
    /// Whether a grant would do.
    pub(crate) takes_grants: bool,
    /// What a grant would be made of, where one would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offer: Option<Offer>,
    /// Where it stands in the record.
    pub(crate) record: String,
    /// Keys of the people who signed so far, where it needs two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) signed: Vec<String>,
    /// The arguments of the last call of this tool that somebody approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_approved: Option<Box<RawValue>>,
}

/// What a grant would be made of: computed by the gate, from what the call would touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) method: String,
    /// The tool's whole name.
    pub(crate) tool: String,
    pub(crate) manifest: String,
    pub(crate) policies: String,
    /// When the question was asked, seconds since 1970: a grant begins with it.
    pub(crate) from: i64,
    /// Folders that a grant may be for, the nearest first.
    pub(crate) folders: Vec<String>,
    /// Hosts that a grant may be for.
    pub(crate) hosts: BTreeSet<String>,
    pub(crate) seen: Seen,
}

/// What an answer of yes is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) scope: For,
    /// For `path`: the folder; the nearest, where none is named.
    pub(crate) folder: Option<String>,
    pub(crate) minutes: u32,
}

impl Choice {
    /// This call, once.
    pub(crate) const ONCE: Self = Self {
        scope: For::Once,
        folder: None,
        minutes: 1,
    };

    /// The terms of the grant that this is about `question`; `None` for an answer for once.
    ///
    /// # Errors
    /// No such grant can be given: why, for people.
    pub(crate) fn terms(&self, question: &Question) -> Result<Option<GrantTerms>, String> {
        if self.scope == For::Once {
            return Ok(None);
        }
        let Some(offer) = question.offer.as_ref().filter(|_| question.takes_grants) else {
            return Err("the policies want this asked every time; answer for this call alone".to_owned());
        };
        let mut seen = offer.seen.clone();
        if matches!(self.scope, For::Call | For::Tool) {
            // These do not look at it.
            seen.touched = None;
        }
        Ok(Some(GrantTerms {
            id: question.id.clone(),
            user: offer.user.clone(),
            server: question.server.clone(),
            method: offer.method.clone(),
            tool: offer.tool.clone(),
            pattern: self.pattern(question, offer)?,
            until: offer.from.saturating_add(i64::from(self.minutes).saturating_mul(60)),
            manifest: offer.manifest.clone(),
            policies: offer.policies.clone(),
            seen,
        }))
    }

    fn pattern(&self, question: &Question, offer: &Offer) -> Result<GrantPattern, String> {
        match self.scope {
            For::Once | For::Call => Ok(GrantPattern::Call {
                digest: question.digest.clone(),
            }),
            For::Tool => Ok(GrantPattern::Tool {
                session: offer.session.clone(),
            }),
            For::Path => {
                let folder = match &self.folder {
                    Some(folder) => offer.folders.iter().find(|one| *one == folder),
                    None => offer.folders.first(),
                };
                let folder = folder.ok_or_else(|| match &offer.folders[..] {
                    [] => "there is no folder to allow: the call names no path, or more than paths in granted folders"
                        .to_owned(),
                    folders => format!("the folders that can be allowed here are: {}", folders.join(", ")),
                })?;
                Ok(GrantPattern::Path { folder: folder.clone() })
            }
            For::Host if offer.hosts.is_empty() => {
                Err("there is no host to allow: the call names none, or more than hosts and paths".to_owned())
            }
            For::Host => Ok(GrantPattern::Host {
                hosts: offer.hosts.clone(),
            }),
        }
    }
}

/// What an approval is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum For {
    /// This call, once.
    Once,
    /// Every identical call.
    Call,
    /// Every call of this tool whose paths lie in this call's folder, or in the one that `--within` names.
    Path,
    /// Every call of this tool that goes to this call's hosts.
    Host,
    /// Every call of this tool in this session.
    Tool,
}

/// A consent that was given for more than one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) id: String,
    pub(crate) server: String,
    pub(crate) tool: String,
    /// `call`, `path`, `host` or `tool`.
    pub(crate) scope: For,
    /// UTC.
    pub(crate) expires: String,
    /// Calls of running gates that passed by it.
    pub(crate) used: u64,
    /// All that it says.
    pub(crate) terms: GrantTerms,
}

impl Grant {
    /// A grant, for people, by which `used` calls passed.
    pub(crate) fn of(terms: &GrantTerms, used: u64) -> Self {
        let named = if terms.tool.is_empty() {
            &terms.method
        } else {
            &terms.tool
        };
        Self {
            id: terms.id.clone(),
            server: terms.server.clone(),
            tool: cofferdam_policy::shortened(named),
            scope: match terms.pattern {
                GrantPattern::Call { .. } => For::Call,
                GrantPattern::Tool { .. } => For::Tool,
                GrantPattern::Path { .. } => For::Path,
                GrantPattern::Host { .. } => For::Host,
            },
            expires: super::wall_time(terms.until),
            used,
            terms: terms.clone(),
        }
    }
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
        /// For `path`: which of the folders that are offered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<String>,
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
