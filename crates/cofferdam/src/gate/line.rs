//! The straight line (DESIGN section 2), one function for each direction. Read these two first.
//!
//! Whatever goes wrong on the way becomes a [`Stopped`], which is recorded like everything else and never forwarded.

use cofferdam_audit::{Kind, Recorded, Unrecorded};
use cofferdam_inspect::{Finding, Flow, Redaction, hide_tools, redact_secrets};
use cofferdam_policy::{Decision, Denied, Permitted, Rates, Standing, decide, decide_batch};
use cofferdam_protocol::{Admitted, Decoded, Frame, Id, Message, MessageKind, Pending, Sender, decode};

use super::consent::without_our_state;
use super::refusal::{Refused, Stopped};
use super::{Fault, Gate};

/// What is on disk now: what may go on, and what stops here.
pub(super) type Told = (Vec<Recorded<Permitted>>, Vec<Recorded<Box<Stopped>>>);
/// Requests of the client that a group of lines answers.
pub(super) type Answered = Vec<(Id, Pending)>;
/// A message that may pass, or why it stops here.
pub(super) type Judged = Result<Permitted, Box<Stopped>>;

impl Gate {
    /// client line → record → decode → inspect → decide → (consent) → record decision → forward → sandboxed server
    pub(super) fn client_lines(&self, frames: Vec<Frame>) -> Result<(), Fault> {
        let process = self.process();
        let judged = frames.into_iter().map(|frame| self.judge_client_frame(frame)).collect();
        let (permitted, stopped) = match self.record_lines(Kind::ClientLine, judged) {
            Ok(told) => told,
            Err(unrecorded) => return self.refuse_unrecorded(Sender::Client, unrecorded, Answered::new()),
        };
        let forwarded = if self.mark_sent(Sender::Client, process, &permitted) {
            self.to_server.forward(&permitted, process).map_err(Fault::ServerGone)
        } else {
            self.refuse_outdated(&permitted)
        };
        stopped
            .into_iter()
            .try_for_each(|stopped| self.answer_client(stopped))?;
        forwarded
    }

    fn judge_client_frame(&self, frame: Frame) -> Judged {
        match decode(whole_line(Sender::Client, frame)?)
            .map_err(|undecodable| Stopped::undecodable(Sender::Client, undecodable))?
        {
            Decoded::Message(message) => self.judge_client_message(message),
            Decoded::Batch(batch) => {
                let batch = self.batch_if_allowed(Sender::Client, batch)?;
                decide_batch(batch, Sender::Client, |message| self.judge_batch_member(message)).map_err(Stopped::batch)
            }
        }
    }

    fn judge_client_message(&self, message: Message) -> Judged {
        let admitted = match self.admit(Sender::Client, &message) {
            Ok(admitted) => admitted,
            Err(inadmissible) => return Err(Stopped::inadmissible(message, &inadmissible)),
        };
        if admitted.answers.as_ref().is_some_and(|pending| pending.by_gate) {
            return Err(Stopped::own(message));
        }
        self.notice_client(&message);
        let message = self.take_answer_in_band(message, &admitted)?;
        let Some(standing) = self.standing(&message) else {
            return Err(Stopped::held(message, admitted));
        };
        self.consent(self.decide_call(message, &admitted, standing))
    }

    /// inspect → decide, for a message of the client that the session admitted.
    pub(super) fn decide_call(&self, message: Message, admitted: &Admitted, standing: Option<Standing>) -> Decision {
        let counted = self.count_call(&message, standing);
        let rates = self.rates(&message, standing, true);
        let decision = self.decide_with(message, admitted, standing, (counted, rates));
        if let (Decision::Deny(_), Some(_)) = (&decision, standing) {
            let now_ms = self.now_ms();
            self.flow().refused(now_ms);
            self.rate().refused(now_ms);
        }
        decision
    }

    /// The same for a call that was decided before, with what is known now.
    pub(super) fn decide_again(&self, message: Message, admitted: &Admitted, standing: Option<Standing>) -> Decision {
        let rates = self.rates(&message, standing, false);
        self.decide_with(message, admitted, standing, (Vec::new(), rates))
    }

    fn decide_with(
        &self,
        message: Message,
        admitted: &Admitted,
        standing: Option<Standing>,
        (mut findings, rates): (Vec<Finding>, Rates),
    ) -> Decision {
        findings.extend(self.inspect_call(&message, standing));
        let in_force = self.in_force();
        let (facts, measured) = (self.call_facts(&message, standing, &in_force), self.measured());
        let about = (message.line().len(), findings.as_slice(), &in_force.policies);
        let known = (facts.as_ref(), &*measured, rates);
        let context = self.context(Sender::Client, (admitted, standing), about, known);
        if let Some(candidate) = &in_force.candidate {
            self.compare(&message, &context, candidate);
        }
        let ours = if admitted.era.is_modern() {
            without_our_state(&message)
        } else {
            Redaction::none()
        };
        decide(message, &context, &findings, &ours)
    }

    /// server line → record → decode → correlate → inspect → decide (release) → redact → record decision → forward → client
    pub(super) fn server_lines(&self, frames: Vec<Frame>) -> Result<(), Fault> {
        let mut answered = Vec::new();
        let judged = frames
            .into_iter()
            .map(|frame| self.judge_server_frame(frame, &mut answered))
            .collect();
        let (permitted, stopped) = match self.record_lines(Kind::ServerLine, judged) {
            Ok(told) => told,
            Err(unrecorded) => return self.refuse_unrecorded(Sender::Server, unrecorded, answered),
        };
        self.mark_sent(Sender::Server, 0, &permitted);
        self.to_client.forward(&permitted, 0).map_err(Fault::ClientGone)?;
        stopped.into_iter().try_for_each(|stopped| self.answer_server(stopped))
    }

    fn judge_server_frame(&self, frame: Frame, answered: &mut Answered) -> Judged {
        match decode(whole_line(Sender::Server, frame)?)
            .map_err(|undecodable| Stopped::undecodable(Sender::Server, undecodable))?
        {
            Decoded::Message(message) => self.judge_server_message(message, answered),
            Decoded::Batch(batch) => {
                let batch = self.batch_if_allowed(Sender::Server, batch)?;
                let mut in_batch = Answered::new();
                let judged = decide_batch(batch, Sender::Server, |message| {
                    self.judge_server_batch_member(message, &mut in_batch)
                });
                judged
                    .inspect(|_permitted| answered.append(&mut in_batch))
                    .map_err(|refused| Stopped::batch_from_server(refused, in_batch))
            }
        }
    }

    fn judge_server_message(&self, message: Message, answered: &mut Answered) -> Judged {
        let admitted = match self.admit(Sender::Server, &message) {
            Ok(admitted) => admitted,
            Err(inadmissible) => return Err(Stopped::inadmissible(message, &inadmissible)),
        };
        if admitted.answers.as_ref().is_some_and(|pending| pending.by_gate) {
            return Err(Stopped::own(message));
        }
        let id = message.id().cloned();
        let judged = self
            .decide_for_server(message, &admitted)
            .map_err(|denied| Stopped::denied_from_server(denied, &admitted));
        answered.extend(id.zip(admitted.answers));
        judged
    }

    /// What was answered by a line that could not be recorded is unanswered again, so that its sender is told at the end.
    pub(super) fn reopen(&self, answered: Answered, fault: Fault) -> Fault {
        let mut session = self.session();
        for (id, pending) in answered {
            session.reopen(Sender::Client, id, pending);
        }
        fault
    }

    /// inspect → decide (release) → redact, for a message of the server that the session admitted.
    fn decide_for_server(&self, message: Message, admitted: &Admitted) -> Result<Permitted, Box<Denied>> {
        if let Some(id) = message.id().filter(|_| admitted.answers.is_some()) {
            self.tell_unseen(id, message.line());
        }
        let (mut findings, redaction) = self.inspect_answer(&message, admitted);
        let brought = self.brought(&message, admitted);
        if let Some((by, labels)) = &brought
            && let Err(cause) = self.shared.tell(by, *labels, crate::cli::unix_seconds())
        {
            findings.push(Flow::unshared(&cause.to_string()));
        }
        let in_force = self.in_force();
        let measured = self.measured();
        let about = (message.line().len(), findings.as_slice(), &in_force.policies);
        let rates = self.rates(&message, None, false);
        let context = self.context(Sender::Server, (admitted, None), about, (None, &measured, rates));
        let released = without_asking(decide(message, &context, &findings, &redaction))?;
        if let Some((by, labels)) = brought {
            self.flow().released(&by, labels);
        }
        Ok(released)
    }

    /// A member of a batch never waits: a call whose tool is not verified yet is denied.
    fn judge_batch_member(&self, message: Message) -> Result<Permitted, Box<Denied>> {
        match self.admit(Sender::Client, &message) {
            Ok(admitted) => {
                let standing = self.standing(&message).unwrap_or(Some(Standing::Unverified));
                without_asking(self.decide_call(message, &admitted, standing))
            }
            Err(inadmissible) => Err(Refused::as_denied(message, &inadmissible)),
        }
    }

    fn judge_server_batch_member(&self, message: Message, answered: &mut Answered) -> Result<Permitted, Box<Denied>> {
        let admitted = match self.admit(Sender::Server, &message) {
            Ok(admitted) => admitted,
            Err(inadmissible) => return Err(Refused::as_denied(message, &inadmissible)),
        };
        let id = message.id().cloned();
        let judged = if admitted.answers.as_ref().is_some_and(|pending| pending.by_gate) {
            Err(Refused::own_in_batch(message, admitted.era))
        } else {
            self.decide_for_server(message, &admitted)
        };
        answered.extend(id.zip(admitted.answers));
        judged
    }

    /// What pattern a call is part of; each call is counted once.
    fn count_call(&self, message: &Message, standing: Option<Standing>) -> Vec<Finding> {
        let (Some(_), Some(tool)) = (standing, message.param_str("name")) else {
            return Vec::new();
        };
        let now_ms = self.now_ms();
        let arguments = message.param("arguments").unwrap_or_default();
        let found = self.flow().count(&tool, arguments, now_ms);
        self.suppressed(found, &tool)
    }

    /// Findings about a tool call: its arguments, and what it would complete. Nothing to find in anything else yet.
    fn inspect_call(&self, message: &Message, standing: Option<Standing>) -> Vec<Finding> {
        match (standing, message.param_str("name")) {
            (Some(Standing::Pinned(_) | Standing::Unpinned), Some(tool)) => {
                let secrets = &self.terms.release.secrets;
                let (mut findings, labels) = {
                    let mut tools = self.tools();
                    let findings = tools.inspect_arguments(&tool, message.param("arguments"), secrets);
                    (findings, tools.labels(&tool).within(self.terms.reach))
                };
                if labels.sends {
                    let others = self.shared.others(crate::cli::unix_seconds());
                    findings.extend(self.flow().completed_by(&tool, labels, &others));
                }
                self.suppressed(findings, &tool)
            }
            _ => Vec::new(),
        }
    }

    /// What is suspicious in what the server says, and what must not be in it: secrets, and tools that are not accepted.
    fn inspect_answer(&self, message: &Message, admitted: &Admitted) -> (Vec<Finding>, Redaction) {
        if message.kind() == MessageKind::Notification && message.method() == Some("notifications/tools/list_changed") {
            self.tools().forget_live();
        }
        let asked = admitted.answers.as_ref();
        let (mut found, secrets) = self
            .terms
            .release
            .inspect(message, asked.map(|pending| &*pending.method));
        let tool = asked.and_then(|pending| pending.tool.as_deref()).unwrap_or_default();
        if asked.is_some_and(|pending| &*pending.method == "tools/call") && message.kind() == MessageKind::Response {
            found.extend(self.tools().inspect_answer(tool, message));
        }
        let found = self.suppressed(found, tool);
        match asked
            .filter(|pending| &*pending.method == "tools/list")
            .zip(message.result())
        {
            Some((list, result)) => self.inspect_list(message, admitted, (!list.is_continuation, result), found),
            None => (found, secrets),
        }
    }

    /// Observes a list on its way to the client and says which tools must not be in it.
    fn inspect_list(
        &self,
        message: &Message,
        admitted: &Admitted,
        (is_first_page, result): (bool, &str),
        mut found: Vec<Finding>,
    ) -> (Vec<Finding>, Redaction) {
        let is_last_page = message.result_member("nextCursor").is_none();
        let mut tools = self.tools();
        let observed = tools.observe(result, is_first_page, is_last_page);
        match observed.and_then(|()| hide_tools(message, admitted.era.is_modern(), |tool| tools.is_hidden(&tool.name)))
        {
            Ok(hidden) => {
                let secrets = &self.terms.release.secrets;
                (found, hidden.then(|line| redact_secrets(line, secrets), message.line()))
            }
            Err(unreadable) => {
                found.push(unreadable.finding());
                (found, Redaction::none())
            }
        }
    }

    /// Puts the whole group on disk, then tells apart what may go on. One write, whatever the outcome of each.
    pub(super) fn record(&self, kind: Kind, judged: Vec<Judged>) -> Result<Told, Unrecorded<Vec<Judged>>> {
        let recorded = self
            .log
            .append(judged, |judged, group| super::enter(kind, judged, group))?;
        let mut permitted = Vec::with_capacity(recorded.len());
        let mut stopped = Vec::new();
        for one in recorded {
            match one.transpose() {
                Ok(one) => permitted.push(one),
                Err(one) => stopped.push(one),
            }
        }
        Ok((permitted, stopped))
    }
}

/// Only whole lines can be messages.
fn whole_line(sender: Sender, frame: Frame) -> Result<Vec<u8>, Box<Stopped>> {
    match frame {
        Frame::Line(line) => Ok(line),
        Frame::Oversize { piece, first, last } => Err(Stopped::oversize(sender, piece, first, last)),
        Frame::Unterminated(bytes) => Err(Stopped::unterminated(sender, bytes)),
    }
}

/// What can never wait is denied where it would have to.
fn without_asking(decision: Decision) -> Result<Permitted, Box<Denied>> {
    match decision {
        Decision::Allow(permitted) => Ok(permitted),
        Decision::Ask(unapproved) => Err(unapproved.unanswered()),
        Decision::Deny(denied) => Err(denied),
    }
}
