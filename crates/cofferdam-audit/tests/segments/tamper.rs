//! Whatever is changed in a segment is found, and named at or before the record it was done to.

use crate::common::{SESSION, create};
use cofferdam_audit::{AuditError, Ended, Entry, Fault, Kind, Verdict, verify};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A segment, and where its records begin; the last place is its end.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) bytes: Vec<u8>,
    pub(crate) starts: Vec<usize>,
}

impl Segment {
    /// Records with these payloads in a new segment.
    pub(crate) fn with(payloads: &[Vec<u8>], closed: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let log = create(&home.path().join("audit"), SESSION, "files").unwrap();
        for (number, payload) in payloads.iter().enumerate() {
            let facts = format!(r#"{{"n":{number}}}"#);
            let entry = Entry {
                kind: Kind::ServerLine,
                facts: &facts,
                payload,
            };
            drop(log.append_one((), |(), group| group.add(entry)).unwrap());
        }
        if closed {
            let _head = log.close("").unwrap();
        }
        let bytes = fs::read(log.path()).unwrap();
        let mut starts: Vec<_> = crate::common::records(log.path())
            .unwrap()
            .iter()
            .map(|record| usize::try_from(record.offset).unwrap())
            .collect();
        starts.push(bytes.len());
        Self { bytes, starts }
    }

    fn records(&self) -> usize {
        self.starts.len() - 1
    }

    fn record(&self, number: usize) -> &[u8] {
        &self.bytes[self.starts[number]..self.starts[number + 1]]
    }

    /// The record a byte belongs to; the header counts to the first.
    fn at(&self, byte: usize) -> usize {
        self.starts
            .iter()
            .rposition(|start| *start <= byte)
            .unwrap_or(0)
            .min(self.records() - 1)
    }

    /// The first record that these bytes have otherwise.
    fn first_changed(&self, bytes: &[u8]) -> usize {
        let same = self
            .bytes
            .iter()
            .zip(bytes)
            .take_while(|(ours, theirs)| ours == theirs)
            .count();
        self.at(same)
    }

    /// The same header, then these records.
    fn of(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<u8> {
        let mut bytes = self.bytes[..self.starts[0]].to_vec();
        for number in numbers {
            bytes.extend_from_slice(self.record(number));
        }
        bytes
    }
}

pub(crate) fn verdict(bytes: &[u8]) -> Result<Verdict, AuditError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    verify(file.path())
}

/// One of some segments of different length, with payloads that are random, alike, zero or
/// empty: made once, since each is synced.
fn segment() -> impl Strategy<Value = Segment> {
    static SEGMENTS: LazyLock<Vec<Segment>> = LazyLock::new(|| {
        let (mut runner, payload) = (
            TestRunner::default(),
            prop_oneof![vec(any::<u8>(), 0..40), vec(Just(0), 0..200)],
        );
        let payloads = vec(payload, 2..8);
        let mut segment = |closed| Segment::with(&payloads.new_tree(&mut runner).unwrap().current(), closed);
        (0..24).map(|number| segment(number % 2 == 0)).collect()
    });
    any::<Index>().prop_map(|one| SEGMENTS[one.index(SEGMENTS.len())].clone())
}

fn assert_broken(bytes: &[u8], at_most: usize) -> Result<(), TestCaseError> {
    match verdict(bytes) {
        Ok(Verdict::Broken(broken)) => {
            prop_assert!(broken.seq <= at_most as u64, "{} instead of {}", broken, at_most);
            Ok(())
        }
        other => Err(TestCaseError::fail(format!("record {at_most} was changed: {other:?}"))),
    }
}

proptest! {
    #![proptest_config(Config { cases: 200, failure_persistence: None, ..Config::default() })]

    #[test]
    fn an_untouched_segment_is_verified(segment in segment()) {
        let Ok(Verdict::Verified(verified)) = verdict(&segment.bytes) else {
            return Err(TestCaseError::fail("it was not"));
        };
        prop_assert_eq!(verified.records, segment.records() as u64);
        prop_assert!(matches!(verified.ended, Ended::Closed | Ended::Unclosed));
    }

    #[test]
    fn any_flipped_bit_is_found(segment in segment(), byte in any::<Index>(), bit in 0_u32..8) {
        let (mut bytes, byte) = (segment.bytes.clone(), byte.index(segment.bytes.len()));
        bytes[byte] ^= 1_u8 << bit;
        assert_broken(&bytes, segment.at(byte))?;
    }

    #[test]
    fn a_dropped_record_is_found(segment in segment(), dropped in any::<Index>()) {
        let dropped = dropped.index(segment.records() - 1);
        let bytes = segment.of((0..segment.records()).filter(|number| *number != dropped));
        assert_broken(&bytes, dropped)?;
    }

    #[test]
    fn swapped_records_are_found(segment in segment(), one in any::<Index>(), other in any::<Index>()) {
        let (one, other) = (one.index(segment.records()), other.index(segment.records()));
        let mut order: Vec<_> = (0..segment.records()).collect();
        order.swap(one, other);
        let bytes = segment.of(order);
        if one == other {
            prop_assert!(matches!(verdict(&bytes), Ok(Verdict::Verified(_))));
        } else {
            assert_broken(&bytes, one.min(other))?;
        }
    }

    #[test]
    fn a_repeated_record_is_found(segment in segment(), again in any::<Index>(), place in any::<Index>()) {
        let (again, place) = (again.index(segment.records()), place.index(segment.records() + 1));
        let mut order: Vec<_> = (0..segment.records()).collect();
        order.insert(place, again);
        // Beside itself, the second of the two is the one that does not belong.
        let at_most = if place == again { place + 1 } else { place };
        assert_broken(&segment.of(order), at_most)?;
    }

    #[test]
    fn bytes_cut_out_of_the_middle_are_found(segment in segment(), start in any::<Index>(), length in 1_usize..400) {
        let mut bytes = segment.bytes.clone();
        let last = segment.starts[segment.records() - 1];
        let start = start.index(last);
        bytes.drain(start..(start + length).min(last));
        let at_most = segment.first_changed(&bytes);
        match verdict(&bytes) {
            // Where less is left than the record states, it reads as a write that was cut short.
            Ok(Verdict::Verified(verified)) => {
                let torn = matches!(verified.ended, Ended::Torn { .. });
                prop_assert!(torn && verified.records <= at_most as u64, "{:?}", verified);
            }
            _ => assert_broken(&bytes, at_most)?,
        }
    }

    #[test]
    fn inserted_bytes_are_found(segment in segment(), place in any::<Index>(), added in vec(any::<u8>(), 8..100)) {
        let place = place.index(segment.bytes.len());
        let mut bytes = segment.bytes.clone();
        let before = bytes.clone();
        bytes.splice(place..place, added);
        if bytes[..before.len()] != before {
            assert_broken(&bytes, segment.first_changed(&bytes))?;
        }
    }

    #[test]
    fn a_cut_tail_cannot_be_proven_and_verify_says_so(segment in segment(), end in any::<Index>()) {
        let first = segment.starts[1];
        let end = first + end.index(segment.bytes.len() - first);
        let Ok(Verdict::Verified(verified)) = verdict(&segment.bytes[..end]) else {
            return Err(TestCaseError::fail("a cut tail is not a changed record"));
        };
        let whole = segment.starts.iter().rposition(|start| *start <= end).unwrap();
        prop_assert_eq!(verified.records, whole as u64);
        prop_assert_eq!(verified.head.unwrap().seq, whole as u64 - 1);
        let (offset, bytes) = (segment.starts[whole] as u64, (end - segment.starts[whole]) as u64);
        let expected = if bytes == 0 { Ended::Unclosed } else { Ended::Torn { offset, bytes } };
        prop_assert_eq!(verified.ended, expected);
    }
}

#[test]
fn records_of_another_session_do_not_fit() {
    let payloads = vec![b"the same".to_vec(); 2];
    let (one, other) = (Segment::with(&payloads, false), Segment::with(&payloads, false));
    let mut bytes = one.bytes[..one.starts[2]].to_vec();
    bytes.extend_from_slice(other.record(2));
    assert_broken(&bytes, 2).unwrap();
    let mut bytes = one.bytes[..one.starts[0]].to_vec();
    bytes.extend_from_slice(&other.bytes[other.starts[0]..]);
    assert_broken(&bytes, 0).unwrap();
}

#[test]
fn a_header_that_is_cut_is_named() {
    let segment = Segment::with(&[], false);
    for end in 0..segment.starts[0] {
        let Ok(Verdict::Broken(broken)) = verdict(&segment.bytes[..end]) else {
            panic!("cut at {end}")
        };
        assert_eq!((broken.offset, broken.seq, broken.what), (0, 0, Fault::HeaderCut));
    }
}

#[test]
fn zeros_at_the_end_are_a_torn_tail_and_anything_else_is_not() {
    let segment = Segment::with(&[vec![1, 2, 3]], false);
    let offset = segment.bytes.len() as u64;
    let mut zeros = segment.bytes.clone();
    zeros.resize(zeros.len() + 5_000, 0);
    let Ok(Verdict::Verified(verified)) = verdict(&zeros) else {
        panic!("zeros are not a change")
    };
    assert_eq!(verified.ended, Ended::Torn { offset, bytes: 5_000 });
    *zeros.last_mut().unwrap() = 1;
    let Ok(Verdict::Broken(broken)) = verdict(&zeros) else {
        panic!("not found")
    };
    assert_eq!((broken.offset, broken.what), (offset, Fault::Length));
}

#[test]
fn bytes_behind_the_end_are_found() {
    let mut segment = Segment::with(&[], true);
    segment.bytes.push(0);
    let Ok(Verdict::Broken(broken)) = verdict(&segment.bytes) else {
        panic!("not found")
    };
    assert_eq!((broken.seq, broken.what), (2, Fault::AfterEnd));
}

#[test]
fn what_is_not_a_file_is_not_read() {
    let home = tempfile::tempdir().unwrap();
    let pipe = home.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let link = home.path().join("link");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    let missing: PathBuf = home.path().join("missing");
    for path in [&pipe, &link, &missing, home.path(), Path::new("/dev/zero")] {
        assert!(
            matches!(verify(path), Err(AuditError::Read { .. })),
            "{}",
            path.display()
        );
    }
}
