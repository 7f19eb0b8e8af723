//! Segments that were damaged, forged or never were any: no reader panics, no two of them disagree, and none gives a record that was not
//! written.
#![no_main]

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use cofferdam_audit::{
    Clock, Digest, Durability, Entry, Kind, Log, Opening, Options, Quota, Reader, Record, Reference, Rotation, Seal,
    Sealing, Skim, Store, Verdict, Wrapped, pack, verify,
};
use libfuzzer_sys::fuzz_target;

const SESSION: &str = "000102030405060708090a0b0c0d0e0f";
const WALL_NS: u64 = 1_795_219_200_000_000_000;
/// How many of the last records are looked for from the end.
const TAIL: usize = 3;

/// The same moment for ever: a seed must mean the same tomorrow.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> (u64, u64) {
        (WALL_NS, 7)
    }
}

/// No cipher: sixteen bytes behind the payload, as sealing adds them.
#[derive(Debug)]
struct Longer;

impl Sealing for Longer {
    fn begin(&self) -> Result<Box<dyn Seal>, String> {
        Ok(Box::new(Self))
    }
}

impl Seal for Longer {
    fn wrapped(&self) -> Wrapped {
        Wrapped {
            recipients: "age1nobody".to_owned(),
            key: b"a key".to_vec(),
        }
    }

    fn seal(&self, seq: u64, _front: &[u8], payload: &[u8], sealed: &mut Vec<u8>) -> bool {
        sealed.extend_from_slice(payload);
        sealed.extend_from_slice(&u128::from(seq).to_le_bytes());
        true
    }
}

/// A segment as it was written, and its records.
struct Whole {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// Plain, sealed, and both packed.
static WHOLE: LazyLock<Vec<Whole>> = LazyLock::new(|| {
    let sealings: [Option<Arc<dyn Sealing>>; 2] = [None, Some(Arc::new(Longer))];
    sealings.into_iter().flat_map(written).collect()
});
static PLACE: LazyLock<Place> = LazyLock::new(Place::make);

/// Where the segment lies that is read.
struct Place {
    store: Store,
    path: PathBuf,
}

impl Place {
    fn make() -> Self {
        let program = std::env::current_exe().expect("the target knows where it is");
        let root = program.with_extension(format!("{}", std::process::id()));
        let server = root.join("server");
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&server)
            .expect("a folder for the segment");
        Self {
            store: Store::open(&root).expect("the folder is ours"),
            path: server.join(format!("20261121T000000Z-{SESSION}.cfa")),
        }
    }
}

/// A session with small and large payloads, one of them twice, as it is written and packed.
fn written(sealing: Option<Arc<dyn Sealing>>) -> [Whole; 2] {
    let root = PLACE.path.with_extension("templates");
    let options = Options {
        durability: Durability::Written,
        quota: Quota::UNLIMITED,
        clock: Arc::new(Still),
        rotation: Rotation::STANDARD,
        sealing,
    };
    let opening = Opening {
        session: SESSION,
        server: "server",
        principal: "somebody",
        facts: r#"{"profile":"test"}"#,
    };
    let log = Log::create(&root, opening, options).expect("a log");
    let large = "large ".repeat(1_000);
    for (facts, payload) in [
        ("", "small"),
        (r#"{"decision":"deny"}"#, &large),
        ("{}", ""),
        ("", &large),
    ] {
        let entry = Entry {
            kind: Kind::ClientLine,
            facts,
            payload: payload.as_bytes(),
        };
        log.note(entry).expect("a record");
    }
    log.close("").expect("an end");
    drop(log);
    let store = Store::open(&root).expect("a store");
    let path = store.segments().expect("a list").pop().expect("a segment");
    let plain = Whole::read(&path);
    let packed = pack(&path).expect("room").expect("a segment that has ended").path;
    let packed = Whole::read(&packed);
    std::fs::remove_dir_all(root).expect("ours");
    [plain, packed]
}

impl Whole {
    fn read(path: &Path) -> Self {
        Self {
            bytes: std::fs::read(path).expect("a file"),
            records: given(path).expect("a segment").0,
        }
    }
}

/// The records that a reader gives out, and whether it came to the end without a fault.
fn given(path: &Path) -> Option<(Vec<Record>, bool)> {
    let mut reader = Reader::open(path).ok()?;
    let mut records = Vec::new();
    loop {
        match reader.next_record() {
            Ok(Some(record)) => records.push(record),
            Ok(None) => return Some((records, true)),
            Err(_) => return Some((records, false)),
        }
    }
}

/// Reads these bytes in every way there is, and gives what was proven of them.
fn look(bytes: &[u8]) -> Vec<Record> {
    let path = PLACE.path.as_path();
    std::fs::write(path, bytes).expect("room for an input");
    let verdict = verify(path);
    let Some((records, is_whole)) = given(path) else {
        assert!(
            !matches!(verdict, Ok(Verdict::Verified(_))),
            "verified, and nobody can open it"
        );
        return Vec::new();
    };
    match verdict {
        Ok(Verdict::Verified(verified)) => assert!(is_whole && verified.records == records.len() as u64),
        Ok(Verdict::Broken(broken)) => assert!(!is_whole && !broken.to_string().is_empty()),
        Err(error) => assert!(!is_whole && !error.to_string().is_empty()),
    }
    let mut skim = Skim::open(path).expect("a reader opened it");
    for record in &records {
        let skimmed = skim
            .next_record()
            .expect("a reader read it")
            .expect("a reader found it");
        assert_eq!(
            (skimmed.seq, skimmed.kind, skimmed.wall_ns),
            (record.seq, record.kind, record.wall_ns)
        );
        assert!(skimmed.facts == record.facts.as_bytes() && skimmed.payload == record.payload);
        assert_eq!(skimmed.sealed, record.sealed);
    }
    while let Ok(Some(_)) = skim.next_record() {}
    let tail = PLACE.store.tail(TAIL, usize::MAX).expect("the folder is there");
    if is_whole {
        let last: Vec<u64> = records.iter().rev().take(TAIL).rev().map(|record| record.seq).collect();
        let found: Vec<u64> = tail.items.iter().map(|located| located.record.seq).collect();
        assert_eq!(found, last, "{:?}", tail.problems);
    }
    records
}

/// A whole segment with some of its bytes changed, put in or cut: nothing but a beginning of what was written is given out.
fn edited(whole: &Whole, edits: &[u8]) {
    let mut bytes = whole.bytes.clone();
    for edit in edits.chunks_exact(4) {
        let [what, low, high, value] = [edit[0], edit[1], edit[2], edit[3]];
        let at = usize::from(u16::from_le_bytes([low, high]));
        // From the beginning or the end.
        let at = if what & 1 == 0 {
            at
        } else {
            bytes.len().saturating_sub(at)
        };
        match (what >> 1) % 3 {
            0 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= value),
            1 => bytes.truncate(at),
            _ => bytes.insert(at.min(bytes.len()), value),
        }
    }
    let records = look(&bytes);
    let is_same = records.len() <= whole.records.len() && records == whole.records[..records.len()];
    // What only a file's end tells is not covered by any chain: a cut segment is a shorter one.
    assert!(is_same, "a record that was never written");
}

/// Records that fit the chain, by somebody who can compute it, and say anything.
fn forged(mut input: &[u8]) {
    let plain = &WHOLE[0];
    let header_bytes = usize::try_from(plain.records[0].offset).expect("a short header");
    let mut bytes = plain.bytes[..header_bytes].to_vec();
    let mut chain = Digest::of_header(&bytes[..header_bytes - 32]);
    let mut written: Vec<Reference> = Vec::new();
    while let Some((head, rest)) = input.split_first_chunk::<6>() {
        let [kind, encoding, flags, skipped, facts, payload] = *head;
        let (facts, rest) = rest.split_at(usize::from(facts).min(rest.len()));
        let (stated, rest) = rest.split_at(usize::from(payload & 0x3f).min(rest.len()));
        input = rest;
        let earlier = written.get(usize::from(payload) % written.len().max(1));
        let payload = match (payload >> 6, earlier) {
            (1, Some(earlier)) => earlier.bytes().to_vec(),
            (2, _) => vec![payload; 5_000],
            _ => stated.to_vec(),
        };
        let seq = written.len() as u64 + u64::from(skipped);
        let length = u32::try_from(76 + facts.len() + payload.len()).expect("short");
        let kind = if written.is_empty() { 1 } else { kind };
        let mut front = [length.to_le_bytes(), (!length).to_le_bytes()].concat();
        front.extend_from_slice(&[kind, encoding, flags, 0]);
        front.extend_from_slice(&u32::try_from(facts.len()).expect("short").to_le_bytes());
        for number in [seq, WALL_NS, 7] {
            front.extend_from_slice(&number.to_le_bytes());
        }
        front.extend_from_slice(facts);
        let digest = Digest::of_payload(&payload);
        written.push(Reference {
            offset: bytes.len() as u64,
            seq,
            digest,
        });
        chain = chain.step(&Digest::of_record(&front, &digest));
        bytes.extend_from_slice(&front);
        bytes.extend_from_slice(&payload);
        bytes.extend_from_slice(chain.bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
    }
    look(&bytes);
}

// The first byte says what the rest is: edits of a whole segment, records that are to be chained, or a file.
fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    match (usize::from(*first), WHOLE.get(usize::from(*first))) {
        (_, Some(whole)) => edited(whole, rest),
        (4, None) => forged(rest),
        _ => drop(look(rest)),
    }
});
