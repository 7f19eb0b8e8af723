//! The record takes nothing: a full or broken disk, a folder that is gone. Nothing passes then, whoever waits hears why, and traffic goes on
//! when the record does.
//!
//! The failure and the refusals are recorded in the room that is kept for them. What does not even fit there is told all the same, and
//! counted: the notice at the end of the outage says how much that was.

use std::thread::sleep;
use std::time::{Duration, Instant};

use cofferdam_audit::{AuditError, Entry, Group, Kind, Recorded, Unrecorded};
use cofferdam_policy::Permitted;
use cofferdam_protocol::{Decoded, Id, Message, MessageKind, Pending, Sender, decode};
use serde_json::json;

use super::answer::{Authored, Refusal, refuse};
use super::line::{Answered, Judged, Told};
use super::refusal::{Refused, Then};
use super::{Fault, Gate};

/// Rule of answers to what came while the record took nothing.
pub(crate) const RECORD_UNAVAILABLE_RULE: &str = "record/unavailable";
/// How long after an outage began lines wait for its end before they are refused.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait between two attempts.
const RETRY: Duration = Duration::from_millis(50);
/// How long nothing must have failed before an outage is over: a small record may fit where a long one does not.
const QUIET: Duration = Duration::from_secs(1);
/// In band; the operator and the record have the cause.
const WHY: &str = "the record cannot be written, so nothing passes until it can";

/// An outage of the record.
#[derive(Debug)]
pub(super) struct Outage {
    since: Instant,
    last_failure: Instant,
    cause: String,
    /// The record of its beginning, where there was room for one.
    seq: Option<u64>,
    /// Messages that did not pass.
    refused: u64,
    /// Refusals and facts of the gate's own for which there was no room.
    unrecorded: u64,
}

impl Gate {
    /// Takes note of an outage and says how long it has lasted. The first to see it records and tells it.
    pub(super) fn note_outage(&self, error: &AuditError) -> Duration {
        let cause = error.to_string();
        let mut outage = self.outage();
        let now = Instant::now();
        if let Some(outage) = outage.as_mut() {
            outage.last_failure = now;
            return now.duration_since(outage.since);
        }
        let facts = json!({"record": "unavailable", "rule": RECORD_UNAVAILABLE_RULE, "cause": cause}).to_string();
        let help = error.help().map_or_else(String::new, |help| format!("\n  {help}"));
        self.operator.say(format!(
            "cofferdam: nothing passes to or from server `{}`: {cause}{help}",
            self.terms.name
        ));
        *outage = Some(Outage {
            since: now,
            last_failure: now,
            cause,
            seq: None,
            refused: 0,
            unrecorded: 0,
        });
        drop(outage);
        let seq = self.log.note_reserved(notice(&facts)).ok();
        if let Some(outage) = self.outage().as_mut() {
            outage.seq = seq;
        }
        Duration::ZERO
    }

    /// What keeps the record from being written, while it does.
    pub(super) fn outage_cause(&self) -> Option<String> {
        self.outage().as_ref().map(|outage| outage.cause.clone())
    }

    /// Records that the outage is over, as soon as the record takes that.
    pub(super) fn look_at_outage(&self) {
        let is_quiet = |outage: &&Outage| outage.last_failure.elapsed() >= QUIET;
        let facts = self.outage().as_ref().filter(is_quiet).map(Outage::facts);
        let Some(facts) = facts else { return };
        let Ok(seq) = self.log.note(notice(&facts)) else { return };
        if let Some(outage) = self.outage().take() {
            self.operator.say(format!(
                "cofferdam: the record of server `{}` is written again after {} s; {} messages were refused (record {})",
                self.terms.name,
                outage.since.elapsed().as_secs(),
                outage.refused,
                self.reference(seq)
            ));
        }
    }

    /// Does what records something until the record takes it, the session ends, or an outage has lasted `patience`.
    pub(super) fn patiently<T>(
        &self,
        patience: Duration,
        mut attempt: impl FnMut() -> Result<T, AuditError>,
    ) -> Result<T, AuditError> {
        loop {
            match attempt() {
                Err(error) if error.is_outage() && self.note_outage(&error) < patience && !self.is_ending() => {
                    sleep(RETRY);
                }
                other => return other,
            }
        }
    }

    /// Puts a group of lines on record. What fails for the disk's sake is tried again while an outage is young; lines wait for that.
    pub(super) fn record_lines(&self, kind: Kind, mut judged: Vec<Judged>) -> Result<Told, Unrecorded<Vec<Judged>>> {
        loop {
            let unrecorded = match self.record(kind, judged) {
                Err(unrecorded) if unrecorded.error().is_outage() => unrecorded,
                other => return other,
            };
            if self.note_outage(unrecorded.error()) >= PATIENCE || self.is_ending() {
                return Err(unrecorded);
            }
            judged = unrecorded.into_value();
            sleep(RETRY);
        }
    }

    /// Records facts that nothing hangs on; `None` where not even the reserve takes them.
    pub(super) fn note_if_possible(&self, kind: Kind, facts: &str) -> Result<Option<u64>, Fault> {
        let entry = || Entry {
            kind,
            facts,
            payload: &[],
        };
        match self.log.note(entry()) {
            Ok(seq) => Ok(Some(seq)),
            Err(error) if error.is_outage() => {
                self.note_outage(&error);
                let reserved = self.log.note_reserved(entry());
                if reserved.is_err() {
                    self.count(0, 1);
                }
                Ok(reserved.ok())
            }
            Err(error) => Err(Fault::Unrecorded(error)),
        }
    }

    /// Nothing of these lines passes, and whoever waits for something in them is told. `answered` are the client's requests that lines of
    /// the server would have answered.
    pub(super) fn refuse_unrecorded(
        &self,
        sender: Sender,
        unrecorded: Unrecorded<Vec<Judged>>,
        answered: Answered,
    ) -> Result<(), Fault> {
        let (judged, error) = unrecorded.into_parts();
        if !error.is_outage() {
            return Err(self.reopen(answered, Fault::Unrecorded(error)));
        }
        self.note_outage(&error);
        self.count(u64::try_from(judged.len()).unwrap_or(u64::MAX), 0);
        for (id, pending) in &answered {
            self.refuse_pending(Sender::Client, id, pending)?;
        }
        for one in judged {
            match one {
                Ok(permitted) => self.refuse_permitted(sender, &permitted)?,
                Err(stopped) => self.refuse_stopped(sender, stopped.into_then(), &answered)?,
            }
        }
        Ok(())
    }

    fn refuse_permitted(&self, sender: Sender, permitted: &Permitted) -> Result<(), Fault> {
        for (id, number) in permitted.requests() {
            let pending = self.session().take_numbered(sender, id, *number);
            if let Some(pending) = pending {
                self.refuse_pending(sender, id, &pending)?;
            }
        }
        // The server waits for what the client answered.
        let messages = match decode(permitted.received().to_vec()) {
            Ok(Decoded::Message(message)) if sender == Sender::Client => vec![message],
            Ok(Decoded::Batch(batch)) if sender == Sender::Client => batch.into_parts().1,
            _ => Vec::new(),
        };
        let is_answer = |message: &&Message| message.kind() == MessageKind::Response;
        for id in messages.iter().filter(is_answer).filter_map(Message::id) {
            let era = cofferdam_protocol::Era::Legacy(None);
            self.author(Sender::Server, self.unavailable(Some(id), None, era))?;
        }
        Ok(())
    }

    fn refuse_pending(&self, to: Sender, id: &Id, pending: &Pending) -> Result<(), Fault> {
        if pending.by_gate {
            return self.give_up_list();
        }
        self.author(to, self.unavailable(Some(id), Some(&pending.method), pending.era))
    }

    /// What was refused anyway is refused; what was to wait is not waited for.
    fn refuse_stopped(&self, sender: Sender, then: Then, answered: &Answered) -> Result<(), Fault> {
        let waited = match then {
            Then::Nothing | Then::TellOperator(_) => return Ok(()),
            Then::GiveUpList | Then::Take(_) => return self.give_up_list(),
            Then::AnswerSender(refused) => return self.refuse(sender, &refused, &self.outage_record()),
            Then::AnswerAsker(refused) => {
                let is_told = answered.iter().any(|(id, _)| refused.id.as_ref() == Some(id));
                return if is_told {
                    Ok(())
                } else {
                    self.refuse_asker(sender, &refused, &self.outage_record())
                };
            }
            Then::Each(all) => {
                let mut all = all.into_iter();
                return all.try_for_each(|then| self.refuse_stopped(sender, then, answered));
            }
            Then::Hold(held) => *held,
            Then::Ask(call) => call.into_parts(),
        };
        let (message, admitted) = waited;
        let refused = Refused {
            id: message.id().cloned(),
            method: message.method().map(str::to_owned),
            era: admitted.era,
            rule: RECORD_UNAVAILABLE_RULE,
            why: WHY.to_owned(),
        };
        self.refuse(sender, &refused, &self.outage_record())
    }

    fn unavailable(&self, id: Option<&Id>, method: Option<&str>, era: cofferdam_protocol::Era) -> Authored {
        refuse(&Refusal {
            id,
            method,
            era,
            rule: RECORD_UNAVAILABLE_RULE,
            why: WHY,
            record: &self.outage_record(),
        })
    }

    /// A refusal that the record does not take now: out of the room that is kept for it, or else without a record, and counted.
    pub(super) fn author_in_outage(&self, to: Sender, authored: Unrecorded<Authored>) -> Result<(), Fault> {
        let (authored, error) = authored.into_parts();
        self.note_outage(&error);
        let recorded: Result<Recorded<Authored>, _> = self
            .log
            .append_reserved(authored, |authored, group| enter_authored(to, authored, group));
        match recorded {
            Ok(recorded) => self.hand_over(to, &recorded),
            Err(unrecorded) => {
                self.count(0, 1);
                let outlet = self.outlet(to);
                outlet
                    .author_unrecorded(&unrecorded, self.process_of(to))
                    .map_err(|closed| Fault::gone(to, closed))
            }
        }
    }

    /// `SESSION:SEQ` of the outage's record; empty where there is none.
    fn outage_record(&self) -> String {
        let seq = self.outage().as_ref().and_then(|outage| outage.seq);
        self.reference_of(seq)
    }

    fn count(&self, refused: u64, unrecorded: u64) {
        if let Some(outage) = self.outage().as_mut() {
            outage.refused = outage.refused.saturating_add(refused);
            outage.unrecorded = outage.unrecorded.saturating_add(unrecorded);
        }
    }
}

impl Outage {
    fn facts(&self) -> String {
        let milliseconds = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        json!({
            "record": "available", "rule": RECORD_UNAVAILABLE_RULE, "cause": self.cause, "milliseconds": milliseconds,
            "refused": self.refused, "unrecorded": self.unrecorded,
        })
        .to_string()
    }
}

/// How a line of the gate's own stands in the record.
pub(super) fn enter_authored(to: Sender, authored: &Authored, group: &mut Group<'_>) {
    group.add(Entry {
        kind: match to {
            Sender::Client => Kind::GateToClient,
            Sender::Server => Kind::GateToServer,
        },
        facts: authored.facts(),
        payload: authored.line(),
    });
}

fn notice(facts: &str) -> Entry<'_> {
    Entry {
        kind: Kind::Notice,
        facts,
        payload: &[],
    }
}
