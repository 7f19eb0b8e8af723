//! One segment being written: whole records or none, and room kept for its end.

use crate::chain::{Digest, Head};
use crate::error::AuditError;
use crate::file::{SegmentFile, is_full, is_unsupported};
use crate::group::{Drafted, Group};
use crate::repeat::Remembered;
use crate::seal::Seal;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Blocks are reserved in steps of this many bytes.
const ROOM_BYTES: u64 = 256 * 1024;
/// Room that traffic never uses, so that a full disk can still be recorded.
pub(crate) const RESERVE_BYTES: u64 = 64 * 1024;
/// Room that only the last record uses.
pub(crate) const CLOSE_BYTES: u64 = 4 * 1024;

/// What a group is for, which says how much of the reserve it may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What passes: leaves the reserve alone.
    Traffic,
    /// The record of a failure and what the gate says about it: leaves room for the end.
    Failure,
    /// The end.
    Close,
}

impl Purpose {
    const fn leaves(self) -> u64 {
        match self {
            Self::Traffic => RESERVE_BYTES,
            Self::Failure => CLOSE_BYTES,
            Self::Close => 0,
        }
    }
}

/// Whether a segment takes more.
#[derive(Debug)]
enum Standing {
    Open,
    /// A `close` record is its last.
    Closed,
    /// A failure ended it; nothing is known for certain about what comes after its length.
    Poisoned(String),
}

/// A segment's file and how far it is written.
#[derive(Debug)]
pub(crate) struct Segment {
    file: Arc<dyn SegmentFile>,
    path: PathBuf,
    standing: Standing,
    /// Bytes of whole records, header included. INVARIANT: the file is exactly this long
    /// whenever no write is under way and the segment is not poisoned.
    length: u64,
    /// Up to where blocks are reserved.
    room: u64,
    /// Whether the filesystem can reserve at all.
    reserves: bool,
    next_seq: u64,
    chain: Digest,
    boot_ns: u64,
    /// The data key, where payloads are sealed.
    seal: Option<Box<dyn Seal>>,
    /// Its large payloads, each stored once.
    remembered: Remembered,
}

impl Segment {
    /// A segment without a byte yet, its reserve in place when the filesystem can do that.
    pub(crate) fn new(file: Arc<dyn SegmentFile>, path: PathBuf) -> Result<Self, AuditError> {
        let mut segment = Self {
            file,
            path,
            standing: Standing::Open,
            length: 0,
            room: 0,
            reserves: true,
            next_seq: 0,
            chain: Digest::ZERO,
            boot_ns: 0,
            seal: None,
            remembered: Remembered::default(),
        };
        segment.make_room(0, Purpose::Traffic)?;
        Ok(segment)
    }

    /// The same segment, its payloads sealed from now on.
    pub(crate) fn sealed_with(mut self, seal: Option<Box<dyn Seal>>) -> Self {
        self.seal = seal;
        self
    }

    /// A group that follows what is written; `bytes` is empty.
    pub(crate) fn group<'a>(&'a mut self, bytes: &'a mut Vec<u8>, now: (u64, u64)) -> Group<'a> {
        Group::following(bytes, self.next_seq, self.chain, now)
            .sealed_with(self.seal.as_deref())
            .storing_once(&mut self.remembered, self.length)
    }

    pub(crate) fn file(&self) -> Arc<dyn SegmentFile> {
        Arc::clone(&self.file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    pub(crate) const fn reserves(&self) -> bool {
        self.reserves
    }

    pub(crate) const fn next_seq(&self) -> u64 {
        self.next_seq
    }

    pub(crate) const fn chain(&self) -> Digest {
        self.chain
    }

    pub(crate) const fn boot_ns(&self) -> u64 {
        self.boot_ns
    }

    pub(crate) const fn head(&self) -> Head {
        Head {
            seq: self.next_seq.saturating_sub(1),
            hash: self.chain,
        }
    }

    /// Fails when the segment takes nothing any more.
    pub(crate) fn usable(&self) -> Result<(), AuditError> {
        match &self.standing {
            Standing::Open => Ok(()),
            Standing::Closed => Err(AuditError::Closed {
                path: self.path.clone(),
            }),
            Standing::Poisoned(cause) => Err(AuditError::Poisoned {
                path: self.path.clone(),
                cause: cause.clone(),
            }),
        }
    }

    /// Fails when a failure ended the segment; one that was closed is fine.
    pub(crate) fn sound(&self) -> Result<(), AuditError> {
        match &self.standing {
            Standing::Open | Standing::Closed => Ok(()),
            Standing::Poisoned(_) => self.usable(),
        }
    }

    pub(crate) const fn is_closed(&self) -> bool {
        matches!(self.standing, Standing::Closed)
    }

    pub(crate) const fn is_poisoned(&self) -> bool {
        matches!(self.standing, Standing::Poisoned(_))
    }

    /// Ends the segment for good; only the first cause counts.
    pub(crate) fn poison(&mut self, cause: String) {
        if !self.is_poisoned() {
            self.standing = Standing::Poisoned(cause);
        }
    }

    /// Writes a drafted group: all of it, or nothing and an error.
    pub(crate) fn append(&mut self, bytes: &[u8], drafted: Drafted, purpose: Purpose) -> Result<(), AuditError> {
        let size = bytes.len() as u64;
        self.make_room(size, purpose)?;
        self.write(bytes)?;
        self.length += size;
        self.next_seq = drafted.next_seq;
        self.chain = drafted.chain;
        self.boot_ns = drafted.boot_ns;
        self.remembered.keep();
        if purpose == Purpose::Close {
            self.standing = Standing::Closed;
        }
        Ok(())
    }

    /// Gives reserved blocks back after the end. It only saves space, so its failure is no
    /// failure of the record.
    pub(crate) fn release_room(&mut self) {
        if self.reserves && self.file.truncate(self.length).is_ok() {
            self.room = self.length;
        }
    }

    /// Makes sure that `bytes` more fit and that what the purpose leaves alone is still there.
    fn make_room(&mut self, bytes: u64, purpose: Purpose) -> Result<(), AuditError> {
        let needed = self.length + bytes + purpose.leaves();
        if !self.reserves || self.room >= needed {
            return Ok(());
        }
        let ahead = self.reserve(needed.next_multiple_of(ROOM_BYTES));
        let enough = match ahead {
            Err(cause) if is_full(&cause) => self.reserve(needed),
            other => other,
        };
        match enough {
            Ok(()) => Ok(()),
            Err(cause) if is_unsupported(&cause) => {
                self.reserves = false;
                Ok(())
            }
            Err(cause) => Err(self.failed(cause)),
        }
    }

    fn reserve(&mut self, up_to: u64) -> io::Result<()> {
        loop {
            match self.file.allocate(self.length, up_to - self.length) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
                Ok(()) => {
                    self.room = up_to;
                    return Ok(());
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), AuditError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = match self.file.write(rest) {
                Ok(0) => Err(io::Error::from(io::ErrorKind::WriteZero)),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
                other => other,
            };
            match written.map(|count| rest.split_at_checked(count)) {
                Ok(Some((_, left))) => rest = left,
                Ok(None) => return Err(self.failed(io::Error::other("wrote more than it was given"))),
                Err(cause) => {
                    let error = self.failed(cause);
                    if rest.len() < bytes.len() {
                        self.undo();
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Cuts off what was written of a group that did not get through. Where that fails too, the
    /// tail is unknown and the segment ends. The cut gives the reserve back, so it is asked for
    /// again; without it the next traffic is refused and asks once more.
    fn undo(&mut self) {
        match self.file.truncate(self.length) {
            Ok(()) if self.reserves => {
                self.room = self.length;
                match self.reserve(self.length + RESERVE_BYTES) {
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(()) => {}
            Err(cause) => self.poison(format!("cannot cut off half a record: {cause}")),
        }
    }

    /// Names a failed write. No room can change; anything else ends the segment.
    fn failed(&mut self, cause: io::Error) -> AuditError {
        if is_full(&cause) {
            return AuditError::Full {
                path: self.path.clone(),
                cause,
            };
        }
        self.poison(cause.to_string());
        AuditError::Write {
            path: self.path.clone(),
            cause,
        }
    }
}
