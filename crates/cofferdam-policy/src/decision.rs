//! The decision as a value: moving it is the only way on.

use std::sync::Arc;

use cofferdam_inspect::{Finding, Redaction};
use cofferdam_manifest::{ClientRequest, Consent};
use cofferdam_protocol::{Admitted, Batch, Era, Id, Message, MessageKind, Sender, members};

use crate::asked::questions;
use crate::basis::{Basis, ConsentFact, era_word, finding_facts, shortened, tool_of};
use crate::context::{Context, Standing};
use crate::engine::{Asked, Moment, Policies, Ruling};
use crate::level::Level;
use crate::rule::{
    BATCH_MEMBER_DENIED, CALLS_PER_MINUTE, CLIENT_REQUEST_NOT_GRANTED, POLICY_DENIED, POLICY_ERROR, PolicyRule,
    REDACTION_FAILED, TOOL_CHANGED, TOOL_DENIED, TOOL_NOT_IN_MANIFEST, TOOL_NOT_OFFERED, TOOL_UNNAMED, TOOL_UNVERIFIED,
};
use crate::unapproved::Unapproved;

/// A message that may pass. It owns the very bytes; only this crate makes one.
#[derive(Debug)]
#[must_use = "a permitted message must be recorded and forwarded"]
pub struct Permitted {
    received: Vec<u8>,
    sent: Option<Vec<u8>>,
    facts: String,
    /// Ids and session numbers of the requests in it, which their peer may answer once it is sent.
    requests: Vec<(Id, u64)>,
}

/// A message that may not pass, and why.
#[derive(Debug)]
#[must_use = "a denial must be recorded and answered"]
pub struct Denied {
    /// The message, as received.
    pub message: Message,
    /// Stable rule id.
    pub rule: &'static str,
    /// What happened, for people and for the peer: lowercase, no command in it.
    pub why: String,
    /// Era of the message, for the form of the answer.
    pub era: Era,
    /// The record's facts, compact JSON.
    pub facts: String,
}

/// What was decided about one message.
#[derive(Debug)]
#[must_use = "a decision must be acted on"]
pub enum Decision {
    /// It passes.
    Allow(Permitted),
    /// It passes with consent.
    Ask(Box<Unapproved>),
    /// It does not pass.
    Deny(Box<Denied>),
}

impl Permitted {
    /// The bytes that go out: those that came in, unless something was taken out.
    #[must_use]
    pub fn line(&self) -> &[u8] {
        self.sent.as_deref().unwrap_or(&self.received)
    }

    /// The bytes that came in.
    #[must_use]
    pub fn received(&self) -> &[u8] {
        &self.received
    }

    /// The bytes that go out, where they are not those that came in.
    #[must_use]
    pub fn redacted(&self) -> Option<&[u8]> {
        self.sent.as_deref()
    }

    /// The record's facts, compact JSON.
    #[must_use]
    pub fn facts(&self) -> &str {
        &self.facts
    }

    /// Ids and session numbers of the requests in it.
    #[must_use]
    pub fn requests(&self) -> &[(Id, u64)] {
        &self.requests
    }
}

/// Decides about one message that the session admitted.
///
/// `redaction` is what inspection wants taken out of a message that passes.
pub fn decide(message: Message, context: &Context<'_>, findings: &[Finding], redaction: &Redaction) -> Decision {
    let era = context.admitted.era;
    if let Some((rule, why)) = forbidden(&message, context, findings) {
        return Decision::Deny(denied(message, context.sender, era, (rule, why), findings));
    }
    let ruled = rule_by_policies(&message, context);
    let (by, asks) = match ruled {
        Ok(ruled) => ruled,
        Err(why) => return Decision::Deny(denied(message, context.sender, era, why, findings)),
    };
    let grounds = Grounds {
        sender: context.sender,
        admitted: context.admitted,
        findings,
        by: by.as_deref(),
        consent: None,
    };
    match asks {
        None => permitted(message, &grounds, redaction),
        Some((least, level)) => Decision::Ask(Box::new(Unapproved {
            message,
            admitted: context.admitted.clone(),
            findings: findings.to_vec(),
            least,
            level,
            by: by.as_deref().unwrap_or_default().to_owned(),
            redaction: redaction.clone(),
        })),
    }
}

/// Which policies permit it, and from which level on: with a grant, and without one.
type Ruled = (Option<Arc<str>>, Option<(Level, Level)>);

/// What the policies of every layer say. A message that puts no question to them passes.
fn rule_by_policies(message: &Message, context: &Context<'_>) -> Result<Ruled, (&'static str, String)> {
    let least = match context.standing {
        Some(Standing::Pinned(consent)) => {
            Level::least(consent).ok_or_else(|| (TOOL_DENIED.id, TOOL_DENIED.summary.to_owned()))?
        }
        _ => Level::Nobody,
    };
    let moment = &context.moment;
    let mut ruled: Ruled = (None, None);
    for question in questions(message, context) {
        let asked = question.asked();
        let (level, by) = permission(context.policies.rule(asked, moment, least, true))?;
        if level == Level::Nobody {
            ruled.0.get_or_insert(by);
        } else if question.may_wait() {
            let (without_grant, by) = permission(context.policies.rule(asked, moment, least, false))?;
            ruled = (Some(by), Some((level, without_grant)));
        } else {
            return Err(nobody_to_ask(level));
        }
    }
    Ok(ruled)
}

/// What the policies of `context` say of a message, and which of them: the level from which on it passes; `None` where it does not.
#[must_use]
pub fn ruled(message: &Message, context: &Context<'_>) -> (Option<Level>, String) {
    match rule_by_policies(message, context) {
        Ok((by, asks)) => (
            Some(asks.map_or(Level::Nobody, |(least, _)| least)),
            by.as_deref().unwrap_or_default().to_owned(),
        ),
        Err((_, why)) => (None, why),
    }
}

/// What the policies say of something that nobody can be asked about, and which of them.
///
/// # Errors
/// They do not let it pass: the rule, and why.
pub fn ruled_alone(
    policies: &Policies,
    asked: Asked<'_>,
    moment: &Moment<'_>,
) -> Result<Arc<str>, (&'static str, String)> {
    match permission(policies.rule(asked, moment, Level::Nobody, false))? {
        (Level::Nobody, by) => Ok(by),
        (level, _) => Err(nobody_to_ask(level)),
    }
}

fn nobody_to_ask(level: Level) -> (&'static str, String) {
    let why = format!(
        "the policies let it pass only with {}, and nobody can be asked here",
        level.words()
    );
    (POLICY_DENIED.id, why)
}

fn permission(ruling: Ruling) -> Result<(Level, Arc<str>), (&'static str, String)> {
    match ruling {
        Ruling::Permitted { level, by } => Ok((level, by)),
        Ruling::Refused { layer, by, is_error } => {
            let rule = if is_error { &POLICY_ERROR } else { &POLICY_DENIED };
            let whose = layer.map_or_else(String::new, |layer| format!(" of the {}", layer.word()));
            Err((rule.id, format!("{}{whose}: {by}", rule.summary)))
        }
    }
}

/// Decides about a JSON-RPC batch (2025-03-26 only): it passes whole, or nothing of it does.
///
/// # Errors
/// At least one member was denied; every member comes back, those that would have passed as denied for the batch's sake.
pub fn decide_batch(
    batch: Batch,
    sender: Sender,
    mut judge: impl FnMut(Message) -> Result<Permitted, Box<Denied>>,
) -> Result<Permitted, (Vec<u8>, Vec<Denied>)> {
    let (received, messages) = batch.into_parts();
    let copies: Vec<Message> = messages.clone();
    let verdicts: Vec<_> = messages.into_iter().map(&mut judge).collect();
    if verdicts.iter().any(Result::is_err) {
        let why = "another message of the same batch was refused".to_owned();
        let all = verdicts
            .into_iter()
            .zip(copies)
            .map(|(verdict, message)| match verdict {
                Err(denied) => *denied,
                Ok(_) => *denied(
                    message,
                    sender,
                    Era::Legacy(None),
                    (BATCH_MEMBER_DENIED.id, why.clone()),
                    &[],
                ),
            });
        return Err((received, all.collect()));
    }
    let parts: Vec<Permitted> = verdicts.into_iter().flatten().collect();
    let facts = batch_facts("allow", parts.iter().map(|part| part.facts.as_str()));
    let sent = parts.iter().any(|part| part.sent.is_some()).then(|| rejoined(&parts));
    let requests = parts.into_iter().flat_map(|part| part.requests).collect();
    Ok(Permitted {
        received,
        sent,
        facts,
        requests,
    })
}

/// Bytes of a batch's facts at most; beyond it the record holds the first member's and the count.
const BATCH_FACTS_BYTES_MAX: usize = 256 * 1024;

/// The facts of a whole batch, within what a record takes.
#[must_use]
pub fn batch_facts<'a>(decision: &str, members: impl ExactSizeIterator<Item = &'a str>) -> String {
    let count = members.len();
    let members: Vec<&str> = members.collect();
    let bytes: usize = members.iter().map(|member| member.len()).sum();
    let shown = if bytes > BATCH_FACTS_BYTES_MAX {
        members.first().copied().unwrap_or("{}").to_owned()
    } else {
        members.join(",")
    };
    format!("{{\"decision\":\"{decision}\",\"members\":{count},\"batch\":[{shown}]}}")
}

/// The batch with its redacted members in place.
fn rejoined(parts: &[Permitted]) -> Vec<u8> {
    let mut line = b"[".to_vec();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        line.extend_from_slice(part.line());
    }
    line.extend_from_slice(b"]\n");
    line
}

/// What forbids the message, in the order a reader would ask.
fn forbidden(message: &Message, context: &Context<'_>, findings: &[Finding]) -> Option<(&'static str, String)> {
    if is_call(message, context) {
        if let Some(denial) = standing_denial(context.standing) {
            return Some(denial);
        }
        if context.moment.rates.calls_last_minute > context.calls_per_minute_max {
            return Some((
                CALLS_PER_MINUTE.id,
                format!("more than {} tool calls in a minute", context.calls_per_minute_max),
            ));
        }
    }
    if let Some(finding) = findings.iter().find(|finding| finding.blocks_by_default()) {
        let why = match context.sender {
            Sender::Client => format!("{}: {} at `{}`", finding.rule.summary, finding.evidence, finding.at),
            // What a server wrote must not reach the model by way of the refusal; the record has it.
            Sender::Server => finding.rule.summary.to_owned(),
        };
        return Some((finding.rule.id, why));
    }
    match (context.sender, message.kind()) {
        (Sender::Server, MessageKind::Request) => client_request_denial(message.method()?, context.client_requests),
        (Sender::Server, MessageKind::Response | MessageKind::Notification) => {
            let embedded = message.input_requests();
            embedded
                .into_iter()
                .find_map(|asked| embedded_denial(asked, context.client_requests))
        }
        (Sender::Server, MessageKind::ErrorResponse) => {
            let asks = message
                .error()
                .is_some_and(|error| error_code(error) == Some(URL_ELICITATION_REQUIRED));
            if asks {
                client_request_denial("elicitation/create", context.client_requests)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Error code of 2025-11-25 that asks the client to open URLs.
const URL_ELICITATION_REQUIRED: i64 = -32042;

fn error_code(error: &str) -> Option<i64> {
    let (_, code) = members(error).ok()?.into_iter().find(|(key, _)| key == "code")?;
    code.parse().ok()
}

/// What forbids requests to the client that a server embeds in something else.
fn embedded_denial(requests: &str, granted: &[ClientRequest]) -> Option<(&'static str, String)> {
    embedded_requests(requests).map_or_else(|| Some(unreadable_requests()), |asked| first_denial(&asked, granted))
}

/// Methods of the requests that an `input_required` result or task carries (2026-07-28); `None` where they cannot be read.
pub(crate) fn embedded_requests(requests: &str) -> Option<Vec<String>> {
    let requests = members(requests).ok()?;
    let methods = requests.into_iter().map(|(_, request)| {
        let (_, method) = members(request).ok()?.into_iter().find(|(key, _)| key == "method")?;
        serde_json::from_str(method).ok()
    });
    methods.collect()
}

fn unreadable_requests() -> (&'static str, String) {
    (
        CLIENT_REQUEST_NOT_GRANTED.id,
        "the server asks the client for something that cannot be read".to_owned(),
    )
}

/// What is embedded must be granted by name: anything else a server may ask on its own has no place in an answer.
fn first_denial(methods: &[String], granted: &[ClientRequest]) -> Option<(&'static str, String)> {
    methods.iter().find_map(|method| match client_request(method) {
        Some(_) => client_request_denial(method, granted),
        None => Some(unreadable_requests()),
    })
}

fn is_call(message: &Message, context: &Context<'_>) -> bool {
    context.sender == Sender::Client && message.kind() == MessageKind::Request && message.method() == Some("tools/call")
}

fn standing_denial(standing: Option<Standing>) -> Option<(&'static str, String)> {
    let rule: &PolicyRule = match standing {
        Some(Standing::Unpinned | Standing::Pinned(Consent::Allow | Consent::Ask | Consent::Person | Consent::Two)) => {
            return None;
        }
        Some(Standing::Pinned(Consent::Deny)) => &TOOL_DENIED,
        Some(Standing::NotInManifest) => &TOOL_NOT_IN_MANIFEST,
        Some(Standing::Changed) => &TOOL_CHANGED,
        Some(Standing::NotOffered) => &TOOL_NOT_OFFERED,
        Some(Standing::Unverified) => &TOOL_UNVERIFIED,
        None => &TOOL_UNNAMED,
    };
    Some((rule.id, rule.summary.to_owned()))
}

/// What a server-to-client request asks for; `None` for those that need no grant (ping, tasks).
fn client_request(method: &str) -> Option<ClientRequest> {
    match method {
        "sampling/createMessage" => Some(ClientRequest::Sampling),
        "elicitation/create" => Some(ClientRequest::Elicitation),
        "roots/list" => Some(ClientRequest::Roots),
        _ => None,
    }
}

/// Sampling, elicitation and roots pass where the manifest grants them.
fn client_request_denial(method: &str, granted: &[ClientRequest]) -> Option<(&'static str, String)> {
    let asked = client_request(method).filter(|asked| !granted.contains(asked))?;
    Some((
        CLIENT_REQUEST_NOT_GRANTED.id,
        format!("the manifest does not let this server ask the client for {asked}"),
    ))
}

/// What a permission rests on.
#[derive(Debug)]
pub(crate) struct Grounds<'a> {
    pub(crate) sender: Sender,
    pub(crate) admitted: &'a Admitted,
    pub(crate) findings: &'a [Finding],
    /// The policies that permit, `file:line`.
    pub(crate) by: Option<&'a str>,
    pub(crate) consent: Option<ConsentFact<'a>>,
}

pub(crate) fn permitted(message: Message, grounds: &Grounds<'_>, redaction: &Redaction) -> Decision {
    let Grounds {
        sender,
        admitted,
        findings,
        ..
    } = *grounds;
    let era = admitted.era;
    let sent = if redaction.is_none() {
        None
    } else {
        Some(redaction.apply(message.line()))
    };
    if let Some(None) = sent {
        let why = (REDACTION_FAILED.id, REDACTION_FAILED.summary.to_owned());
        return Decision::Deny(denied(message, sender, era, why, findings));
    }
    let tool = tool_of(sender, &message);
    let answered = admitted.answers.as_ref();
    let method = message
        .method()
        .or(answered.map(|pending| &*pending.method))
        .map(shortened);
    let basis = Basis {
        decision: "allow",
        rule: None,
        why: None,
        era: era_word(era),
        method: method.as_deref(),
        id: message.id().map(ToString::to_string),
        tool: tool.as_deref().or(answered.and_then(|pending| pending.tool.as_deref())),
        policy: grounds.by,
        consent: grounds.consent,
        findings: finding_facts(findings),
        hidden: &redaction.hidden,
    };
    let facts = basis.to_json();
    let numbered = message.id().cloned().zip(admitted.number);
    Decision::Allow(Permitted {
        received: message.into_line(),
        sent: sent.flatten(),
        facts,
        requests: numbered.into_iter().collect(),
    })
}

/// A request of the client that the gate itself refuses, by one of this crate's rules.
#[must_use]
pub fn denied_by_gate(message: Message, era: Era, rule: &PolicyRule, why: String) -> Box<Denied> {
    denied(message, Sender::Client, era, (rule.id, why), &[])
}

pub(crate) fn denied(
    message: Message,
    sender: Sender,
    era: Era,
    (rule, why): (&'static str, String),
    findings: &[Finding],
) -> Box<Denied> {
    let method = message.method().map(shortened);
    let tool = tool_of(sender, &message);
    let basis = Basis {
        decision: "deny",
        rule: Some(rule),
        why: Some(&why),
        era: era_word(era),
        method: method.as_deref(),
        id: message.id().map(ToString::to_string),
        tool: tool.as_deref(),
        policy: None,
        consent: None,
        findings: finding_facts(findings),
        hidden: &[],
    };
    let facts = basis.to_json();
    Box::new(Denied {
        message,
        rule,
        why,
        era,
        facts,
    })
}

#[cfg(test)]
mod tests;
