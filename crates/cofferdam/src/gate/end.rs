//! How a session ends: the server ended, whoever waits answered, the record closed.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use cofferdam_audit::AuditError;
use cofferdam_protocol::{Id, Pending, Sender};
use cofferdam_sandbox::{Compartment, Ended as ProcessEnd};
use serde_json::json;

use super::answer::{Refusal, refuse};
use super::life::Running;
use super::outage::enter_authored;
use super::outlet::OutletClosed;
use super::{Event, Fault, Gate};

/// How long a server may take to end after its stdin closed.
const GRACE: Duration = Duration::from_millis(1_100);
/// How long it may take after SIGTERM.
const TERM_GRACE: Duration = Duration::from_millis(300);
/// How long it may take after SIGTERM when we were asked to stop ourselves.
const SIGNAL_GRACE: Duration = Duration::from_millis(400);
/// How long output that is on its way may take.
const DRAIN: Duration = Duration::from_millis(150);
/// Characters of a fault's words in the close record, which has little room.
const FAULT_CHARS_MAX: usize = 256;
/// Rule of answers given because the session ends.
pub(crate) const SESSION_ENDED_RULE: &str = "session/ended";

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    ClientClosed,
    ServerEnded,
    Signal(i32),
    Idle,
    RecordFailed,
    RecordQuota,
    ServerMisbehaved,
    Internal,
}

impl Cause {
    /// As recorded.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ClientClosed => "client-closed",
            Self::ServerEnded => "server-ended",
            Self::Signal(_) => "signal",
            Self::Idle => "idle",
            Self::RecordFailed => "record-failed",
            Self::RecordQuota => "record-quota",
            Self::ServerMisbehaved => "server-misbehaved",
            Self::Internal => "internal",
        }
    }

    fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Unrecorded(AuditError::QuotaExceeded { .. }) => Self::RecordQuota,
            Fault::Unrecorded(_) => Self::RecordFailed,
            Fault::ClientGone(_) => Self::ClientClosed,
            Fault::ServerGone(OutletClosed::Gone(_)) => Self::ServerEnded,
            Fault::ServerGone(OutletClosed::Overflow) => Self::ServerMisbehaved,
            Fault::NoRandomness(_) | Fault::Panicked => Self::Internal,
        }
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) cause: Cause,
    /// The server's own end.
    pub(crate) process: ProcessEnd,
    /// What failed, in words for people.
    pub(crate) fault: Option<String>,
    /// Why the record has no end, if it has none.
    pub(crate) unclosed: Option<String>,
}

impl Gate {
    /// Ends the server, answers whoever still waits, closes the record. Within two seconds, whatever the server does.
    pub(super) fn end(&self, first: Event, happened: &Receiver<Event>, running: &mut Running) -> Ended {
        let compartment = &running.compartment;
        let (mut cause, mut fault) = match first {
            Event::ClientClosed => (Cause::ClientClosed, None),
            Event::ServerClosed(_) | Event::ServerDeaf(_) => (Cause::ServerEnded, None),
            Event::Signal(signal) => (Cause::Signal(signal), None),
            Event::Idle => (Cause::Idle, None),
            Event::Fault(fault) => (Cause::of(&fault), Some(fault.to_string())),
        };
        let process = self.end_process(cause, compartment);
        // Nobody is left inside to connect; what was connected ends on record.
        drop(running.egress.take());
        // What the server wrote before it ended is still on its way through the line.
        let waited = running.is_done.recv_timeout(DRAIN);
        // So is what it was seen doing.
        let _ = running.is_observed.recv_timeout(DRAIN);
        self.ending.store(true, Ordering::Relaxed);
        // A record that refused while the session was ending is no orderly end.
        for event in happened.try_iter() {
            if let Event::Fault(late @ (Fault::Unrecorded(_) | Fault::Panicked)) = event
                && fault.is_none()
            {
                cause = Cause::of(&late);
                fault = Some(late.to_string());
            }
        }
        if let (None, Some(outage)) = (&fault, self.outage_cause()) {
            (cause, fault) = (Cause::RecordFailed, Some(outage));
        }
        let how = how_it_ended(process, compartment.ran_out_of_memory());
        self.answer_all_waiting(cause, &how);
        self.to_client.drain(DRAIN);
        self.to_client.close();
        let facts = json!({
            "cause": cause.word(), "signal": if let Cause::Signal(signal) = cause { Some(signal) } else { None },
            "process": process_words(process), "out_of_memory": compartment.ran_out_of_memory(), "fault": fault.as_deref().map(shortened), "output_complete": waited != Err(RecvTimeoutError::Timeout),
        });
        let unclosed = self.log.close(&facts.to_string()).err().map(|error| error.to_string());
        Ended {
            cause,
            process,
            fault,
            unclosed,
        }
    }

    /// stdin closed, then SIGTERM, then the end of the whole compartment.
    fn end_process(&self, cause: Cause, compartment: &Compartment) -> ProcessEnd {
        self.to_server.close();
        let began = Instant::now();
        let graceful = match cause {
            Cause::ClientClosed | Cause::Idle | Cause::ServerEnded => compartment.wait_timeout(GRACE),
            Cause::Signal(_) => None,
            Cause::RecordFailed | Cause::RecordQuota | Cause::ServerMisbehaved | Cause::Internal => {
                compartment.kill();
                None
            }
        };
        let ended = graceful.or_else(|| {
            compartment.terminate();
            compartment.wait_timeout(if began.elapsed() < TERM_GRACE {
                SIGNAL_GRACE
            } else {
                TERM_GRACE
            })
        });
        // Even after a clean exit: nothing the server left behind outlives the session.
        compartment.kill();
        ended.unwrap_or_else(|| compartment.wait())
    }

    /// Whoever waits for an answer gets one: the server will not send it any more.
    fn answer_all_waiting(&self, cause: Cause, how: &str) {
        let waiting: Vec<(Id, Pending)> = {
            let session = self.session();
            let pending = session
                .pending(Sender::Client)
                .filter(|(_, pending)| !pending.by_gate && !pending.cancelled);
            pending.map(|(id, pending)| (id.clone(), pending.clone())).collect()
        };
        let why = match cause {
            Cause::RecordFailed => "the record cannot be written, so nothing passes any more".to_owned(),
            Cause::RecordQuota => "the server exceeded its record quota and was ended".to_owned(),
            _ => format!("the session ended before the server answered ({how})"),
        };
        let record = self.reference(self.log.head().map_or(0, |head| head.seq));
        for (id, Pending { method, era, .. }) in waiting {
            let refusal = Refusal {
                id: Some(&id),
                method: Some(&method),
                era,
                rule: SESSION_ENDED_RULE,
                why: &why,
                record: &record,
            };
            let authored = refuse(&refusal);
            let recorded = self.log.append_reserved(authored, |authored, group| {
                enter_authored(Sender::Client, authored, group);
            });
            let told = match &recorded {
                Ok(recorded) => self.to_client.author(recorded, 0),
                // Not even the reserve takes it: then it is said without a record.
                Err(unrecorded) => self.to_client.author_unrecorded(unrecorded, 0),
            };
            if told.is_err() {
                return;
            }
        }
    }
}

/// As much of a fault as fits into a close record.
fn shortened(fault: &str) -> String {
    fault.chars().take(FAULT_CHARS_MAX).collect()
}

/// How the server ended, in words; what it ran out of says more than the signal it got for that.
pub(super) fn how_it_ended(process: ProcessEnd, ran_out_of_memory: bool) -> String {
    if ran_out_of_memory {
        "it used more memory than it is granted".to_owned()
    } else {
        process_words(process)
    }
}

/// How a process ended, in words.
pub(crate) fn process_words(ended: ProcessEnd) -> String {
    match ended {
        ProcessEnd::Exited(code) => format!("exit code {code}"),
        ProcessEnd::Signaled(signal) => format!("signal {signal}"),
        ProcessEnd::Killed => "ended by the gate".to_owned(),
    }
}
