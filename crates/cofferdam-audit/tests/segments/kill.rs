//! Killed at any moment, a log has lost nothing that it acknowledged.

use crate::common::{SESSION, opening, options, records};
use cofferdam_audit::{Durability, Ended, Entry, Kind, Log, SessionState, Store, Verdict, verify};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CHILD: &str = "COFFERDAM_AUDIT_TEST_CHILD";
const ROUNDS: u32 = 100;

/// What writer `writer` appends in round `round`; some are long enough to be cut in two.
fn payload(writer: u32, round: u32) -> Vec<u8> {
    let times = if round.is_multiple_of(7) {
        60_000
    } else {
        round % 7 * 10
    };
    format!("{writer}/{round} ").repeat(times as usize).into_bytes()
}

/// The process that is killed: two writers append and say on stdout what was acknowledged.
fn append_until_killed(folder: &Path, durability: Durability) {
    let log = Log::create(folder, opening(SESSION, "files"), options(durability)).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let log = &log;
            scope.spawn(move || {
                for round in 0..u32::MAX {
                    let recorded = log.append_one(payload(writer, round), |payload, group| {
                        group.add(Entry {
                            kind: Kind::ServerLine,
                            facts: "",
                            payload,
                        });
                    });
                    let line = format!("ack {} {writer} {round}\n", recorded.unwrap().seq());
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

fn start(folder: &Path, durability: Durability) -> Child {
    let test = "kill::a_killed_log_has_lost_nothing_it_acknowledged";
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, format!("{durability:?} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads acknowledgements until the process is gone; kills it `after` the first.
fn acknowledged(child: &mut Child, after: Duration) -> BTreeMap<u64, (u32, u32)> {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut acknowledged = BTreeMap::new();
    let (mut line, mut first) = (String::new(), None);
    while lines.read_line(&mut line).unwrap() > 0 {
        let mut words = line.split_whitespace();
        // A line without its end was being written when the process went: it said nothing.
        if line.ends_with('\n') && words.next() == Some("ack") {
            let mut number = || words.next().unwrap().parse::<u32>().unwrap();
            acknowledged.insert(u64::from(number()), (number(), number()));
            if first.get_or_insert_with(Instant::now).elapsed() >= after {
                child.kill().unwrap();
            }
        }
        line.clear();
    }
    child.wait().unwrap();
    acknowledged
}

#[test]
fn a_killed_log_has_lost_nothing_it_acknowledged() {
    if let Ok(task) = std::env::var(CHILD) {
        let (durability, folder) = task.split_once(' ').unwrap();
        let synced = durability == "Synced";
        let durability = if synced {
            Durability::Synced
        } else {
            Durability::Written
        };
        append_until_killed(Path::new(folder), durability);
        return;
    }
    let (mut torn, mut total) = (0, 0);
    for round in 0..ROUNDS {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("audit");
        let durability = if round % 4 == 0 {
            Durability::Synced
        } else {
            Durability::Written
        };
        let after = Duration::from_micros(u64::from(round * 7_919 % 20_000));
        let mut child = start(&folder, durability);
        let acknowledged = acknowledged(&mut child, after);
        let what = format!("round {round}, {durability:?}, killed after {after:?}");
        assert!(!acknowledged.is_empty(), "{what}: nothing was acknowledged");
        let store = Store::open(&folder).unwrap();
        let session = store.session(SESSION).unwrap();
        assert_eq!(session.state, SessionState::Unclosed, "{what}");
        let Verdict::Verified(verified) = verify(&session.segments[0]).unwrap() else {
            panic!("{what}: broken")
        };
        assert!(
            matches!(verified.ended, Ended::Unclosed | Ended::Torn { .. }),
            "{what}: {verified:?}"
        );
        torn += u32::from(matches!(verified.ended, Ended::Torn { .. }));
        let records = records(&session.segments[0]).unwrap();
        for (seq, (writer, line)) in &acknowledged {
            let record = &records[usize::try_from(*seq).unwrap()];
            assert!(record.payload == payload(*writer, *line), "{what}: record {seq}");
        }
        total += acknowledged.len();
    }
    assert!(
        total > 1_000,
        "only {total} records in {ROUNDS} rounds, {torn} torn tails"
    );
}
