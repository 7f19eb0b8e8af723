//! Whether one sink has the newest checkpoint of the host's ledger.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cofferdam_audit::{Clock as _, SystemClock};

use crate::event::{Checkpoint, Event};
use crate::kept;

/// The longest signed note that is read, in bytes.
const NOTE_BYTES_MAX: u64 = 16 * 1024;

/// The ledger's checkpoint, and the last one that the sink acknowledged.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// Where the ledger keeps its checkpoint.
    ledger: PathBuf,
    /// Where the acknowledged one is kept.
    kept: PathBuf,
    acknowledged: Option<String>,
}

impl Checkpoints {
    /// A damaged file of the acknowledged one only has the newest one delivered once more.
    pub(crate) fn open(ledger: PathBuf, kept: PathBuf) -> Self {
        Self {
            acknowledged: note(&kept).ok().flatten(),
            ledger,
            kept,
        }
    }

    /// The newest checkpoint, when the sink has not acknowledged it. Those between two looks are not missed: each covers all before it.
    ///
    /// # Errors
    /// The ledger's checkpoint is there and cannot be read.
    pub(crate) fn next(&self) -> io::Result<Option<Event>> {
        let newest = note(&self.ledger)?.filter(|newest| Some(newest) != self.acknowledged.as_ref());
        Ok(newest.map(|note| {
            Event::Checkpoint(Checkpoint {
                note,
                wall_ns: SystemClock.now().0,
            })
        }))
    }

    /// Keeps that the sink has this one.
    ///
    /// # Errors
    /// It cannot be kept: it will be delivered again.
    pub(crate) fn acknowledge(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        kept::put(&self.kept, checkpoint.note.as_bytes())?;
        self.acknowledged = Some(checkpoint.note.clone());
        Ok(())
    }

    /// Where the acknowledged one is kept.
    pub(crate) fn path(&self) -> &Path {
        &self.kept
    }

    /// Where the ledger keeps its own.
    pub(crate) fn ledger(&self) -> &Path {
        &self.ledger
    }
}

/// The note in a file; `None` where there is no file.
fn note(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let mut text = String::new();
    file.take(NOTE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > NOTE_BYTES_MAX {
        return Err(io::Error::other(format!("it is longer than {NOTE_BYTES_MAX} bytes")));
    }
    Ok(Some(text))
}
