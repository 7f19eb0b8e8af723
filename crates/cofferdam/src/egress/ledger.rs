//! What egress puts on record, and tells people.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cofferdam_audit::{AuditError, Entry, Kind, Log, Recorded};
use serde_json::json;
use tokio::time::Instant;

use super::connection::POLICY_RULE;
use super::grants::{Grants, Refusal};
use crate::gate::escaped;

/// Refusals that are put on record in a second; what comes faster waits, unanswered.
const REFUSALS_PER_SECOND_MAX: u32 = 50;
/// Bytes of a name that stand in a record or on a line for people.
const NAME_BYTES_MAX: usize = 253;

/// Tells people what was refused.
type Teller = Box<dyn Fn(Refused<'_>) + Send>;
/// Ends the session: something could not be recorded.
type Fault = Box<dyn Fn(AuditError) + Send>;

/// Whether the policies let a connection to this host and port be made; why not, where they do not.
pub(crate) type Permitting = Box<dyn Fn(&str, u16) -> Result<(), String> + Send>;

/// The record of one session, as egress writes it.
pub(crate) struct Ledger {
    log: Arc<Log>,
    tell: Teller,
    fault: Fault,
    permitting: Option<Permitting>,
    pace: RefCell<Pace>,
    last_name: RefCell<Option<(Vec<u8>, Instant)>>,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ledger")
    }
}

/// What was refused, for people.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    /// A name, or `HOST:PORT`.
    pub(crate) wanted: &'a str,
    /// Whether a person could allow it: nothing else speaks against it so far.
    pub(crate) is_only_unlisted: bool,
    /// Where it stands in the record.
    pub(crate) record: String,
    /// A line about it.
    pub(crate) line: String,
}

/// A connection that may be made, once this is on record.
#[derive(Debug)]
pub(super) struct Route {
    /// What the server wanted: a name or an address, and a port.
    pub(super) wanted: String,
    /// The one address that is connected to.
    pub(super) address: SocketAddr,
    /// Whether the name in the server's first message was compared.
    pub(super) tls: bool,
}

impl Ledger {
    pub(crate) fn new(log: Arc<Log>, tell: Teller, fault: Fault) -> Self {
        Self {
            log,
            tell,
            fault,
            permitting: None,
            pace: RefCell::default(),
            last_name: RefCell::default(),
        }
    }

    /// Each connection must be permitted by `permitting` as well.
    pub(crate) fn ruled_by(self, permitting: Permitting) -> Self {
        Self {
            permitting: Some(permitting),
            ..self
        }
    }

    /// Asks the policies, where any have a say: an install has none.
    pub(super) fn permit(&self, host: &str, port: u16) -> Result<(), Refusal> {
        let permitted = self.permitting.as_ref().map_or(Ok(()), |permit| permit(host, port));
        permitted.map_err(|why| Refusal { rule: POLICY_RULE, why })
    }

    /// Puts a connection on record before it is made; `None` when it cannot be, and then it is not made.
    pub(super) fn open(&self, route: Route) -> Option<Recorded<Route>> {
        let facts = json!({"event": "open", "wanted": route.wanted, "address": route.address, "tls": route.tls});
        let recorded = self.log.append_one(route, |_route, group| {
            group.add(entry(&facts.to_string()));
        });
        recorded
            .map_err(|unrecorded| (self.fault)(unrecorded.into_error()))
            .ok()
    }

    /// Puts the end of a connection on record.
    fn end(&self, opened: u64, moved: &Moved, lasted: Duration, why: &str) {
        let facts = json!({
            "event": "end", "opened": opened, "sent": moved.sent.get(), "received": moved.received.get(),
            "milliseconds": u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX), "why": why,
        });
        // It was allowed and is over: neither a quota nor a slow disk keeps its end from the record.
        if let Err(error) = self.log.note_reserved(entry(&facts.to_string())) {
            (self.fault)(error);
        }
    }

    /// Puts on record what does not come to be, and says so. Waits where there are too many of them.
    pub(super) async fn refuse(&self, wanted: &str, refusal: &Refusal) {
        let pause = self.pace.borrow_mut().pause(Instant::now());
        tokio::time::sleep(pause).await;
        let Refusal { rule, why } = refusal;
        let facts = json!({"event": "refused", "rule": rule, "wanted": wanted, "why": why});
        match self.log.note(entry(&facts.to_string())) {
            Ok(seq) => {
                let session = self.log.session_id();
                let session = session.get(..8).unwrap_or(session);
                let record = format!("{session}:{seq}");
                (self.tell)(Refused {
                    wanted,
                    is_only_unlisted: Grants::is_unlisted_rule(rule),
                    line: format!("was refused `{wanted}`: {why} ({rule}, record {record})"),
                    record,
                });
            }
            Err(error) => (self.fault)(error),
        }
    }

    /// As [`Ledger::refuse`], for a name that was asked for. Programs ask for one name several times at once (its IPv4 and its IPv6
    /// addresses, both resolvers): that is one record.
    pub(super) async fn refuse_name(&self, name: &[u8], refusal: &Refusal) {
        const ONE_LOOKUP: Duration = Duration::from_secs(1);
        let now = Instant::now();
        let last = self.last_name.replace(Some((name.to_vec(), now)));
        if last.is_some_and(|(last, at)| last == name && now.duration_since(at) < ONE_LOOKUP) {
            return;
        }
        let shown = name.get(..NAME_BYTES_MAX).unwrap_or(name);
        self.refuse(&escaped(shown), refusal).await;
    }
}

fn entry(facts: &str) -> Entry<'_> {
    Entry {
        kind: Kind::Connection,
        facts,
        payload: &[],
    }
}

/// Bytes that a connection moved.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) sent: Cell<u64>,
    pub(super) received: Cell<u64>,
}

/// A connection whose end is put on record when this is dropped.
pub(super) struct Open {
    ledger: Rc<Ledger>,
    opened: u64,
    since: Instant,
    pub(super) moved: Moved,
    why: RefCell<String>,
}

impl Open {
    pub(super) fn new(ledger: &Rc<Ledger>, opened: u64) -> Self {
        Self {
            ledger: Rc::clone(ledger),
            opened,
            since: Instant::now(),
            moved: Moved::default(),
            // Until there is another reason, what ends it is that everything ends.
            why: RefCell::new("the session ended".to_owned()),
        }
    }

    pub(super) fn because(&self, why: impl Into<String>) {
        self.why.replace(why.into());
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.ledger
            .end(self.opened, &self.moved, self.since.elapsed(), &self.why.borrow());
    }
}

/// How many refusals there were in this second.
#[derive(Debug, Default)]
struct Pace {
    second: Option<Instant>,
    count: u32,
}

impl Pace {
    /// Counts one; how long it has to wait.
    fn pause(&mut self, now: Instant) -> Duration {
        const SECOND: Duration = Duration::from_secs(1);
        let mut began = *self.second.get_or_insert(now);
        if now >= began + SECOND {
            (began, self.count) = (now, 0);
        } else if self.count >= REFUSALS_PER_SECOND_MAX {
            (began, self.count) = (began + SECOND, 0);
        }
        self.count += 1;
        self.second = Some(began);
        // Zero for a second that has begun.
        began.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use cofferdam_audit::{Durability, Log, Opening, Options, Quota, Rotation, SystemClock};

    use super::{Duration, Instant, Ledger, Pace, REFUSALS_PER_SECOND_MAX, Route};

    #[test]
    fn what_cannot_be_recorded_opens_nothing_and_ends_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let opening = Opening {
            session: "00112233445566778899aabbccddeeff",
            server: "server",
            principal: "somebody",
            facts: "{}",
        };
        let options = Options {
            durability: Durability::Written,
            quota: Quota {
                bytes_per_hour: 1 << 20,
            },
            rotation: Rotation::STANDARD,
            sealing: None,
            clock: Arc::new(SystemClock),
        };
        let log = Arc::new(Log::create(&folder.path().join("audit"), opening, options).unwrap());
        let (faults, heard) = channel();
        let fault = move |error| faults.send(error).unwrap();
        let ledger = Ledger::new(Arc::clone(&log), Box::new(|_refused| {}), Box::new(fault));
        let route = || Route {
            wanted: "a.com:443".to_owned(),
            address: "93.184.216.34:443".parse().unwrap(),
            tls: true,
        };
        assert!(ledger.open(route()).is_some_and(|recorded| recorded.seq() == 1));
        assert!(heard.try_recv().is_err());
        log.close("{}").unwrap();
        assert!(ledger.open(route()).is_none());
        assert!(heard.try_recv().is_ok());
    }

    #[test]
    fn what_comes_faster_waits_for_a_later_second() {
        let mut pace = Pace::default();
        let now = Instant::now();
        let pauses: Vec<Duration> = (0..3 * REFUSALS_PER_SECOND_MAX).map(|_| pace.pause(now)).collect();
        let of_second = |second: u32| {
            let pause = Duration::from_secs(second.into());
            pauses.iter().filter(|paused| **paused == pause).count()
        };
        assert_eq!((of_second(0), of_second(1), of_second(2)), (50, 50, 50));
        assert_eq!(pace.pause(now + Duration::from_secs(9)), Duration::ZERO);
    }
}
