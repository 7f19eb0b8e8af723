//! Large payloads that come again are stored once in a segment, and read everywhere as if each stood there.

use crate::common::{SESSION, append, create, opening, options, records};
use cofferdam_audit::{
    AuditError, Durability, Ended, Entry, Kind, Log, Quota, Record, Rotation, Seal, Sealing, Skim, Store, Verdict,
    Wrapped, pack, verify,
};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Large enough to be stored once.
const LARGE: usize = 4096;

fn payload(letter: u8, bytes: usize) -> Vec<u8> {
    vec![letter; bytes]
}

fn length(path: &Path) -> usize {
    usize::try_from(fs::metadata(path).unwrap().len()).unwrap()
}

fn verified(path: &Path) -> (u64, Ended) {
    match verify(path).unwrap() {
        Verdict::Verified(verified) => (verified.records, verified.ended),
        Verdict::Broken(broken) => panic!("{broken}"),
    }
}

/// The payloads as a skim gives them.
fn skimmed(path: &Path) -> Vec<Vec<u8>> {
    let mut skim = Skim::open(path).unwrap();
    let mut payloads = Vec::new();
    while let Some(record) = skim.next_record().unwrap() {
        payloads.push(record.payload.to_vec());
    }
    payloads
}

fn payloads(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.payload.clone()).collect()
}

#[test]
fn what_comes_again_is_stored_once_and_read_every_time() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("audit");
    let log = create(&folder, SESSION, "files").unwrap();
    let (one, other) = (payload(b'a', LARGE), payload(b'b', 100_000));
    for kind in [Kind::ServerLine, Kind::ServerStderr, Kind::ClientLine] {
        append(&log, kind, &one).unwrap();
        append(&log, kind, &other).unwrap();
        append(&log, kind, &payload(b'c', LARGE - 1)).unwrap();
    }
    let _head = log.close("").unwrap();
    let path = log.path().to_owned();
    let stored = one.len() + other.len() + 3 * (LARGE - 1);
    assert!((stored..stored + 3_000).contains(&length(&path)), "{}", length(&path));
    assert_eq!(verified(&path), (11, Ended::Closed));
    let all = records(&path).unwrap();
    let expected: Vec<Vec<u8>> = (0..9)
        .map(|number| match number % 3 {
            0 => one.clone(),
            1 => other.clone(),
            _ => payload(b'c', LARGE - 1),
        })
        .collect();
    assert_eq!(payloads(&all)[1..10], expected);
    assert!(all.iter().all(Record::has_whole_payload));
    let repeated: Vec<u64> = all
        .iter()
        .filter(|record| record.repeats.is_some())
        .map(|record| record.seq)
        .collect();
    assert_eq!(repeated, [4, 5, 7, 8]);
    assert_eq!(all[4].payload_digest, all[1].payload_digest);
    assert_ne!(all[4].stored_digest, all[1].stored_digest);
    assert_eq!(skimmed(&path)[1..10], expected);
    // From the end, by number, and packed, it is the same.
    let store = Store::open(&folder).unwrap();
    let last = store.tail(3, 10).unwrap().items;
    let tail: Vec<(Vec<u8>, u64)> = last
        .iter()
        .map(|located| (located.record.payload.clone(), located.record.payload_bytes))
        .collect();
    assert_eq!(tail[0], (payload(b'b', 10), 100_000));
    assert_eq!(store.record(&format!("{SESSION}:8")).unwrap().record.payload, other);
    let packed = pack(&path).unwrap().unwrap().path;
    assert_eq!(verified(&packed), (11, Ended::Closed));
    assert_eq!(skimmed(&packed)[1..10], expected);
    assert_eq!(payloads(&records(&packed).unwrap())[1..10], expected);
}

#[test]
fn entries_of_one_group_refer_to_each_other() {
    let home = tempfile::tempdir().unwrap();
    let log = create(&home.path().join("audit"), SESSION, "files").unwrap();
    let recorded = log
        .append(vec![1, 2, 3], |_value, group| {
            group.add(Entry {
                kind: Kind::ServerLine,
                facts: "",
                payload: &payload(b'a', 50_000),
            });
        })
        .unwrap();
    assert_eq!(recorded.len(), 3);
    assert!(length(log.path()) < 51_000);
    assert_eq!(verified(log.path()).0, 4);
    assert!(skimmed(log.path())[1..].iter().all(|one| *one == payload(b'a', 50_000)));
}

#[test]
fn each_segment_holds_its_payloads_itself() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("audit");
    let mut options = options(Durability::Written);
    options.rotation = Rotation {
        bytes: 60_000,
        age: Duration::from_secs(3600),
    };
    let log = Log::create(&folder, opening(SESSION, "files"), options).unwrap();
    let large = payload(b'a', 20_000);
    for number in 0..600 {
        append(&log, Kind::ServerLine, &large).unwrap();
        assert_eq!(
            append(&log, Kind::ServerLine, b"small").unwrap(),
            log.head().unwrap().seq,
            "{number}"
        );
    }
    let _head = log.close("").unwrap();
    let segments = Store::open(&folder).unwrap().session(SESSION).unwrap().segments;
    assert!(segments.len() > 2, "{}", segments.len());
    for segment in segments {
        let all = records(&segment).unwrap();
        let lines: Vec<&Record> = all.iter().filter(|record| record.payload_bytes > 5).collect();
        assert!(lines.iter().all(|record| record.payload == large));
        assert!(lines[0].repeats.is_none() && lines[1..].iter().all(|record| record.repeats.is_some()));
    }
}

/// A server that says the same again and again is ended by its quota as soon as one that says something new each time.
#[test]
fn a_repeat_counts_whole_against_the_quota() {
    let home = tempfile::tempdir().unwrap();
    let mut options = options(Durability::Written);
    options.quota = Quota {
        bytes_per_hour: 1_000_000,
    };
    let log = Log::create(&home.path().join("audit"), opening(SESSION, "files"), options).unwrap();
    let large = payload(b'a', 100_000);
    let refused = (0..20).find_map(|number| {
        append(&log, Kind::ServerLine, &large)
            .err()
            .map(|error| (number, error))
    });
    let (number, error) = refused.unwrap();
    assert_eq!(number, 9);
    assert!(matches!(error, AuditError::QuotaExceeded { .. }), "{error}");
    assert!(length(log.path()) < 110_000);
}

/// Not a cipher: what is sealed looks different each time.
#[derive(Debug)]
struct Masks;

impl Sealing for Masks {
    fn begin(&self) -> Result<Box<dyn Seal>, String> {
        Ok(Box::new(Mask))
    }
}

#[derive(Debug)]
struct Mask;

impl Seal for Mask {
    fn wrapped(&self) -> Wrapped {
        Wrapped {
            recipients: "age1".to_owned(),
            key: vec![7],
        }
    }

    fn seal(&self, seq: u64, _front: &[u8], payload: &[u8], sealed: &mut Vec<u8>) -> bool {
        let mask = u8::try_from(seq).unwrap();
        sealed.extend(payload.iter().map(|byte| byte ^ mask));
        sealed.extend([mask; 16]);
        true
    }
}

#[test]
fn a_sealed_payload_is_found_again_and_its_digest_is_not_told() {
    let home = tempfile::tempdir().unwrap();
    let mut options = options(Durability::Written);
    options.sealing = Some(Arc::new(Masks));
    let log = Log::create(&home.path().join("audit"), opening(SESSION, "files"), options).unwrap();
    let large = payload(b'a', 20_000);
    for _ in 0..3 {
        append(&log, Kind::ServerLine, &large).unwrap();
    }
    assert!(length(log.path()) < 21_500);
    assert_eq!(verified(log.path()).0, 4);
    let all = records(log.path()).unwrap();
    let stored: Vec<u8> = large.iter().map(|byte| byte ^ 1).chain([1; 16]).collect();
    for record in &all[1..] {
        assert_eq!((record.sealed, &record.payload), (true, &stored));
        let plain = cofferdam_audit::Digest::of_payload(&large);
        let bytes = fs::read(log.path()).unwrap();
        assert!(
            !bytes.windows(32).any(|window| window == plain.bytes()),
            "{}",
            record.seq
        );
    }
    // What opens it is the front of the record that holds it.
    let repeats = all[3].repeats.as_ref().unwrap();
    assert_eq!((repeats.reference.seq, &repeats.front), (1, &all[1].front()));
}
