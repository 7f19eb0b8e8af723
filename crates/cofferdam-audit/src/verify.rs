//! Whether a segment is what was written, and the first place where it is not.

use crate::chain::Head;
use crate::error::AuditError;
use crate::header::Header;
use crate::reader::{Payloads, Reader};
use std::fmt;
use std::path::Path;

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every record up to the end is what was written.
    Verified(Box<Verified>),
    /// Something was changed.
    Broken(Broken),
}

/// A segment whose records are all what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What the segment says about itself.
    pub header: Header,
    /// How many records it has.
    pub records: u64,
    /// Its last record; `None` when it has none.
    pub head: Option<Head>,
    /// How it ends.
    pub ended: Ended,
    /// The first record whose wall clock is behind the one before it. That is no fault: people
    /// set clocks.
    pub wall_clock_went_back_at: Option<u64>,
}

/// How a segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With its `close` record: nothing is missing.
    Closed,
    /// With the record that says that another segment goes on.
    Continued,
    /// After a whole record, but without its end: the session still runs, or was killed, or
    /// somebody cut records off. The segment alone cannot tell which.
    Unclosed,
    /// In the middle of a record: as `Unclosed`, and the write was cut short.
    Torn {
        /// Where the unfinished record begins.
        offset: u64,
        /// How many bytes of it are there.
        bytes: u64,
    },
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Continued => f.write_str("continued"),
            Self::Unclosed => f.write_str("unclosed"),
            Self::Torn { .. } => f.write_str("torn"),
        }
    }
}

/// The first place where a segment is not what was written. Everything before it is proven,
/// nothing after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where in the file the header or record in question begins.
    pub offset: u64,
    /// The number of the first record that is not proven.
    pub seq: u64,
    /// What is wrong there.
    pub what: Fault,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at record {}, byte {}: {}", self.seq, self.offset, self.what)
    }
}

/// What is wrong with a header or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The file ends within its header.
    HeaderCut,
    /// The file does not begin as a segment.
    Magic,
    /// The header's length is impossible.
    HeaderLength,
    /// The header's hash is not that of its bytes.
    HeaderHash,
    /// The header's fields are not in their form.
    HeaderField,
    /// The record's length is impossible, or its two copies in front disagree.
    Length,
    /// The facts are longer than their record or than any may be.
    FactsLength,
    /// Another number stands where this one belongs: dropped, reordered, repeated.
    Sequence {
        /// The number that stands there.
        found: u64,
    },
    /// The boot clock is behind the record before.
    BootClock,
    /// The chain value is not that of these bytes after those before.
    Chain,
    /// The length behind the record is not the one in front of it.
    LengthBehind,
    /// A session begins with another record than `open`.
    FirstRecord,
    /// The facts are not UTF-8.
    FactsText,
    /// Bytes follow the record that ends the segment.
    AfterEnd,
    /// The segment does not go on where those before it in its session ended.
    Succession,
    /// The payload that a record refers to is not one that stands before it in its segment.
    Repeat,
    /// The segment says that another goes on, and there is none.
    SegmentMissing,
}

impl Fault {
    /// The name `docs/audit-format.md` gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HeaderCut => "header-cut",
            Self::Magic => "magic",
            Self::HeaderLength => "header-length",
            Self::HeaderHash => "header-hash",
            Self::HeaderField => "header-field",
            Self::Length => "length",
            Self::FactsLength => "facts-length",
            Self::Sequence { .. } => "sequence",
            Self::BootClock => "boot-clock",
            Self::Chain => "chain",
            Self::LengthBehind => "length-behind",
            Self::FirstRecord => "first-record",
            Self::FactsText => "facts-text",
            Self::AfterEnd => "after-end",
            Self::Succession => "succession",
            Self::Repeat => "repeat",
            Self::SegmentMissing => "segment-missing",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderCut => f.write_str("the file ends within its header"),
            Self::Magic => f.write_str("the file does not begin as a segment"),
            Self::HeaderLength => f.write_str("the header's length is impossible"),
            Self::HeaderHash => f.write_str("the header was changed"),
            Self::HeaderField => f.write_str("the header's fields are not in their form"),
            Self::Length => f.write_str("the record's length was changed"),
            Self::FactsLength => f.write_str("the length of the facts was changed"),
            Self::Sequence { found } => {
                write!(f, "record {found} stands here: dropped, reordered or repeated records")
            }
            Self::BootClock => f.write_str("the boot clock went back"),
            Self::Chain => f.write_str("the record does not follow from those before: changed"),
            Self::LengthBehind => f.write_str("the length behind the record was changed"),
            Self::FirstRecord => f.write_str("the session does not begin with an open record"),
            Self::FactsText => f.write_str("the facts are not UTF-8"),
            Self::AfterEnd => f.write_str("bytes follow the end of the segment"),
            Self::Succession => {
                f.write_str("the segment does not follow from those before it: one is missing or replaced")
            }
            Self::Repeat => f.write_str("the record refers to a payload that does not stand before it in the segment"),
            Self::SegmentMissing => f.write_str("the segment that goes on from here is missing"),
        }
    }
}

/// Checks a whole segment. Holds no more than a buffer in memory, whatever its size.
///
/// A segment of a session that runs is verified as far as it is written.
///
/// # Errors
/// When the file cannot be read, or uses something this version does not know.
pub fn verify(path: &Path) -> Result<Verdict, AuditError> {
    match walk(path) {
        Ok(verified) => Ok(Verdict::Verified(Box::new(verified))),
        Err(AuditError::Broken { broken, .. }) => Ok(Verdict::Broken(broken)),
        Err(error) => Err(error),
    }
}

fn walk(path: &Path) -> Result<Verified, AuditError> {
    let mut reader = Reader::open(path)?.keeping(Payloads::First(0));
    let (mut records, mut head, mut went_back, mut wall_ns) = (0, None, None, 0);
    while let Some(record) = reader.next_record()? {
        if record.wall_ns < wall_ns {
            went_back = went_back.or(Some(record.seq));
        }
        wall_ns = record.wall_ns;
        records += 1;
        head = Some(Head {
            seq: record.seq,
            hash: record.hash,
        });
    }
    let ended = reader.ended().unwrap_or(Ended::Unclosed);
    let header = reader.header().clone();
    Ok(Verified {
        header,
        records,
        head,
        ended,
        wall_clock_went_back_at: went_back,
    })
}
