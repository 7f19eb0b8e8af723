//! Every operation of the log fails in turn: nothing is ever handed back as recorded that
//! cannot be read afterwards (tests only).

use crate::clock::SystemClock;
use crate::error::AuditError;
use crate::failing::{FailingFile, Failure, HandClock, Operation, log, log_with, read};
use crate::group::{Entry, Recorded};
use crate::kind::Kind;
use crate::log::{Durability, Log};
use crate::quota::{Pressure, Quota};
use crate::record::Record;
use crate::segment::RESERVE_BYTES;
use crate::sync::Timing;
use crate::verify::Ended;
use rustix::io::Errno;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ERRNOS: [Errno; 6] = [
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::IO,
    Errno::ROFS,
    Errno::INTR,
    Errno::BADF,
];

fn line(log: &Log, payload: &str) -> Result<Recorded<String>, AuditError> {
    log.append_one(payload.to_owned(), |payload, group| {
        group.add(entry(Kind::ServerLine, payload));
    })
    .map_err(AuditError::from)
}

fn entry(kind: Kind, payload: &str) -> Entry<'_> {
    Entry {
        kind,
        facts: r#"{"n":1}"#,
        payload: payload.as_bytes(),
    }
}

/// A session with single records, groups and one larger than the reserve. Gives what was
/// acknowledged: number and payload.
fn session(file: &Arc<FailingFile>, durability: Durability) -> Vec<(u64, String)> {
    let mut acknowledged = Vec::new();
    let Ok(log) = log(file, durability, Arc::new(SystemClock)) else {
        return acknowledged;
    };
    for round in 0..4 {
        let single = line(&log, &format!("single {round}"));
        let group = (0..3).map(|part| format!("group {round}.{part}")).collect();
        let group = log.append(group, |payload, group| {
            group.add(entry(Kind::ClientLine, payload));
        });
        let large = line(&log, &"large ".repeat(12_000 * round));
        let failure = log.append_reserved(format!("failure {round}"), |payload, group| {
            group.add(entry(Kind::Notice, payload));
        });
        let all = [single, large, failure.map_err(AuditError::from)].into_iter().flatten();
        for recorded in all.chain(group.into_iter().flatten()) {
            acknowledged.push((recorded.seq(), recorded.into_inner()));
        }
    }
    if let Ok(head) = log.close(r#"{"cause":"test"}"#) {
        acknowledged.push((head.seq, String::new()));
    }
    acknowledged
}

/// Everything acknowledged is in these bytes, with its number, and they are not broken.
fn assert_holds(bytes: &[u8], acknowledged: &[(u64, String)], what: &str) -> Vec<Record> {
    if bytes.is_empty() && acknowledged.is_empty() {
        return Vec::new();
    }
    let (records, _) = match read(bytes) {
        Ok(read) => read,
        Err(AuditError::Broken { .. }) if acknowledged.is_empty() => return Vec::new(),
        Err(error) => panic!("{what}: {error}"),
    };
    for (seq, payload) in acknowledged {
        let record = &records[usize::try_from(*seq).unwrap()];
        assert_eq!(record.payload, payload.as_bytes(), "{what}, record {seq}");
    }
    records
}

#[test]
fn each_operation_fails_in_turn_and_nothing_unrecorded_comes_back() {
    for durability in [Durability::Synced, Durability::Written] {
        let whole = Arc::new(FailingFile::default());
        let all = session(&whole, durability).len();
        assert_eq!(all, 4 * 6 + 1);
        let mut refused = 0;
        for at in 0..whole.operations() {
            let failures = ERRNOS
                .into_iter()
                .flat_map(|errno| [Failure::Says(errno), Failure::Half(errno)]);
            for failure in failures.chain([Failure::Nothing]) {
                let file = Arc::new(FailingFile::default());
                file.fail_at(at, failure);
                let acknowledged = session(&file, durability);
                let what = format!("{durability:?}, operation {at}, {failure:?}");
                assert_holds(&file.bytes(), &acknowledged, &what);
                if durability == Durability::Synced {
                    assert_holds(&file.synced(), &acknowledged, &what);
                }
                refused += usize::from(acknowledged.len() < all);
            }
        }
        assert!(refused > 100, "the failures were not felt: {refused}");
    }
}

#[test]
fn a_disk_that_fails_takes_nothing_more_unless_it_was_only_full() {
    for errno in ERRNOS.into_iter().filter(|errno| *errno != Errno::INTR) {
        let file = Arc::new(FailingFile::default());
        let log = log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap();
        let before = line(&log, "before").unwrap();
        file.die(errno);
        let refused = line(&log, "meanwhile").unwrap_err();
        assert!(log.note_reserved(entry(Kind::Notice, "meanwhile")).is_err());
        file.revive();
        let after = line(&log, "after").map(|recorded| recorded.seq());
        let full = [Errno::NOSPC, Errno::DQUOT].contains(&errno);
        if full {
            assert!(matches!(refused, AuditError::Full { .. }), "{refused}");
            assert_eq!(after.unwrap(), 2);
        } else {
            assert!(matches!(refused, AuditError::Write { .. }), "{refused}");
            assert!(matches!(after, Err(AuditError::Poisoned { .. })), "{after:?}");
            assert!(matches!(log.close(""), Err(AuditError::Poisoned { .. })));
        }
        assert_holds(&file.bytes(), &[(before.seq(), before.into_inner())], "dead");
    }
}

#[test]
fn a_full_disk_stops_traffic_takes_the_failure_and_the_end() {
    let file = Arc::new(FailingFile::default());
    let log = log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap();
    file.set_capacity(Some(0));
    let mut passed = 0;
    let refused = loop {
        assert!(passed < 10_000, "the disk is never full");
        match line(&log, &"x".repeat(1_000)) {
            Ok(_) => passed += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AuditError::Full { .. }), "{refused}");
    assert!(refused.help().is_some());
    assert!(passed > 100, "room was reserved for {passed} records");
    let left = file.room() - file.bytes().len() as u64;
    assert!(left >= RESERVE_BYTES, "{left} bytes are kept");
    let mut failures = 0;
    while log.note_reserved(entry(Kind::Notice, "full")).is_ok() {
        failures += 1;
        assert!(failures < 10_000, "the reserve is never used up");
    }
    assert!(failures > 400, "{failures} failures were recorded");
    assert!(log.close(&format!(r#"{{"cause":"{}"}}"#, "y".repeat(2_000))).is_ok());
    let (records, ended) = read(&file.bytes()).unwrap();
    assert_eq!(records.len(), 1 + passed + failures + 1);
    assert_eq!(ended, Ended::Closed);
}

#[test]
fn traffic_goes_on_when_there_is_space_again() {
    for allocate in [true, false] {
        let file = FailingFile::default();
        let file = Arc::new(if allocate { file } else { file.without_allocate() });
        let log = log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap();
        file.set_capacity(Some(2_000));
        let mut acknowledged = Vec::new();
        for round in 0..1_000 {
            if round == 900 {
                file.set_capacity(None);
            }
            let outcome = line(&log, &format!("{round} {}", "z".repeat(700)));
            assert!(round < 900 || outcome.is_ok(), "round {round}: {outcome:?}");
            acknowledged.extend(outcome.ok().map(|recorded| (recorded.seq(), recorded.into_inner())));
        }
        let refused = 1_000 - acknowledged.len();
        assert!(refused > 300, "{refused} refused, allocate {allocate}");
        assert_holds(&file.bytes(), &acknowledged, "space again");
        assert!(log.close("").is_ok());
        assert_eq!(read(&file.bytes()).unwrap().1, Ended::Closed);
    }
}

#[test]
fn a_filesystem_that_cannot_reserve_is_noted() {
    for (file, reserve) in [
        (FailingFile::default().without_allocate(), "false"),
        (FailingFile::default(), "true"),
    ] {
        let file = Arc::new(file);
        drop(log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap());
        let (records, _) = read(&file.bytes()).unwrap();
        let expected = format!(r#"{{"durability":"synced","opening":{{"profile":"test"}},"reserve":{reserve}}}"#);
        assert_eq!(records[0].facts, expected);
    }
}

#[test]
fn a_failed_sync_is_never_tried_again() {
    for errno in ERRNOS {
        let file = Arc::new(FailingFile::default());
        let log = log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap();
        let syncs = file.count(Operation::Sync);
        file.die(errno);
        file.revive();
        file.fail_at(file.operations() + 1, Failure::Says(errno));
        assert!(matches!(line(&log, "lost"), Err(AuditError::Sync { .. })));
        for _ in 0..3 {
            assert!(matches!(line(&log, "after"), Err(AuditError::Poisoned { .. })));
        }
        assert!(matches!(log.close(""), Err(AuditError::Poisoned { .. })));
        assert_eq!(file.count(Operation::Sync), syncs + 1);
    }
}

#[test]
fn a_failed_sync_in_the_background_ends_the_log() {
    let file = Arc::new(FailingFile::default());
    // Reserve, header and `open`, then the name and the bytes by the background thread.
    file.fail_at(3, Failure::Says(Errno::IO));
    let log = log(&file, Durability::Written, Arc::new(SystemClock)).unwrap();
    let start = Instant::now();
    while file.count(Operation::Sync) == 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "nothing was synced");
        std::thread::sleep(Duration::from_millis(1));
    }
    let refused = loop {
        assert!(start.elapsed() < Duration::from_secs(10), "the log was not ended");
        if let Err(error) = line(&log, "after") {
            break error;
        }
    };
    assert!(matches!(refused, AuditError::Poisoned { .. }), "{refused}");
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(file.count(Operation::Sync), 1);
}

#[test]
fn at_written_everything_reaches_the_disk_without_being_asked() {
    let file = Arc::new(FailingFile::default());
    let log = log(&file, Durability::Written, Arc::new(SystemClock)).unwrap();
    for round in 0..3 {
        let recorded = line(&log, &format!("round {round}")).unwrap();
        let start = Instant::now();
        while file.synced() != file.bytes() {
            assert!(start.elapsed() < Duration::from_secs(10), "never synced");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_holds(&file.synced(), &[(recorded.seq(), recorded.into_inner())], "background");
    }
    assert_eq!(file.count(Operation::SyncName), 1);
    // Nothing written is nothing to sync.
    let syncs = file.count(Operation::Sync);
    assert!(log.append(Vec::<()>::new(), |(), _| {}).unwrap().is_empty());
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(file.count(Operation::Sync), syncs);
}

#[test]
fn a_disk_that_lags_stops_traffic_until_it_is_back() {
    let timing = Timing {
        lag_wait: Duration::from_millis(50),
        ..Timing::STANDARD
    };
    let (file, clock) = (Arc::new(FailingFile::default()), HandClock::at(1));
    file.block_sync(true);
    let log = log_with(&file, Durability::Written, clock.clone(), (Quota::UNLIMITED, timing)).unwrap();
    let first = line(&log, "in time").unwrap();
    clock.set(2_500_000_000);
    let lagging = line(&log, "late");
    assert!(matches!(lagging, Err(AuditError::Lagging { .. })), "{lagging:?}");
    let noted = log
        .append_reserved("the disk lags".to_owned(), |p, group| group.add(entry(Kind::Notice, p)))
        .unwrap();
    file.block_sync(false);
    let waited = line(&log, "again");
    let start = Instant::now();
    let third = match waited {
        Ok(third) => third,
        Err(_) => loop {
            assert!(start.elapsed() < Duration::from_secs(10), "traffic did not go on");
            if let Ok(third) = line(&log, "again") {
                break third;
            }
        },
    };
    let acknowledged = [first, noted, third].map(|recorded| (recorded.seq(), recorded.into_inner()));
    assert_eq!(assert_holds(&file.bytes(), &acknowledged, "lag").len(), 4);
}

#[test]
fn closing_does_not_wait_for_ever() {
    let timing = Timing {
        lag_wait: Duration::from_millis(50),
        ..Timing::STANDARD
    };
    let file = Arc::new(FailingFile::default());
    file.block_sync(true);
    let log = log_with(
        &file,
        Durability::Written,
        Arc::new(SystemClock),
        (Quota::UNLIMITED, timing),
    )
    .unwrap();
    assert!(matches!(log.close(""), Err(AuditError::Lagging { .. })));
    assert_eq!(read(&file.bytes()).unwrap().1, Ended::Closed);
    file.block_sync(false);
}

#[test]
fn closing_brings_everything_to_the_disk() {
    for durability in [Durability::Written, Durability::Synced] {
        let file = Arc::new(FailingFile::default());
        let log = log(&file, durability, Arc::new(SystemClock)).unwrap();
        assert_eq!(line(&log, "line").unwrap().seq(), 1);
        assert_eq!(log.close("").unwrap().seq, 2);
        assert_eq!(read(&file.synced()).unwrap().1, Ended::Closed);
        assert_eq!(file.room(), file.bytes().len() as u64);
    }
}

#[test]
fn concurrent_writers_share_syncs_and_none_returns_before_its_own() {
    let file = Arc::new(FailingFile::default());
    let log = log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap();
    file.block_sync(true);
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let (log, file) = (&log, &file);
            scope.spawn(move || {
                for round in 0..20 {
                    let payload = format!("{writer} {round}");
                    let recorded = line(log, &payload).unwrap();
                    let (records, _) = read(&file.synced()).unwrap();
                    let at = usize::try_from(recorded.seq()).unwrap();
                    assert_eq!(records[at].payload, payload.as_bytes());
                }
            });
        }
        let start = Instant::now();
        while log.head().unwrap().seq < 16 && start.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        file.block_sync(false);
    });
    // The first sync was held until all sixteen had written: fifteen of them shared the second.
    let syncs = file.count(Operation::Sync);
    assert!(syncs < 16 * 20 - 10, "{syncs} syncs");
    assert_eq!(read(&file.bytes()).unwrap().0.len(), 1 + 16 * 20);
}

#[test]
fn a_panic_while_writing_ends_the_log() {
    let file = Arc::new(FailingFile::default());
    let log = log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap();
    let panicked = std::thread::scope(|scope| {
        scope
            .spawn(|| log.append_one((), |(), _| panic!("a bug of the caller")))
            .join()
    });
    assert!(panicked.is_err());
    assert!(matches!(line(&log, "after"), Err(AuditError::Poisoned { .. })));
    assert_eq!(read(&file.bytes()).unwrap().0.len(), 1);
}

#[test]
fn a_boot_clock_that_goes_back_is_refused() {
    let (file, clock) = (Arc::new(FailingFile::default()), HandClock::at(1_000));
    let log = log(&file, Durability::Synced, clock.clone()).unwrap();
    clock.set(999);
    assert!(matches!(
        line(&log, "back"),
        Err(AuditError::ClockWentBack {
            before: 1_000,
            now: 999
        })
    ));
    clock.set(1_000);
    assert!(line(&log, "the same moment").is_ok());
}

#[test]
fn a_server_over_its_quota_is_refused_and_its_end_recorded() {
    let (file, clock) = (Arc::new(FailingFile::default()), HandClock::at(1));
    let quota = Quota { bytes_per_hour: 10_000 };
    let log = log_with(&file, Durability::Synced, clock.clone(), (quota, Timing::STANDARD)).unwrap();
    assert_eq!(log.quota_pressure().unwrap(), Pressure::Low);
    let mut slowed = 0;
    let refused = loop {
        assert!(file.bytes().len() < 20_000, "the quota is never spent");
        match line(&log, &"f".repeat(500)) {
            Ok(_) => slowed += usize::from(log.quota_pressure().unwrap() == Pressure::High),
            Err(error) => break error,
        }
    };
    assert!(slowed > 2, "the pressure showed {slowed} times before the end");
    let AuditError::QuotaExceeded { server, used, limit } = refused else {
        panic!("{refused}");
    };
    assert!(server == "files" && used <= limit && limit == 10_000);
    // What the client and the gate say is not the server's doing.
    for kind in [Kind::ClientLine, Kind::Decision, Kind::GateToClient, Kind::Notice] {
        assert!(log.note(entry(kind, &"c".repeat(3_000))).is_ok());
    }
    assert_eq!(log.quota_pressure().unwrap(), Pressure::Spent);
    let last = log.append_reserved("its last line", |p, group| group.add(entry(Kind::ServerLine, p)));
    assert!(last.is_ok());
    clock.set(62 * 60_000_000_000);
    assert!(line(&log, "an hour later").is_ok());
    assert!(log.close("").is_ok());
}

#[test]
fn what_cannot_be_an_entry_is_refused_and_leaves_no_trace() {
    let file = Arc::new(FailingFile::default());
    let log = log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap();
    let before = file.bytes();
    let with = |entry: Entry<'_>| {
        // A good entry in the same group goes with the bad one.
        let outcome = log.append_one((), |(), group| {
            group.add(Entry {
                kind: Kind::Notice,
                facts: "{}",
                payload: b"good",
            });
            group.add(entry);
        });
        outcome.map(drop).unwrap_err().into_error()
    };
    for kind in [Kind::Open, Kind::Close, Kind::Continued, Kind::Other(77)] {
        assert!(matches!(
            with(Entry {
                kind,
                facts: "",
                payload: b""
            }),
            AuditError::Kind { .. }
        ));
    }
    for facts in ["[]", "{", "}", "null", " {}", "{}\n"] {
        assert!(matches!(
            with(Entry {
                kind: Kind::Notice,
                facts,
                payload: b""
            }),
            AuditError::Facts { .. }
        ));
    }
    let long = format!("{{{}}}", " ".repeat(crate::FACTS_BYTES_MAX));
    assert!(matches!(
        with(Entry {
            kind: Kind::Notice,
            facts: &long,
            payload: b""
        }),
        AuditError::TooLong { what: "facts", .. }
    ));
    let payload = vec![0; crate::PAYLOAD_BYTES_MAX + 1];
    let entry = Entry {
        kind: Kind::ServerLine,
        facts: "",
        payload: &payload,
    };
    assert!(matches!(with(entry), AuditError::TooLong { what: "payload", .. }));
    let empty = log.append_one((), |(), _| {}).unwrap_err();
    assert!(matches!(empty.error(), AuditError::NoEntry));
    assert!(matches!(log.close("[1]"), Err(AuditError::Facts { .. })));
    assert!(matches!(log.close(&" ".repeat(3_000)), Err(AuditError::TooLong { .. })));
    assert_eq!(file.bytes(), before);
    assert!(log.append(Vec::<()>::new(), |(), _| {}).unwrap().is_empty());
    assert!(log.close("").is_ok());
    assert!(matches!(line(&log, "after"), Err(AuditError::Closed { .. })));
    assert!(matches!(log.close(""), Err(AuditError::Closed { .. })));
}

#[test]
fn the_longest_payload_is_recorded_and_read_back() {
    let file = Arc::new(FailingFile::default());
    let log = log(&file, Durability::Synced, Arc::new(SystemClock)).unwrap();
    let payload = vec![0xa5; crate::PAYLOAD_BYTES_MAX];
    let recorded = log.append_one(payload, |payload, group| {
        group.add(Entry {
            kind: Kind::ServerLine,
            facts: "",
            payload,
        });
    });
    let payload = recorded.unwrap().into_inner();
    let (records, _) = read(&file.bytes()).unwrap();
    assert!(records[1].payload == payload && records[1].has_whole_payload());
}
