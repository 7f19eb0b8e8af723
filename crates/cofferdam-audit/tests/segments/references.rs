//! References to payloads that do not lead to one, as no log writes them: refused by every reader, and by the verifier
//! written from the document alone.

use crate::python::{assert_agree, built};
use cofferdam_audit::{AuditError, Payloads, Reader, Skim};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any};
use proptest::prop_oneof;
use proptest::sample::Index;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use sha2::{Digest as _, Sha256};
use std::fs;

/// Where the builder's second and third record begin, when the second has a payload of this length.
fn places(payload: usize) -> (u64, u64) {
    let second = 96 + (6 + 5) + (6 + 8) + 32 + 76 + 3;
    (second, second + 76 + payload as u64)
}

fn reference(offset: u64, seq: u64, payload: &[u8]) -> Vec<u8> {
    [
        &offset.to_le_bytes()[..],
        &seq.to_le_bytes(),
        Sha256::digest(payload).as_slice(),
    ]
    .concat()
}

/// An `open` record, one with this payload, and further ones with these encodings and payloads.
fn referring(payload: &[u8], further: &[(u8, Vec<u8>)]) -> Vec<u8> {
    built(|builder| {
        builder.header[19] = 1;
        builder.record(1, b"", |_| {});
        builder.holding(0, payload);
        for (encoding, payload) in further {
            builder.holding(*encoding, payload);
        }
    })
}

#[test]
fn verify_py_agrees_on_forged_references() {
    let large = vec![b'a'; 4096];
    let (second, third) = places(large.len());
    let good = reference(second, 1, &large);
    let one = |reference: Vec<u8>| referring(&large, &[(1, reference)]);
    let other = |offset: usize, bytes: &[u8]| {
        let mut changed = good.clone();
        changed[offset..offset + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let short = vec![b'a'; 4095];
    let cases = [
        ("unclosed", one(good.clone())),
        (
            "unclosed",
            referring(&large, &[(1, good.clone()), (0, large.clone()), (1, good.clone())]),
        ),
        // To itself, to a later one, to nowhere, to the header, into the middle of a payload.
        ("repeat", one(reference(third, 2, &good))),
        (
            "repeat",
            referring(
                &large,
                &[(1, reference(third + 76 + 48, 3, &large)), (0, large.clone())],
            ),
        ),
        ("repeat", one(other(0, &u64::MAX.to_le_bytes()))),
        ("repeat", one(other(0, &0_u64.to_le_bytes()))),
        ("repeat", one(other(0, &(second + 1).to_le_bytes()))),
        // Another number, and the digest of a payload of another session.
        ("repeat", one(other(8, &[0]))),
        ("repeat", one(other(16, &[0xff; 32]))),
        // Too short, too long, empty.
        ("repeat", one(good[..47].to_vec())),
        ("repeat", one([good.as_slice(), &[0]].concat())),
        ("repeat", one(Vec::new())),
        // A chain of references, a pair that refers to each other, a payload that is not large.
        (
            "repeat",
            referring(&large, &[(1, good.clone()), (1, reference(third, 2, &large))]),
        ),
        (
            "repeat",
            referring(
                &large,
                &[(1, reference(third + 124, 3, &large)), (1, reference(third, 2, &large))],
            ),
        ),
        ("repeat", referring(&short, &[(1, reference(second, 1, &short))])),
        // A sealed record where nothing is sealed, and a reference where everything stands in its record.
        (
            "payload encoding 1",
            built(|builder| {
                builder.record(1, b"", |_| {});
                builder.holding(0, &large);
                builder.holding(1, &good);
            }),
        ),
        ("payload encoding 4", referring(&large, &[(4, large.clone())])),
    ];
    let (expected, segments): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    assert_eq!(assert_agree(&segments), expected);
    let known = expected
        .iter()
        .zip(&segments)
        .filter(|(expected, _)| !expected.starts_with("payload"));
    for (expected, bytes) in known {
        assert_read(bytes, *expected == "unclosed");
    }
}

/// Whoever reads payloads refuses the same as who verifies, and so does who asks without proving.
fn assert_read(bytes: &[u8], expected: bool) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    assert_eq!(crate::common::records(file.path()).is_ok(), expected);
    let mut skim = Skim::open(file.path()).unwrap();
    let asked = loop {
        match skim.next_record() {
            Ok(Some(record)) => assert!(record.payload == b"pay" || record.payload.len() >= 4095),
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    assert_eq!(asked, expected);
}

/// A reader that goes on in the middle has not seen what a reference leads to.
#[test]
fn who_begins_in_the_middle_proves_what_a_reference_leads_to() {
    let large = vec![b'a'; 4096];
    let (second, third) = places(large.len());
    let mut bytes = referring(&large, &[(1, reference(second, 1, &large)), (0, b"pay".to_vec())]);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &bytes).unwrap();
    let mut reader = Reader::open(file.path()).unwrap();
    let (_open, _first) = (reader.next_record().unwrap(), reader.next_record().unwrap());
    let position = reader.position();
    assert_eq!(position.offset, third);
    let mut resumed = Reader::resume(file.path(), position).unwrap();
    assert_eq!(resumed.next_record().unwrap().unwrap().payload, large);
    assert_eq!(resumed.next_record().unwrap().unwrap().payload, b"pay");
    // Changed behind its back.
    bytes[usize::try_from(second).unwrap() + 100] ^= 1;
    fs::write(file.path(), &bytes).unwrap();
    for payloads in [Payloads::Whole, Payloads::First(0), Payloads::First(9)] {
        let mut resumed = Reader::resume(file.path(), position).unwrap().keeping(payloads);
        let refused = resumed.next_record();
        assert!(
            matches!(&refused, Err(AuditError::Broken { broken, .. }) if broken.what.name() == "repeat"),
            "{refused:?}"
        );
    }
}

/// One record of a made-up segment: its own payload, or a reference that is mostly right.
#[derive(Clone, Debug)]
enum Made {
    Holds(u8, usize),
    /// To which record, and what is spoiled: its place, number or digest by so much, or the length.
    Refers(Index, usize, u8),
}

fn made() -> impl Strategy<Value = Vec<Made>> {
    let letters = 0_u8..3;
    let holds = (letters, prop_oneof![Just(4_095_usize), Just(4_096), Just(5_000)]);
    let refers = (any::<Index>(), 0_usize..12, any::<u8>());
    let one = prop_oneof![
        holds.prop_map(|(letter, bytes)| Made::Holds(letter, bytes)),
        refers.prop_map(|(to, what, by)| Made::Refers(to, what, by)),
    ];
    vec(one, 1..8)
}

/// The segment with these records, its chain right whatever they say.
fn segment(records: &[Made]) -> Vec<u8> {
    let (mut place, _) = places(0);
    let (mut before, mut further) = (Vec::new(), Vec::new());
    for (seq, record) in (1_u64..).zip(records) {
        let (encoding, payload) = match record {
            Made::Holds(letter, bytes) => (0, vec![b'a' + letter; *bytes]),
            Made::Refers(to, what, by) => {
                let nothing = (0, 0, Vec::new());
                let known = if before.is_empty() { &nothing } else { to.get(&before) };
                let mut stored = reference(known.0, known.1, &known.2);
                match what {
                    0..4 => stored[what * 8] ^= by,
                    4 => stored.truncate(usize::from(*by).min(47)),
                    _ => {}
                }
                (1, stored)
            }
        };
        before.push((place, seq, payload.clone()));
        place += 76 + payload.len() as u64;
        further.push((encoding, payload));
    }
    built(|builder| {
        builder.header[19] = 1;
        builder.record(1, b"", |_| {});
        for (encoding, payload) in &further {
            builder.holding(*encoding, payload);
        }
    })
}

/// Four readings of whatever references there are: ours without payloads and with them, that of a question, and the document's.
#[test]
fn every_reading_of_made_up_references_is_the_same() {
    let mut runner = TestRunner::deterministic();
    let strategy = made();
    let segments: Vec<Vec<u8>> = (0..400)
        .map(|_| segment(&strategy.new_tree(&mut runner).unwrap().current()))
        .collect();
    let verdicts = assert_agree(&segments);
    for (verdict, bytes) in verdicts.iter().zip(&segments) {
        assert_read(bytes, verdict == "unclosed");
    }
    for expected in ["unclosed", "repeat"] {
        let count = verdicts.iter().filter(|verdict| *verdict == expected).count();
        assert!(count > 50, "{count} of {} are `{expected}`", verdicts.len());
    }
}
