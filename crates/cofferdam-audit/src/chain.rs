//! The hash chain: what is hashed, in which order (`docs/audit-format.md` section 4).

use sha2::{Digest as _, Sha256};
use std::fmt;

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// All zeros: stands where there is nothing before.
    pub const ZERO: Self = Self([0; 32]);

    /// The 32 bytes as they stand in the file.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 lowercase hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The digest of a payload as stored.
    #[must_use]
    pub fn of_payload(payload: &[u8]) -> Self {
        Self(Sha256::digest(payload).into())
    }

    /// The hash of a record, from its front (its first 40 bytes and its facts) and its payload's
    /// digest.
    #[must_use]
    pub fn of_record(front: &[u8], payload: &Self) -> Self {
        let mut hash = Sha256::new();
        hash.update([RECORD]);
        hash.update(front);
        hash.update(payload.0);
        Self(hash.finalize().into())
    }

    /// The chain value before a segment's first record, from the segment's header without its
    /// last 32 bytes.
    #[must_use]
    pub fn of_header(covered: &[u8]) -> Self {
        header(covered)
    }

    /// The chain value after a record with this hash, when this is the one before it.
    #[must_use]
    pub fn step(&self, record: &Self) -> Self {
        let mut step = Sha256::new();
        step.update([STEP]);
        step.update(self.0);
        step.update(record.0);
        Self(step.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How far a segment is written: its last record and the chain value that covers everything
/// up to and including that record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The sequence number of the last record.
    pub seq: u64,
    /// The chain value after that record.
    pub hash: Digest,
}

// One byte in front of each hashed text keeps the three uses apart. The first two are those of
// RFC 6962 section 2.1, so a record is a leaf and a chain step a node of such a tree.
const RECORD: u8 = 0;
const STEP: u8 = 1;
const HEADER: u8 = 2;

/// The chain value before the first record: binds the segment's header.
pub(crate) fn header(header: &[u8]) -> Digest {
    let mut hash = Sha256::new();
    hash.update([HEADER]);
    hash.update(header);
    Digest(hash.finalize().into())
}

/// Hashes one record piece by piece: its front (prefix and facts), then its payload as stored.
pub(crate) struct RecordHash {
    front: Sha256,
    payload: Sha256,
}

impl RecordHash {
    pub(crate) fn new() -> Self {
        let mut front = Sha256::new();
        front.update([RECORD]);
        Self {
            front,
            payload: Sha256::new(),
        }
    }

    pub(crate) fn front(&mut self, bytes: &[u8]) {
        self.front.update(bytes);
    }

    pub(crate) fn payload(&mut self, bytes: &[u8]) {
        self.payload.update(bytes);
    }

    /// The digest of the payload and the hash of the record. The payload enters by its digest, so
    /// that a record can later be proven without showing it.
    pub(crate) fn finish(mut self) -> (Digest, Digest) {
        let payload = self.payload.finalize();
        self.front.update(payload);
        (Digest(payload.into()), Digest(self.front.finalize().into()))
    }
}
