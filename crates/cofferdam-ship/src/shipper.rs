//! One sink's way through the record: read, deliver, move the cursor; wait and try again; put aside what is refused for good.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam_audit::{AuditError, Clock as _, Store, SystemClock};
use serde_json::json;
use thiserror::Error;

use crate::backlog::{Backlog, Batch, Limits};
use crate::checkpoint::Checkpoints;
use crate::cursor::Cursor;
use crate::event::{Event, Filter};
use crate::ocsf::{self, Origin};
use crate::sink::{Sink, Undelivered};
use crate::time::written;

/// The first pause after a failure; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A sink that refuses so many events after each other, and takes none, is taken to be misconfigured: everything waits.
const REFUSED_IN_ROW_MAX: u32 = 10;
/// How much may be put aside for one sink, in bytes. Then everything waits.
const ASIDE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why shipping to a sink cannot go on.
#[derive(Debug, Error)]
pub enum ShipError {
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] AuditError),
    /// Where we stand cannot be kept.
    #[error("cannot keep `{path}`: {cause}")]
    State {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Another process ships from here.
    #[error("another process ships this record already")]
    InUse,
}

/// The folder in which shippers keep where they stand. One process has it at a time.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is not there, and takes it.
    ///
    /// # Errors
    /// It cannot be made, or another process has it.
    pub fn take(path: &Path) -> Result<Self, ShipError> {
        let failed = |cause| state(path, cause);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(failed)?;
        let mut options = File::options();
        let lock = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = lock.open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(std::fs::TryLockError::WouldBlock) => Err(ShipError::InUse),
            Err(std::fs::TryLockError::Error(cause)) => Err(failed(cause)),
        }
    }
}

/// What one step did.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing new.
    Nothing,
    /// So many events were acknowledged, and so many put aside.
    Delivered {
        /// Acknowledged by the sink.
        events: usize,
        /// Refused for good: kept in the file of refused events.
        put_aside: usize,
        /// Of both, those that tell of a record that was changed.
        broken: usize,
    },
    /// The sink takes nothing now; what is there waits.
    Waits {
        /// Why.
        cause: String,
        /// When to try again.
        pause: Duration,
    },
}

/// Ships the record to one sink.
#[derive(Debug)]
pub struct Shipper {
    backlog: Backlog,
    checkpoints: Checkpoints,
    /// Records come next, however fast the ledger grows.
    was_checkpoint: bool,
    cursor: Cursor,
    sink: Box<dyn Sink>,
    origin: Origin,
    cursor_path: PathBuf,
    aside_path: PathBuf,
    pending: Option<Pending>,
    failures: u32,
    refused_in_row: u32,
}

/// A batch on its way.
#[derive(Debug, Default)]
struct Pending {
    batch: Batch,
    /// So many of its events are through.
    done: usize,
    /// The sink refused them together: they go one by one.
    singly: bool,
    /// What went through and was not told yet, because it could not be kept.
    untold: Told,
}

/// What [`Progress::Delivered`] tells.
#[derive(Debug, Default, Clone, Copy)]
struct Told {
    events: usize,
    put_aside: usize,
    broken: usize,
}

impl Told {
    fn add(&mut self, more: Self) {
        self.events = self.events.saturating_add(more.events);
        self.put_aside = self.put_aside.saturating_add(more.put_aside);
        self.broken = self.broken.saturating_add(more.broken);
    }
}

impl Shipper {
    /// Goes on with the sink of this name where it stood. `ledger` is the file in which the host's ledger keeps its checkpoint: the sink is
    /// given each one that it does not have, and so witnesses the ledger.
    ///
    /// # Errors
    /// Where it stood cannot be read.
    pub fn open(
        name: &str,
        (store, ledger, folder): (Store, PathBuf, &Folder),
        (filter, limits): (Filter, Limits),
        (sink, origin): (Box<dyn Sink>, Origin),
    ) -> Result<Self, ShipError> {
        let cursor_path = folder.path.join(format!("{name}.cursor"));
        let cursor = Cursor::open(&cursor_path).map_err(|cause| state(&cursor_path, cause))?;
        Ok(Self {
            backlog: Backlog::new(store, filter, limits),
            checkpoints: Checkpoints::open(ledger, folder.path.join(format!("{name}.checkpoint"))),
            was_checkpoint: false,
            cursor,
            sink,
            origin,
            cursor_path,
            aside_path: folder.path.join(format!("{name}.refused.jsonl")),
            pending: None,
            failures: 0,
            refused_in_row: 0,
        })
    }

    /// Where events are kept that the sink refuses for good.
    #[must_use]
    pub fn aside_path(&self) -> &Path {
        &self.aside_path
    }

    /// Delivers the next events, or tries again those that wait. While the disk or the record gives an error, everything waits as it does
    /// for a sink: nothing is read on, and nothing delivered is forgotten.
    pub fn step(&mut self) -> Progress {
        let mut pending = match self.pending.take().map_or_else(|| self.next(), Ok) {
            Ok(pending) => pending,
            Err(error) => return self.wait(Pending::default(), error.to_string()),
        };
        match self.deliver(&mut pending).and_then(|told| {
            pending.untold.add(told);
            if pending.done == pending.batch.events.len() {
                self.keep(&pending.batch).map_err(|error| error.to_string())?;
            }
            Ok(pending.untold)
        }) {
            Err(cause) => self.wait(pending, cause),
            Ok(_) if pending.batch.events.is_empty() && !pending.batch.look_again => Progress::Nothing,
            Ok(told) => {
                if pending.done < pending.batch.events.len() {
                    pending.untold = Told::default();
                    self.pending = Some(pending);
                }
                Progress::Delivered {
                    events: told.events,
                    put_aside: told.put_aside,
                    broken: told.broken,
                }
            }
        }
    }

    /// Gives the sink what is not through yet, or a part of it; why it waits, where it must.
    fn deliver(&mut self, pending: &mut Pending) -> Result<Told, String> {
        let next = if pending.singly {
            pending.done.saturating_add(1)
        } else {
            pending.batch.events.len()
        };
        let events = pending.batch.events.get(pending.done..next).unwrap_or_default();
        let count = events.len();
        if count == 0 {
            return Ok(Told::default());
        }
        let put_aside = match self.sink.deliver(events) {
            Ok(()) => {
                (self.failures, self.refused_in_row) = (0, 0);
                0
            }
            Err(Undelivered::Refused(_)) if count > 1 => {
                pending.singly = true;
                return Ok(Told::default());
            }
            Err(Undelivered::Refused(cause)) if self.refused_in_row < REFUSED_IN_ROW_MAX => {
                events.iter().try_for_each(|event| self.put_aside(event, &cause))?;
                self.refused_in_row += 1;
                count
            }
            Err(Undelivered::Refused(cause)) => return Err(format!("it refuses everything: {cause}")),
            Err(Undelivered::Unavailable(cause)) => return Err(cause),
        };
        let broken = events.iter().filter(|event| matches!(event, Event::Broken(_))).count();
        pending.done = next;
        Ok(Told {
            events: count - put_aside,
            put_aside,
            broken,
        })
    }

    /// A new checkpoint of the ledger, or else the next records.
    fn next(&mut self) -> Result<Pending, ShipError> {
        let pending = |batch| Pending {
            batch,
            ..Pending::default()
        };
        if std::mem::take(&mut self.was_checkpoint) {
            let batch = self.backlog.next(&mut self.cursor)?;
            if !batch.is_nothing() {
                return Ok(pending(batch));
            }
        }
        let checkpoint = self.checkpoints.next();
        let checkpoint = checkpoint.map_err(|cause| state(self.checkpoints.ledger(), cause))?;
        if let Some(event) = checkpoint {
            self.was_checkpoint = true;
            return Ok(pending(Batch::of(event)));
        }
        Ok(pending(self.backlog.next(&mut self.cursor)?))
    }

    /// Keeps that all of a batch is through.
    fn keep(&mut self, batch: &Batch) -> Result<(), ShipError> {
        if !batch.steps.is_empty() {
            self.cursor
                .advance(&batch.steps)
                .map_err(|cause| state(&self.cursor_path, cause))?;
        }
        if let [Event::Checkpoint(checkpoint)] = batch.events.as_slice() {
            let kept = self.checkpoints.acknowledge(checkpoint);
            kept.map_err(|cause| state(self.checkpoints.path(), cause))?;
        }
        Ok(())
    }

    fn wait(&mut self, pending: Pending, cause: String) -> Progress {
        self.pending = Some(pending).filter(|pending| !pending.batch.is_nothing());
        let pause = PAUSE_MAX.min(PAUSE_MIN.saturating_mul(1 << self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        Progress::Waits {
            cause,
            pause: somewhat_less(pause),
        }
    }

    /// Keeps an event that the sink never takes. The cursor moves only behind what is kept.
    fn put_aside(&self, event: &Event, cause: &str) -> Result<(), String> {
        let shown = self.aside_path.display();
        let line = json!({
            "id": event.id(), "refused": written(SystemClock.now().0), "why": cause, "event": ocsf::event(event, &self.origin),
        });
        let mut options = File::options();
        let opened = options.append(true).create(true).mode(0o600).open(&self.aside_path);
        let kept = opened.and_then(|mut file| {
            let whole = file.metadata()?.len();
            if whole > ASIDE_BYTES_MAX {
                return Err(io::Error::other("it is full; look at it and move it away"));
            }
            let kept = file
                .write_all(format!("{line}\n").as_bytes())
                .and_then(|()| file.sync_data());
            if kept.is_err() {
                // What a full disk took of it is no line.
                let _ = file.set_len(whole);
            }
            kept
        });
        kept.map_err(|cause| format!("cannot keep what it refused in `{shown}`: {cause}"))
    }
}

/// Between half and all of it, so that many machines do not come back at once.
fn somewhat_less(pause: Duration) -> Duration {
    let half = pause / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
    half + Duration::from_nanos(RandomState::new().build_hasher().finish() % nanos)
}

fn state(path: &Path, cause: io::Error) -> ShipError {
    ShipError::State {
        path: path.to_owned(),
        cause,
    }
}
