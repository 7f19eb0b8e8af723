//! Reads a segment record by record, each proven before it is given out.

use crate::chain::{Digest, RecordHash};
use crate::error::AuditError;
use crate::header::{HEADER_BYTES_MAX, Header, HeaderFault, START_BYTES};
use crate::kind::Kind;
use crate::record::{FACTS_BYTES_MAX, FRAME_BYTES, PREFIX_BYTES, Prefix, Record, Repeats, stated_length};
use crate::repeat::{AtHand, Earlier, REFERENCE_BYTES, REPEATED, Reference, Stored};
use crate::seal::SEALED;
use crate::source::Source;
use crate::veil::VEILED;
use crate::verify::{Broken, Ended, Fault};
use std::io::{self, BufRead as _, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 128 * 1024;

/// How much of each payload a reader keeps. It reads and proves all of it either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// Everything, which is at most [`PAYLOAD_BYTES_MAX`](crate::PAYLOAD_BYTES_MAX).
    Whole,
    /// So many bytes from its beginning.
    First(usize),
}

/// Where a reader stands in a segment: what it needs to go on there later, in another process too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where in the segment the next record begins, in bytes.
    pub offset: u64,
    /// The next record's number.
    pub seq: u64,
    /// The chain value after the record before.
    pub hash: Digest,
    /// When the record before was written, by the boot clock.
    pub boot_ns: u64,
    /// The kind of the record before, when there is one.
    pub after: Option<Kind>,
}

/// Reads the records of one segment in order, up to the length it had when it was opened.
/// Memory is bounded by one record's facts and as much of its payload as is kept.
#[derive(Debug)]
pub struct Reader<R = Source> {
    source: BufReader<R>,
    path: PathBuf,
    header: Header,
    header_bytes: Vec<u8>,
    length: u64,
    position: Position,
    payloads: Payloads,
    ended: Option<Ended>,
    stopped: bool,
    /// Where it began to read: what stands behind that is in `earlier`.
    began: u64,
    earlier: Earlier,
    at_hand: AtHand,
}

impl Reader<Source> {
    /// Opens a segment and reads its header.
    ///
    /// # Errors
    /// When the file cannot be read or is not a regular one, when its header is broken, or when
    /// it uses something this version does not know.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let source = Source::open(path)?;
        let length = source.length();
        Self::over(source, length, path)
    }

    /// Opens a segment to go on where an earlier reader stood. The next record is proven against
    /// the chain value in `position`, which must be a reader's own.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn resume(path: &Path, position: Position) -> Result<Self, AuditError> {
        let read = |cause| AuditError::Read {
            path: path.to_owned(),
            cause,
        };
        let mut reader = Self::open(path)?;
        reader.source.seek(SeekFrom::Start(position.offset)).map_err(read)?;
        reader.position = position;
        reader.began = position.offset;
        Ok(reader)
    }
}

impl<R: Read + Seek> Reader<R> {
    /// Reads a segment of `length` bytes from any source; `path` only names it in errors.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn over(source: R, length: u64, path: &Path) -> Result<Self, AuditError> {
        let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
        let broken = |what| AuditError::Broken {
            path: path.to_owned(),
            broken: Broken {
                offset: 0,
                seq: 0,
                what,
            },
        };
        let bytes = read_header(&mut source, length).map_err(|error| match error {
            Ok(cause) => AuditError::Read {
                path: path.to_owned(),
                cause,
            },
            Err(fault) => broken(fault),
        })?;
        let read = Header::read(&bytes).map_err(|fault| match fault {
            HeaderFault::Broken(fault) => broken(fault),
            HeaderFault::Unsupported(what) => AuditError::Unsupported {
                path: path.to_owned(),
                what,
            },
        })?;
        let position = Position {
            offset: bytes.len() as u64,
            seq: read.header.first_seq,
            hash: read.hash,
            boot_ns: read.header.boot_ns,
            after: None,
        };
        Ok(Self {
            source,
            path: path.to_owned(),
            header: read.header,
            header_bytes: bytes,
            length,
            position,
            payloads: Payloads::Whole,
            ended: None,
            stopped: false,
            began: position.offset,
            earlier: Earlier::default(),
            at_hand: AtHand::default(),
        })
    }

    /// The header's bytes as they stand in the file.
    #[must_use]
    pub fn header_bytes(&self) -> &[u8] {
        &self.header_bytes
    }

    /// The same reader, keeping only so much of each payload.
    #[must_use]
    pub fn keeping(mut self, payloads: Payloads) -> Self {
        self.payloads = payloads;
        self
    }

    /// What the segment says about itself.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// How the segment ends; `None` until [`Reader::next_record`] has given `None`.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Where it stands: behind the last record it gave.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The next record, or `None` at the end. After an error there is nothing more.
    ///
    /// # Errors
    /// [`AuditError::Broken`] where the segment is not what was written,
    /// [`AuditError::Unsupported`] for a record this version cannot read, and
    /// [`AuditError::Read`].
    pub fn next_record(&mut self) -> Result<Option<Record>, AuditError> {
        if self.stopped {
            return Ok(None);
        }
        let record = self.read_record();
        self.stopped = !matches!(record, Ok(Some(_)));
        record
    }

    fn read_record(&mut self) -> Result<Option<Record>, AuditError> {
        let left = self.length.saturating_sub(self.position.offset);
        if let Some(kind) = self.position.after.filter(|kind| kind.ends_segment()) {
            if left > 0 {
                return Err(self.broken(Fault::AfterEnd));
            }
            let closed = kind == Kind::Close;
            self.ended = Some(if closed { Ended::Closed } else { Ended::Continued });
            return Ok(None);
        }
        let Some(prefix) = self.read_prefix(left)? else {
            return Ok(None);
        };
        self.check_prefix(&prefix)?;
        self.read_rest(&prefix).map(Some)
    }

    /// The next record's prefix when the whole record is there; otherwise notes how the segment
    /// ends.
    fn read_prefix(&mut self, left: u64) -> Result<Option<Prefix>, AuditError> {
        let torn = Ended::Torn {
            offset: self.position.offset,
            bytes: left,
        };
        if left == 0 {
            self.ended = Some(Ended::Unclosed);
            return Ok(None);
        }
        if left < 8 {
            self.ended = Some(torn);
            return Ok(None);
        }
        let mut bytes = [0; PREFIX_BYTES];
        let (start, rest) = bytes.split_at_mut(8);
        self.fill(start)?;
        let Some(length) = start.first_chunk().and_then(stated_length) else {
            // A machine that fails can leave zeros where the last write was to be.
            if start.iter().all(|byte| *byte == 0) && self.only_zeros_follow()? {
                self.ended = Some(torn);
                return Ok(None);
            }
            return Err(self.broken(Fault::Length));
        };
        if length > left {
            self.ended = Some(torn);
            return Ok(None);
        }
        self.fill(rest)?;
        match Prefix::read(&bytes) {
            Some(prefix) => Ok(Some(prefix)),
            None => Err(self.broken(Fault::Length)),
        }
    }

    fn check_prefix(&self, prefix: &Prefix) -> Result<(), AuditError> {
        let most = u64::from(prefix.length).saturating_sub(FRAME_BYTES as u64);
        let facts = u64::from(prefix.facts_length);
        if facts > most || facts > FACTS_BYTES_MAX as u64 {
            return Err(self.broken(Fault::FactsLength));
        }
        if prefix.seq != self.position.seq {
            return Err(self.broken(Fault::Sequence { found: prefix.seq }));
        }
        if prefix.boot_ns < self.position.boot_ns {
            return Err(self.broken(Fault::BootClock));
        }
        Ok(())
    }

    fn read_rest(&mut self, prefix: &Prefix) -> Result<Record, AuditError> {
        let mut front = Vec::with_capacity(PREFIX_BYTES);
        prefix.write(&mut front);
        let mut hash = RecordHash::new();
        hash.front(&front);
        let facts_bytes = u64::from(prefix.facts_length);
        let payload_bytes = u64::from(prefix.length) - FRAME_BYTES as u64 - facts_bytes;
        let mut facts = Vec::new();
        self.take(facts_bytes, |chunk| {
            hash.front(chunk);
            facts.extend_from_slice(chunk);
        })?;
        let keep = match self.payloads {
            _ if prefix.encoding == REPEATED => REFERENCE_BYTES,
            Payloads::Whole => usize::MAX,
            Payloads::First(bytes) => bytes,
        };
        let mut payload = Vec::new();
        self.take(payload_bytes, |chunk| {
            hash.payload(chunk);
            let room = keep.saturating_sub(payload.len());
            payload.extend_from_slice(chunk.split_at(room.min(chunk.len())).0);
        })?;
        let (mut stored, mut behind) = ([0; 32], [0; 4]);
        self.fill(&mut stored)?;
        self.fill(&mut behind)?;
        let (payload_digest, leaf) = hash.finish();
        let hash = self.position.hash.step(&leaf);
        if hash.bytes() != &stored {
            return Err(self.broken(Fault::Chain));
        }
        if u32::from_le_bytes(behind) != prefix.length {
            return Err(self.broken(Fault::LengthBehind));
        }
        self.finish(
            prefix,
            facts,
            Record {
                seq: prefix.seq,
                kind: Kind::from_code(prefix.kind),
                wall_ns: prefix.wall_ns,
                boot_ns: prefix.boot_ns,
                facts: String::new(),
                payload,
                payload_bytes,
                offset: self.position.offset,
                bytes: u64::from(prefix.length),
                sealed: prefix.encoding == SEALED,
                veiled: prefix.flags == VEILED,
                repeats: None,
                payload_digest,
                stored_digest: payload_digest,
                leaf,
                hash,
            },
        )
    }

    /// What is checked last, because it says something only about records that are intact.
    fn finish(&mut self, prefix: &Prefix, facts: Vec<u8>, mut record: Record) -> Result<Record, AuditError> {
        if prefix.flags & !VEILED != 0 {
            return Err(self.unsupported(format!("record flags {}", prefix.flags)));
        }
        let is_repeated = prefix.encoding == REPEATED && self.header.stores_once;
        if prefix.encoding != 0 && !is_repeated && !(record.sealed && self.header.sealed.is_some()) {
            return Err(self.unsupported(format!("payload encoding {}", prefix.encoding)));
        }
        let first = self.position.after.is_none() && self.header.index == 0;
        if first && record.kind != Kind::Open {
            return Err(self.broken(Fault::FirstRecord));
        }
        let Ok(facts) = String::from_utf8(facts) else {
            return Err(self.broken(Fault::FactsText));
        };
        if is_repeated {
            self.repeat(&mut record)?;
        } else if self.header.stores_once {
            self.remember(&record);
        }
        self.position = Position {
            offset: self.position.offset + record.bytes,
            seq: record.seq + 1,
            hash: record.hash,
            boot_ns: record.boot_ns,
            after: Some(record.kind),
        };
        Ok(Record { facts, ..record })
    }

    fn remember(&mut self, record: &Record) {
        let place = Reference {
            offset: record.offset,
            seq: record.seq,
            digest: record.payload_digest,
        };
        let stored = Stored {
            bytes: record.payload_bytes,
            sealed: record.sealed,
        };
        self.earlier.add(place, stored);
    }

    /// Puts the payload in the place of the reference to it. What this reader has proven itself it does not read again,
    /// unless the payload is wanted.
    fn repeat(&mut self, record: &mut Record) -> Result<(), AuditError> {
        let whole = record.has_whole_payload().then(|| Reference::read(&record.payload));
        let fault = || self.broken(Fault::Repeat);
        let reference = whole.flatten().ok_or_else(fault)?;
        let is_in_reach = reference.is_within_reach(record.offset);
        let proven = self.earlier.find(&reference);
        if !is_in_reach || proven.is_none() && reference.offset >= self.began {
            return Err(fault());
        }
        record.payload_digest = reference.digest;
        let mut front = Vec::new();
        if let (Some(stored), Payloads::First(0)) = (proven, self.payloads) {
            (record.payload, record.payload_bytes, record.sealed) = (Vec::new(), stored.bytes, stored.sealed);
        } else {
            front = self.read_repeated(&reference, record)?;
        }
        record.repeats = Some(Repeats { reference, front });
        Ok(())
    }

    /// Reads and proves a payload that stands earlier, by its digest; gives what stands in front of it.
    fn read_repeated(&mut self, reference: &Reference, record: &mut Record) -> Result<Vec<u8>, AuditError> {
        let read = |cause| AuditError::Read {
            path: self.path.clone(),
            cause,
        };
        let found = self
            .at_hand
            .read(&mut self.source, reference, record.offset)
            .map_err(read)?;
        let Some(repeated) = found else {
            return Err(self.broken(Fault::Repeat));
        };
        let whole = repeated.payload.len();
        let kept = match self.payloads {
            Payloads::Whole => whole,
            Payloads::First(bytes) => bytes.min(whole),
        };
        record.payload = repeated.payload.split_at(kept).0.to_vec();
        record.payload_bytes = whole as u64;
        record.sealed = repeated.sealed;
        Ok(repeated.front.clone())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), AuditError> {
        self.source.read_exact(bytes).map_err(|cause| AuditError::Read {
            path: self.path.clone(),
            cause,
        })
    }

    /// Hands out the next bytes as they come, without holding them all.
    fn take(&mut self, bytes: u64, mut each: impl FnMut(&[u8])) -> Result<(), AuditError> {
        let mut left = bytes;
        while left > 0 {
            let read = |cause| AuditError::Read {
                path: self.path.clone(),
                cause,
            };
            let chunk = self.source.fill_buf().map_err(read)?;
            let size = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if size == 0 {
                return Err(read(io::ErrorKind::UnexpectedEof.into()));
            }
            each(chunk.split_at(size).0);
            self.source.consume(size);
            left -= size as u64;
        }
        Ok(())
    }

    fn only_zeros_follow(&mut self) -> Result<bool, AuditError> {
        let left = self.length.saturating_sub(self.position.offset + 8);
        let mut zeros = true;
        self.take(left, |chunk| zeros &= chunk.iter().all(|byte| *byte == 0))?;
        Ok(zeros)
    }

    fn broken(&self, what: Fault) -> AuditError {
        let Position { offset, seq, .. } = self.position;
        AuditError::Broken {
            path: self.path.clone(),
            broken: Broken { offset, seq, what },
        }
    }

    fn unsupported(&self, what: String) -> AuditError {
        let what = format!("{what} in record {}", self.position.seq);
        AuditError::Unsupported {
            path: self.path.clone(),
            what,
        }
    }
}

/// The header's bytes, or why not: the source failed, or the file is not a segment.
fn read_header(source: &mut impl Read, length: u64) -> Result<Vec<u8>, Result<io::Error, Fault>> {
    let mut start = [0; START_BYTES];
    if length < START_BYTES as u64 {
        return Err(Err(Fault::HeaderCut));
    }
    source.read_exact(&mut start).map_err(Ok)?;
    let size = Header::length(&start).map_err(Err)?.min(HEADER_BYTES_MAX);
    if length < size as u64 {
        return Err(Err(Fault::HeaderCut));
    }
    let mut bytes = start.to_vec();
    bytes.resize(size, 0);
    source.read_exact(bytes.split_at_mut(START_BYTES).1).map_err(Ok)?;
    Ok(bytes)
}
