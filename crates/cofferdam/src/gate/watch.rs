//! What only the passing of time shows: calls that take too long, lists that do not come, silence, a client that hung up.

use std::sync::mpsc::Sender as Events;
use std::time::Duration;

use cofferdam_audit::Kind;
use cofferdam_protocol::{Id, Pending, Sender};

use super::answer::{Refusal, cancel, refuse};
use super::{Event, Fault, Gate};

/// How often the watch looks. Limits are in seconds, so a quarter is close enough and costs nothing.
const TICK: Duration = Duration::from_millis(250);
/// Rule of a call that took longer than the manifest allows.
pub(crate) const SECONDS_PER_CALL_RULE: &str = "limit/seconds-per-call";
/// Requests that are meant to stay open.
const LONG_LIVED: [&str; 3] = ["subscriptions/listen", "tasks/result", "initialize"];

/// Runs until the gate ends.
pub(super) fn watch(gate: &Gate, events: &Events<Event>, client_hung_up: impl Fn() -> bool) {
    let mut hung_up_before = false;
    while !gate.is_ending() {
        std::thread::sleep(TICK);
        if let Err(fault) = gate.look(gate.now_ms()) {
            let _ = events.send(Event::Fault(fault));
            return;
        }
        // Seen twice: a client that just closed is the pump's to notice, unless the pump is stuck in a write.
        let hung_up = client_hung_up();
        if hung_up && hung_up_before {
            let _ = events.send(Event::ClientClosed);
        }
        hung_up_before = hung_up;
        if gate.is_idle() {
            let _ = events.send(Event::Idle);
        }
    }
}

impl Gate {
    fn look(&self, now_ms: u64) -> Result<(), Fault> {
        self.look_at_outage();
        self.give_up_late_list(now_ms)?;
        self.look_at_questions(now_ms)?;
        for (id, pending) in self.late_calls(now_ms) {
            self.end_late_call(&id, &pending)?;
        }
        Ok(())
    }

    /// Requests of the client that are older than the manifest's `seconds_per_call`.
    fn late_calls(&self, now_ms: u64) -> Vec<(Id, Pending)> {
        let limit_ms = u64::from(self.terms.limits.seconds_per_call).saturating_mul(1000);
        let session = self.session();
        let late = session.pending(Sender::Client).filter(|(_, pending)| {
            let is_bounded = !pending.by_gate && !pending.cancelled && !LONG_LIVED.contains(&&*pending.method);
            is_bounded && now_ms.saturating_sub(pending.started) > limit_ms
        });
        late.map(|(id, pending)| (id.clone(), pending.clone())).collect()
    }

    /// The client gets its answer, the server is told to stop; whatever the server still says about it goes nowhere.
    fn end_late_call(&self, id: &Id, late: &Pending) -> Result<(), Fault> {
        // Answered in the meantime: then there is nothing to say.
        let Some(pending) = self.session().take_numbered(Sender::Client, id, late.number) else {
            return Ok(());
        };
        let (method, era) = (&*pending.method, pending.era);
        let why = format!("no answer within {} seconds", self.terms.limits.seconds_per_call);
        let facts =
            serde_json::json!({"timeout": method, "id": id.to_string(), "rule": SECONDS_PER_CALL_RULE}).to_string();
        let record = self.reference_of(self.note_if_possible(Kind::Notice, &facts)?);
        let refusal = Refusal {
            id: Some(id),
            method: Some(method),
            era,
            rule: SECONDS_PER_CALL_RULE,
            why: &why,
            record: &record,
        };
        self.author(Sender::Client, refuse(&refusal))?;
        // A call that never went out is nothing the server could stop.
        if !pending.is_sent {
            return Ok(());
        }
        match self.author(Sender::Server, cancel(id, &why)) {
            // Then it works on for nobody.
            Err(Fault::Unrecorded(error)) if error.is_outage() => Ok(()),
            other => other,
        }
    }
}
