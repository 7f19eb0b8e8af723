//! The verifier written from the document alone agrees with ours, on good and broken segments.

use crate::tamper::{Segment, verdict};
use cofferdam_audit::{AuditError, Verdict};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `tests/audit/verify.py` says about each of these, in one run.
fn verify_py(segments: &[Vec<u8>]) -> Vec<Value> {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command.arg(repository().join("tests/audit/verify.py"));
    for (number, bytes) in segments.iter().enumerate() {
        let path = home.path().join(format!("{number}.cfa"));
        fs::write(&path, bytes).unwrap();
        command.arg(path);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let values: Vec<Value> = said
        .lines()
        .map(|line| {
            let mut value: Value = serde_json::from_str(line).unwrap();
            value.as_object_mut().unwrap().remove("path").unwrap();
            value
        })
        .collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(values.len(), segments.len(), "verify.py stopped: {errors}");
    values
}

/// The same about ours.
fn ours(bytes: &[u8]) -> Value {
    match verdict(bytes) {
        Ok(Verdict::Verified(verified)) => json!({
            "verdict": "verified",
            "records": verified.records,
            "head": verified.head.map(|head| json!({"seq": head.seq, "hash": head.hash.to_string()})),
            "ended": verified.ended.to_string(),
        }),
        Ok(Verdict::Broken(broken)) => json!({
            "verdict": "broken",
            "offset": broken.offset,
            "seq": broken.seq,
            "what": broken.what.name(),
        }),
        Err(AuditError::Unsupported { what, .. }) => json!({"verdict": "unsupported", "what": what}),
        Err(error) => panic!("{error}"),
    }
}

pub(crate) fn assert_agree(segments: &[Vec<u8>]) -> Vec<String> {
    let mut verdicts = Vec::new();
    for (number, (bytes, theirs)) in segments.iter().zip(verify_py(segments)).enumerate() {
        let ours = ours(bytes);
        assert_eq!(ours, theirs, "segment {number}");
        let name = ours["what"].as_str().or(ours["ended"].as_str()).unwrap();
        let name = name.split(" in record").next().unwrap();
        verdicts.push(name.to_owned());
    }
    verdicts
}

#[test]
fn verify_py_agrees_on_every_cut_and_every_changed_byte() {
    let mut segments = Vec::new();
    for closed in [true, false] {
        let payloads = [b"{\"jsonrpc\":\"2.0\"}".to_vec(), Vec::new(), vec![0; 300]];
        let segment = Segment::with(&payloads, closed);
        for end in (0..=segment.bytes.len()).step_by(3) {
            segments.push(segment.bytes[..end].to_vec());
        }
        for (byte, bit) in (0..segment.bytes.len()).zip((0..8).cycle()) {
            let mut bytes = segment.bytes.clone();
            bytes[byte] ^= 1 << bit;
            segments.push(bytes);
        }
        for zeros in [1, 8, 100] {
            let mut bytes = segment.bytes.clone();
            bytes.resize(bytes.len() + zeros, 0);
            segments.push(bytes);
        }
    }
    let verdicts = assert_agree(&segments);
    for name in [
        "closed",
        "unclosed",
        "torn",
        "magic",
        "header-length",
        "header-cut",
        "header-hash",
        "length",
    ] {
        assert!(
            verdicts.iter().any(|verdict| verdict == name),
            "no segment was `{name}`"
        );
    }
    for name in [
        "facts-length",
        "sequence",
        "boot-clock",
        "chain",
        "length-behind",
        "after-end",
    ] {
        assert!(
            verdicts.iter().any(|verdict| verdict == name),
            "no segment was `{name}`"
        );
    }
}

/// Builds segments as the document says, so that they can be wrong in ways that no log is.
pub(crate) struct Builder {
    pub(crate) header: Vec<u8>,
    records: Vec<Vec<u8>>,
}

impl Builder {
    fn new() -> Self {
        let mut header = vec![0; 96];
        header[..8].copy_from_slice(b"\x89CFA\r\n\x1a\n");
        header[8] = 1;
        header[16] = 1;
        let mut builder = Self {
            header,
            records: vec![],
        };
        builder.field(1, b"files");
        builder.field(2, b"uid 1000");
        builder
    }

    fn field(&mut self, tag: u16, value: &[u8]) {
        self.header.extend(tag.to_le_bytes());
        self.header.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        self.header.extend(value);
    }

    /// A record without its chain value; `change` spoils its first 40 bytes.
    pub(crate) fn record(&mut self, kind: u8, facts: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let length = u32::try_from(76 + facts.len() + 3).unwrap();
        let mut record = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
        record.extend([kind, 0, 0, 0]);
        record.extend(u32::try_from(facts.len()).unwrap().to_le_bytes());
        record.extend((self.records.len() as u64).to_le_bytes());
        record.extend([0; 16]);
        change(&mut record);
        record.extend(facts);
        record.extend(b"pay");
        self.records.push(record);
    }

    /// A record with this encoding and payload.
    pub(crate) fn holding(&mut self, encoding: u8, payload: &[u8]) {
        let length = u32::try_from(76 + payload.len()).unwrap();
        let mut record = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
        record.extend([17, encoding, 0, 0, 0, 0, 0, 0]);
        record.extend((self.records.len() as u64).to_le_bytes());
        record.extend([0; 16]);
        record.extend(payload);
        self.records.push(record);
    }

    fn build(&self) -> Vec<u8> {
        let mut bytes = self.header.clone();
        let length = u32::try_from(bytes.len() + 32).unwrap();
        bytes[12..16].copy_from_slice(&length.to_le_bytes());
        let mut chain: [u8; 32] = Sha256::digest([&[2], bytes.as_slice()].concat()).into();
        bytes.extend(chain);
        for record in &self.records {
            let facts = u32::from_le_bytes(record[12..16].try_into().unwrap());
            let is_spoiled = facts as usize + 40 > record.len();
            let payload = if is_spoiled {
                record.len() - 3
            } else {
                40 + facts as usize
            };
            let (front, payload) = record.split_at(payload);
            let leaf: [u8; 32] = Sha256::digest([&[0], front, Sha256::digest(payload).as_slice()].concat()).into();
            chain = Sha256::digest([[1].as_slice(), &chain, &leaf].concat()).into();
            bytes.extend(record);
            bytes.extend(chain);
            bytes.extend(&record[..4]);
        }
        bytes
    }
}

pub(crate) fn built(change: impl FnOnce(&mut Builder)) -> Vec<u8> {
    let mut builder = Builder::new();
    change(&mut builder);
    builder.build()
}

#[test]
fn verify_py_agrees_on_segments_that_no_log_writes() {
    let plain = |builder: &mut Builder| {
        builder.record(1, b"{}", |_| {});
        builder.record(17, b"", |_| {});
    };
    let header = |byte: usize, value: u8| {
        built(|builder| {
            builder.header[byte] = value;
            plain(builder);
        })
    };
    let field = |tag: u16, value: &[u8]| {
        built(|builder| {
            builder.field(tag, value);
            plain(builder);
        })
    };
    let second = |kind: u8, facts: &[u8], byte: usize, value: u8| {
        built(|builder| {
            builder.record(1, b"", |_| {});
            builder.record(kind, facts, |record| record[byte] = value);
        })
    };
    let cases = [
        ("unclosed", built(plain)),
        ("unclosed", built(|_| {})),
        ("format version 2", header(8, 2)),
        ("header flags 256", header(11, 1)),
        ("hash algorithm 3", header(16, 3)),
        ("payload compression 1", header(17, 1)),
        ("header-field", header(18, 1)),
        ("encryption 2", header(18, 2)),
        ("payload store 2", header(19, 2)),
        ("unclosed", field(3, b"later")),
        ("header field 32769", field(32_769, b"age1")),
        ("header-field", field(2, b"again")),
        ("header-field", built(|builder| builder.header.truncate(107))),
        ("header-field", built(|builder| builder.header.truncate(109))),
        ("header-field", header(103, b'\xff')),
        ("header-field", header(63, 0x80)),
        ("continued", second(3, b"", 9, 0)),
        ("unclosed", second(200, b"", 9, 0)),
        ("payload encoding 2", second(17, b"", 9, 2)),
        ("unclosed", second(17, b"", 10, 1)),
        ("record flags 2", second(17, b"", 10, 2)),
        ("facts-text", second(17, b"\xff", 9, 0)),
        ("facts-text", second(17, b"\xed\xa0\x80", 9, 0)),
        ("facts-length", second(17, b"", 12, 4)),
        (
            "boot-clock",
            built(|builder| {
                builder.record(1, b"", |record| record[32] = 9);
                builder.record(17, b"", |record| record[32] = 8);
            }),
        ),
        ("first-record", built(|builder| builder.record(17, b"", |_| {}))),
        (
            "sequence",
            built(|builder| builder.record(1, b"", |record| record[16] = 1)),
        ),
        (
            "unclosed",
            built(|builder| {
                // A later segment begins with any kind, at its own number.
                builder.header[20] = 1;
                builder.header[56] = 9;
                builder.record(17, b"", |record| record[16] = 9);
            }),
        ),
    ];
    let (expected, segments): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    assert_eq!(assert_agree(&segments), expected);
}

#[test]
fn verify_py_agrees_on_sealed_segments() {
    let sealed = |fields: &[(u16, &[u8])]| {
        built(|builder| {
            builder.header[18] = 1;
            for (tag, value) in fields {
                builder.field(*tag, value);
            }
            builder.record(1, b"{}", |_| {});
            builder.record(17, b"", |record| record[9] = 4);
        })
    };
    let cases = [
        ("unclosed", sealed(&[(32_769, b"age1"), (32_770, b"key")])),
        ("header-field", sealed(&[(32_769, b"age1")])),
        ("header-field", sealed(&[(32_769, b"\xff"), (32_770, b"key")])),
    ];
    let (expected, segments): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    assert_eq!(assert_agree(&segments), expected);
}

#[test]
fn the_test_vector_of_the_document_is_verified_by_both() {
    let document = fs::read_to_string(repository().join("docs/audit-format.md")).unwrap();
    let (_, vector) = document.split_once("<!-- vector -->").unwrap();
    let lines = vector.lines().skip_while(|line| *line != "```hex").skip(1);
    let mut bytes = Vec::new();
    for line in lines.take_while(|line| *line != "```") {
        let (digits, times) = line.split_once('*').unwrap_or((line, "1"));
        let digits = digits.as_bytes().as_chunks::<2>().0.iter();
        let run: Vec<u8> = digits
            .map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap())
            .collect();
        bytes.extend(run.repeat(times.parse().unwrap()));
    }
    assert_eq!(assert_agree(&[bytes]), ["closed"]);
}
