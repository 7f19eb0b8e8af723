//! What stops on the line: recorded like everything else, never forwarded, answered where somebody waits.

use cofferdam_audit::Recorded;
use cofferdam_policy::{Denied, Unapproved, batch_facts, shortened};
use cofferdam_protocol::{Admitted, Era, Id, Inadmissible, Message, MessageKind, Reason, Sender, Undecodable};
use serde_json::json;

use super::answer::{Refusal, refuse};
use super::line::Answered;
use super::{Fault, Gate};

/// Rule of a member of a refused batch.
const BATCH_RULE: &str = "batch/member-denied";

/// Facts a refused peer is told.
#[derive(Debug)]
pub(super) struct Refused {
    /// The request's id; `None` where the line did not name one that can be trusted.
    pub(super) id: Option<Id>,
    pub(super) method: Option<String>,
    pub(super) era: Era,
    pub(super) rule: &'static str,
    pub(super) why: String,
}

/// What is to be done about something that stops here, once it is on disk.
#[derive(Debug)]
pub(super) enum Then {
    /// Nobody waits for an answer.
    Nothing,
    /// Output that is no message: the operator is told once.
    TellOperator(Reason),
    /// It was a request: its sender gets the refusal.
    AnswerSender(Refused),
    /// It was an answer that must not be released: who asked gets the refusal in its place.
    AnswerAsker(Refused),
    /// It was a batch.
    Each(Vec<Self>),
    /// It should have been the answer to the gate's own list.
    GiveUpList,
    /// A call that waits until the server's tools are listed.
    Hold(Box<(Message, Admitted)>),
    /// A call that waits for somebody's consent.
    Ask(Box<Unapproved>),
    /// The answer to a request of the gate's own.
    Take(Box<Message>),
}

/// Bytes that stop here, with the record's facts and what follows.
#[derive(Debug)]
pub(super) struct Stopped {
    /// As received; empty where `then` still owns the message.
    line: Vec<u8>,
    facts: String,
    is_fragment: bool,
    then: Then,
}

impl Stopped {
    /// The bytes for the record.
    pub(super) fn payload(&self) -> &[u8] {
        match &self.then {
            Then::Hold(held) => held.0.line(),
            Then::Take(message) => message.line(),
            Then::Ask(call) => call.message().line(),
            _ => &self.line,
        }
    }

    /// What is owed for it, without its bytes.
    pub(super) fn into_then(self) -> Then {
        self.then
    }

    pub(super) fn facts(&self) -> &str {
        &self.facts
    }

    /// Whether this is a piece of a line that is longer than the limit.
    pub(super) fn is_fragment(&self) -> bool {
        self.is_fragment
    }

    fn new(line: Vec<u8>, facts: String, then: Then) -> Box<Self> {
        Box::new(Self {
            line,
            facts,
            is_fragment: false,
            then,
        })
    }

    /// A call that must wait for the live tool list.
    pub(super) fn held(message: Message, admitted: Admitted) -> Box<Self> {
        let facts = json!({"decision": "hold", "method": message.method().map(shortened), "id": message.id().map(ToString::to_string)});
        Self::new(Vec::new(), facts.to_string(), Then::Hold(Box::new((message, admitted))))
    }

    /// A call that must wait for somebody's consent.
    pub(super) fn asked(call: Unapproved) -> Box<Self> {
        let message = call.message();
        let facts = json!({
            "decision": "ask", "level": call.level().number(), "policy": call.by(), "method": message.method().map(shortened),
            "id": message.id().map(ToString::to_string), "tool": message.param_str("name").map(|name| shortened(&name)),
        });
        Self::new(Vec::new(), facts.to_string(), Then::Ask(Box::new(call)))
    }

    /// The answer to the gate's own request.
    pub(super) fn own(message: Message) -> Box<Self> {
        let facts = json!({"decision": "own", "id": message.id().map(ToString::to_string)});
        Self::new(Vec::new(), facts.to_string(), Then::Take(Box::new(message)))
    }

    /// A line that is no message.
    pub(super) fn undecodable(sender: Sender, undecodable: Undecodable) -> Box<Self> {
        let Undecodable {
            line,
            reason,
            offset,
            id,
            is_request,
        } = undecodable;
        let facts = json!({"decision": "refuse", "rule": reason.id(), "why": reason.text(), "at": offset}).to_string();
        let refused = Refused {
            id,
            method: None,
            era: Era::Legacy(None),
            rule: reason.id(),
            why: reason.text().to_owned(),
        };
        let then = match sender {
            Sender::Client if is_request || refused.id.is_none() => Then::AnswerSender(refused),
            Sender::Client => Then::Nothing,
            Sender::Server if refused.id.is_some() && is_request => Then::AnswerSender(refused),
            Sender::Server if refused.id.is_some() => Then::AnswerAsker(refused),
            Sender::Server => Then::TellOperator(reason),
        };
        Self::new(line, facts, then)
    }

    /// A piece of a line that is longer than the limit; only the first piece is answered.
    pub(super) fn oversize(sender: Sender, piece: Vec<u8>, is_first: bool, is_last: bool) -> Box<Self> {
        let reason = Reason::LineTooLong;
        let facts = json!({"decision": "refuse", "rule": reason.id(), "first": is_first, "last": is_last}).to_string();
        let then = if is_first {
            Self::told(sender, reason)
        } else {
            Then::Nothing
        };
        Box::new(Self {
            line: piece,
            facts,
            is_fragment: true,
            then,
        })
    }

    /// Bytes at the end of input without a newline.
    pub(super) fn unterminated(sender: Sender, bytes: Vec<u8>) -> Box<Self> {
        let facts =
            json!({"decision": "refuse", "rule": Reason::Unterminated.id(), "why": Reason::Unterminated.text()})
                .to_string();
        Self::new(bytes, facts, Self::told(sender, Reason::Unterminated))
    }

    fn told(sender: Sender, reason: Reason) -> Then {
        match sender {
            Sender::Client => {
                let why = reason.text().to_owned();
                Then::AnswerSender(Refused {
                    id: None,
                    method: None,
                    era: Era::Legacy(None),
                    rule: reason.id(),
                    why,
                })
            }
            Sender::Server => Then::TellOperator(reason),
        }
    }

    /// A message the session does not admit.
    pub(super) fn inadmissible(message: Message, inadmissible: &Inadmissible) -> Box<Self> {
        Self::denied(Refused::as_denied(message, inadmissible))
    }

    /// A denied message: a request is answered, anything else is dropped.
    pub(super) fn denied(denied: Box<Denied>) -> Box<Self> {
        let facts = denied.facts.clone();
        let is_request = denied.message.kind() == MessageKind::Request;
        let refused = Refused::of(&denied);
        Self::new(
            denied.message.into_line(),
            facts,
            if is_request {
                Then::AnswerSender(refused)
            } else {
                Then::Nothing
            },
        )
    }

    /// A denied message of the server: the answer to a client's request is replaced by a refusal, so that the client does not wait.
    pub(super) fn denied_from_server(denied: Box<Denied>, admitted: &Admitted) -> Box<Self> {
        let Some(pending) = &admitted.answers else {
            return Self::denied(denied);
        };
        let facts = denied.facts.clone();
        let refused = Refused {
            method: Some(pending.method.to_string()),
            era: pending.era,
            ..Refused::of(&denied)
        };
        Self::new(denied.message.into_line(), facts, Then::AnswerAsker(refused))
    }

    /// A batch of the client of which at least one member was denied: every request in it is refused.
    pub(super) fn batch((line, members): (Vec<u8>, Vec<Denied>)) -> Box<Self> {
        Self::batch_then(line, &members, Vec::new())
    }

    /// The same from the server: what it answered is refused to whoever asked.
    pub(super) fn batch_from_server((line, members): (Vec<u8>, Vec<Denied>), answered: Answered) -> Box<Self> {
        let why = "the answer came in a batch that was refused";
        let owed = answered.into_iter().map(|(id, pending)| {
            if pending.by_gate {
                return Then::GiveUpList;
            }
            Then::AnswerAsker(Refused {
                id: Some(id),
                method: Some(pending.method.to_string()),
                era: pending.era,
                rule: BATCH_RULE,
                why: why.to_owned(),
            })
        });
        Self::batch_then(line, &members, owed.collect())
    }

    fn batch_then(line: Vec<u8>, members: &[Denied], mut then: Vec<Then>) -> Box<Self> {
        let facts = batch_facts("deny", members.iter().map(|denied| denied.facts.as_str()));
        let requests = members
            .iter()
            .filter(|denied| denied.message.kind() == MessageKind::Request);
        then.extend(requests.map(|denied| Then::AnswerSender(Refused::of(denied))));
        Self::new(line, facts, Then::Each(then))
    }

    /// A batch where the session has none.
    pub(super) fn batch_not_allowed(line: Vec<u8>, sender: Sender, reason: Reason, requests: Vec<Id>) -> Box<Self> {
        let facts = json!({"decision": "refuse", "rule": reason.id(), "why": reason.text()}).to_string();
        let refused = requests.into_iter().map(|id| {
            Then::AnswerSender(Refused {
                id: Some(id),
                method: None,
                era: Era::Legacy(None),
                rule: reason.id(),
                why: reason.text().to_owned(),
            })
        });
        let refused: Vec<_> = refused.collect();
        let then = if refused.is_empty() {
            Self::told(sender, reason)
        } else {
            Then::Each(refused)
        };
        Self::new(line, facts, then)
    }
}

impl Refused {
    fn of(denied: &Denied) -> Self {
        Self {
            id: denied.message.id().cloned(),
            method: denied.message.method().map(str::to_owned),
            era: denied.era,
            rule: denied.rule,
            why: denied.why.clone(),
        }
    }

    /// What the session does not admit, in the form of a denial.
    pub(super) fn as_denied(message: Message, inadmissible: &Inadmissible) -> Box<Denied> {
        let reason = inadmissible.reason;
        let facts = json!({
            "decision": "refuse", "rule": reason.id(), "why": reason.text(),
            "method": message.method().map(shortened), "id": message.id().map(ToString::to_string),
        });
        Box::new(Denied {
            message,
            rule: reason.id(),
            why: reason.text().to_owned(),
            era: inadmissible.era,
            facts: facts.to_string(),
        })
    }

    /// An answer to the gate's own request has no business in a batch.
    pub(super) fn own_in_batch(message: Message, era: Era) -> Box<Denied> {
        let facts = json!({"decision": "deny", "rule": BATCH_RULE, "own": true}).to_string();
        let why = "the batch answers a request of the gate's own".to_owned();
        Box::new(Denied {
            message,
            rule: BATCH_RULE,
            why,
            era,
            facts,
        })
    }

    /// Whether the session had taken the request in, so that it must now be forgotten.
    fn was_admitted(&self) -> bool {
        !self.rule.starts_with("protocol/")
    }
}

impl Gate {
    /// Acts on what stopped on the client's line.
    pub(super) fn answer_client(&self, stopped: Recorded<Box<Stopped>>) -> Result<(), Fault> {
        let seq = stopped.seq();
        self.act(Sender::Client, stopped.into_inner().then, seq)
    }

    /// Acts on what stopped on the server's line.
    pub(super) fn answer_server(&self, stopped: Recorded<Box<Stopped>>) -> Result<(), Fault> {
        let seq = stopped.seq();
        self.act(Sender::Server, stopped.into_inner().then, seq)
    }

    fn act(&self, sender: Sender, then: Then, seq: u64) -> Result<(), Fault> {
        match (then, sender) {
            (Then::Nothing, _) => Ok(()),
            (Then::TellOperator(reason), _) => {
                self.tell_noise_once(reason, seq);
                Ok(())
            }
            (Then::AnswerSender(refused), _) => self.refuse(sender, &refused, &self.reference(seq)),
            (Then::AnswerAsker(refused), _) => self.refuse_asker(sender, &refused, &self.reference(seq)),
            (Then::Each(all), _) => all.into_iter().try_for_each(|then| self.act(sender, then, seq)),
            (Then::Hold(held), _) => self.hold(held.0, held.1),
            (Then::Ask(call), _) => self.await_consent(*call, seq),
            (Then::Take(message), Sender::Client) => self.take_elicited(&message),
            (Then::Take(message), Sender::Server) => self.take_own_answer(&message),
            (Then::GiveUpList, _) => self.give_up_list(),
        }
    }

    /// `sender`'s answer cannot be released: who asked hears that.
    pub(super) fn refuse_asker(&self, sender: Sender, refused: &Refused, record: &str) -> Result<(), Fault> {
        match sender {
            Sender::Client => self.refuse(Sender::Server, refused, record),
            Sender::Server => self.refuse_in_place_of_answer(refused, record),
        }
    }

    /// Answers `to`, whose request does not pass.
    pub(super) fn refuse(&self, to: Sender, refused: &Refused, record: &str) -> Result<(), Fault> {
        if to == Sender::Client && refused.method.as_deref() == Some("tools/call") {
            let (rule, why) = (refused.rule, refused.why.clone());
            let told = crate::refusals::Refused::Call { rule, why };
            self.terms.refusals.tell(told, || record.to_owned());
        }
        let mut id = refused.id.as_ref();
        if let Some(asked) = id {
            let mut session = self.session();
            if refused.rule == Reason::IdInFlight.id() {
                // The answer with this id belongs to the request that still waits.
                id = None;
            } else if refused.was_admitted() {
                session.retire(to, asked);
            } else if session.is_pending(to, asked) {
                // Somebody else's answer must not be taken for this one.
                id = None;
            }
        }
        let method = refused.method.as_deref();
        let authored = refuse(&Refusal {
            id,
            method,
            era: refused.era,
            rule: refused.rule,
            why: &refused.why,
            record,
        });
        self.author(to, authored)
    }

    /// The server's answer cannot be released: if a request of the client waits for it, the client gets a refusal instead.
    fn refuse_in_place_of_answer(&self, refused: &Refused, record: &str) -> Result<(), Fault> {
        let Some(id) = refused.id.as_ref() else { return Ok(()) };
        let waiting = self.session().take_pending(Sender::Client, id);
        let (method, era) = match waiting {
            Some(pending) if pending.by_gate => return self.give_up_list(),
            Some(pending) if pending.is_sent => (Some(pending.method.to_string()), pending.era),
            Some(pending) => {
                // It never went out: this is no answer to it, and it goes on waiting.
                self.session().reopen(Sender::Client, id.clone(), pending);
                return Ok(());
            }
            // Already taken off when it was admitted.
            None if refused.method.is_some() => (refused.method.clone(), refused.era),
            None => return Ok(()),
        };
        let refusal = Refusal {
            id: Some(id),
            method: method.as_deref(),
            era,
            rule: refused.rule,
            why: &refused.why,
            record,
        };
        self.author(Sender::Client, refuse(&refusal))
    }
}
