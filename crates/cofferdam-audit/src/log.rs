//! The record of one session: append, hand back, close.

use crate::chain::Head;
use crate::clock::Clock;
use crate::error::AuditError;
use crate::file::{SegmentFile, SegmentSource};
use crate::folder::{self, ServerFolder, SessionFolder};
use crate::group::{Drafted, Entry, Group, Recorded, Unrecorded};
use crate::kind::Kind;
use crate::opening::{self, Opening};
use crate::quota::{Pressure, Quota, Window};
use crate::seal::{Seal, Sealing};
use crate::segment::{Purpose, Segment};
use crate::succession::{self, Rotation, Succession};
use crate::sync::{self, Shared, State, Timing};
use crate::veil::Veiling;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The longest facts of a `close` record, in bytes: it must fit into what is kept for it.
pub const CLOSE_FACTS_BYTES_MAX: usize = 2 * 1024;
/// A buffer that grew beyond this is given back after use.
const BUFFER_BYTES_KEPT: usize = 2 * 1024 * 1024;

/// When an entry counts as recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the kernel has it: survives any crash of ours. A sync follows within 10 ms; when the
    /// disk falls two seconds behind, appends wait, and after two more are refused.
    Written,
    /// When the disk has it: survives a crash of the machine. Concurrent appends share a sync.
    Synced,
}

impl Durability {
    const fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

/// How a log works.
#[derive(Clone, Debug)]
pub struct Options {
    /// When an entry counts as recorded.
    pub durability: Durability,
    /// How much this server's record may grow by.
    pub quota: Quota,
    /// What dates the records.
    pub clock: Arc<dyn Clock>,
    /// When a segment is followed by another.
    pub rotation: Rotation,
    /// What seals payloads; `None` where they stand open.
    pub sealing: Option<Arc<dyn Sealing>>,
}

/// The record of one session: one segment file after another, with this log as their only
/// writer. Many threads may append; their groups are written one after the other.
///
/// A segment that has had its time is followed by another. So is one that a failure of the disk
/// ended: what was acknowledged at [`Durability::Synced`] is not lost then, and what was at
/// [`Durability::Written`] may be as far as no sync had reached it; the new segment says so.
///
/// Dropped without [`Log::close`], it leaves the segment unclosed, which is what happened.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    durability: Durability,
    veiling: Option<Arc<dyn Veiling>>,
    session: String,
    server: String,
    path: PathBuf,
}

impl Log {
    /// Begins a session's segment, `<folder>/<server>/<time>-<session>.cfa`, with its `open`
    /// record. Folders that are missing are created with mode 0700, the file with 0600.
    ///
    /// # Errors
    /// When the opening is not valid, a folder cannot be trusted, or the file cannot be created,
    /// written or, with [`Durability::Synced`], synced.
    pub fn create(folder: &Path, opening: Opening<'_>, options: Options) -> Result<Self, AuditError> {
        Self::create_veiled(folder, opening, options, None)
    }

    /// As [`Log::create`]; what `veiling` finds in facts and payloads is never written, something else stands in its place.
    ///
    /// # Errors
    /// As [`Log::create`].
    pub fn create_veiled(
        folder: &Path,
        opening: Opening<'_>,
        options: Options,
        veiling: Option<Arc<dyn Veiling>>,
    ) -> Result<Self, AuditError> {
        opening::check(&opening)?;
        let server = ServerFolder::open(folder, opening.server)?;
        let (wall_ns, boot_ns) = options.clock.now();
        let mut window = Window::new(options.quota, boot_ns);
        for (bytes, age) in server.last_hour(wall_ns)? {
            window.add_earlier(bytes, age);
        }
        let (file, path) = server.create(opening.session, 0, wall_ns)?;
        let later = SessionFolder {
            root: folder.to_owned(),
            server: opening.server.to_owned(),
            session: opening.session.to_owned(),
        };
        let beginning = Beginning {
            options,
            window,
            timing: Timing::STANDARD,
            source: Some(Box::new(later)),
            veiling,
        };
        let log = Self::begin(Arc::new(file), path.clone(), opening, beginning);
        if log.is_err() {
            folder::remove_empty(&path);
        }
        log
    }

    /// Begins a segment in a file that is there and empty.
    pub(crate) fn begin(
        file: Arc<dyn SegmentFile>,
        path: PathBuf,
        opening: Opening<'_>,
        beginning: Beginning,
    ) -> Result<Self, AuditError> {
        let Beginning {
            options,
            window,
            timing,
            source,
            veiling,
        } = beginning;
        let Options { durability, clock, .. } = options;
        let now = clock.now();
        let seal = succession::begin_seal(options.sealing.as_deref())?;
        let sealed = seal.as_deref().map(Seal::wrapped);
        let segment = Segment::new(file, path.clone())?.sealed_with(seal);
        let facts = opening::facts(&opening, durability.name(), segment.reserves())?;
        let header = opening.header(now, sealed);
        let (bytes, drafted) = opening::draft(&header, &facts, now, veiling.as_deref())?;
        let succession = Succession {
            source,
            rotation: options.rotation,
            sealing: options.sealing,
            header,
            not_before_ns: 0,
        };
        let state = State::new(segment, window, succession);
        let log = Self {
            shared: Arc::new(Shared::new(state, clock, timing)),
            durability,
            veiling,
            session: opening.session.to_owned(),
            server: opening.server.to_owned(),
            path: path.clone(),
        };
        if durability == Durability::Written {
            sync::start(&log.shared).map_err(|cause| AuditError::Create { path, cause })?;
        }
        log.write_opening(&bytes, drafted)?;
        Ok(log)
    }

    /// Records one value with the entries that `describe` adds for it, in one write.
    /// `describe` runs while the log is held: it must not append to it itself. It runs again
    /// when the segment has to be followed by another.
    ///
    /// # Errors
    /// When an entry is not valid or anything keeps it from being recorded at this log's
    /// durability. Nothing of the group is in the record then, unless a sync failed.
    pub fn append_one<T>(&self, value: T, describe: impl Fn(&T, &mut Group<'_>)) -> Result<Recorded<T>, Unrecorded<T>> {
        self.append_for(value, describe, Purpose::Traffic)
    }

    /// Records several values, each with the entries that `describe` adds for it: all in order,
    /// in one write, all or none.
    ///
    /// # Errors
    /// As [`Log::append_one`].
    pub fn append<T>(
        &self,
        values: Vec<T>,
        describe: impl Fn(&T, &mut Group<'_>),
    ) -> Result<Vec<Recorded<T>>, Unrecorded<Vec<T>>> {
        if values.is_empty() {
            return Ok(Vec::new());
        }
        let mut seqs = Vec::with_capacity(values.len());
        let committed = self.commit(Purpose::Traffic, &mut |group| {
            seqs.clear();
            for value in &values {
                seqs.push(last_seq(group, |group| describe(value, group)));
            }
        });
        if let Err(error) = committed {
            return Err(Unrecorded::new(values, error));
        }
        Ok(values
            .into_iter()
            .zip(seqs)
            .map(|(value, seq)| Recorded::new(value, seq))
            .collect())
    }

    /// Records a failure, or what the gate itself says about one, when traffic is refused: a
    /// quota or a slow disk does not stop it, and on a full disk it uses the room kept for it
    /// (64 KiB until there is space again).
    ///
    /// # Errors
    /// As [`Log::append_one`]; a poisoned or closed log takes nothing.
    pub fn append_reserved<T>(
        &self,
        value: T,
        describe: impl Fn(&T, &mut Group<'_>),
    ) -> Result<Recorded<T>, Unrecorded<T>> {
        self.append_for(value, describe, Purpose::Failure)
    }

    /// Records something that no value hangs on, and gives its number.
    ///
    /// # Errors
    /// As [`Log::append_one`].
    pub fn note(&self, entry: Entry<'_>) -> Result<u64, AuditError> {
        self.append_one((), |(), group| group.add(entry))
            .map(|recorded| recorded.seq())
            .map_err(AuditError::from)
    }

    /// As [`Log::note`], under the terms of [`Log::append_reserved`].
    ///
    /// # Errors
    /// As [`Log::append_one`].
    pub fn note_reserved(&self, entry: Entry<'_>) -> Result<u64, AuditError> {
        self.append_reserved((), |(), group| group.add(entry))
            .map(|recorded| recorded.seq())
            .map_err(AuditError::from)
    }

    /// Ends the session: writes its `close` record with these facts (a JSON object of at most
    /// [`CLOSE_FACTS_BYTES_MAX`], or empty) and brings everything to the disk.
    ///
    /// # Errors
    /// When the facts are not valid, the record cannot be written, or the disk does not take it
    /// within two seconds. Only in the first case is it worth another try.
    pub fn close(&self, facts: &str) -> Result<Head, AuditError> {
        if facts.len() > CLOSE_FACTS_BYTES_MAX {
            return Err(AuditError::TooLong {
                what: "facts",
                bytes: facts.len(),
                max: CLOSE_FACTS_BYTES_MAX,
            });
        }
        opening::check_object(facts, Kind::Close)?;
        self.commit(Purpose::Close, &mut |group| group.add_own(Kind::Close, facts))?;
        let mut state = self.shared.lock()?;
        state.segment.release_room();
        let head = state.segment.head();
        drop(state);
        if self.durability == Durability::Written {
            self.shared.finish_behind()?;
        }
        Ok(head)
    }

    /// How far the segment is written.
    ///
    /// # Errors
    /// When a thread panicked while it was writing.
    pub fn head(&self) -> Result<Head, AuditError> {
        Ok(self.shared.lock()?.segment.head())
    }

    /// A view of how far the record is written, for another thread; it outlives the log.
    #[must_use]
    pub fn heads(&self) -> Heads {
        Heads {
            shared: Arc::clone(&self.shared),
        }
    }

    /// How close the server is to its quota, so that it can be slowed before it is ended.
    ///
    /// # Errors
    /// When a thread panicked while it was writing.
    pub fn quota_pressure(&self) -> Result<Pressure, AuditError> {
        let boot_ns = self.shared.clock.now().1;
        Ok(self.shared.lock()?.window.pressure(boot_ns))
    }

    /// Whether secret values are kept out of it.
    #[must_use]
    pub fn is_veiled(&self) -> bool {
        self.veiling.is_some()
    }

    /// The session's id: 32 hexadecimal digits.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session
    }

    /// The file of the session's first segment.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append_for<T>(
        &self,
        value: T,
        describe: impl Fn(&T, &mut Group<'_>),
        purpose: Purpose,
    ) -> Result<Recorded<T>, Unrecorded<T>> {
        let mut seq = 0;
        let committed = self.commit(purpose, &mut |group| {
            seq = last_seq(group, |group| describe(&value, group))
        });
        match committed {
            Ok(()) => Ok(Recorded::new(value, seq)),
            Err(error) => Err(Unrecorded::new(value, error)),
        }
    }

    /// Drafts a group, checks that it may be written, writes it, and returns when it is as
    /// durable as this log promises.
    fn commit(&self, purpose: Purpose, fill: &mut dyn FnMut(&mut Group<'_>)) -> Result<(), AuditError> {
        let mut state = self.shared.lock()?;
        let mut now = self.shared.clock.now();
        Self::make_usable(&mut state, now)?;
        if purpose == Purpose::Traffic && self.shared.is_lagging(&state, now.1) {
            state = self.shared.wait_for_disk(state)?;
            now = self.shared.clock.now();
        }
        let before = state.segment.boot_ns();
        if now.1 < before {
            return Err(AuditError::ClockWentBack { before, now: now.1 });
        }
        let mut bytes = std::mem::take(&mut state.buffer);
        let mut written = self.draft_and_write(&mut state, &mut bytes, (now, purpose), fill);
        if written.is_err() && state.segment.is_poisoned() && Self::make_usable(&mut state, now).is_ok() {
            written = self.draft_and_write(&mut state, &mut bytes, (now, purpose), fill);
        }
        bytes.clear();
        bytes.shrink_to(BUFFER_BYTES_KEPT);
        state.buffer = bytes;
        written?;
        self.make_durable(state, now.1)
    }

    /// A segment that a failure ended is followed by another where that can be; where it cannot,
    /// what ended it is the error, and what keeps the next one from being begun.
    fn make_usable(state: &mut State, now: (u64, u64)) -> Result<(), AuditError> {
        let usable = state.segment.usable();
        if !state.segment.is_poisoned() {
            return usable;
        }
        match (state.renew(now), usable) {
            (Ok(()), _) => Ok(()),
            (Err(AuditError::NoSuccessor), usable) => usable,
            (Err(next), Err(AuditError::Poisoned { path, cause })) => Err(AuditError::Poisoned {
                path,
                cause: format!("{cause}, and no other can be begun: {next}"),
            }),
            (Err(next), _) => Err(next),
        }
    }

    fn draft_and_write(
        &self,
        state: &mut State,
        bytes: &mut Vec<u8>,
        (now, purpose): ((u64, u64), Purpose),
        fill: &mut dyn FnMut(&mut Group<'_>),
    ) -> Result<(), AuditError> {
        bytes.clear();
        let mut drafted = self.draft(bytes, &mut state.segment, now, fill)?;
        if state.rotate_if_due(bytes.len() as u64, now) {
            bytes.clear();
            drafted = self.draft(bytes, &mut state.segment, now, fill)?;
        }
        self.write(state, bytes, drafted, purpose)
    }

    fn draft(
        &self,
        bytes: &mut Vec<u8>,
        segment: &mut Segment,
        now: (u64, u64),
        fill: &mut dyn FnMut(&mut Group<'_>),
    ) -> Result<Drafted, AuditError> {
        let mut group = segment.group(bytes, now).veiled_by(self.veiling.as_deref());
        fill(&mut group);
        group.finish()
    }

    fn write(&self, state: &mut State, bytes: &[u8], drafted: Drafted, purpose: Purpose) -> Result<(), AuditError> {
        let size = (bytes.len() as u64).saturating_add(drafted.spared);
        let limited = drafted.counted && purpose == Purpose::Traffic;
        if limited && !state.window.takes(size, drafted.boot_ns) {
            return Err(AuditError::QuotaExceeded {
                server: self.server.clone(),
                used: state.window.used(),
                limit: state.window.limit(),
            });
        }
        state.segment.append(bytes, drafted, purpose)?;
        state.window.add(size, drafted.boot_ns);
        Ok(())
    }

    fn make_durable(&self, mut state: std::sync::MutexGuard<'_, State>, boot_ns: u64) -> Result<(), AuditError> {
        match self.durability {
            Durability::Written => self.shared.note_written(&mut state, boot_ns),
            Durability::Synced => drop(self.shared.sync_written(state)?),
        }
        Ok(())
    }

    /// Header and `open` record in one write, so that no reader meets one without the other
    /// unless the machine failed.
    fn write_opening(&self, bytes: &[u8], drafted: Drafted) -> Result<(), AuditError> {
        let mut state = self.shared.lock()?;
        self.write(&mut state, bytes, drafted, Purpose::Traffic)?;
        self.make_durable(state, drafted.boot_ns)
    }
}

/// How far a session's record is written: what a ledger takes, off the line.
#[derive(Clone, Debug)]
pub struct Heads {
    shared: Arc<Shared>,
}

impl Heads {
    /// The last record and whether it ends the session; `None` before the first record, and when
    /// a thread panicked while it was writing.
    #[must_use]
    pub fn latest(&self) -> Option<(Head, bool)> {
        let state = self.shared.lock().ok()?;
        let closed = state.segment.is_closed();
        (state.segment.next_seq() > 0).then(|| (state.segment.head(), closed))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What a log begins with beside its file.
pub(crate) struct Beginning {
    pub(crate) options: Options,
    pub(crate) window: Window,
    pub(crate) timing: Timing,
    pub(crate) source: Option<Box<dyn SegmentSource>>,
    pub(crate) veiling: Option<Arc<dyn Veiling>>,
}

/// Lets a value add its entries and gives the number of the last; none at all is a fault.
fn last_seq(group: &mut Group<'_>, describe: impl FnOnce(&mut Group<'_>)) -> u64 {
    let before = group.next_seq();
    describe(group);
    if group.next_seq() == before {
        group.refuse(AuditError::NoEntry);
    }
    group.next_seq().saturating_sub(1)
}
