//! Entries on their way into the record, and the proof that they are in it.

use crate::chain::Digest;
use crate::error::AuditError;
use crate::kind::Kind;
use crate::record::{FACTS_BYTES_MAX, FRAME_BYTES, PAYLOAD_BYTES_MAX, Prefix};
use crate::repeat::{REPEAT_BYTES_MIN, REPEATED, Reference, Remembered};
use crate::seal::{SEAL_BYTES, SEALED, Seal};
use crate::veil::{VEILED, Veiling, veil};

/// Most bytes one group may take: one write each, and one buffer that holds it.
pub(crate) const GROUP_BYTES_MAX: usize = 2 * PAYLOAD_BYTES_MAX;

/// Proof that this value's entry is in the record, at the durability the log was created with.
///
/// Only a [`Log`](crate::Log) makes one, and it owns the value: there is no way to put another
/// value under the proof.
///
/// ```compile_fail,E0451
/// let forged = cofferdam_audit::Recorded { value: "a line", seq: 7 };
/// ```
/// ```compile_fail,E0599
/// fn swap(proof: cofferdam_audit::Recorded<u8>) { let _ = proof.map(|_| 9); }
/// ```
/// ```compile_fail,E0599
/// fn twice(proof: cofferdam_audit::Recorded<u8>) { let _ = proof.clone(); }
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a recorded value that goes nowhere was recorded for nothing"]
pub struct Recorded<T> {
    value: T,
    seq: u64,
}

impl<T> Recorded<T> {
    /// Called by the log once the entry is written.
    pub(crate) const fn new(value: T, seq: u64) -> Self {
        Self { value, seq }
    }

    /// The number of the value's record in its session; of the last one when it has several.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The value, without its proof.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> AsRef<T> for Recorded<T> {
    fn as_ref(&self) -> &T {
        &self.value
    }
}

impl<T, E> Recorded<Result<T, E>> {
    /// Splits an outcome that was recorded as one into the case it is.
    ///
    /// # Errors
    /// The recorded `Err`, still with its proof.
    pub fn transpose(self) -> Result<Recorded<T>, Recorded<E>> {
        let seq = self.seq;
        match self.value {
            Ok(value) => Ok(Recorded { value, seq }),
            Err(value) => Err(Recorded { value, seq }),
        }
    }
}

/// What is to be written about one thing.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What it is about. [`Kind::Open`], [`Kind::Close`] and [`Kind::Continued`] are the log's
    /// own and refused here, as are kinds without a name.
    pub kind: Kind,
    /// What is known about it: a compact JSON object, or empty. Only its first and last byte
    /// are looked at. At most [`FACTS_BYTES_MAX`].
    pub facts: &'a str,
    /// The bytes exactly as received. At most [`PAYLOAD_BYTES_MAX`].
    pub payload: &'a [u8],
}

/// A value that is not in the record, and why: it can be answered for, and never becomes a [`Recorded`] without another append.
#[derive(Debug)]
#[must_use = "what could not be recorded must be answered for"]
pub struct Unrecorded<T> {
    value: T,
    error: AuditError,
}

impl<T> Unrecorded<T> {
    pub(crate) const fn new(value: T, error: AuditError) -> Self {
        Self { value, error }
    }

    /// Why.
    #[must_use]
    pub const fn error(&self) -> &AuditError {
        &self.error
    }

    /// The value.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// Why, without the value.
    #[must_use]
    pub fn into_error(self) -> AuditError {
        self.error
    }

    /// Both.
    #[must_use]
    pub fn into_parts(self) -> (T, AuditError) {
        (self.value, self.error)
    }
}

impl<T> AsRef<T> for Unrecorded<T> {
    fn as_ref(&self) -> &T {
        &self.value
    }
}

impl<T> From<Unrecorded<T>> for AuditError {
    fn from(unrecorded: Unrecorded<T>) -> Self {
        unrecorded.error
    }
}

/// Entries that go into the record together: in order, in one write, all or none.
#[derive(Debug)]
pub struct Group<'a> {
    bytes: &'a mut Vec<u8>,
    wall_ns: u64,
    boot_ns: u64,
    next_seq: u64,
    chain: Digest,
    counted: bool,
    spared: u64,
    fault: Option<AuditError>,
    seal: Option<&'a dyn Seal>,
    veiling: Option<&'a dyn Veiling>,
    /// Large payloads before it, and where in the segment the group begins.
    remembered: Option<(&'a mut Remembered, u64)>,
}

impl<'a> Group<'a> {
    /// A group that follows what is already written. `bytes` is empty and belongs to the log.
    pub(crate) fn following(
        bytes: &'a mut Vec<u8>,
        next_seq: u64,
        chain: Digest,
        (wall_ns, boot_ns): (u64, u64),
    ) -> Self {
        Self {
            bytes,
            wall_ns,
            boot_ns,
            next_seq,
            chain,
            counted: false,
            spared: 0,
            fault: None,
            seal: None,
            veiling: None,
            remembered: None,
        }
    }

    /// The same group, its payloads sealed.
    pub(crate) fn sealed_with(mut self, seal: Option<&'a dyn Seal>) -> Self {
        self.seal = seal;
        self
    }

    /// The same group, which begins at this place of a segment; large payloads that come again are stored once.
    pub(crate) fn storing_once(mut self, remembered: &'a mut Remembered, offset: u64) -> Self {
        remembered.begin();
        self.remembered = Some((remembered, offset));
        self
    }

    /// The same group, secret values in it replaced.
    pub(crate) fn veiled_by(mut self, veiling: Option<&'a dyn Veiling>) -> Self {
        self.veiling = veiling;
        self
    }

    /// Adds one entry. What is wrong with it is reported by the append that this group belongs
    /// to, which then writes nothing at all.
    pub fn add(&mut self, entry: Entry<'_>) {
        if self.fault.is_none() {
            match self.veiling.and_then(|veiling| veil(veiling, &entry)) {
                None => self.check_and_encode(&entry, 0),
                Some(veiled) => self.check_and_encode(&veiled.of(&entry), VEILED),
            }
        }
    }

    /// Adds what only the log writes; the caller has checked it.
    pub(crate) fn add_own(&mut self, kind: Kind, facts: &str) {
        let entry = Entry {
            kind,
            facts,
            payload: &[],
        };
        match self.veiling.and_then(|veiling| veil(veiling, &entry)) {
            None => self.encode(&entry, 0),
            Some(veiled) => self.encode(&veiled.of(&entry), VEILED),
        }
    }

    fn check_and_encode(&mut self, entry: &Entry<'_>, flags: u16) {
        let added = self.seal.map_or(0, |_| SEAL_BYTES);
        match check(entry, self.bytes.len(), added) {
            Ok(()) => self.encode(entry, flags),
            Err(fault) => self.fault = Some(fault),
        }
    }

    /// The number the next entry gets.
    pub(crate) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// How the segment stands once the group is written.
    pub(crate) fn finish(self) -> Result<Drafted, AuditError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(Drafted {
                next_seq: self.next_seq,
                chain: self.chain,
                counted: self.counted,
                spared: self.spared,
                boot_ns: self.boot_ns,
            }),
        }
    }

    /// Notes that a value was left without an entry: then no proof may be made for it.
    pub(crate) fn refuse(&mut self, fault: AuditError) {
        self.fault.get_or_insert(fault);
    }

    fn encode(&mut self, entry: &Entry<'_>, flags: u16) {
        let start = self.bytes.len();
        let content = self.content(entry.payload);
        let known = content.and_then(|content| self.known(&content, start));
        let reference = known.map(|known| known.bytes());
        let (encoding, payload) = match &reference {
            Some(reference) => (REPEATED, reference.as_slice()),
            None if self.seal.is_some() && !entry.payload.is_empty() => (SEALED, entry.payload),
            None => (0, entry.payload),
        };
        let Some(length) = self.put_front((entry, flags), encoding, payload.len()) else {
            self.fault = Some(too_long("entry", entry.payload.len(), PAYLOAD_BYTES_MAX));
            return;
        };
        let begins = self.bytes.len();
        let is_put = self.put_payload((start, encoding), payload);
        if !is_put {
            self.fault = Some(AuditError::Seal {
                cause: "the cipher refused a payload".to_owned(),
            });
            return;
        }
        let (front, stored) = self.bytes.split_at(start).1.split_at(begins - start);
        let digest = match content.filter(|_| encoding == 0) {
            Some(content) => content,
            None => Digest::of_payload(stored),
        };
        self.chain = self.chain.step(&Digest::of_record(front, &digest));
        match content {
            Some(_) if known.is_some() => self.spared += (entry.payload.len() - payload.len()) as u64,
            Some(content) => self.remember(content, start, digest),
            None => {}
        }
        self.bytes.extend_from_slice(self.chain.bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.next_seq += 1;
        self.counted |= entry.kind.is_counted();
    }

    /// The digest of a payload that is large enough to be stored once.
    fn content(&self, payload: &[u8]) -> Option<Digest> {
        let is_large = payload.len() >= REPEAT_BYTES_MIN && self.remembered.is_some();
        is_large.then(|| Digest::of_payload(payload))
    }

    fn known(&self, content: &Digest, start: usize) -> Option<Reference> {
        let (remembered, begins) = self.remembered.as_ref()?;
        remembered.find(content, begins + start as u64)
    }

    fn remember(&mut self, content: Digest, start: usize, digest: Digest) {
        let seq = self.next_seq;
        if let Some((remembered, begins)) = &mut self.remembered {
            let offset = *begins + start as u64;
            remembered.draft(content, Reference { offset, seq, digest });
        }
    }

    /// Appends what stands in front of the payload, and gives the record's length; `None` when that is too long.
    fn put_front(&mut self, (entry, flags): (&Entry<'_>, u16), encoding: u8, payload_bytes: usize) -> Option<u32> {
        let facts = entry.facts.as_bytes();
        let added = if encoding == SEALED { SEAL_BYTES } else { 0 };
        let length = u32::try_from(FRAME_BYTES + facts.len() + payload_bytes + added).ok()?;
        let prefix = Prefix {
            length,
            kind: entry.kind.code(),
            encoding,
            flags,
            facts_length: u32::try_from(facts.len()).ok()?,
            seq: self.next_seq,
            wall_ns: self.wall_ns,
            boot_ns: self.boot_ns,
        };
        prefix.write(self.bytes);
        self.bytes.extend_from_slice(facts);
        Some(length)
    }

    /// Appends the payload, sealed where it is to be, and says whether it could.
    fn put_payload(&mut self, (start, encoding): (usize, u8), payload: &[u8]) -> bool {
        let Some(seal) = self.seal.filter(|_| encoding == SEALED) else {
            self.bytes.extend_from_slice(payload);
            return true;
        };
        let front = self.bytes.split_at(start).1.to_vec();
        let before = self.bytes.len();
        seal.seal(self.next_seq, &front, payload, self.bytes) && self.bytes.len() == before + payload.len() + SEAL_BYTES
    }
}

/// How a segment stands after a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drafted {
    pub(crate) next_seq: u64,
    pub(crate) chain: Digest,
    /// Whether the server's quota may refuse the group.
    pub(crate) counted: bool,
    /// Bytes of payloads that were stored before: the quota counts them all the same.
    pub(crate) spared: u64,
    pub(crate) boot_ns: u64,
}

fn check(entry: &Entry<'_>, before: usize, added: usize) -> Result<(), AuditError> {
    if !entry.kind.is_callers() {
        return Err(AuditError::Kind { kind: entry.kind });
    }
    let facts = entry.facts.as_bytes();
    let is_object = matches!((facts.first(), facts.last()), (Some(b'{'), Some(b'}')));
    if !(facts.is_empty() || is_object) {
        return Err(AuditError::Facts { kind: entry.kind });
    }
    if facts.len() > FACTS_BYTES_MAX {
        return Err(too_long("facts", facts.len(), FACTS_BYTES_MAX));
    }
    if entry.payload.len() + added > PAYLOAD_BYTES_MAX {
        return Err(too_long("payload", entry.payload.len(), PAYLOAD_BYTES_MAX));
    }
    let group = before + added + FRAME_BYTES + facts.len() + entry.payload.len();
    if group > GROUP_BYTES_MAX {
        return Err(too_long("group", group, GROUP_BYTES_MAX));
    }
    Ok(())
}

const fn too_long(what: &'static str, bytes: usize, max: usize) -> AuditError {
    AuditError::TooLong { what, bytes, max }
}
