//! The reasons for which policy itself denies, by stable id.

/// One reason for a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyRule {
    /// Stable id, `area/name`.
    pub id: &'static str,
    /// What it means, for people.
    pub summary: &'static str,
}

pub(crate) static TOOL_NOT_IN_MANIFEST: PolicyRule = PolicyRule {
    id: "tool/not-in-manifest",
    summary: "the tool is not in the server's manifest",
};
pub(crate) static TOOL_CHANGED: PolicyRule = PolicyRule {
    id: "tool/changed",
    summary: "the tool's live definition is not the one that was accepted",
};
pub(crate) static TOOL_NOT_OFFERED: PolicyRule = PolicyRule {
    id: "tool/not-offered",
    summary: "the server does not list the tool now, so its definition cannot be compared with the pin",
};
pub(crate) static TOOL_UNVERIFIED: PolicyRule = PolicyRule {
    id: "tool/unverified",
    summary: "the tool's live definition could not be read",
};
pub(crate) static TOOL_DENIED: PolicyRule = PolicyRule {
    id: "tool/denied",
    summary: "the manifest denies the tool",
};
pub(crate) static TOOL_UNNAMED: PolicyRule = PolicyRule {
    id: "tool/unnamed",
    summary: "a tool call that names no tool",
};
/// Nobody can be asked.
pub static CONSENT_UNREACHABLE: PolicyRule = PolicyRule {
    id: "consent/unreachable",
    summary: "it needs somebody's consent, and nobody can be asked, or not at the level it needs",
};
/// Somebody said no.
pub static CONSENT_DENIED: PolicyRule = PolicyRule {
    id: "consent/denied",
    summary: "somebody was asked for consent and said no, now or earlier in the session",
};
/// Nobody answered in time.
pub static CONSENT_EXPIRED: PolicyRule = PolicyRule {
    id: "consent/expired",
    summary: "nobody answered in time when asked for consent",
};
/// The client must come again.
pub static CONSENT_PENDING: PolicyRule = PolicyRule {
    id: "consent/pending",
    summary: "somebody is being asked for consent; the same call again, a little later, gets the answer",
};
/// An answer in band to nothing that was asked.
pub static CONSENT_FORGED: PolicyRule = PolicyRule {
    id: "consent/forged",
    summary: "the request carries a state of the gate's that it did not make, or not for this call",
};
/// Too many questions.
pub static CONSENT_LOCKED: PolicyRule = PolicyRule {
    id: "consent/locked",
    summary: "the tool asked for consent too often or was denied repeatedly, and is locked for the session",
};
pub(crate) static POLICY_DENIED: PolicyRule = PolicyRule {
    id: "policy/denied",
    summary: "refused by a policy",
};
pub(crate) static POLICY_ERROR: PolicyRule = PolicyRule {
    id: "policy/error",
    summary: "refused, since a policy could not be evaluated",
};
pub(crate) static CALLS_PER_MINUTE: PolicyRule = PolicyRule {
    id: "limit/calls-per-minute",
    summary: "more tool calls in a minute than the manifest allows",
};
pub(crate) static CLIENT_REQUEST_NOT_GRANTED: PolicyRule = PolicyRule {
    id: "client-request/not-granted",
    summary: "the server asks the client for something the manifest does not let it ask for",
};
pub(crate) static BATCH_MEMBER_DENIED: PolicyRule = PolicyRule {
    id: "batch/member-denied",
    summary: "another message of the same batch was denied",
};
pub(crate) static REDACTION_FAILED: PolicyRule = PolicyRule {
    id: "redaction/failed",
    summary: "what had to be taken out of the message could not be",
};

/// Every reason of this crate, in the order they are documented.
pub static POLICY_RULES: &[&PolicyRule] = &[
    &TOOL_NOT_IN_MANIFEST,
    &TOOL_CHANGED,
    &TOOL_NOT_OFFERED,
    &TOOL_UNVERIFIED,
    &TOOL_DENIED,
    &TOOL_UNNAMED,
    &CONSENT_UNREACHABLE,
    &CONSENT_DENIED,
    &CONSENT_EXPIRED,
    &CONSENT_PENDING,
    &CONSENT_FORGED,
    &CONSENT_LOCKED,
    &POLICY_DENIED,
    &POLICY_ERROR,
    &CALLS_PER_MINUTE,
    &CLIENT_REQUEST_NOT_GRANTED,
    &BATCH_MEMBER_DENIED,
    &REDACTION_FAILED,
];
