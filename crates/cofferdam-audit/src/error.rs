//! What can go wrong with the record, in words for people.

use crate::kind::Kind;
use crate::verify::Broken;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why something could not be recorded, or not be read back. Whatever it is: the value that was
/// to be recorded does not come back as recorded, so it cannot pass.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The folder of the record is not one that only we can write to.
    #[error("the record's folder `{path}` cannot be trusted: {what}")]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The server's name cannot be the name of a folder.
    #[error("the server name `{server}` cannot name a folder of the record")]
    ServerName {
        /// The name as given.
        server: String,
    },
    /// The session id is not 32 lowercase hexadecimal digits.
    #[error("the session id `{session}` is not 32 lowercase hexadecimal digits")]
    SessionId {
        /// The id as given.
        session: String,
    },
    /// The facts are not a JSON object.
    #[error("the facts of a `{kind}` record are not a JSON object")]
    Facts {
        /// Of which kind the record was to be.
        kind: Kind,
    },
    /// Only the log itself writes this kind.
    #[error("a `{kind}` record cannot be appended")]
    Kind {
        /// The kind asked for.
        kind: Kind,
    },
    /// A value was to be recorded without any entry.
    #[error("a value was to be recorded without an entry")]
    NoEntry,
    /// A part is longer than its limit.
    #[error("the {what} is {bytes} bytes long, more than the {max} a record takes")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The segment could not be created.
    #[error("cannot create the record `{path}`: {cause}")]
    Create {
        /// The segment's file, or the folder it was to be in.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// No room on the disk. Nothing was written; the next append tries again.
    #[error("no room for the record `{path}`: {cause}")]
    Full {
        /// The segment's file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// A write failed. Nothing is written to this segment any more.
    #[error("cannot write the record `{path}`: {cause}")]
    Write {
        /// The segment's file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Bringing the segment to the disk failed. It is never tried again: after such an error the
    /// kernel may have dropped what it could not write, and say so only once.
    #[error("cannot bring the record `{path}` to the disk: {cause}")]
    Sync {
        /// The segment's file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// An earlier failure ended this log.
    #[error("the record `{path}` takes nothing any more: {cause}")]
    Poisoned {
        /// The segment's file.
        path: PathBuf,
        /// The failure that ended it.
        cause: String,
    },
    /// No data key could be made for a segment.
    #[error("payloads cannot be sealed: {cause}")]
    Seal {
        /// Why.
        cause: String,
    },
    /// The session's record cannot go on in another segment.
    #[error("there is no next segment for this record")]
    NoSuccessor,
    /// The segment's file was removed while it was being written.
    #[error("the record `{path}` was removed while it was being written")]
    Removed {
        /// Where the segment's file was.
        path: PathBuf,
    },
    /// The log was closed.
    #[error("the record `{path}` is closed")]
    Closed {
        /// The segment's file.
        path: PathBuf,
    },
    /// The disk does not keep up; what was written earlier is not on it yet.
    #[error("the disk of the record `{path}` is {milliseconds} ms behind")]
    Lagging {
        /// The segment's file.
        path: PathBuf,
        /// How long the oldest unsynced byte has been waiting.
        milliseconds: u64,
    },
    /// This server has filled its share.
    #[error("server `{server}` has written {used} bytes in an hour, its quota is {limit}")]
    QuotaExceeded {
        /// Which server.
        server: String,
        /// Bytes in the last hour, over all its segments.
        used: u64,
        /// Bytes it may have.
        limit: u64,
    },
    /// The boot clock went back, so the record could not say what came first.
    #[error("the boot clock went back from {before} ns to {now} ns")]
    ClockWentBack {
        /// The last record's boot clock.
        before: u64,
        /// What the clock says now.
        now: u64,
    },
    /// A file or folder of the record cannot be read.
    #[error("cannot read `{path}`: {cause}")]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The segment is not what was written.
    #[error("`{path}` is broken {broken}")]
    Broken {
        /// The segment's file.
        path: PathBuf,
        /// Where, and how.
        broken: Broken,
    },
    /// The segment uses something this version cannot read.
    #[error("`{path}` uses {what}, which this version cannot read")]
    Unsupported {
        /// The segment's file.
        path: PathBuf,
        /// What it uses.
        what: String,
    },
    /// There are more segments than one listing takes.
    #[error("`{path}` holds more than {max} segments")]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// The limit.
        max: usize,
    },
    /// A reference to a record has another form.
    #[error("`{reference}` is not a reference to a record")]
    Reference {
        /// The reference as given.
        reference: String,
    },
    /// No session's id begins so.
    #[error("no session `{id}` in the record")]
    NoSuchSession {
        /// The beginning as given.
        id: String,
    },
    /// Several sessions' ids begin so.
    #[error("{count} sessions begin with `{id}`")]
    Ambiguous {
        /// The beginning as given.
        id: String,
        /// How many.
        count: usize,
    },
    /// The session has no such record.
    #[error("session `{id}` has no record {seq}")]
    NoSuchRecord {
        /// The session.
        id: String,
        /// The number asked for.
        seq: u64,
    },
}

impl AuditError {
    /// Whether the disk or the folder is at fault and not what was to be recorded: the same append can succeed later.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Full { .. }
                | Self::Write { .. }
                | Self::Sync { .. }
                | Self::Poisoned { .. }
                | Self::Removed { .. }
                | Self::Lagging { .. }
                | Self::Create { .. }
                | Self::Folder { .. }
                | Self::Read { .. }
                | Self::NoSuccessor
        )
    }

    /// What a person can do about it, when there is something.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        Some(match self {
            Self::Folder { .. } => "make it a real folder of your own with `chmod 700`",
            Self::ServerName { .. } => {
                "use letters, digits, `.`, `_` and `-`, at most 64, and begin with a letter or digit"
            }
            Self::Full { .. } => "free some space on that disk; traffic goes on by itself then",
            Self::Write { .. } | Self::Sync { .. } | Self::Poisoned { .. } => {
                "look at the disk; traffic goes on in a new segment once it takes one"
            }
            Self::Removed { .. } => "nothing but `audit prune` should remove records; see who did",
            Self::Lagging { .. } => "the disk is too slow or stuck; nothing passes until it is back",
            Self::QuotaExceeded { .. } => {
                "see what it prints with `audit tail`; raise `record_bytes_per_hour` if that is right"
            }
            Self::Broken { .. } => "everything before that record is proven, nothing after it",
            Self::Unsupported { .. } => "read it with a newer version",
            Self::Reference { .. } => "write SESSION:NUMBER, with the beginning of a session id",
            Self::Ambiguous { .. } => "give more digits of the session id",
            Self::ClockWentBack { .. } => "the machine was restored or moved; start the session again",
            _ => return None,
        })
    }
}
