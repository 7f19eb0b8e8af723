//! A proof that one record is in the record: self-contained, checked without the log by anyone who has the ledger's key.

use cofferdam_audit::{AuditError, Digest, Reader, Record, Reference, Session};
use cofferdam_ledger::{Contents, Inclusion, PublicKey, What, check_inclusion, parse_checkpoint};
use serde::{Deserialize, Serialize};

/// What the first member of every proof says.
const FORMAT: &str = "cofferdam-proof/1";
/// The longest proof that is read, in bytes: a payload of 64 MiB in hexadecimal, and room.
pub(crate) const PROOF_BYTES_MAX: u64 = 160 * 1024 * 1024;
/// A segment's header: up to here, its last 32 bytes not included, it is hashed.
const HASH_BYTES: usize = 32;
/// Where in a record's front its payload encoding stands, and the one that says that an earlier record holds the payload.
const ENCODING: usize = 9;
const REPEATED: u8 = 1;
/// Where in a header the chain value at the end of the segment before stands.
const PREVIOUS: std::ops::Range<usize> = 64..96;

/// A proof, as it is written. Bytes are lowercase hexadecimal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    format: String,
    /// The record's first 40 bytes and its facts.
    front: String,
    payload_digest: String,
    /// What stands in the payload's place where an earlier record holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reference: Option<String>,
    /// The payload, unless it is kept back.
    payload: Option<String>,
    /// The chain value before the record.
    before: String,
    /// From the record to the head that the ledger knows.
    then: Vec<Step>,
    /// The ledger's entry, its place, and the way to the checkpoint's root.
    entry: String,
    index: u64,
    path: Vec<String>,
    checkpoint: String,
    key: String,
}

/// One step of the chain.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Step {
    /// The hash of the next record.
    Record(String),
    /// The header of the segment that goes on here.
    Header(String),
}

/// What a proof that holds says.
#[derive(Debug)]
pub(crate) struct Proven {
    pub(crate) session: String,
    pub(crate) server: String,
    pub(crate) seq: u64,
    pub(crate) kind: String,
    pub(crate) wall_ns: u64,
    pub(crate) facts: String,
    /// The payload, where it is shown; it is the one that was recorded.
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) key: PublicKey,
}

/// Puts a proof of one record together.
///
/// # Errors
/// The record is not there, its session is broken, or no head in the ledger covers it; in words.
pub(crate) fn prove(session: &Session, seq: u64, contents: &Contents, shows_payload: bool) -> Result<Proof, String> {
    let id = &session.header.session;
    let (index, covering) = (0_u64..)
        .zip(&contents.entries)
        .filter(|(_, entry)| entry.session == *id && entry.seq >= seq && !matches!(entry.what, What::Pruned))
        .min_by_key(|(_, entry)| entry.seq)
        .ok_or_else(|| format!("the ledger has no head of this session at or after record {seq} yet"))?;
    let until = covering.seq;
    let mut found: Option<(Record, Digest)> = None;
    let mut then = Vec::new();
    let said = |error: AuditError| error.to_string();
    for path in &session.segments {
        let mut reader = Reader::open(path).map_err(said)?;
        let header = reader.header_bytes();
        if found.is_some() {
            then.push(Step::Header(hex(header)));
        }
        let covered = header.split_at(header.len().saturating_sub(HASH_BYTES)).0;
        let mut before = Digest::of_header(covered);
        while let Some(record) = reader.next_record().map_err(said)? {
            let after = record.hash;
            if found.is_some() && record.seq <= until {
                then.push(Step::Record(record.leaf.to_string()));
            }
            if record.seq == seq {
                found = Some((record, before));
            }
            before = after;
        }
    }
    let (record, before) = found.ok_or_else(|| format!("the session has no record {seq}"))?;
    while matches!(then.last(), Some(Step::Header(_))) {
        then.pop();
    }
    let inclusion = contents
        .inclusion(index)
        .ok_or("the ledger has no checkpoint that covers the entry")?;
    let key = contents.key.as_ref().map(PublicKey::as_str).unwrap_or_default();
    let proof = Proof {
        format: FORMAT.to_owned(),
        front: hex(&record.front()),
        payload_digest: record.stored_digest.to_string(),
        reference: record.repeats.as_ref().map(|repeats| hex(&repeats.reference.bytes())),
        payload: shows_payload.then(|| hex(&record.payload)),
        before: before.to_string(),
        then,
        entry: String::from_utf8_lossy(&inclusion.leaf).into_owned(),
        index,
        path: inclusion.path.iter().map(|hash| hex(hash)).collect(),
        checkpoint: String::from_utf8_lossy(&inclusion.checkpoint.note).into_owned(),
        key: key.to_owned(),
    };
    // What does not hold is never handed out: the ledger and the session may disagree.
    check(&proof, None).map(|_proven| proof)
}

/// Checks a proof, against this key or, without one, the key it brings itself.
///
/// # Errors
/// Why it does not hold, in words.
pub(crate) fn check(proof: &Proof, key: Option<PublicKey>) -> Result<Proven, String> {
    if proof.format != FORMAT {
        return Err(format!("it is not of the form `{FORMAT}`"));
    }
    let key = match key {
        Some(key) => key,
        None => PublicKey::parse(&proof.key).map_err(|error| error.to_string())?,
    };
    let front = bytes(&proof.front, "front")?;
    let payload = proof
        .payload
        .as_deref()
        .map(|payload| bytes(payload, "payload"))
        .transpose()?;
    let payload_digest = digest(&proof.payload_digest, "payload_digest")?;
    let shown = shown_digest((&front, payload_digest), proof.reference.as_deref())?;
    if payload
        .as_deref()
        .is_some_and(|payload| Digest::of_payload(payload) != shown)
    {
        return Err("the payload is not the one that was recorded".to_owned());
    }
    let mut chain = digest(&proof.before, "before")?.step(&Digest::of_record(&front, &payload_digest));
    let (seq, kind, wall_ns, facts) = in_front(&front).ok_or("`front` is not the front of a record")?;
    let mut last = seq;
    for step in &proof.then {
        match step {
            Step::Record(hash) => {
                chain = chain.step(&digest(hash, "then")?);
                last = last.saturating_add(1);
            }
            Step::Header(header) => {
                let header = bytes(header, "then")?;
                if header.get(PREVIOUS) != Some(chain.bytes().as_slice()) {
                    return Err("a segment's header does not follow from the one before".to_owned());
                }
                chain = Digest::of_header(header.split_at(header.len().saturating_sub(HASH_BYTES)).0);
            }
        }
    }
    let checkpoint = parse_checkpoint(proof.checkpoint.as_bytes(), &key).map_err(|error| error.to_string())?;
    let path: Result<Vec<[u8; 32]>, String> = proof
        .path
        .iter()
        .map(|hash| digest(hash, "path").map(|hash| *hash.bytes()))
        .collect();
    let inclusion = Inclusion {
        leaf: proof.entry.clone().into_bytes(),
        index: proof.index,
        path: path?,
        checkpoint,
    };
    let entry = check_inclusion(&inclusion, &key).map_err(|error| error.to_string())?;
    if (entry.seq, entry.hash.as_str()) != (last, chain.to_string().as_str()) {
        return Err("the record does not lead to the head that the ledger knows".to_owned());
    }
    Ok(Proven {
        session: entry.session,
        server: entry.server,
        seq,
        kind,
        wall_ns,
        facts,
        payload,
        key,
    })
}

/// The digest that a payload must have: the record's own, or that of the reference which stands in the payload's place.
fn shown_digest((front, stored): (&[u8], Digest), reference: Option<&str>) -> Result<Digest, String> {
    let is_reference = front.get(ENCODING) == Some(&REPEATED);
    match reference {
        None if is_reference => Err("`reference` is missing".to_owned()),
        None => Ok(stored),
        Some(_) if !is_reference => Err("the record holds its payload itself, and no `reference`".to_owned()),
        Some(reference) => {
            let reference = bytes(reference, "reference")?;
            let read = Reference::read(&reference).filter(|_| Digest::of_payload(&reference) == stored);
            read.map(|reference| reference.digest)
                .ok_or_else(|| "the reference is not the one that was recorded".to_owned())
        }
    }
}

/// Number, kind, wall clock and facts of a record, from its front.
fn in_front(front: &[u8]) -> Option<(u64, String, u64, String)> {
    let field = |range: std::ops::Range<usize>| front.get(range);
    let number = |range| {
        field(range)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_le_bytes)
    };
    let kind = cofferdam_audit::Kind::from_code(*front.get(8)?);
    let facts = String::from_utf8(front.get(40..)?.to_vec()).ok()?;
    Some((number(16..24)?, kind.to_string(), number(24..32)?, facts))
}

fn digest(text: &str, member: &str) -> Result<Digest, String> {
    Digest::parse(text).ok_or_else(|| format!("`{member}` is not a hash in hexadecimal"))
}

fn bytes(text: &str, member: &str) -> Result<Vec<u8>, String> {
    let malformed = || format!("`{member}` is not hexadecimal");
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed());
    }
    let byte = |pair: &[u8; 2]| {
        str::from_utf8(pair)
            .ok()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
    };
    pairs.iter().map(|pair| byte(pair).ok_or_else(malformed)).collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}
