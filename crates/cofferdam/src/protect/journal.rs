//! What was changed in whose file, so that it can be put back: written before the change, in our own state folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use cofferdam_scan::Undo;
use serde::{Deserialize, Serialize};

use crate::contract::folder::replace_file;
use crate::failure::{Failure, file_failure};
use crate::home::Home;
use crate::own_files::{check_folder, read_own_file};

const JOURNAL_FILE: &str = "protected.json";
const LOCK_FILE: &str = "protected.lock";
/// Longest journal that is read, in bytes.
const JOURNAL_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Every entry that was rewritten, and every one that a person wants left alone.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    pub(crate) rewritten: Vec<Rewritten>,
    pub(crate) left: Vec<Left>,
}

/// One entry that starts us now.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rewritten {
    pub(crate) client: String,
    pub(crate) file: PathBuf,
    /// The way to the entry in the file.
    pub(crate) path: Vec<String>,
    /// As the client shows it.
    pub(crate) name: String,
    /// The server it starts through us.
    pub(crate) server: String,
    pub(crate) undo: Vec<Undo>,
}

impl Rewritten {
    pub(crate) fn name(&self) -> &String {
        &self.name
    }
}

/// One entry that stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Left {
    pub(crate) file: PathBuf,
    pub(crate) path: Vec<String>,
    /// The person's words.
    pub(crate) reason: String,
}

/// The journal, held by us alone until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenJournal {
    journal: Journal,
    path: PathBuf,
    _alone: File,
}

impl Journal {
    /// Reads what was written last.
    pub(crate) fn read(home: &Home) -> Result<Self, Failure> {
        let path = home.state().join(JOURNAL_FILE);
        if path.symlink_metadata().is_err() {
            return Ok(Self::default());
        }
        let text = read_own_file(&path, JOURNAL_BYTES_MAX)?;
        serde_json::from_str(&text).map_err(|error| {
            Failure::misconfigured(format!("`{}` cannot be read: {error}", path.display()))
                .help("it says how entries of clients are put back: keep it, and ask for help")
        })
    }

    /// The entry at `path` of `file`, if it was rewritten.
    pub(crate) fn find(&self, file: &Path, path: &[String]) -> Option<&Rewritten> {
        self.rewritten.iter().find(|one| one.file == file && one.path == path)
    }

    /// Why the entry at `path` of `file` is left alone, if it is.
    pub(crate) fn reason(&self, file: &Path, path: &[String]) -> Option<&str> {
        let left = self.left.iter().find(|one| one.file == file && one.path == path);
        left.map(|one| one.reason.as_str())
    }
}

impl OpenJournal {
    /// Waits for whoever changes clients' files now, then reads.
    pub(crate) fn open(home: &Home) -> Result<Self, Failure> {
        Home::make(home.state())?;
        check_folder(home.state())?;
        let lock = home.state().join(LOCK_FILE);
        let alone = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)
            .map_err(|cause| file_failure("open", &lock, &cause))?;
        alone.lock().map_err(|cause| file_failure("lock", &lock, &cause))?;
        Ok(Self {
            journal: Journal::read(home)?,
            path: home.state().join(JOURNAL_FILE),
            _alone: alone,
        })
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Notes that an entry is about to be rewritten.
    pub(crate) fn note(&mut self, rewritten: Rewritten) -> Result<(), Failure> {
        self.journal
            .rewritten
            .retain(|one| one.file != rewritten.file || one.path != rewritten.path);
        self.journal.rewritten.push(rewritten);
        self.write()
    }

    /// Forgets an entry that was put back.
    pub(crate) fn forget(&mut self, file: &Path, path: &[String]) -> Result<(), Failure> {
        self.journal
            .rewritten
            .retain(|one| one.file != file || one.path != path);
        self.write()
    }

    /// Remembers that an entry stays as it is.
    pub(crate) fn leave(&mut self, left: Left) -> Result<(), Failure> {
        self.journal
            .left
            .retain(|one| one.file != left.file || one.path != left.path);
        self.journal.left.push(left);
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&self.journal)
            .map_err(|error| Failure::misconfigured(format!("the journal cannot be written: {error}")))?;
        replace_file(&self.path, &text)
    }
}
