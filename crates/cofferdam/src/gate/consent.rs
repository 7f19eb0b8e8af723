//! Calls that wait for somebody's consent: asked out of band, answered on the approvals socket, executed as the very bytes that were asked for.
//!
//! Invariants:
//! - What passes by an approval is decided anew first: the tool may have changed while it waited.
//! - An approval is for one digest (manifest, policies and everything the call says but `_meta`) and is used once, or is a grant with an end
//!   (`grants.rs`).
//! - A call that waits holds no thread and no other call.

use cofferdam_audit::{AuditError, Kind, Recorded};
use cofferdam_inspect::show_safely;
use cofferdam_manifest::Digest;
use cofferdam_policy::{
    CONSENT_DENIED, CONSENT_EXPIRED, CONSENT_LOCKED, CONSENT_PENDING, CONSENT_UNREACHABLE, Decision, Grant, Level,
    PolicyRule, Standing, Unapproved,
};
use cofferdam_protocol::{Message, Sender, members};
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::progress;
use super::line::Judged;
use super::refusal::Stopped;
use super::{Fault, Gate};
use crate::approvals::{
    Choice, GRANT_MINUTES_MAX, Proof, Question, Reply, Request, Speaker, level_of, needed, statement,
};
use crate::failure::Failure;
use crate::notification;

mod asked;
mod grants;
mod in_band;

pub(super) use asked::Consents;
use asked::{Asked, Kept, expires};
pub(super) use grants::Remembered;
pub(super) use in_band::{InBand, without_our_state};

/// How long a call waits before its client is told to come again, in milliseconds: the shortest common timeout is 60 s.
const WAIT_MS_MAX: u64 = 45_000;

impl Gate {
    /// What is known already decides; otherwise the call is held for the question.
    pub(super) fn consent(&self, decision: Decision) -> Judged {
        let unapproved = match decision {
            Decision::Allow(permitted) => return Ok(permitted),
            Decision::Deny(denied) => return Err(Stopped::denied(denied)),
            Decision::Ask(unapproved) => unapproved,
        };
        // Without enrolled keys nobody can prove to be a person, so what needs one is refused at once.
        if !self.can_ask || unapproved.level() > self.reachable() {
            return Err(Stopped::denied(unapproved.unanswered()));
        }
        let (tool, digest) = (tool_of(unapproved.message()), self.digest_of(unapproved.message()));
        let now_ms = self.now_ms();
        let mut consents = self.consents();
        let settled_before = if consents.is_locked(&tool) {
            Some(&CONSENT_LOCKED)
        } else if consents.is_denied(&digest) {
            Some(&CONSENT_DENIED)
        } else {
            None
        };
        let kept = match settled_before {
            None => consents.take_kept(&digest, now_ms),
            Some(_) => None,
        };
        drop(consents);
        if let Some(rule) = settled_before {
            self.rate().refused(now_ms);
            return Err(refused(*unapproved, rule, ""));
        }
        let settled = match kept {
            Some(kept) => Some((kept.level, kept.who)),
            None if unapproved.takes_grants() => self
                .covering_grant(&unapproved, &digest)
                .map(|id| (Level::Grant, format!("grant {id}"))),
            None => None,
        };
        match settled {
            Some((level, who)) => unapproved.consented(level, &who).map_err(Stopped::denied),
            None => Err(Stopped::asked(*unapproved)),
        }
    }

    /// Holds a call, on record since `seq`, for the question about it.
    pub(super) fn await_consent(&self, unapproved: Unapproved, seq: u64) -> Result<(), Fault> {
        let id = crate::random::hex(4).map_err(Fault::NoRandomness)?;
        let digest = self.digest_of(unapproved.message());
        let (server, tool) = (self.terms.name.clone(), tool_of(unapproved.message()));
        let question = self.question(&unapproved, (id.clone(), digest), seq);
        if self.takes_input_required(&unapproved) {
            return self.require_input(unapproved, question);
        }
        let now_ms = self.now_ms();
        let is_waiting = |waiting: &Unapproved| self.is_waiting(waiting);
        let posted = self.poster.is_some().then(|| question.clone());
        let asked = self.consents().ask(question, unapproved, now_ms, is_waiting);
        match asked {
            Asked::New => {
                self.post(posted.as_ref());
                self.notify(&server, &tool, now_ms);
                self.operator.say(format!(
                    "cofferdam: server `{server}` waits for consent to a call of `{tool}`: `cofferdam approvals` shows it (id {id})"
                ));
                self.elicit_next()
            }
            Asked::WithAnother => Ok(()),
            Asked::TooMany(unapproved) => self.pass_on(
                self.process(),
                vec![Err(refused(
                    *unapproved,
                    &CONSENT_UNREACHABLE,
                    "too many calls wait for consent",
                ))],
            ),
        }
    }

    /// Tells whoever sits at the desktop that something waits: a notification for several questions that come together.
    fn notify(&self, server: &str, tool: &str, now_ms: u64) {
        if self.consents().may_notify(now_ms) {
            let title = format!("{server} waits for your consent to a call of {}", show_safely(tool));
            notification::show(&title, "`cofferdam approvals` shows it");
        }
    }

    /// Tells the webhook. Where it has too much before it, the other channels have the question.
    fn post(&self, question: Option<&Question>) {
        if let (Some(poster), Some(question)) = (&self.poster, question)
            && !poster.post(question)
        {
            self.operator.say(format!(
                "cofferdam: the webhook of approvals was not told of question {}: too many wait",
                question.id
            ));
        }
    }

    fn question(&self, unapproved: &Unapproved, (id, digest): (String, String), seq: u64) -> Question {
        let message = unapproved.message();
        let tool = tool_of(message);
        let mut findings: Vec<String> = unapproved
            .findings()
            .iter()
            .map(|finding| format!("{}: {} at `{}`", finding.rule.id, finding.evidence, finding.at))
            .collect();
        let carried = carried_along(message).into_iter();
        findings.extend(carried.map(|(key, bytes)| format!("the call also carries `{key}` ({bytes} bytes)")));
        Question {
            offer: unapproved.takes_grants().then(|| self.offer(unapproved, &digest)),
            last_approved: self.consents().last_approved(&tool),
            id,
            server: self.terms.name.clone(),
            tool,
            arguments: raw(message.param("arguments").or(message.param("uri")).unwrap_or("{}")),
            digest,
            expires: expires(self.terms.question_ms),
            level: unapproved.level().number(),
            reason: format!("it needs {}", unapproved.level().words()),
            policy: unapproved.by().to_owned(),
            findings,
            client: self.client.get().cloned().unwrap_or_default(),
            identical: 1,
            takes_grants: unapproved.takes_grants(),
            record: self.reference(seq),
            signed: Vec::new(),
        }
    }

    /// What an approval of this call is bound to: the manifest, the policies, and all the call says but `_meta`.
    fn digest_of(&self, message: &Message) -> String {
        let mut said = members(message.params().unwrap_or("{}")).unwrap_or_default();
        // What we put into a call by asking about it is no part of it.
        let ours: &[&str] = if in_band::carries_own_state(message) {
            &["requestState", "inputResponses"]
        } else {
            &[]
        };
        said.retain(|(key, _)| key != "_meta" && !ours.contains(&&**key));
        call_digest(&self.in_force().binding, message.method().unwrap_or_default(), said)
    }

    /// Answers what somebody said on an approvals socket.
    pub(super) fn answer_approver(&self, request: Request, speaker: &Speaker) -> Result<Reply, Fault> {
        let who = &speaker.to_string();
        // Another user's process is no process of the user: what it says without a signature attests nothing.
        let least = if speaker.is_foreign() {
            Level::Person
        } else {
            Level::Attested
        };
        match request {
            Request::Grants {} | Request::Revoke { .. } if speaker.is_foreign() => Ok(Reply::Refused(
                "grants are listed and revoked by the user they are of".to_owned(),
            )),
            Request::List {} => Ok(Reply::Questions(self.consents().questions(self.now_ms()))),
            Request::Grants {} => Ok(Reply::Grants(self.shown_grants())),
            Request::Allow {
                id,
                digest,
                scope,
                minutes,
                folder,
                proofs,
            } => {
                let choice = Choice { scope, folder, minutes };
                self.allow((&id, &digest), choice, &proofs, (who, least))
            }
            Request::Deny { id } => self.deny(&id, who),
            Request::Revoke { id } => match self.revoke_grant(&id) {
                Ok(false) => Ok(Reply::Unknown),
                Ok(true) => {
                    self.note_revoked(&id, who)?;
                    Ok(Reply::Done(format!("grant {id} is revoked")))
                }
                Err(failure) => Ok(Reply::Refused(failure.what)),
            },
        }
    }

    /// The highest level that somebody can reach here.
    fn reachable(&self) -> Level {
        level_of(self.terms.approvers.count())
    }

    fn allow(
        &self,
        (id, digest): (&str, &str),
        choice: Choice,
        proofs: &[Proof],
        (who, least): (&str, Level),
    ) -> Result<Reply, Fault> {
        let now_ms = self.now_ms();
        let mut consents = self.consents();
        consents.forget_calls(|call| self.is_waiting(call));
        let Some(question) = consents.question(id, now_ms) else {
            return Ok(Reply::Unknown);
        };
        let (statement, grant) = match agreed(question, digest, &choice) {
            Ok(agreed) => agreed,
            Err(why) => return Ok(Reply::Refused(why)),
        };
        let needed = needed(question.level, grant.is_some(), self.reachable()).max(least.number());
        let proven = self.terms.approvers.proven(&statement, proofs);
        let signed = consents.sign(id, &statement, proven);
        let keys: Vec<String> = signed.iter().map(|proof| proof.key.clone()).collect();
        let level = level_of(keys.len());
        if level.number() < needed {
            drop(consents);
            return self.not_enough(needed, (id, digest), &keys, who);
        }
        let calls = consents.approve(id, choice.scope, now_ms);
        let by = if keys.is_empty() {
            who.to_owned()
        } else {
            keys.join(" and ")
        };
        let kept = calls.is_empty().then(|| Kept::new(level, &by, consents.until(now_ms)));
        drop(consents);
        let facts = json!({
            "decision": "allow", "question": id, "digest": digest, "level": level.number(), "who": who, "keys": keys, "scope": choice.scope,
            "grant": grant.as_ref().map(|grant| grant.terms()),
        });
        // On record before anything passes by it; a record that fails leaves nothing approved.
        if let Err(error) = self.note(Kind::Approval, &facts.to_string()) {
            return self.refuse_approved(calls, error);
        }
        let granted = grant.map(|grant| self.keep_grant(grant, statement, signed));
        if let Some(kept) = kept {
            if granted.is_none() {
                self.consents().keep(digest, kept);
            }
            return Ok(Reply::Done(allowed(
                "allowed; it passes when the client asks again",
                granted,
            )));
        }
        for call in calls {
            self.release_approved(call, (level, &by))?;
        }
        Ok(Reply::Done(allowed("allowed", granted)))
    }

    /// An approval that cannot be recorded is none.
    fn refuse_approved(&self, calls: Vec<Unapproved>, error: AuditError) -> Result<Reply, Fault> {
        if !error.is_outage() {
            return Err(Fault::Unrecorded(error));
        }
        self.note_outage(&error);
        self.refuse_all(calls, &CONSENT_UNREACHABLE, "")?;
        Ok(Reply::Refused(format!("the approval cannot be recorded: {error}")))
    }

    /// Says what is missing; a first signature of two is on record.
    fn not_enough(&self, needed: u8, (id, digest): (&str, &str), signed: &[String], who: &str) -> Result<Reply, Fault> {
        if signed.is_empty() {
            return Ok(Reply::Refused(
                "it needs a proven person, and any process of yours could give this answer".to_owned(),
            ));
        }
        let facts =
            json!({"decision": "sign", "question": id, "digest": digest, "who": who, "keys": signed, "needed": needed});
        if let Err(error) = self.note(Kind::Approval, &facts.to_string()) {
            return self.refuse_approved(Vec::new(), error);
        }
        Ok(Reply::Done(
            "signed; it needs a second person, with another key".to_owned(),
        ))
    }

    /// Decides a call that was approved once more, with what is known now, and lets it pass.
    fn release_approved(&self, unapproved: Unapproved, (level, who): (Level, &str)) -> Result<(), Fault> {
        let process = self.process();
        // Cancelled, or told to come again: there is nobody to answer to.
        if !self.is_waiting(&unapproved) {
            return Ok(());
        }
        let (message, admitted) = unapproved.into_parts();
        let standing = self.standing(&message).unwrap_or(Some(Standing::Unverified));
        let judged = match self.decide_again(message, &admitted, standing) {
            Decision::Ask(again) => again.consented(level, who).map_err(Stopped::denied),
            Decision::Allow(permitted) => Ok(permitted),
            Decision::Deny(denied) => Err(Stopped::denied(denied)),
        };
        self.pass_on(process, vec![judged])
    }

    fn deny(&self, id: &str, who: &str) -> Result<Reply, Fault> {
        let now_ms = self.now_ms();
        let denied = self.consents().deny(id, now_ms);
        let Some(denied) = denied else {
            return Ok(Reply::Unknown);
        };
        let facts = json!({"decision": "deny", "question": id, "digest": denied.digest, "who": who});
        self.note_if_possible(Kind::Approval, &facts.to_string())?;
        self.refuse_all(denied.calls, &CONSENT_DENIED, "")?;
        self.tell_locked(denied.locked)?;
        Ok(Reply::Done("denied, for the rest of the session".to_owned()))
    }

    /// What only time does to questions: they expire, and clients that would give up are told to come again.
    pub(super) fn look_at_questions(&self, now_ms: u64) -> Result<(), Fault> {
        let timely = self.consents().look(now_ms);
        for expired in timely.expired {
            let facts = json!({"decision": "expire", "question": expired.id, "digest": expired.digest});
            self.note_if_possible(Kind::Approval, &facts.to_string())?;
            self.refuse_all(expired.calls, &CONSENT_EXPIRED, &expired.id)?;
            self.tell_locked(expired.locked)?;
        }
        for (id, calls) in timely.patient {
            self.refuse_all(calls, &CONSENT_PENDING, &id)?;
        }
        for (id, token, waited_ms) in timely.progress {
            self.author(Sender::Client, progress(&token, &id, waited_ms))?;
        }
        self.elicit_next()
    }

    fn refuse_all(&self, calls: Vec<Unapproved>, rule: &PolicyRule, id: &str) -> Result<(), Fault> {
        if rule.id != CONSENT_PENDING.id {
            let now_ms = self.now_ms();
            calls.iter().for_each(|_| self.rate().refused(now_ms));
        }
        let calls = calls.into_iter().filter(|call| self.is_waiting(call));
        let judged: Vec<Judged> = calls.map(|call| Err(refused(call, rule, id))).collect();
        if judged.is_empty() {
            Ok(())
        } else {
            self.pass_on(self.process(), judged)
        }
    }

    fn tell_locked(&self, tool: Option<String>) -> Result<(), Fault> {
        let Some(tool) = tool else { return Ok(()) };
        let facts = json!({"rule": CONSENT_LOCKED.id, "tool": tool}).to_string();
        let record = self.reference_of(self.note_if_possible(Kind::Notice, &facts)?);
        self.operator.say(format!(
            "cofferdam: `{tool}` of server `{}` asked for consent too often or was denied repeatedly; it is locked for this session (record {record})",
            self.terms.name
        ));
        Ok(())
    }

    /// Records what was decided about calls that waited, and sends or answers them.
    pub(super) fn pass_on(&self, process: u64, judged: Vec<Judged>) -> Result<(), Fault> {
        let (permitted, stopped) = match self.record(Kind::Decision, judged) {
            Ok(told) => told,
            Err(unrecorded) => return self.refuse_unrecorded(Sender::Client, unrecorded, Vec::new()),
        };
        if !self.mark_sent(Sender::Client, process, &permitted) {
            self.refuse_outdated(&permitted)?;
        }
        // Given up while it was being decided: its client has been answered, so the server must not see it.
        let is_over = |one: &Recorded<cofferdam_policy::Permitted>| {
            let session = self.session();
            let mut requests = one.as_ref().requests().iter();
            requests.any(|(id, number)| !session.is_numbered(Sender::Client, id, *number))
        };
        for one in permitted.iter().filter(|one| !is_over(one)) {
            self.to_server
                .forward_by_courier(one, process)
                .map_err(Fault::ServerGone)?;
        }
        stopped.into_iter().try_for_each(|one| self.answer_client(one))
    }

    fn is_waiting(&self, call: &Unapproved) -> bool {
        let numbered = call.message().id().zip(call.admitted().number);
        numbered.is_some_and(|(id, number)| self.session().is_numbered(Sender::Client, id, number))
    }
}

/// The digest of a call: of what it is bound to, its method, and the raw values of all that it says.
pub(crate) fn call_digest<K: AsRef<str> + Ord>(binding: &str, method: &str, mut said: Vec<(K, &str)>) -> String {
    said.sort_unstable();
    let mut bound = Vec::new();
    let said = said.iter().flat_map(|(key, raw)| [key.as_ref(), *raw]);
    for part in [binding, method].into_iter().chain(said) {
        bound.extend_from_slice(&part.len().to_le_bytes());
        bound.extend_from_slice(part.as_bytes());
    }
    Digest::of(&bound).to_string()
}

/// What a person who says yes to `question` agrees to: the text that is signed, and the grant, where it is one. Why the answer is none, whoever
/// gave it.
fn agreed(question: &Question, digest: &str, choice: &Choice) -> Result<(String, Option<Grant>), String> {
    if question.digest != digest {
        return Err("it is about another call than the one that was shown".to_owned());
    }
    let terms = choice.terms(question)?;
    if choice.minutes == 0 || choice.minutes > GRANT_MINUTES_MAX {
        return Err(format!("a grant is for 1 to {GRANT_MINUTES_MAX} minutes"));
    }
    let statement = statement(question, choice, terms.as_ref());
    let grant = terms.map(Grant::link).transpose().map_err(|error| error.to_string())?;
    Ok((statement, grant))
}

/// What is done, and what became of the grant.
fn allowed(done: &str, granted: Option<Result<(), Failure>>) -> String {
    match granted {
        Some(Err(failure)) => format!(
            "{done}; the grant cannot be kept and ends with this session: {}",
            failure.what
        ),
        _ => done.to_owned(),
    }
}

/// The tool that is called; for other requests what is asked.
fn tool_of(message: &Message) -> String {
    let name = match message.method() {
        Some("tools/call") => message.param_str("name").unwrap_or_default().into_owned(),
        method => method.unwrap_or_default().to_owned(),
    };
    cofferdam_policy::shortened(&name)
}

/// What a call carries beside its arguments, and its bytes: a person should know that there is more.
fn carried_along(message: &Message) -> Vec<(String, usize)> {
    let said = members(message.params().unwrap_or("{}")).unwrap_or_default();
    let known = ["name", "arguments", "uri", "_meta"];
    let ours = ["requestState", "inputResponses"];
    let is_ours = in_band::carries_own_state(message);
    said.iter()
        .filter(|(key, _)| !(known.contains(&&**key) || is_ours && ours.contains(&&**key)))
        .map(|(key, raw)| (cofferdam_policy::shortened(key), raw.len()))
        .collect()
}

fn raw(text: &str) -> Box<RawValue> {
    // It is a slice of a message that was parsed.
    RawValue::from_string(text.to_owned()).unwrap_or_default()
}

fn refused(call: Unapproved, rule: &PolicyRule, id: &str) -> Box<Stopped> {
    let why = if id.is_empty() {
        rule.summary.to_owned()
    } else {
        format!("{} (id {id})", rule.summary)
    };
    Stopped::denied(call.refused(rule.id, why))
}
