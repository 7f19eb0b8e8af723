//! One record: its parts, their order and their limits (`docs/audit-format.md` section 3).

use crate::chain::Digest;
use crate::kind::Kind;
use crate::repeat::{REPEATED, Reference};
use crate::seal::SEALED;
use crate::veil::VEILED;

/// The longest facts one record holds, in bytes.
pub const FACTS_BYTES_MAX: usize = 1024 * 1024;

/// The longest payload one record holds, in bytes. What is longer is written in parts, as
/// [`Kind::Fragment`].
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes before the facts.
pub(crate) const PREFIX_BYTES: usize = 40;
/// Bytes after the payload: the chain value and the length once more.
pub(crate) const SUFFIX_BYTES: usize = 36;
/// Bytes a record has beside facts and payload.
pub(crate) const FRAME_BYTES: usize = PREFIX_BYTES + SUFFIX_BYTES;
/// The longest record, in bytes.
pub(crate) const RECORD_BYTES_MAX: usize = FRAME_BYTES + FACTS_BYTES_MAX + PAYLOAD_BYTES_MAX;

/// One record as read back, proven to belong where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number in the session, from 0, without gaps.
    pub seq: u64,
    /// What it is about.
    pub kind: Kind,
    /// When it was written: nanoseconds since 1970-01-01T00:00:00Z. May go back.
    pub wall_ns: u64,
    /// When it was written: nanoseconds since the machine started. Never goes back.
    pub boot_ns: u64,
    /// What its writer knew: a compact JSON object, or empty.
    pub facts: String,
    /// The bytes as received, wherever they are stored; cut at what the reader was asked to keep.
    pub payload: Vec<u8>,
    /// How long the payload is where it is stored.
    pub payload_bytes: u64,
    /// Where the record begins in its file.
    pub offset: u64,
    /// How long the record is in its file.
    pub bytes: u64,
    /// Whether the payload is sealed: then these are its stored bytes, 16 more than came.
    pub sealed: bool,
    /// Whether something stands in the place of secret values in facts or payload.
    pub veiled: bool,
    /// The earlier record that the payload is stored in, where this one only refers to it.
    pub repeats: Option<Repeats>,
    /// The digest of the payload as stored.
    pub payload_digest: Digest,
    /// The digest of what stands in the payload's place in this record, which the chain covers: the same, unless it is a reference.
    pub stored_digest: Digest,
    /// The hash of the record itself.
    pub leaf: Digest,
    /// The chain value after this record.
    pub hash: Digest,
}

impl Record {
    /// The bytes in front of the payload as they stand in the file: what a proof shows.
    #[must_use]
    pub fn front(&self) -> Vec<u8> {
        let prefix = Prefix {
            length: u32::try_from(self.bytes).unwrap_or(u32::MAX),
            kind: self.kind.code(),
            encoding: match self.repeats {
                Some(_) => REPEATED,
                None if self.sealed => SEALED,
                None => 0,
            },
            flags: if self.veiled { VEILED } else { 0 },
            facts_length: u32::try_from(self.facts.len()).unwrap_or(u32::MAX),
            seq: self.seq,
            wall_ns: self.wall_ns,
            boot_ns: self.boot_ns,
        };
        let mut front = Vec::with_capacity(PREFIX_BYTES + self.facts.len());
        prefix.write(&mut front);
        front.extend_from_slice(self.facts.as_bytes());
        front
    }

    /// Whether `payload` holds all of it.
    #[must_use]
    pub fn has_whole_payload(&self) -> bool {
        u64::try_from(self.payload.len()) == Ok(self.payload_bytes)
    }
}

/// Where a payload is stored that came before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Which record.
    pub reference: Reference,
    /// The bytes in front of the payload there, which a sealed one is bound to; empty where nothing of it was kept.
    pub front: Vec<u8>,
}

/// The fixed fields in front of facts and payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) length: u32,
    pub(crate) kind: u8,
    pub(crate) encoding: u8,
    pub(crate) flags: u16,
    pub(crate) facts_length: u32,
    pub(crate) seq: u64,
    pub(crate) wall_ns: u64,
    pub(crate) boot_ns: u64,
}

impl Prefix {
    /// Appends the 40 bytes.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.length.to_le_bytes());
        buffer.extend_from_slice(&(!self.length).to_le_bytes());
        buffer.extend_from_slice(&[self.kind, self.encoding]);
        buffer.extend_from_slice(&self.flags.to_le_bytes());
        buffer.extend_from_slice(&self.facts_length.to_le_bytes());
        buffer.extend_from_slice(&self.seq.to_le_bytes());
        buffer.extend_from_slice(&self.wall_ns.to_le_bytes());
        buffer.extend_from_slice(&self.boot_ns.to_le_bytes());
    }

    /// Reads what `write` wrote; `None` when the length and its complement disagree.
    pub(crate) fn read(bytes: &[u8; PREFIX_BYTES]) -> Option<Self> {
        let mut fields = Fields(bytes);
        let length = u32::from_le_bytes(fields.take()?);
        let complement = u32::from_le_bytes(fields.take()?);
        let [kind, encoding] = fields.take()?;
        let prefix = Self {
            length,
            kind,
            encoding,
            flags: u16::from_le_bytes(fields.take()?),
            facts_length: u32::from_le_bytes(fields.take()?),
            seq: u64::from_le_bytes(fields.take()?),
            wall_ns: u64::from_le_bytes(fields.take()?),
            boot_ns: u64::from_le_bytes(fields.take()?),
        };
        (length == !complement).then_some(prefix)
    }
}

/// The length a record states in its first eight bytes, when they agree and it is possible.
pub(crate) fn stated_length(bytes: &[u8; 8]) -> Option<u64> {
    let mut fields = Fields(bytes);
    let length = u32::from_le_bytes(fields.take()?);
    let complement = u32::from_le_bytes(fields.take()?);
    let size = usize::try_from(length).ok()?;
    (length == !complement && (FRAME_BYTES..=RECORD_BYTES_MAX).contains(&size)).then_some(u64::from(length))
}

/// Takes fields of a known size off the front of some bytes.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn take_slice(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_read_as_written() {
        let prefix = Prefix {
            length: 0x0102_0304,
            kind: 17,
            encoding: 0,
            flags: 0,
            facts_length: 9,
            seq: u64::MAX,
            wall_ns: 3,
            boot_ns: 4,
        };
        let mut bytes = Vec::new();
        prefix.write(&mut bytes);
        let bytes: [u8; PREFIX_BYTES] = bytes.try_into().unwrap();
        assert_eq!(Prefix::read(&bytes), Some(prefix));
        let mut wrong = bytes;
        wrong[5] ^= 1;
        assert_eq!(Prefix::read(&wrong), None);
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let pair = |length: u32| {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&length.to_le_bytes());
            bytes[4..].copy_from_slice(&(!length).to_le_bytes());
            bytes
        };
        let least = u32::try_from(FRAME_BYTES).unwrap();
        let most = u32::try_from(RECORD_BYTES_MAX).unwrap();
        assert_eq!(stated_length(&pair(least)), Some(u64::from(least)));
        assert_eq!(stated_length(&pair(most)), Some(u64::from(most)));
        assert_eq!(stated_length(&pair(least - 1)), None);
        assert_eq!(stated_length(&pair(most + 1)), None);
        assert_eq!(stated_length(&[0; 8]), None);
    }
}
