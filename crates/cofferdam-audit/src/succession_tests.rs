//! A session goes on in another segment: after its size, its age and every failure (tests only).

use crate::clock::SystemClock;
use crate::error::AuditError;
use crate::failing::{FailingFolder, Failure, HandClock, Operation, log_in};
use crate::group::Entry;
use crate::kind::Kind;
use crate::log::{Durability, Log};
use crate::session::{Lost, SessionVerdict, SessionVerified, verify_session};
use crate::succession::Rotation;
use crate::verify::Ended;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SMALL: Rotation = Rotation {
    bytes: 4_000,
    age: Duration::from_secs(60),
};

fn line(log: &Log, payload: &str) -> Result<u64, AuditError> {
    log.note(Entry {
        kind: Kind::ServerLine,
        facts: "",
        payload: payload.as_bytes(),
    })
}

/// The segments as files on a real disk, which verification reads.
fn verdict(folder: &FailingFolder) -> SessionVerdict {
    verdict_of(&folder.files().iter().map(|file| file.bytes()).collect::<Vec<_>>())
}

fn verdict_of(segments: &[Vec<u8>]) -> SessionVerdict {
    let home = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = segments
        .iter()
        .enumerate()
        .map(|(index, bytes)| {
            let path = home.path().join(format!("{index}.cfa"));
            std::fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    let verdict = verify_session(&paths, &mut |_| {}).unwrap();
    assert_eq!(said_by_verify_py(&paths), said(&verdict));
    verdict
}

/// What `tests/audit/verify.py`, written from the document alone, says about the session.
fn said_by_verify_py(paths: &[PathBuf]) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/audit/verify.py");
    let output = Command::new("python3")
        .arg(script)
        .arg("--session")
        .args(paths)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

fn said(verdict: &SessionVerdict) -> Value {
    match verdict {
        SessionVerdict::Verified(verified) => json!({
            "verdict": "verified",
            "records": verified.records,
            "head": verified.head.map(|head| json!({"seq": head.seq, "hash": head.hash.to_string()})),
            "ended": verified.ended.to_string(),
            "lost": verified.lost.iter().map(|lost| [lost.first, lost.last]).collect::<Vec<_>>(),
        }),
        SessionVerdict::Broken { broken, .. } => json!({
            "verdict": "broken",
            "offset": broken.offset,
            "seq": broken.seq,
            "what": broken.what.name(),
        }),
    }
}

fn verified(folder: &FailingFolder) -> SessionVerified {
    match verdict(folder) {
        SessionVerdict::Verified(verified) => *verified,
        SessionVerdict::Broken { path, broken } => panic!("{}: {broken}", path.display()),
    }
}

#[test]
fn a_segment_is_followed_before_it_grows_too_long() {
    for durability in [Durability::Written, Durability::Synced] {
        let folder = FailingFolder::default();
        let log = log_in(&folder, durability, Arc::new(SystemClock), SMALL).unwrap();
        let seqs: Vec<u64> = (0..100)
            .map(|round| line(&log, &format!("{round} {}", "x".repeat(200))).unwrap())
            .collect();
        assert!(seqs.is_sorted());
        // One group longer than a segment has one to itself.
        line(&log, &"y".repeat(9_000)).unwrap();
        line(&log, "last").unwrap();
        let head = log.close("").unwrap();
        let files = folder.files();
        assert!(files.len() > 7, "{} segments", files.len());
        for file in &files {
            let bytes = file.bytes();
            assert!(bytes.len() < 4_200 || bytes.len() > 9_000, "{} bytes", bytes.len());
            assert_eq!(file.synced(), bytes, "closing brings all segments to the disk");
            assert_eq!(file.room(), bytes.len() as u64, "reserved blocks are given back");
        }
        let verified = verified(&folder);
        assert_eq!((verified.head, verified.ended), (Some(head), Ended::Closed));
        assert_eq!(verified.records, head.seq + 1);
        assert_eq!(verified.lost, []);
    }
}

#[test]
fn a_segment_is_followed_when_it_is_old_but_only_when_something_comes() {
    let (folder, clock) = (FailingFolder::default(), HandClock::at(1));
    let log = log_in(&folder, Durability::Synced, clock.clone(), SMALL).unwrap();
    line(&log, "young").unwrap();
    clock.set(61_000_000_000);
    assert_eq!(folder.files().len(), 1);
    line(&log, "old").unwrap();
    assert_eq!(folder.files().len(), 2);
    clock.set(62_000_000_000);
    line(&log, "young again").unwrap();
    assert_eq!(folder.files().len(), 2);
}

#[test]
fn a_segment_that_cannot_be_followed_goes_on_and_tries_again_later() {
    let (folder, clock) = (FailingFolder::default(), HandClock::at(1));
    let log = log_in(&folder, Durability::Synced, clock.clone(), SMALL).unwrap();
    folder.refuse(1);
    for _ in 0..40 {
        line(&log, &"x".repeat(200)).unwrap();
    }
    assert_eq!(folder.files().len(), 1);
    clock.set(59_000_000_000);
    line(&log, "too early").unwrap();
    assert_eq!(folder.files().len(), 1);
    clock.set(61_000_000_000);
    line(&log, "now").unwrap();
    assert_eq!(folder.files().len(), 2);
    log.close("").unwrap();
    assert_eq!(verified(&folder).ended, Ended::Closed);
}

#[test]
fn every_failure_of_the_disk_is_followed_by_a_new_segment() {
    for durability in [Durability::Written, Durability::Synced] {
        for errno in [Errno::IO, Errno::ROFS, Errno::BADF] {
            let folder = FailingFolder::default();
            let log = log_in(&folder, durability, Arc::new(SystemClock), Rotation::STANDARD).unwrap();
            let before = line(&log, "before").unwrap();
            folder.files()[0].die(errno);
            // A write that fails is written to the next segment at once. What was to be synced
            // in the failed one is refused: nobody knows what became of it.
            let meanwhile = line(&log, "meanwhile");
            let after = line(&log, "after").unwrap();
            assert!(meanwhile.is_ok(), "{meanwhile:?}");
            assert_eq!((before, meanwhile.unwrap(), after), (1, 3, 4), "record 2 is `resumed`");
            let head = log.close("").unwrap();
            let verified = verified(&folder);
            assert_eq!(
                (verified.head, verified.ended, verified.lost),
                (Some(head), Ended::Closed, vec![])
            );
        }
    }
}

#[test]
fn a_failed_sync_is_never_tried_again_and_the_next_segment_takes_over() {
    let folder = FailingFolder::default();
    let log = log_in(&folder, Durability::Synced, Arc::new(SystemClock), Rotation::STANDARD).unwrap();
    line(&log, "before").unwrap();
    let file = &folder.files()[0];
    let syncs = file.count(Operation::Sync);
    file.fail_at(file.operations() + 1, Failure::Says(Errno::IO));
    assert!(matches!(line(&log, "lost"), Err(AuditError::Sync { .. })));
    assert_eq!(line(&log, "after").unwrap(), 4);
    line(&log, "and on").unwrap();
    log.close("").unwrap();
    assert_eq!(file.count(Operation::Sync), syncs + 1);
    // What a crash of the machine would have left: the refused record is gone, and said to be.
    let left: Vec<Vec<u8>> = folder.files().iter().map(|file| file.synced()).collect();
    let SessionVerdict::Verified(verified) = verdict_of(&left) else {
        panic!("broken")
    };
    assert_eq!(verified.lost, [Lost { first: 2, last: 2 }]);
    assert_eq!(verified.ended, Ended::Closed);
}

#[test]
fn a_removed_file_is_noticed_and_the_record_goes_on_in_another() {
    for durability in [Durability::Written, Durability::Synced] {
        let folder = FailingFolder::default();
        let log = log_in(&folder, durability, Arc::new(SystemClock), Rotation::STANDARD).unwrap();
        line(&log, "before").unwrap();
        folder.files()[0].remove();
        let began = Instant::now();
        let mut refused = 0;
        while folder.files().len() < 2 {
            assert!(began.elapsed() < Duration::from_secs(10), "nobody noticed");
            refused += u32::from(line(&log, "meanwhile").is_err());
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(refused, u32::from(durability == Durability::Synced));
        line(&log, "after").unwrap();
        log.close("").unwrap();
        assert_eq!(verified(&folder).ended, Ended::Closed);
    }
}

#[test]
fn without_a_disk_nothing_is_recorded_and_traffic_resumes_with_it() {
    let folder = FailingFolder::default();
    let log = log_in(&folder, Durability::Written, Arc::new(SystemClock), Rotation::STANDARD).unwrap();
    folder.files()[0].die(Errno::IO);
    folder.refuse(5);
    let refused = (0..10).take_while(|_| line(&log, "nowhere").is_err()).count();
    // The first append tries twice: before it and when its write failed.
    assert!((3..=5).contains(&refused), "{refused} refused");
    line(&log, "again").unwrap();
    log.close("").unwrap();
    assert_eq!(verified(&folder).lost, []);
}

#[test]
fn a_missing_swapped_or_repeated_segment_is_found_and_named() {
    let folder = FailingFolder::default();
    let log = log_in(&folder, Durability::Synced, Arc::new(SystemClock), SMALL).unwrap();
    for _ in 0..60 {
        line(&log, &"x".repeat(200)).unwrap();
    }
    log.close("").unwrap();
    let whole: Vec<Vec<u8>> = folder.files().iter().map(|file| file.bytes()).collect();
    let what = |segments: &[Vec<u8>]| match verdict_of(segments) {
        SessionVerdict::Verified(verified) => verified.ended.to_string(),
        SessionVerdict::Broken { broken, .. } => broken.what.name().to_owned(),
    };
    assert_eq!(what(&whole), "closed");
    for index in 0..whole.len() {
        let mut dropped = whole.clone();
        dropped.remove(index);
        let expected = if index + 1 == whole.len() {
            "segment-missing"
        } else {
            "succession"
        };
        assert_eq!(what(&dropped), expected, "without segment {index}");
        let mut twice = whole.clone();
        twice.insert(index, whole[index].clone());
        assert_eq!(what(&twice), "succession", "segment {index} twice");
        if index > 0 {
            let mut swapped = whole.clone();
            swapped.swap(index - 1, index);
            assert_eq!(what(&swapped), "succession", "segments swapped at {index}");
            let mut cut = whole.clone();
            let end = cut[index - 1].len() - 100;
            cut[index - 1].truncate(end);
            assert_eq!(what(&cut), "succession", "segment {} cut", index - 1);
        }
    }
}
