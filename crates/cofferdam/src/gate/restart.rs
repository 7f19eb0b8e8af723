//! A crashed server is started again where its era allows it: 2026-07-28 knows no session, so another process can answer the next request.
//!
//! Invariants:
//! - A request that went out to a process is answered by that process or by us, never by its successor: whoever waits is told, and what was
//!   decided on the tools of the old process is not sent to the new one.
//! - The successor is the program that was accepted, in a compartment that was measured and recorded like the first.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cofferdam_audit::{Kind, Recorded};
use cofferdam_policy::Permitted;
use cofferdam_protocol::{Id, Pending, Sender};
use cofferdam_sandbox::Ended as ProcessEnd;
use serde_json::json;

use super::answer::{Refusal, refuse};
use super::end::how_it_ended;
use super::life::{Relaunch, Running};
use super::observed::Launched;
use super::{Event, Fault, Gate};

/// Crashes within [`CRASHES_WITHIN_MS`] after which a server is not started again.
const CRASHES_MAX: usize = 3;
/// One minute, in milliseconds.
const CRASHES_WITHIN_MS: u64 = 60_000;
/// How long a server whose stdout is closed may take to be gone: longer is no crash.
const CRASH_WAIT: Duration = Duration::from_millis(300);
/// How long output of the crashed process may take to go through the line. It must be over before its successor speaks.
const OUTPUT_WAIT: Duration = Duration::from_secs(1);
/// Rule of answers given because the server's process crashed and another took its place.
pub(crate) const SERVER_RESTARTED_RULE: &str = "session/server-restarted";

/// When the server crashed lately.
#[derive(Debug, Default)]
pub(super) struct Crashes(VecDeque<u64>);

impl Crashes {
    /// Counts one more; whether the server may be started again.
    fn is_bearable(&mut self, now_ms: u64) -> bool {
        self.0.retain(|at| now_ms.saturating_sub(*at) < CRASHES_WITHIN_MS);
        self.0.push_back(now_ms);
        self.0.len() <= CRASHES_MAX
    }
}

impl Gate {
    /// The number of the server's process that runs now, from 0.
    pub(super) fn process(&self) -> u64 {
        self.process.load(Ordering::SeqCst)
    }

    /// Whether no state of the session would be lost with the server's process.
    pub(super) fn is_stateless(&self) -> bool {
        self.session().is_stateless()
    }

    /// Whether this is about a process that another has replaced.
    pub(super) fn is_of_the_past(&self, event: &Event) -> bool {
        matches!(event, Event::ServerClosed(process) | Event::ServerDeaf(process) if *process != self.process())
    }

    /// Starts the server again if it crashed and the era allows it; `None` where the session ends.
    pub(super) fn restart(&self, event: &Event, running: &Running, relaunch: Relaunch<'_>) -> Option<Launched> {
        if !matches!(event, Event::ServerClosed(_) | Event::ServerDeaf(_)) || !self.is_stateless() {
            return None;
        }
        let crashed = running
            .compartment
            .wait_timeout(CRASH_WAIT)
            .filter(|ended| *ended != ProcessEnd::Exited(0))?;
        // Nothing the crashed server left behind speaks for its successor.
        running.compartment.kill();
        running.is_done.recv_timeout(OUTPUT_WAIT).ok()?;
        running.is_observed.recv_timeout(OUTPUT_WAIT).ok()?;
        let now_ms = self.now_ms();
        if !self.crashes().is_bearable(now_ms) {
            self.say_crashed(&format!("more than {CRASHES_MAX} crashes within a minute"));
            return None;
        }
        let mut launched = relaunch(&self.log)
            .inspect_err(|failure| self.say_crashed(&failure.what))
            .ok()?;
        let stdin = launched.compartment.stdin.take()?;
        let lost = self.replace_process(Box::new(stdin));
        self.tell_lost(lost, running, crashed).ok()?;
        Some(launched)
    }

    /// From here on lines go to the new process. Gives the requests that the old one will not answer.
    fn replace_process(&self, stdin: Box<dyn std::io::Write + Send>) -> Vec<(Id, Pending)> {
        let process = self.process().saturating_add(1);
        // In this order: what was decided for the old process does not reach the new one, and what is decided for the new one finds it.
        self.to_server.replace(process, stdin);
        self.tools().forget_live();
        let mut session = self.session();
        // Under the lock of the session: a request was marked as sent before and is lost, or finds that it was decided for the old process.
        self.process.store(process, Ordering::SeqCst);
        session.forget_server()
    }

    /// Requests that were decided while the server was replaced: nothing of them went out, and their sender is told.
    pub(super) fn refuse_outdated(&self, permitted: &[Recorded<Permitted>]) -> Result<(), Fault> {
        for one in permitted {
            for (id, number) in one.as_ref().requests() {
                let Some(pending) = self.session().take_numbered(Sender::Client, id, *number) else {
                    continue;
                };
                let why = "the server crashed before this reached it; nothing of it was done";
                self.refuse_lost(id, &pending, why, &self.reference(one.seq()))?;
            }
        }
        Ok(())
    }

    fn refuse_lost(&self, id: &Id, lost: &Pending, why: &str, record: &str) -> Result<(), Fault> {
        let refusal = Refusal {
            id: Some(id),
            method: Some(&lost.method),
            era: lost.era,
            rule: SERVER_RESTARTED_RULE,
            why,
            record,
        };
        self.author(Sender::Client, refuse(&refusal))
    }

    /// Whoever waited on the old process is told, and the list that calls wait for is asked for again.
    fn tell_lost(&self, lost: Vec<(Id, Pending)>, running: &Running, crashed: ProcessEnd) -> Result<(), Fault> {
        let how = how_it_ended(crashed, running.compartment.ran_out_of_memory());
        let facts = json!({
            "restarted": self.process(), "process": how, "out_of_memory": running.compartment.ran_out_of_memory(), "unanswered": lost.len(),
        });
        let record = self.reference_of(self.note_if_possible(Kind::Notice, &facts.to_string())?);
        self.operator.say(format!(
            "cofferdam: server `{}` crashed ({how}) and was started again (record {record})",
            self.terms.name
        ));
        let why = format!("the server crashed before it answered ({how}); what it had done until then is not known");
        for (id, pending) in lost {
            self.refuse_lost(&id, &pending, &why, &record)?;
        }
        self.list_again()
    }

    fn say_crashed(&self, why: &str) {
        self.operator.say(format!(
            "cofferdam: server `{}` crashed and is not started again: {why}",
            self.terms.name
        ));
    }
}
