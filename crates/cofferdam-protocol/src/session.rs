//! What a session admits: eras, the method table, and which response answers which request. No clock, no input, no output.

use crate::id::Id;
use crate::message::{Message, MessageKind, member, unquoted};
use crate::method::{MethodKind, Question, TASKS_EXTENSION, check};
use crate::pending::{Asked, Pending};
use crate::reason::Reason;
use crate::revision::{Era, Revision};
use crate::sender::Sender;

/// Requests a server may have in flight to the client.
pub const SERVER_IN_FLIGHT_MAX: usize = 256;
/// Longest tool name that is remembered with a call, in bytes.
pub const TOOL_NAME_BYTES_MAX: usize = 1024;

/// `_meta` key that makes a request modern and names its revision.
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// `_meta` key with the capabilities of the client, on every modern request.
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The probe that both eras' clients may send at any time.
const DISCOVER: &str = "server/discover";

/// Bounds of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Requests of the client that may be unanswered at once.
    pub in_flight: usize,
}

/// A message that the session admits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Whose rules the message is judged by.
    pub era: Era,
    /// For responses: what was asked.
    pub answers: Option<Pending>,
    /// For requests: the number it is registered under ([`Pending::number`]).
    pub number: Option<u64>,
}

/// A message that the session does not admit. Its state is as if the message had not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inadmissible {
    /// Why.
    pub reason: Reason,
    /// Whose rules the message was judged by.
    pub era: Era,
}

impl std::fmt::Display for Inadmissible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Inadmissible {}

/// Both directions of one process's conversation.
#[derive(Debug)]
pub struct Session {
    limits: SessionLimits,
    from_client: Asked,
    from_server: Asked,
    /// The revision the last answered `initialize` settled on, if it is a legacy one this crate knows.
    negotiated: Option<Revision>,
    /// An `initialize` was admitted.
    legacy_in_use: bool,
    /// A modern request was admitted, or a probe answered with a result.
    modern_in_use: bool,
    /// Some request declared the tasks extension.
    has_tasks: bool,
}

impl Session {
    /// A session of which nothing was seen yet.
    #[must_use]
    pub fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            from_client: Asked::default(),
            from_server: Asked::default(),
            negotiated: None,
            legacy_in_use: false,
            modern_in_use: false,
            has_tasks: false,
        }
    }

    /// [`admit_unsent`](Self::admit_unsent), for a message that is passed on at once: a request may be answered from now on.
    ///
    /// # Errors
    /// The message must not pass; nothing was changed.
    pub fn admit(&mut self, sender: Sender, message: &Message, now_ms: u64) -> Result<Admitted, Inadmissible> {
        let admitted = self.admit_unsent(sender, message, now_ms)?;
        if let (Some(id), Some(number)) = (message.id(), admitted.number) {
            self.sent(sender, id, number);
        }
        Ok(admitted)
    }

    /// A request of `sender` that was admitted has gone out: its peer may now answer it. Nothing happens if another request has the id.
    pub fn sent(&mut self, sender: Sender, id: &Id, number: u64) {
        self.asked_mut(sender).sent(id, number);
    }

    /// Puts back a request whose answer was admitted and could not be passed on, so that it is known as unanswered.
    pub fn reopen(&mut self, sender: Sender, id: Id, pending: Pending) {
        self.asked_mut(sender).reopen(id, pending);
    }

    /// [`take_pending`](Self::take_pending), if the request in flight is the one with this number.
    #[must_use]
    pub fn take_numbered(&mut self, sender: Sender, id: &Id, number: u64) -> Option<Pending> {
        self.is_numbered(sender, id, number)
            .then(|| self.take_pending(sender, id))
            .flatten()
    }

    /// Whether the request in flight with this id is the one with this number.
    #[must_use]
    pub fn is_numbered(&self, sender: Sender, id: &Id, number: u64) -> bool {
        self.asked(sender)
            .find(id)
            .is_some_and(|pending| pending.number == number)
    }

    /// Judges a decoded message of `sender`: its era, the method table, the direction, and the id. If it is admitted, a request is
    /// registered and a response's request is taken off. A registered request cannot be answered before [`sent`](Self::sent) says that it
    /// went out: whoever decides in between may still refuse it, and a peer that guesses its id must not answer for it.
    ///
    /// `now_ms` is the caller's clock, in milliseconds; it is only stored ([`Pending::started`]).
    ///
    /// # Errors
    /// The message must not pass; nothing was changed.
    pub fn admit_unsent(&mut self, sender: Sender, message: &Message, now_ms: u64) -> Result<Admitted, Inadmissible> {
        let era = self.era_of(sender, message);
        let judged = match message.kind() {
            MessageKind::Request => self.admit_request(sender, message, era, now_ms),
            MessageKind::Notification => self.admit_notification(sender, message, era),
            MessageKind::Response | MessageKind::ErrorResponse => self.admit_response(sender, message),
        };
        judged.map_err(|reason| Inadmissible { reason, era })
    }

    /// Whether `sender` may send a batch now.
    ///
    /// # Errors
    /// [`Reason::BatchNotAllowed`] unless `initialize` settled on 2025-03-26.
    pub fn batch_allowed(&self, _sender: Sender) -> Result<(), Reason> {
        if self.negotiated.is_some_and(Revision::allows_batch) {
            Ok(())
        } else {
            Err(Reason::BatchNotAllowed)
        }
    }

    /// Forgets an admitted request of `sender` that the gate answered itself: a later answer of the peer is a
    /// [`Reason::DuplicateResponse`]. Nothing happens if it is not in flight.
    pub fn retire(&mut self, sender: Sender, id: &Id) {
        let _forgotten = self.asked_mut(sender).retire(id);
    }

    /// [`retire`](Self::retire)s a request and gives it back; `None` if it is not in flight, or was cancelled.
    #[must_use]
    pub fn take_pending(&mut self, sender: Sender, id: &Id) -> Option<Pending> {
        self.asked_mut(sender).retire(id)
    }

    /// Whether this request of `sender` is in flight and not cancelled.
    #[must_use]
    pub fn is_pending(&self, sender: Sender, id: &Id) -> bool {
        self.asked(sender).find(id).is_some()
    }

    /// Requests of `sender` in flight; neither cancelled ones nor the gate's own count.
    #[must_use]
    pub fn in_flight(&self, sender: Sender) -> usize {
        self.asked(sender).count()
    }

    /// Requests of `sender` in flight and not cancelled, by id, those of the gate to the server (as from the client) among them.
    pub fn pending(&self, sender: Sender) -> impl Iterator<Item = (&Id, &Pending)> {
        self.asked(sender).iter()
    }

    /// Registers a request that the gate itself sends to the server. `id` must be unguessable. Its answer is admitted with
    /// [`Pending::by_gate`].
    pub fn expect_answer_to_gate(&mut self, id: Id, method: &'static str) {
        let pending = self.by_gate(method);
        let _number = self.from_client.register(id, pending);
    }

    /// The same for a request that the gate sends to the client.
    pub fn expect_answer_of_client(&mut self, id: Id, method: &'static str) {
        let pending = self.by_gate(method);
        let _number = self.from_server.register(id, pending);
    }

    fn by_gate(&self, method: &'static str) -> Pending {
        Pending {
            method: method.into(),
            era: Era::Legacy(self.negotiated),
            tool: None,
            by_gate: true,
            cancelled: false,
            started: 0,
            is_continuation: false,
            // Its id cannot be guessed, and it goes out right behind this.
            is_sent: true,
            number: 0,
        }
    }

    /// Whether no state would be lost with the server's process: something modern was said and nothing legacy (2026-07-28,
    /// `basic/versioning`: no session, every request stands for itself).
    #[must_use]
    pub const fn is_stateless(&self) -> bool {
        self.modern_in_use && !self.legacy_in_use
    }

    /// The server's process is gone and another takes its place: no request that went out to the old one can be answered any more, late
    /// answers to cancelled ones included, and none of its own requests waits. Gives the client's requests that are lost so; those that did
    /// not go out yet go on waiting.
    #[must_use]
    pub fn forget_server(&mut self) -> Vec<(Id, Pending)> {
        self.from_server.forget_sent();
        let mut lost = self.from_client.forget_sent();
        lost.retain(|(_, pending)| !pending.by_gate);
        lost
    }

    /// The legacy revision that `initialize` settled on; `None` before, or if this crate does not know it.
    #[must_use]
    pub const fn negotiated(&self) -> Option<Revision> {
        self.negotiated
    }

    fn admit_request(&mut self, sender: Sender, message: &Message, era: Era, now_ms: u64) -> Result<Admitted, Reason> {
        let (Some(method), Some(id)) = (message.method(), message.id()) else {
            return Err(Reason::NoKind);
        };
        let has_tasks = era.is_modern() && declares_tasks(message);
        let is_probe = sender == Sender::Client && method == DISCOVER;
        if sender == Sender::Server && self.modern_in_use && !self.legacy_in_use {
            return Err(Reason::ServerRequestInModernEra);
        }
        if !is_probe {
            check(
                Question {
                    method,
                    sender,
                    kind: MethodKind::Request,
                    has_tasks,
                },
                era,
            )?;
        }
        self.asked(sender).check_new(id, self.limit(sender))?;
        self.legacy_in_use |= method == "initialize";
        self.modern_in_use |= era.is_modern() && !is_probe;
        self.has_tasks |= has_tasks;
        let number = self
            .asked_mut(sender)
            .register(id.clone(), pending(message, method, era, now_ms));
        Ok(Admitted {
            era,
            answers: None,
            number: Some(number),
        })
    }

    fn admit_notification(&mut self, sender: Sender, message: &Message, era: Era) -> Result<Admitted, Reason> {
        let method = message.method().ok_or(Reason::NoKind)?;
        let has_tasks = self.has_tasks;
        let question = Question {
            method,
            sender,
            kind: MethodKind::Notification,
            has_tasks,
        };
        let era =
            self.eras_of_notification(era)
                .into_iter()
                .flatten()
                .try_fold(Reason::UnknownMethod, |refusal, era| {
                    // Breaks with the first era that knows it; otherwise keeps the more telling refusal.
                    match check(question, era) {
                        Ok(()) => Err(era),
                        Err(Reason::UnknownMethod) => Ok(refusal),
                        Err(other) => Ok(other),
                    }
                });
        match era {
            Ok(refusal) => Err(refusal),
            Err(era) => {
                if method == "notifications/cancelled" {
                    self.cancel(sender, message);
                }
                Ok(Admitted {
                    era,
                    answers: None,
                    number: None,
                })
            }
        }
    }

    fn admit_response(&mut self, sender: Sender, message: &Message) -> Result<Admitted, Reason> {
        let id = message.id().ok_or(Reason::ResponseWithoutId)?;
        let pending = self.asked_mut(sender.other()).answer(id)?;
        if sender == Sender::Server && message.kind() == MessageKind::Response && !pending.by_gate {
            match &*pending.method {
                "initialize" => self.negotiated = negotiated_revision(message),
                DISCOVER => self.modern_in_use = true,
                _ => {}
            }
        }
        Ok(Admitted {
            era: pending.era,
            answers: Some(pending),
            number: None,
        })
    }

    /// The era of a request is its own; that of anything else is settled later, from what is in use.
    fn era_of(&self, sender: Sender, message: &Message) -> Era {
        let legacy = Era::Legacy(self.negotiated);
        if sender == Sender::Server {
            return legacy;
        }
        match message.meta(META_VERSION).and_then(unquoted) {
            Some(version) => Era::Modern(version.parse().ok().filter(|revision: &Revision| revision.is_modern())),
            None => legacy,
        }
    }

    /// The eras a notification may belong to: that it names, or all that are in use, or all before anything was seen.
    fn eras_of_notification(&self, era: Era) -> [Option<Era>; 2] {
        if era.is_modern() {
            return [Some(era), None];
        }
        let is_fresh = !self.legacy_in_use && !self.modern_in_use;
        [
            (is_fresh || self.legacy_in_use).then_some(era),
            (is_fresh || self.modern_in_use).then_some(Era::Modern(None)),
        ]
    }

    /// A sender gives up its own request, or a modern server ends a subscription of the client.
    fn cancel(&mut self, sender: Sender, message: &Message) {
        let Some(Ok(id)) = message.param("requestId").map(Id::from_json) else {
            return;
        };
        let ends_listen = |pending: &Pending| &*pending.method == "subscriptions/listen";
        if sender == Sender::Server && self.from_client.find(&id).is_some_and(ends_listen) {
            self.from_client.cancel(&id);
        } else {
            self.asked_mut(sender).cancel(&id);
        }
    }

    const fn asked(&self, sender: Sender) -> &Asked {
        match sender {
            Sender::Client => &self.from_client,
            Sender::Server => &self.from_server,
        }
    }

    const fn asked_mut(&mut self, sender: Sender) -> &mut Asked {
        match sender {
            Sender::Client => &mut self.from_client,
            Sender::Server => &mut self.from_server,
        }
    }

    const fn limit(&self, sender: Sender) -> usize {
        match sender {
            Sender::Client => self.limits.in_flight,
            Sender::Server => SERVER_IN_FLIGHT_MAX,
        }
    }
}

/// What is remembered of an admitted request.
fn pending(message: &Message, method: &str, era: Era, now_ms: u64) -> Pending {
    let tool = if method == "tools/call" {
        message.param_str("name")
    } else {
        None
    };
    let tool = tool.filter(|name| name.len() <= TOOL_NAME_BYTES_MAX).map(Into::into);
    let is_continuation = method.ends_with("/list") && message.param("cursor").is_some();
    Pending {
        method: method.into(),
        era,
        tool,
        by_gate: false,
        cancelled: false,
        started: now_ms,
        is_continuation,
        is_sent: false,
        number: 0,
    }
}

/// The revision an `initialize` result names, if it is a legacy one this crate knows.
fn negotiated_revision(answer: &Message) -> Option<Revision> {
    let version = answer.result_member("protocolVersion").and_then(unquoted)?;
    version.parse().ok().filter(|revision: &Revision| !revision.is_modern())
}

/// Whether a modern request declares the tasks extension in its capabilities.
fn declares_tasks(message: &Message) -> bool {
    let extensions = message
        .meta(META_CAPABILITIES)
        .and_then(|capabilities| member(capabilities, "extensions"));
    extensions.is_some_and(|extensions| member(extensions, TASKS_EXTENSION).is_some())
}
