//! Consent in band: the client that waits for a call asks its user. It counts as level 2 and no more, since a client can answer for its user.
//!
//! Legacy clients that declare form elicitation get `elicitation/create` while their call is held, one at a time. Modern ones get
//! `input_required` at once and come again, with their answer and a state that only this gate can have made: it names the question, is good
//! for the very call it was made for, and is worth nothing once the question is over. Neither the answer nor the state reaches the server.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chacha20poly1305::aead::{AeadInPlace as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use cofferdam_inspect::Redaction;
use cofferdam_policy::{CONSENT_DENIED, CONSENT_FORGED, CONSENT_PENDING, CONSENT_UNREACHABLE, Level, Unapproved};
use cofferdam_protocol::{Admitted, Id, Message, MessageKind, Revision, Sender, members};
use serde_json::Value;

use super::{Fault, Gate, refused};
use crate::approvals::{Choice as Agreed, Question, Reply};
use crate::gate::answer::{cancel, elicit, input_required};
use crate::gate::line::Judged;
use crate::gate::refusal::Stopped;

/// The key of our request in `inputRequests`.
pub(crate) const INPUT_KEY: &str = "dev.cofferdam/consent";
/// Begins every state of ours.
const STATE_PREFIX: &str = "cofferdam1.";
/// Longest state of ours, in characters.
const STATE_CHARS_MAX: usize = 512;
/// Bytes of the number in front of what is sealed, and of the tag behind it.
const NUMBER_BYTES: usize = 8;
const TAG_BYTES: usize = 16;
/// Who answered, for the record.
const CLIENT: &str = "the client, in band";
/// Requests that a modern client can be asked something about (2026-07-28, `basic/patterns/mrtr`).
const ASKABLE: [&str; 3] = ["tools/call", "prompts/get", "resources/read"];

/// What a session needs to ask in band.
#[derive(Debug, Default)]
pub(in crate::gate) struct InBand {
    /// The client said at `initialize` that it can show a form.
    elicits: AtomicBool,
    key: OnceLock<[u8; 32]>,
    sealed: AtomicU64,
}

/// What a state of ours says.
struct Stated {
    question: String,
    digest: String,
}

/// What somebody chose.
enum Choice {
    Allow,
    Deny,
    /// Nothing: the question stays open.
    PutOff,
}

impl InBand {
    /// Reads what the client declares at `initialize`.
    pub(in crate::gate) fn notice(&self, message: &Message) {
        if message.method() == Some("initialize") && message.kind() == MessageKind::Request {
            let elicits = message.param("capabilities").is_some_and(shows_forms);
            self.elicits.store(elicits, Ordering::Relaxed);
        }
    }

    fn cipher(&self) -> Option<ChaCha20Poly1305> {
        Some(ChaCha20Poly1305::new(Key::from_slice(self.key.get()?)))
    }

    /// A state that only this session can have made.
    fn seal(&self, question: &str, digest: &str) -> Result<String, Fault> {
        if self.key.get().is_none() {
            let key = crate::random::seed().map_err(Fault::NoRandomness)?;
            // Another thread was first: its key is as good.
            let _ = self.key.set(key);
        }
        let number = self.sealed.fetch_add(1, Ordering::Relaxed);
        let mut bytes = format!("{question} {digest}").into_bytes();
        let cipher = self.cipher().ok_or(Fault::NoRandomness(getrandom::Error::UNEXPECTED))?;
        let tag = cipher.encrypt_in_place_detached(&nonce(number), STATE_PREFIX.as_bytes(), &mut bytes);
        let tag = tag.map_err(|_unsealable| Fault::NoRandomness(getrandom::Error::UNEXPECTED))?;
        let parts = number.to_le_bytes().into_iter().chain(bytes).chain(tag);
        Ok(parts.fold(STATE_PREFIX.to_owned(), |text, byte| format!("{text}{byte:02x}")))
    }

    /// What a state of ours says; `None` for anything that this session did not make.
    fn open(&self, state: &str) -> Option<Stated> {
        let digits = state.strip_prefix(STATE_PREFIX)?;
        if state.len() > STATE_CHARS_MAX || !digits.is_ascii() || digits.len() % 2 != 0 {
            return None;
        }
        let pairs = (0..digits.len()).step_by(2);
        let bytes: Option<Vec<u8>> = pairs
            .map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok())
            .collect();
        let bytes = bytes?;
        let (number, rest) = bytes.split_at_checked(NUMBER_BYTES)?;
        let (sealed, tag) = rest.split_at_checked(rest.len().checked_sub(TAG_BYTES)?)?;
        let number = u64::from_le_bytes(number.try_into().ok()?);
        let mut plain = sealed.to_vec();
        let cipher = self.cipher()?;
        let opened = cipher.decrypt_in_place_detached(
            &nonce(number),
            STATE_PREFIX.as_bytes(),
            &mut plain,
            Tag::from_slice(tag),
        );
        opened.ok()?;
        let plain = String::from_utf8(plain).ok()?;
        let (question, digest) = plain.split_once(' ')?;
        Some(Stated {
            question: question.to_owned(),
            digest: digest.to_owned(),
        })
    }
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = Nonce::default();
    let (_, last) = nonce.split_at_mut(4);
    last.copy_from_slice(&number.to_le_bytes());
    nonce
}

/// Whether capabilities say that the client shows forms: `elicitation` is there, and names no modes or `form`.
fn shows_forms(capabilities: &str) -> bool {
    let capabilities: Value = serde_json::from_str(capabilities).unwrap_or_default();
    let modes = capabilities.get("elicitation").and_then(Value::as_object);
    modes.is_some_and(|modes| modes.is_empty() || modes.contains_key("form"))
}

/// Whether this request carries a state that claims to be ours. It decides what the digest of a call covers and what the server sees, so it is
/// asked by the form alone: a state that was tampered with is refused before either matters.
pub(super) fn carries_own_state(message: &Message) -> bool {
    own_state(message).is_some()
}

fn own_state(message: &Message) -> Option<String> {
    // No other era has a state; there it is a parameter like any other.
    message.meta("io.modelcontextprotocol/protocolVersion")?;
    let state = message.param("requestState")?;
    let state: String = serde_json::from_str(state).ok()?;
    state.starts_with(STATE_PREFIX).then_some(state)
}

/// What is ours in a request, and must not reach the server.
pub(in crate::gate) fn without_our_state(message: &Message) -> Redaction {
    let mut redaction = Redaction::none();
    let (Some(params), Some(range)) = (message.params(), message.params_range()) else {
        return redaction;
    };
    if !carries_own_state(message) {
        return redaction;
    }
    let kept: Vec<String> = members(params)
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| !["requestState", "inputResponses"].contains(&&**key))
        .map(|(key, raw)| format!("{}:{raw}", Value::from(&*key)))
        .collect();
    redaction.replace(range, format!("{{{}}}", kept.join(",")));
    redaction
}

/// What was chosen in an `ElicitResult`.
fn choice(result: Option<&Value>) -> Choice {
    let action = result.and_then(|result| result.get("action")).and_then(Value::as_str);
    let consent = result.and_then(|result| result.pointer("/content/consent"));
    match (action, consent.and_then(Value::as_str)) {
        (Some("accept"), Some("allow")) => Choice::Allow,
        (Some("decline"), _) | (Some("accept"), Some("deny")) => Choice::Deny,
        _ => Choice::PutOff,
    }
}

impl Gate {
    /// The answer in band that a request carries, taken before the request is decided. Without one, or with one that says yes, it goes on.
    pub(in crate::gate) fn take_answer_in_band(
        &self,
        message: Message,
        admitted: &Admitted,
    ) -> Result<Message, Box<Stopped>> {
        if !admitted.era.is_modern() {
            return Ok(message);
        }
        let Some(state) = own_state(&message) else {
            return Ok(message);
        };
        let digest = self.digest_of(&message);
        let stated = self.in_band.open(&state).filter(|stated| stated.digest == digest);
        let Some(stated) = stated else {
            return Err(self.stop(message, admitted, &CONSENT_FORGED, ""));
        };
        let answers = message.param("inputResponses");
        let answers: Option<Value> = answers.and_then(|answers| serde_json::from_str(answers).ok());
        let chosen = choice(answers.as_ref().and_then(|answers| answers.get(INPUT_KEY)));
        let settled = match chosen {
            Choice::Allow => self.allow(
                (&stated.question, &digest),
                Agreed::ONCE,
                &[],
                (CLIENT, Level::Attested),
            ),
            Choice::Deny => self.deny(&stated.question, CLIENT),
            Choice::PutOff => return Err(self.stop(message, admitted, &CONSENT_PENDING, &stated.question)),
        };
        match (chosen, settled) {
            // Over in the meantime: decided as if it came for the first time.
            (_, Ok(Reply::Unknown)) | (Choice::Allow, Ok(_)) => Ok(message),
            (Choice::Deny | Choice::PutOff, Ok(_)) => Err(self.stop(message, admitted, &CONSENT_DENIED, "")),
            // What could not be recorded counts for nothing; the record's next use ends the session.
            (_, Err(_unrecorded)) => Err(self.stop(message, admitted, &CONSENT_UNREACHABLE, "")),
        }
    }

    fn stop(
        &self,
        message: Message,
        admitted: &Admitted,
        rule: &'static cofferdam_policy::PolicyRule,
        id: &str,
    ) -> Box<Stopped> {
        let why = if id.is_empty() {
            rule.summary.to_owned()
        } else {
            format!("{} (id {id})", rule.summary)
        };
        Stopped::denied(cofferdam_policy::denied_by_gate(message, admitted.era, rule, why))
    }

    /// Whether this client can be asked about this call by `input_required`. A call that carries answers to the server's own questions
    /// cannot: the client would lose them.
    pub(super) fn takes_input_required(&self, call: &Unapproved) -> bool {
        let message = call.message();
        call.level() == Level::Attested
            && call.admitted().era.is_modern()
            && message.method().is_some_and(|method| ASKABLE.contains(&method))
            && message
                .meta("io.modelcontextprotocol/clientCapabilities")
                .is_some_and(shows_forms)
            && (carries_own_state(message)
                || message.param("requestState").is_none() && message.param("inputResponses").is_none())
    }

    /// Answers a modern call with the question about it. The call is over with that; its client comes again.
    pub(super) fn require_input(&self, call: Unapproved, question: Question) -> Result<(), Fault> {
        let Some(id) = call.message().id().cloned() else {
            return Ok(());
        };
        let (new, digest) = (question.id.clone(), question.digest.clone());
        let opened = self.consents().open(question, self.now_ms());
        let Some(question) = opened else {
            let judged: Judged = Err(refused(call, &CONSENT_UNREACHABLE, "too many calls wait for consent"));
            return self.pass_on(self.process(), vec![judged]);
        };
        if question.id == new {
            self.post(Some(&question));
        }
        let state = self.in_band.seal(&question.id, &digest)?;
        self.session().retire(Sender::Client, &id);
        self.author(Sender::Client, input_required(&id, INPUT_KEY, &question, &state))
    }

    /// Asks a legacy client about the oldest question that nobody asked it about, and takes back one that was settled elsewhere.
    pub(in crate::gate) fn elicit_next(&self) -> Result<(), Fault> {
        if !self.in_band.elicits.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let over = self.consents().take_elicitation_that_is_over(now_ms);
        if let Some(id) = over {
            let asked = self.session().take_pending(Sender::Server, &id);
            if asked.is_some() {
                self.author(Sender::Client, cancel(&id, "the question was settled elsewhere"))?;
            }
        }
        let has_forms = matches!(
            self.session().negotiated(),
            Some(Revision::V2025_06_18 | Revision::V2025_11_25)
        );
        if !has_forms {
            return Ok(());
        }
        let id = Id::Text(format!("cofferdam-{}", crate::random::hex(12).map_err(Fault::NoRandomness)?).into());
        let Some(question) = self.consents().begin_elicitation(&id, now_ms) else {
            return Ok(());
        };
        self.session().expect_answer_of_client(id.clone(), "elicitation/create");
        self.author(Sender::Client, elicit(&id, &question))
    }

    /// The client's answer to our elicitation.
    pub(in crate::gate) fn take_elicited(&self, answer: &Message) -> Result<(), Fault> {
        let asked = answer.id().and_then(|id| self.consents().take_elicitation(id));
        let Some((question, digest)) = asked else {
            return Ok(());
        };
        let result: Option<Value> = answer.result().and_then(|result| serde_json::from_str(result).ok());
        match choice(result.as_ref()) {
            Choice::Allow => self
                .allow((&question, &digest), Agreed::ONCE, &[], (CLIENT, Level::Attested))
                .map(drop)?,
            Choice::Deny => self.deny(&question, CLIENT).map(drop)?,
            Choice::PutOff => {}
        }
        self.elicit_next()
    }
}
