//! One session over all its segments: found, read in order, verified as one.

use crate::chain::{Digest, Head};
use crate::error::AuditError;
use crate::folder;
use crate::header::Header;
use crate::kind::Kind;
use crate::reader::{Payloads, Reader};
use crate::record::Record;
use crate::source::Source;
use crate::tail;
use crate::verify::{Broken, Ended, Fault};
use std::path::{Path, PathBuf};

/// One session, as far as the names, headers and last bytes of its segments tell. Nothing here
/// is proven: that is what [`verify_session`] is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// What the first segment says about itself, the session's id and server among it.
    pub header: Header,
    /// The segments' files, in order.
    pub segments: Vec<PathBuf>,
    /// How long they are together, in bytes.
    pub bytes: u64,
    /// How the last one stands.
    pub state: SessionState,
}

/// How a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionState {
    /// Its log is open in some process.
    Live,
    /// It ends with a `close` record.
    Closed,
    /// It has no end, and nobody writes it: it was killed, or cut.
    Unclosed,
}

/// One segment of a session, as its header and last bytes tell.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) header: Header,
    pub(crate) path: PathBuf,
    bytes: u64,
    state: SessionState,
}

impl Part {
    pub(crate) fn read(path: &Path) -> Result<Self, AuditError> {
        let read = |cause| AuditError::Read {
            path: path.to_owned(),
            cause,
        };
        let reader = Reader::open(path)?;
        let mut source = Source::open(path)?;
        let bytes = source.length();
        // A packed segment has ended: nobody writes it.
        let live = source.plain().map_or(Ok(false), folder::is_live).map_err(read)?;
        let start = reader.position().offset;
        let last = tail::last_prefix(&mut source, start, bytes).map_err(read)?;
        let closed = last.is_some_and(|(_, prefix)| Kind::from_code(prefix.kind) == Kind::Close);
        let state = match (closed, live) {
            (true, _) => SessionState::Closed,
            (false, true) => SessionState::Live,
            (false, false) => SessionState::Unclosed,
        };
        Ok(Self {
            header: reader.header().clone(),
            path: path.to_owned(),
            bytes,
            state,
        })
    }
}

/// Puts segments together to sessions, each with its segments in order.
pub(crate) fn sessions(mut parts: Vec<Part>) -> Vec<Session> {
    parts.sort_by(|one, other| {
        let key = |part: &Part| (part.header.session.clone(), part.header.index);
        key(one).cmp(&key(other)).then_with(|| one.path.cmp(&other.path))
    });
    let mut sessions: Vec<Session> = Vec::new();
    for part in parts {
        match sessions.last_mut() {
            Some(session) if session.header.session == part.header.session => {
                session.segments.push(part.path);
                session.bytes = session.bytes.saturating_add(part.bytes);
                session.state = part.state;
            }
            _ => sessions.push(Session {
                header: part.header,
                segments: vec![part.path],
                bytes: part.bytes,
                state: part.state,
            }),
        }
    }
    sessions
}

/// What [`verify_session`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionVerdict {
    /// Every record is what was written, and each segment follows from the one before.
    Verified(Box<SessionVerified>),
    /// Something was changed, dropped or put in.
    Broken {
        /// In which segment.
        path: PathBuf,
        /// Where there, and how.
        broken: Broken,
    },
}

/// A session whose records are all what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionVerified {
    /// What its first segment says about itself.
    pub header: Header,
    /// How many records it has.
    pub records: u64,
    /// Its last record; `None` when it has none.
    pub head: Option<Head>,
    /// How its last segment ends.
    pub ended: Ended,
    /// Records that a failing disk took before a later segment went on. They had been
    /// acknowledged as `written`, never as `synced`.
    pub lost: Vec<Lost>,
    /// The first record whose wall clock is behind the one before it. That is no fault: people
    /// set clocks.
    pub wall_clock_went_back_at: Option<u64>,
}

/// Numbers that no record has, because the disk failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}

/// Checks the segments of one session, given in order, and hands each record to `each` once it
/// is proven. Payloads are proven and not kept.
///
/// # Errors
/// When a file cannot be read, or uses something this version does not know.
pub fn verify_session(segments: &[PathBuf], each: &mut dyn FnMut(&Record)) -> Result<SessionVerdict, AuditError> {
    match walk(segments, each) {
        Ok(verified) => Ok(SessionVerdict::Verified(Box::new(verified))),
        Err(AuditError::Broken { path, broken }) => Ok(SessionVerdict::Broken { path, broken }),
        Err(error) => Err(error),
    }
}

/// How far the segments before have come.
struct Walk {
    first: Header,
    next_seq: u64,
    chain: Digest,
    ended: Ended,
    wall_ns: u64,
    found: SessionVerified,
}

fn walk(segments: &[PathBuf], each: &mut dyn FnMut(&Record)) -> Result<SessionVerified, AuditError> {
    let mut walk: Option<Walk> = None;
    for (number, path) in segments.iter().enumerate() {
        let mut reader = Reader::open(path)?.keeping(Payloads::First(0));
        let header = reader.header().clone();
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let record = reader.next_record();
        let first = record.as_ref().ok().and_then(Option::as_ref);
        let resumed = first.is_some_and(|record| record.kind == Kind::Resumed);
        let mut here = match walk.take() {
            None if header.index == 0 => Walk::new(header),
            Some(before) if before.is_followed_by(&header, index, resumed, first.is_none()) => before.go_on(&header),
            _ => return Err(broken(path, header.first_seq, Fault::Succession)),
        };
        let mut record = record?;
        while let Some(proven) = record {
            here.take(&proven);
            each(&proven);
            record = reader.next_record()?;
        }
        here.ended = reader.ended().unwrap_or(Ended::Unclosed);
        walk = Some(here);
    }
    let Some(mut walk) = walk else {
        return Err(AuditError::NoSuchSession { id: String::new() });
    };
    if walk.ended == Ended::Continued
        && let Some(last) = segments.last()
    {
        return Err(broken(last, walk.next_seq, Fault::SegmentMissing));
    }
    walk.found.ended = walk.ended;
    Ok(walk.found)
}

impl Walk {
    fn new(header: Header) -> Self {
        let found = SessionVerified {
            header: header.clone(),
            records: 0,
            head: None,
            ended: Ended::Unclosed,
            lost: Vec::new(),
            wall_clock_went_back_at: None,
        };
        Self {
            next_seq: header.first_seq,
            chain: Digest::ZERO,
            ended: Ended::Unclosed,
            wall_ns: 0,
            first: header,
            found,
        }
    }

    /// Whether the segment with this header may stand behind the ones before: it goes on where
    /// they were continued; or it says that the disk failed; or nothing was written to it yet,
    /// because its writer ended before it could end the one before.
    fn is_followed_by(&self, header: &Header, index: u32, resumed: bool, is_empty: bool) -> bool {
        let same = header.session == self.first.session && header.server == self.first.server;
        let exact = header.first_seq == self.next_seq && header.previous == self.chain;
        let place = match self.ended {
            Ended::Closed => false,
            Ended::Continued => exact,
            Ended::Unclosed | Ended::Torn { .. } => is_empty || resumed && (exact || header.first_seq > self.next_seq),
        };
        same && header.index == index && place
    }

    fn go_on(mut self, header: &Header) -> Self {
        if let Some(last) = header.first_seq.checked_sub(1).filter(|last| *last >= self.next_seq)
            && self.ended != Ended::Continued
        {
            self.found.lost.push(Lost {
                first: self.next_seq,
                last,
            });
        }
        self.next_seq = header.first_seq;
        self
    }

    fn take(&mut self, record: &Record) {
        if record.wall_ns < self.wall_ns {
            self.found.wall_clock_went_back_at.get_or_insert(record.seq);
        }
        self.wall_ns = record.wall_ns;
        self.next_seq = record.seq.saturating_add(1);
        self.chain = record.hash;
        self.found.records += 1;
        self.found.head = Some(Head {
            seq: record.seq,
            hash: record.hash,
        });
    }
}

fn broken(path: &Path, seq: u64, what: Fault) -> AuditError {
    AuditError::Broken {
        path: path.to_owned(),
        broken: Broken { offset: 0, seq, what },
    }
}
