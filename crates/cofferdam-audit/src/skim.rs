//! Reads a segment for its content, without proving it: for questions over many segments.

use crate::error::AuditError;
use crate::header::Header;
use crate::kind::Kind;
use crate::reader::Reader;
use crate::record::{FACTS_BYTES_MAX, FRAME_BYTES, PREFIX_BYTES, Prefix, stated_length};
use crate::repeat::{AtHand, REPEATED, Reference};
use crate::source::Source;
use crate::verify::{Broken, Fault};
use std::io::Read as _;
use std::path::{Path, PathBuf};

const CHUNK_BYTES: usize = 1024 * 1024;

/// Reads the records of one segment as they stand, up to the length it had when it was opened.
/// The header is proven; of the records only the form is checked, and no hash but that of a payload that stands elsewhere.
#[derive(Debug)]
pub struct Skim {
    source: Source,
    path: PathBuf,
    header: Header,
    buffer: Vec<u8>,
    /// Where in the buffer the next record begins.
    at: usize,
    /// How much of the buffer is filled.
    filled: usize,
    /// Where in the segment the next record begins.
    offset: u64,
    length: u64,
    /// The same segment once more, for payloads that stand earlier: each source keeps what it unpacked last.
    behind: Option<Source>,
    at_hand: AtHand,
}

/// One record as it stands, not proven.
#[derive(Clone, Copy, Debug)]
pub struct Skimmed<'a> {
    /// Its number in the session.
    pub seq: u64,
    /// What it is about.
    pub kind: Kind,
    /// When it was written: nanoseconds since 1970-01-01T00:00:00Z.
    pub wall_ns: u64,
    /// What its writer knew: JSON, or empty.
    pub facts: &'a [u8],
    /// The bytes as stored, wherever that is.
    pub payload: &'a [u8],
    /// Whether they are sealed.
    pub sealed: bool,
}

impl Skim {
    /// Opens a segment and proves its header.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let reader = Reader::open(path)?;
        let (header, offset) = (reader.header().clone(), reader.position().offset);
        let mut source = Source::open(path)?;
        let length = source.length();
        std::io::Seek::seek(&mut source, std::io::SeekFrom::Start(offset)).map_err(|cause| AuditError::Read {
            path: path.to_owned(),
            cause,
        })?;
        Ok(Self {
            source,
            path: path.to_owned(),
            header,
            buffer: vec![0; CHUNK_BYTES],
            at: 0,
            filled: 0,
            offset,
            length,
            behind: None,
            at_hand: AtHand::default(),
        })
    }

    /// What the segment says about itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The next record; `None` at the end, also where the last one is cut short.
    ///
    /// # Errors
    /// When the file cannot be read, or a record is not in its form.
    pub fn next_record(&mut self) -> Result<Option<Skimmed<'_>>, AuditError> {
        let left = self.length.saturating_sub(self.offset);
        if left < FRAME_BYTES as u64 || !self.fill(PREFIX_BYTES)? {
            return Ok(None);
        }
        let front: Option<&[u8; PREFIX_BYTES]> = self.buffer.get(self.at..).and_then(|bytes| bytes.first_chunk());
        let Some(prefix) = front.and_then(Prefix::read) else {
            let zeros = front.is_some_and(|front| front.iter().all(|byte| *byte == 0));
            return if zeros {
                Ok(None)
            } else {
                Err(self.broken(Fault::Length))
            };
        };
        let length = front.and_then(|front| front.first_chunk()).and_then(stated_length);
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else {
            return Err(self.broken(Fault::Length));
        };
        if length as u64 > left || !self.fill(length)? {
            return Ok(None);
        }
        let facts = usize::try_from(prefix.facts_length).unwrap_or(usize::MAX);
        if facts > FACTS_BYTES_MAX || facts > length - FRAME_BYTES {
            return Err(self.broken(Fault::FactsLength));
        }
        let (begins, offset) = (self.at, self.offset);
        self.at += length;
        self.offset += length as u64;
        let record = self.buffer.get(begins..begins + length).unwrap_or_default();
        let (_, body) = record.split_at(PREFIX_BYTES);
        let (facts, rest) = body.split_at(facts);
        let payload = rest.split_at(length - FRAME_BYTES - facts.len()).0;
        let mut skimmed = Skimmed {
            seq: prefix.seq,
            kind: Kind::from_code(prefix.kind),
            wall_ns: prefix.wall_ns,
            facts,
            payload,
            sealed: prefix.encoding != 0,
        };
        if prefix.encoding == REPEATED && self.header.stores_once {
            let elsewhere = Elsewhere {
                path: &self.path,
                source: &self.source,
                behind: &mut self.behind,
                at_hand: &mut self.at_hand,
            };
            (skimmed.payload, skimmed.sealed) = elsewhere.read(payload, (prefix.seq, offset))?;
        }
        Ok(Some(skimmed))
    }

    /// Makes sure that so many bytes of the next record are in the buffer; `false` at the end.
    fn fill(&mut self, bytes: usize) -> Result<bool, AuditError> {
        if self.filled - self.at >= bytes {
            return Ok(true);
        }
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes.next_multiple_of(CHUNK_BYTES), 0);
        }
        while self.filled < bytes {
            let (_, room) = self.buffer.split_at_mut(self.filled);
            match self.source.read(room) {
                Ok(0) => return Ok(false),
                Ok(count) => self.filled += count,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    return Err(AuditError::Read {
                        path: self.path.clone(),
                        cause,
                    });
                }
            }
        }
        Ok(true)
    }

    fn broken(&self, what: Fault) -> AuditError {
        AuditError::Broken {
            path: self.path.clone(),
            broken: Broken {
                offset: self.offset,
                seq: 0,
                what,
            },
        }
    }
}

/// Where the payloads of a segment are that its later records refer to.
struct Elsewhere<'a> {
    path: &'a Path,
    source: &'a Source,
    behind: &'a mut Option<Source>,
    at_hand: &'a mut AtHand,
}

impl<'a> Elsewhere<'a> {
    /// The payload that a record with this number and place refers to, and whether it is sealed.
    fn read(self, reference: &[u8], (seq, offset): (u64, u64)) -> Result<(&'a [u8], bool), AuditError> {
        let broken = || AuditError::Broken {
            path: self.path.to_owned(),
            broken: Broken {
                offset,
                seq,
                what: Fault::Repeat,
            },
        };
        let read = |cause| AuditError::Read {
            path: self.path.to_owned(),
            cause,
        };
        let reference = Reference::read(reference).ok_or_else(broken)?;
        let behind = match self.behind {
            Some(behind) => behind,
            None => self.behind.insert(self.source.again().map_err(read)?),
        };
        let found = self.at_hand.read(behind, &reference, offset).map_err(read)?;
        let repeated = found.ok_or_else(broken)?;
        Ok((&repeated.payload, repeated.sealed))
    }
}
