//! Finds sessions and records in the folder of the record, newest first, and follows it.

use crate::error::AuditError;
use crate::folder::{self, PACKED_SUFFIX, SEGMENTS_MAX, is_segment_name, is_server_name};
use crate::follow::Follow;
use crate::header::Header;
use crate::reader::{Payloads, Reader};
use crate::record::Record;
use crate::session::{self, Part, Session};
use crate::tail;
use crate::verify::Fault;
use std::collections::HashSet;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Most records one call to [`Store::tail`] gives.
const TAIL_RECORDS_MAX: usize = 100_000;

/// The folder of the record: one folder per server, one or more segments per session.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// What was found, and what could not be read meanwhile: one broken segment hides no other.
#[derive(Debug)]
pub struct Found<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Why some segments are missing from it.
    pub problems: Vec<AuditError>,
}

/// A record and the session it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The session's id.
    pub session: String,
    /// The server's name.
    pub server: String,
    /// What the record's segment says about itself.
    pub header: Header,
    /// The record.
    pub record: Record,
}

impl Store {
    /// Opens the folder that logs are created in.
    ///
    /// # Errors
    /// When it cannot be read, or is not ours alone.
    pub fn open(folder: &Path) -> Result<Self, AuditError> {
        folder::check(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// All sessions, newest first. Files that are not segments are left out.
    ///
    /// # Errors
    /// When a folder cannot be read or holds too much.
    pub fn sessions(&self) -> Result<Found<Session>, AuditError> {
        let (mut parts, mut problems) = (Vec::new(), Vec::new());
        for path in self.segments()? {
            match Part::read(&path) {
                Ok(part) => parts.push(part),
                Err(error) if is_gone_or_other(&error) => {}
                Err(error) => problems.push(error),
            }
        }
        let mut items = session::sessions(parts);
        items.sort_by(|one, other| {
            let key = |session: &Session| session.header.wall_ns;
            key(other)
                .cmp(&key(one))
                .then_with(|| one.segments.cmp(&other.segments))
        });
        Ok(Found { items, problems })
    }

    /// The session whose id begins so.
    ///
    /// # Errors
    /// When there is none or more than one, or a folder cannot be read.
    pub fn session(&self, id: &str) -> Result<Session, AuditError> {
        let mut parts = Vec::new();
        for path in self.segments()? {
            if id_in_name(&path).is_some_and(|known| known.starts_with(id)) {
                match Part::read(&path) {
                    Err(error) if is_gone_or_other(&error) => {}
                    part => parts.push(part?),
                }
            }
        }
        let mut found = session::sessions(parts);
        match (found.pop(), found.len()) {
            _ if id.is_empty() => Err(AuditError::NoSuchSession { id: String::new() }),
            (None, _) => Err(AuditError::NoSuchSession { id: id.to_owned() }),
            (Some(session), 0) => Ok(session),
            (Some(_), others) => Err(AuditError::Ambiguous {
                id: id.to_owned(),
                count: others + 1,
            }),
        }
    }

    /// The record that `SESSION:NUMBER` refers to, where SESSION is the beginning of an id.
    /// Everything before it in its segment is proven on the way.
    ///
    /// # Errors
    /// When the reference has another form or leads nowhere, or the segment is broken before it.
    pub fn record(&self, reference: &str) -> Result<Located, AuditError> {
        let malformed = || AuditError::Reference {
            reference: reference.to_owned(),
        };
        let (id, seq) = reference.split_once(':').ok_or_else(malformed)?;
        let seq: u64 = seq.parse().ok().ok_or_else(malformed)?;
        let session = self.session(id)?;
        for path in session.segments.iter().rev() {
            let mut reader = Reader::open(path)?.keeping(Payloads::First(0));
            if reader.header().first_seq > seq {
                continue;
            }
            let mut before = reader.position();
            while let Some(record) = reader.next_record()? {
                if record.seq == seq {
                    let whole = Reader::resume(path, before)?.next_record()?.unwrap_or(record);
                    return Ok(located(&session.header, whole));
                }
                before = reader.position();
            }
        }
        Err(AuditError::NoSuchRecord {
            id: session.header.session,
            seq,
        })
    }

    /// The last `count` records over all sessions, oldest first by wall clock, with at most
    /// `payload_bytes` of each payload. They are found from the segments' ends; each follows
    /// from the one before it, but only [`verify`](crate::verify()) proves that nothing is
    /// missing.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn tail(&self, count: usize, payload_bytes: usize) -> Result<Found<Located>, AuditError> {
        let count = count.min(TAIL_RECORDS_MAX);
        let mut found: Found<Located> = Found {
            items: Vec::new(),
            problems: Vec::new(),
        };
        for (written_ns, path) in self.by_last_write()? {
            let oldest = found.items.first().map_or(0, |located| located.record.wall_ns);
            if found.items.len() >= count && written_ns < oldest {
                break;
            }
            match tail::last_records(&path, count, payload_bytes) {
                Ok(records) => found.items.extend(records),
                Err(error) if is_gone_or_other(&error) => {}
                Err(error) => found.problems.push(error),
            }
            found.items.sort_by_key(|located| located.record.wall_ns);
            found.items.drain(..found.items.len().saturating_sub(count));
        }
        Ok(found)
    }

    /// Follows all sessions from now on: those there are, and those that begin. Beside it, why
    /// some segments cannot be followed.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub fn follow(&self, payload_bytes: usize) -> Result<(Follow, Vec<AuditError>), AuditError> {
        Follow::from_now(self.clone(), payload_bytes)
    }

    /// The paths of all segments, in no order. A segment and what it was packed to count once.
    ///
    /// # Errors
    /// When a folder cannot be read or holds too much.
    pub fn segments(&self) -> Result<Vec<PathBuf>, AuditError> {
        let mut segments = Vec::new();
        for server in entries(&self.folder)? {
            let is_server = server.file_name().and_then(|name| name.to_str());
            if !is_server.is_some_and(is_server_name) || !is_real_folder(&server) {
                continue;
            }
            let mut files = entries(&server)?;
            files.retain(|path| path.file_name().is_some_and(|name| is_segment_name(name.as_bytes())));
            segments.extend(without_packed_twins(files));
            if segments.len() > SEGMENTS_MAX {
                return Err(AuditError::TooMany {
                    path: server,
                    max: SEGMENTS_MAX,
                });
            }
        }
        Ok(segments)
    }

    /// When each segment was last written, newest first.
    fn by_last_write(&self) -> Result<Vec<(u64, PathBuf)>, AuditError> {
        let mut written = Vec::new();
        for path in self.segments()? {
            let Ok(metadata) = path.symlink_metadata() else {
                continue;
            };
            let second = u64::try_from(metadata.mtime()).unwrap_or(0);
            // The file's time is coarser than the record's clock: a whole second is allowed for.
            written.push((second.saturating_add(1).saturating_mul(1_000_000_000), path));
        }
        written.sort_by(|one, other| other.cmp(one));
        Ok(written)
    }
}

pub(crate) fn located(header: &Header, record: Record) -> Located {
    Located {
        session: header.session.clone(),
        server: header.server.clone(),
        header: header.clone(),
        record,
    }
}

/// Whether a file that the listing named is no segment now: gone, still empty, or another thing.
pub(crate) fn is_gone_or_other(error: &AuditError) -> bool {
    match error {
        AuditError::Read { cause, .. } => cause.kind() == io::ErrorKind::NotFound,
        AuditError::Broken { broken, .. } => matches!(broken.what, Fault::HeaderCut | Fault::Magic),
        _ => false,
    }
}

/// The session id in a segment's name: `<time>-<id>.cfa` or `<time>-<id>.<index>.cfa`.
fn id_in_name(path: &Path) -> Option<&str> {
    let (_, rest) = path.file_name()?.to_str()?.split_once('-')?;
    rest.split_once('.').map(|(id, _)| id)
}

fn is_real_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Leaves out a packed segment beside the one it was packed from: who packed it ended before the
/// other was removed.
fn without_packed_twins(files: Vec<PathBuf>) -> Vec<PathBuf> {
    let plain: HashSet<PathBuf> = files.iter().filter(|path| !is_packed_name(path)).cloned().collect();
    let mut kept = files;
    kept.retain(|path| !is_packed_name(path) || !plain.contains(&path.with_extension("")));
    kept
}

fn is_packed_name(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(PACKED_SUFFIX.as_bytes())
}

/// What is in a folder, in no order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, AuditError> {
    let read = |cause| AuditError::Read {
        path: folder.to_owned(),
        cause,
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        paths.push(entry.map_err(read)?.path());
        if paths.len() > SEGMENTS_MAX {
            return Err(AuditError::TooMany {
                path: folder.to_owned(),
                max: SEGMENTS_MAX,
            });
        }
    }
    Ok(paths)
}
