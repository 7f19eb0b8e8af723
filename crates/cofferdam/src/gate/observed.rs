//! What the server was seen doing (executing, connecting, calls that were refused): recorded beside the calls in flight.
//!
//! Seeing is in nobody's way: the queue is bounded, what does not fit is counted, and a flood of one thing is one record with a count.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as Events, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use cofferdam_audit::{Entry, Kind};
use cofferdam_protocol::Sender;
use cofferdam_sandbox::{Compartment, Deed, Observation, Observer};
use serde_json::{Value, json};

use super::pump::start;
use super::{Event, Fault, Gate};
use crate::refusals::Refused;

/// Observations that may wait to be recorded.
const WAITING_MAX: usize = 1024;
/// How long what follows a first observation is gathered into the same write.
const GATHERED: Duration = Duration::from_millis(50);
/// Different observations in one write.
const GROUP_MAX: usize = 64;
/// Calls in flight that are named beside one observation.
const CALLS_NAMED_MAX: usize = 8;
/// `AF_UNIX`, the same on every architecture.
pub(crate) const AF_UNIX: u64 = 1;
/// How an address ends at which names are asked for.
const NAMES_PORT: &str = ":53";
/// Different programs that are remembered for `add`.
const PROGRAMS_MAX: usize = 64;

/// One observation, and the calls that were in flight when it was made.
#[derive(Debug, PartialEq)]
struct Seen {
    observation: Observation,
    during: Vec<Value>,
    /// What those calls name that the server was not given: paths where it wanted a UNIX socket, hosts where it asked for a name. Such
    /// observations say nothing of that themselves.
    named: Vec<String>,
}

impl Seen {
    /// Whether both are one thing to whoever reads the record: the numbers in a refused call are no difference, so that a flood which varies
    /// them is one record as well.
    fn is_like(&self, other: &Self) -> bool {
        let (one, two) = (&self.observation, &other.observation);
        let are_numbers = matches!((&one.deed, &two.deed), (Deed::Other { .. }, Deed::Other { .. }));
        let is_same_call = (&one.call, &one.process, one.refused) == (&two.call, &two.process, two.refused);
        is_same_call && (are_numbers || one.deed == two.deed) && self.during == other.during
    }
}

/// Programs that a server executed, by path; for `add`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Executed(Arc<Mutex<BTreeSet<String>>>);

impl Executed {
    /// The paths, each of which was a file when it was executed.
    pub(crate) fn paths(&self) -> Vec<String> {
        let paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paths.iter().cloned().collect()
    }

    fn note(&self, observation: &Observation) {
        let Deed::Execute {
            path: Some(path),
            is_there: true,
            ..
        } = &observation.deed
        else {
            return;
        };
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paths.len() < PROGRAMS_MAX {
            paths.insert(path.clone());
        }
    }
}

/// The gate's end of what a compartment's observer sees.
#[derive(Debug)]
pub(crate) struct Observations {
    waiting: Receiver<Seen>,
    /// Known once the gate runs; what is seen before that is beside no call.
    gate: Arc<OnceLock<Weak<Gate>>>,
    dropped: Arc<AtomicU64>,
}

/// A process of the server, and what it is seen doing.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) compartment: Compartment,
    pub(crate) observations: Observations,
}

/// Starts the thread that records what a process is seen doing. What is received tells that all of it is on disk.
pub(super) fn start_recording(
    gate: &Arc<Gate>,
    events: &Events<Event>,
    observations: Observations,
) -> std::io::Result<Receiver<()>> {
    // Set once: each compartment has one gate.
    let _ = observations.gate.set(Arc::downgrade(gate));
    let (done, is_done) = sync_channel(1);
    start("observed", gate, events, move |gate, events| {
        if let Err(fault) = gate.record_observed(&observations) {
            let _ = events.send(Event::Fault(fault));
        }
        let _ = done.try_send(());
    })?;
    Ok(is_done)
}

/// An observer for a compartment, and what the gate records of it.
pub(crate) fn observations(executed: Executed) -> (Observer, Observations) {
    let (sender, waiting) = sync_channel(WAITING_MAX);
    let gate: Arc<OnceLock<Weak<Gate>>> = Arc::default();
    let dropped = Arc::new(AtomicU64::new(0));
    let observations = Observations {
        waiting,
        gate: Arc::clone(&gate),
        dropped: Arc::clone(&dropped),
    };
    let observer = move |observation: Observation| {
        executed.note(&observation);
        let gate = gate.get().and_then(Weak::upgrade);
        let during = gate.as_ref().map(|gate| gate.calls_in_flight()).unwrap_or_default();
        let named = gate.map(|gate| gate.named_meanwhile(&observation)).unwrap_or_default();
        let seen = Seen {
            observation,
            during,
            named,
        };
        if let Err(TrySendError::Full(_)) = sender.try_send(seen) {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    };
    (Box::new(observer), observations)
}

impl Gate {
    /// The client's tool calls that the server has and has not answered.
    fn calls_in_flight(&self) -> Vec<Value> {
        let session = self.session();
        let calls = session
            .pending(Sender::Client)
            .filter(|(_, pending)| pending.is_sent && !pending.by_gate);
        let named = calls.filter_map(|(id, pending)| {
            let id: Value = serde_json::from_str(&id.to_json()).ok()?;
            Some(json!({"id": id, "tool": pending.tool.as_ref()?}))
        });
        named.take(CALLS_NAMED_MAX).collect()
    }

    /// What the calls in flight name of the kind that this observation leaves open.
    fn named_meanwhile(&self, observation: &Observation) -> Vec<String> {
        match &observation.deed {
            Deed::Connect { address: Some(address) } if address.ends_with(NAMES_PORT) => self.unseen.hosts(),
            _ if is_unix_socket(observation) => self.unseen.paths(),
            _ => Vec::new(),
        }
    }

    /// Records until the compartment has ended and everything seen is on disk.
    fn record_observed(&self, observations: &Observations) -> Result<(), Fault> {
        while let Ok(first) = observations.waiting.recv() {
            self.record_group(
                &gather(first, &observations.waiting),
                observations.dropped.swap(0, Ordering::Relaxed),
            )?;
        }
        Ok(())
    }

    fn record_group(&self, group: &[(Seen, u64)], dropped: u64) -> Result<(), Fault> {
        let mut entries: Vec<(Kind, String)> = group.iter().map(|(seen, times)| facts(seen, *times)).collect();
        if dropped > 0 {
            entries.push((Kind::SystemCall, json!({"call": "more", "times": dropped}).to_string()));
        }
        let recorded = self.patiently(Duration::MAX, || {
            let recorded = self.log.append_one((), |(), group| {
                for (kind, facts) in &entries {
                    group.add(Entry {
                        kind: *kind,
                        facts,
                        payload: &[],
                    });
                }
            });
            Ok(recorded.map(|_on_disk| ())?)
        });
        recorded.map_err(Fault::Unrecorded)?;
        for (seen, _times) in group {
            self.tell_seen(seen);
        }
        Ok(())
    }

    /// What a person could grant.
    fn tell_seen(&self, seen: &Seen) {
        let tell = |refused| self.terms.refusals.tell(refused, || self.short_session());
        let refused = match &seen.observation.deed {
            Deed::Execute {
                path: Some(path),
                is_there: false,
                ..
            } => Some(Refused::Program(path.clone())),
            Deed::Connect { address: Some(address) } if address.ends_with(NAMES_PORT) && self.connects_nowhere() => {
                // Nobody hears which name it asked for: most likely one that a call in flight names.
                if !seen.named.is_empty() {
                    return seen.named.iter().cloned().map(Refused::Host).for_each(tell);
                }
                Some(Refused::Names)
            }
            Deed::Connect { address: Some(address) } => self.unreached(address),
            Deed::Other { .. } if is_unix_socket(&seen.observation) => {
                let wanted = self.terms.given.socket_wanted(&seen.named);
                wanted.map(Refused::Socket)
            }
            _ => None,
        };
        if let Some(refused) = refused {
            tell(refused);
        }
    }

    /// What was to be connected to, where that cannot have been reached and a person could grant it.
    fn unreached(&self, address: &str) -> Option<Refused> {
        if let Some(path) = address.strip_prefix("unix:") {
            return self
                .terms
                .given
                .lacks_socket(path)
                .then(|| Refused::Socket(path.to_owned()));
        }
        let address: SocketAddr = address.parse().ok()?;
        let is_lacking =
            address.ip().to_canonical().is_loopback() && !self.terms.network.allows_localhost(address.port());
        is_lacking.then(|| Refused::Port(address.port()))
    }
}

/// Whether this is the call for a UNIX socket: what it is for is not known when it is refused.
fn is_unix_socket(observation: &Observation) -> bool {
    matches!(observation.deed, Deed::Other { values: [AF_UNIX, ..] }) && observation.call == "socket"
}

/// What follows a first observation at once, each with how often it was made.
fn gather(first: Seen, waiting: &Receiver<Seen>) -> Vec<(Seen, u64)> {
    let mut group = vec![(first, 1)];
    let until = Instant::now() + GATHERED;
    while group.len() < GROUP_MAX {
        match waiting.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(seen) => match group.iter_mut().find(|(known, _)| known.is_like(&seen)) {
                Some((_, times)) => *times += 1,
                None => group.push((seen, 1)),
            },
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    group
}

/// How it stands in the record. Everything read from the server's memory is racy, and says so.
fn facts(seen: &Seen, times: u64) -> (Kind, String) {
    let Observation {
        call,
        process,
        refused,
        deed,
    } = &seen.observation;
    let mut facts = json!({"call": call, "process": process, "during": seen.during});
    let mut kind = Kind::SystemCall;
    if let Some(members) = facts.as_object_mut() {
        let mut add = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        match deed {
            Deed::Execute {
                path,
                arguments,
                is_there,
            } => {
                add("path", json!(path));
                add("arguments", json!(arguments));
                add("there", json!(is_there));
                add("racy", json!(true));
            }
            Deed::Connect { address } => {
                kind = Kind::Connection;
                add("address", json!(address));
                add("racy", json!(true));
            }
            Deed::Mask { path, is_masked } => {
                kind = Kind::Notice;
                add("path", json!(path));
                add("masked", json!(is_masked));
            }
            Deed::Other { values } => add("values", json!(values)),
        }
        if let Some(errno) = refused {
            add("refused", json!(errno));
        }
        if times > 1 {
            add("times", json!(times));
        }
    }
    (kind, facts.to_string())
}

#[cfg(test)]
mod tests {
    use cofferdam_sandbox::{Deed, Observation};

    use super::{Executed, GROUP_MAX, WAITING_MAX, gather, observations};

    fn seen(call: &str) -> Observation {
        Observation {
            call: call.to_owned(),
            process: "p".into(),
            refused: Some(1),
            deed: Deed::Other { values: [0; 3] },
        }
    }

    #[test]
    fn a_flood_of_one_thing_is_one_record_and_what_does_not_fit_is_counted() {
        let (mut observer, observations) = observations(Executed::default());
        for number in 0..WAITING_MAX as u64 + 5 {
            let deed = Deed::Other { values: [number; 3] };
            observer(Observation { deed, ..seen("ptrace") });
        }
        drop(observer);
        let first = observations.waiting.recv().unwrap();
        let group = gather(first, &observations.waiting);
        assert_eq!(
            group.iter().map(|(_, times)| *times).collect::<Vec<_>>(),
            [WAITING_MAX as u64]
        );
        assert_eq!(observations.dropped.load(std::sync::atomic::Ordering::Relaxed), 5);
    }

    #[test]
    fn different_things_are_told_apart_and_one_write_is_bounded() {
        let (mut observer, observations) = observations(Executed::default());
        for number in 0..GROUP_MAX + 9 {
            observer(seen(&format!("call-{number}")));
        }
        let first = observations.waiting.recv().unwrap();
        assert_eq!(gather(first, &observations.waiting).len(), GROUP_MAX);
    }

    #[test]
    fn only_files_that_were_there_count_as_executed() {
        let executed = Executed::default();
        let (mut observer, _observations) = observations(executed.clone());
        for (path, is_there) in [
            ("/usr/bin/git", true),
            ("/usr/local/bin/git", false),
            ("/usr/bin/git", true),
        ] {
            let deed = Deed::Execute {
                path: Some(path.into()),
                arguments: vec![],
                is_there,
            };
            observer(Observation {
                deed,
                refused: None,
                ..seen("execve")
            });
        }
        assert_eq!(executed.paths(), ["/usr/bin/git"]);
    }
}
