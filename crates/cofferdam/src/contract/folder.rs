//! The files of one contract on disk: read together, replaced together or not at all, whatever ends a process in between.
//!
//! A replacement is written whole into `.draft`, which one `rename` makes `.next`: from then on it counts, and whoever comes next moves its
//! files into their places. Readers hold a shared lock and writers the exclusive one, so nobody sees half of it.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cofferdam_manifest::{DEFINITIONS_BYTES_MAX, MANIFEST_BYTES_MAX};
use nix::fcntl::OFlag;

use crate::failure::{Failure, file_failure};
use crate::home::Home;
use crate::own_files::{check_folder, read_own_file, shown};

pub(crate) const MANIFEST_FILE: &str = "manifest.toml";
pub(crate) const DEFINITIONS_FILE: &str = "definitions.json";
pub(crate) const PROGRAM_FILE: &str = "program.json";
pub(crate) const SIGNATURE_FILE: &str = "manifest.sig";
const LOCK_FILE: &str = ".lock";
/// A replacement that is still being written, and one that counts.
const DRAFT: &str = ".draft";
pub(crate) const NEXT: &str = ".next";
/// What counted before the last update, and that while it is written.
pub(crate) const PREVIOUS: &str = ".previous";
const PREVIOUS_DRAFT: &str = ".previous-draft";
/// The largest `program.json` that is read, in bytes: 200,000 files with long names.
pub(crate) const PROGRAM_BYTES_MAX: usize = 128 * 1024 * 1024;
/// How long another process may keep the lock, which it needs for milliseconds.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The three files of a contract, as they stand on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) manifest: String,
    pub(crate) definitions: String,
    pub(crate) program: String,
}

/// What must be there for a replacement to be right.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Before<'t> {
    Anything,
    /// Nothing at all.
    Nothing,
    /// This manifest with these definitions; the index of the program's files may have been renewed.
    Same(&'t Texts),
}

/// Where a contract's files lie.
#[derive(Debug, Clone)]
pub(crate) struct ContractFolder(PathBuf);

impl ContractFolder {
    /// The folder of the user's own server `name`, which can name one.
    pub(super) fn of_server(home: &Home, name: &str) -> Self {
        Self(home.servers().join(name))
    }

    /// The folder of what was accepted of a project.
    pub(super) fn of_project(home: &Home, key: &str) -> Self {
        Self(home.projects().join(key))
    }

    pub(crate) fn exists(&self) -> bool {
        self.manifest().exists() || self.0.join(NEXT).exists()
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.0.join(MANIFEST_FILE)
    }

    pub(crate) fn signature(&self) -> PathBuf {
        self.0.join(SIGNATURE_FILE)
    }

    /// The three files, of one moment.
    ///
    /// # Errors
    /// One cannot be read, is not ours alone, or is larger than it may be.
    pub(crate) fn read(&self) -> Result<Texts, Failure> {
        check_folder(&self.0)?;
        let shared = self.lock(Access::Shared)?;
        if self.0.join(NEXT).exists() {
            drop(shared);
            let _exclusive = self.lock(Access::Exclusive)?;
            self.finish()?;
            return self.read_files();
        }
        self.read_files()
    }

    fn read_files(&self) -> Result<Texts, Failure> {
        Ok(Texts {
            manifest: read_own_file(&self.manifest(), MANIFEST_BYTES_MAX)?,
            definitions: read_own_file(&self.0.join(DEFINITIONS_FILE), DEFINITIONS_BYTES_MAX)?,
            program: read_own_file(&self.0.join(PROGRAM_FILE), PROGRAM_BYTES_MAX)?,
        })
    }

    /// Puts these files in place of those there; a signature over the old manifest goes with it.
    ///
    /// # Errors
    /// What is there is not `before`, or something cannot be written: then what was there still counts.
    pub(crate) fn replace(&self, before: Before<'_>, texts: &Texts) -> Result<(), Failure> {
        Home::make(&self.0)?;
        check_folder(&self.0)?;
        let _exclusive = self.lock(Access::Exclusive)?;
        self.finish()?;
        let is_right = match before {
            Before::Anything => true,
            Before::Nothing => !self.exists(),
            Before::Same(then) => {
                let now = self.read_files()?;
                (&now.manifest, &now.definitions) == (&then.manifest, &then.definitions)
            }
        };
        if !is_right {
            return Err(Failure::misconfigured(format!(
                "`{}` was changed by somebody else in the meantime; nothing was written",
                shown(&self.manifest())
            ))
            .help("look at it anew, and decide again"));
        }
        self.stage(texts)?;
        self.finish()
    }

    /// What counted before the last update; `None` where there was none.
    ///
    /// # Errors
    /// A file of it cannot be read, or is not ours alone.
    pub(crate) fn previous(&self) -> Result<Option<Texts>, Failure> {
        let place = Self(self.0.join(PREVIOUS));
        let _shared = self.lock(Access::Shared)?;
        if place.0.symlink_metadata().is_err() {
            return Ok(None);
        }
        check_folder(&place.0)?;
        place.read_files().map(Some)
    }

    /// Puts other files in place of those there, and keeps these to go back to. Killed in between, what is kept is what counts.
    ///
    /// # Errors
    /// As [`ContractFolder::replace`].
    pub(crate) fn switch(&self, before: &Texts, texts: &Texts) -> Result<(), Failure> {
        {
            let _exclusive = self.lock(Access::Exclusive)?;
            let (draft, previous) = (self.0.join(PREVIOUS_DRAFT), self.0.join(PREVIOUS));
            write_folder(&draft, before)?;
            let exchanged = remove_folder(&previous).and_then(|()| {
                std::fs::rename(&draft, &previous)
                    .and_then(|()| sync_folder(&self.0))
                    .map_err(|cause| file_failure("write", &previous, &cause))
            });
            exchanged?;
        }
        self.replace(Before::Same(before), texts)
    }

    /// Writes the draft and makes it count.
    fn stage(&self, texts: &Texts) -> Result<(), Failure> {
        self.write_draft(texts)?;
        let (draft, next) = (self.0.join(DRAFT), self.0.join(NEXT));
        std::fs::rename(&draft, &next)
            .and_then(|()| sync_folder(&self.0))
            .map_err(|cause| file_failure("write", &next, &cause))
    }

    fn write_draft(&self, texts: &Texts) -> Result<(), Failure> {
        write_folder(&self.0.join(DRAFT), texts)
    }

    /// Completes a replacement that counts: each step may be repeated, and `.next` goes last.
    fn finish(&self) -> Result<(), Failure> {
        let next = self.0.join(NEXT);
        check_folder(&next)?;
        if !next.exists() {
            return Ok(());
        }
        for file in [PROGRAM_FILE, DEFINITIONS_FILE, MANIFEST_FILE] {
            self.move_into_place(file)?;
        }
        tolerating_absence(std::fs::remove_file(self.signature()))
            .and_then(|()| sync_folder(&self.0))
            .map_err(|cause| file_failure("write", &self.0, &cause))?;
        remove_folder(&next)
    }

    fn move_into_place(&self, file: &str) -> Result<(), Failure> {
        let place = self.0.join(file);
        let moved = std::fs::rename(self.0.join(NEXT).join(file), &place);
        tolerating_absence(moved).map_err(|cause| file_failure("write", &place, &cause))
    }

    /// Puts a fresh index of the same program beside the manifest it belongs to, if nobody is in the way: it only makes the next start fast.
    pub(crate) fn renew_program(&self, manifest: &str, program: &str) {
        let Ok(Some(lock)) = self.open_lock(Access::Exclusive) else {
            return;
        };
        if lock.try_lock().is_ok() && self.has_manifest(manifest) {
            // A folder that cannot be written to will be met, and told, by the next change that matters.
            drop(replace_file(&self.0.join(PROGRAM_FILE), program));
        }
    }

    /// Writes a signature beside the manifest it is over.
    ///
    /// # Errors
    /// Another manifest lies there now, or the signature cannot be written.
    pub(crate) fn write_signature(&self, manifest: &str, signature: &str) -> Result<(), Failure> {
        let _exclusive = self.lock(Access::Exclusive)?;
        if !self.has_manifest(manifest) {
            return Err(Failure::misconfigured(format!(
                "`{}` changed while it was signed; nothing was written",
                shown(&self.manifest())
            ))
            .help("look at it anew, then sign it"));
        }
        replace_file(&self.signature(), signature)
    }

    /// Does something that must not happen twice at once in this folder's parent.
    ///
    /// # Errors
    /// The lock cannot be had, or `work` fails.
    pub(crate) fn while_locked<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        let _exclusive = self.lock(Access::Exclusive)?;
        work()
    }

    /// Under the lock: whether exactly this manifest counts.
    fn has_manifest(&self, manifest: &str) -> bool {
        !self.0.join(NEXT).exists()
            && read_own_file(&self.manifest(), MANIFEST_BYTES_MAX).is_ok_and(|text| text == manifest)
    }

    fn lock(&self, access: Access) -> Result<Option<File>, Failure> {
        let path = self.lock_path();
        let Some(lock) = self.open_lock(access)? else {
            return Ok(None);
        };
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            let tried = match access {
                Access::Shared => lock.try_lock_shared(),
                Access::Exclusive => lock.try_lock(),
            };
            match tried {
                Ok(()) => return Ok(Some(lock)),
                Err(TryLockError::Error(cause)) => return Err(file_failure("lock", &path, &cause)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => {
                    return Err(Failure::misconfigured(format!(
                        "another process has kept `{}` locked for {} seconds",
                        shown(&path),
                        LOCK_WAIT.as_secs()
                    ))
                    .help("wait for the other `cofferdam` command to end, then try again"));
                }
            }
        }
    }

    /// `None` where nobody ever wrote: then there is nothing to wait for.
    fn open_lock(&self, access: Access) -> Result<Option<File>, Failure> {
        let path = self.lock_path();
        let mut options = File::options();
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        options.read(true).mode(0o600).custom_flags(flags.bits());
        if access == Access::Exclusive {
            options.write(true).create(true).truncate(false);
        }
        match options.open(&path) {
            Ok(lock) => Ok(Some(lock)),
            Err(cause) if access == Access::Shared && cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(file_failure("lock", &path, &cause)),
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.0.with_file_name(LOCK_FILE)
    }
}

/// Writes the three files into a folder of their own.
fn write_folder(folder: &Path, texts: &Texts) -> Result<(), Failure> {
    remove_folder(folder)?;
    Home::make(folder)?;
    for (file, text) in [
        (PROGRAM_FILE, &texts.program),
        (DEFINITIONS_FILE, &texts.definitions),
        (MANIFEST_FILE, &texts.manifest),
    ] {
        let path = folder.join(file);
        write_private(&path, text).map_err(|cause| file_failure("write", &path, &cause))?;
    }
    sync_folder(folder).map_err(|cause| file_failure("write", folder, &cause))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Shared,
    Exclusive,
}

/// Writes a file for the user alone, whole or not at all.
///
/// # Errors
/// It cannot be written; what was there is as it was.
pub(crate) fn replace_file(path: &Path, text: &str) -> Result<(), Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = write_private(&draft, text).and_then(|()| std::fs::rename(&draft, path));
    written.map_err(|cause| {
        // The draft is ours and useless; the error that matters is the first.
        let _ = std::fs::remove_file(&draft);
        file_failure("write", path, &cause)
    })
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove_folder(folder: &Path) -> Result<(), Failure> {
    tolerating_absence(std::fs::remove_dir_all(folder)).map_err(|cause| file_failure("remove", folder, &cause))
}

fn tolerating_absence(done: std::io::Result<()>) -> std::io::Result<()> {
    match done {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::{Before, ContractFolder, DEFINITIONS_FILE, NEXT, PROGRAM_FILE, Texts};

    fn texts(word: &str) -> Texts {
        let text = |file: &str| format!("{file} {word}");
        Texts {
            manifest: text("manifest"),
            definitions: text("definitions"),
            program: text("program"),
        }
    }

    fn folder() -> (tempfile::TempDir, ContractFolder) {
        let stage = tempfile::tempdir().unwrap();
        let folder = ContractFolder(stage.path().join("servers/one"));
        folder.replace(Before::Nothing, &texts("old")).unwrap();
        std::fs::write(folder.signature(), "over the old one").unwrap();
        (stage, folder)
    }

    /// Ends the process after each step in turn: the next reader finds all of the old files or all of the new ones.
    #[test]
    fn a_replacement_that_was_cut_short_counts_whole_or_not_at_all() {
        type Step = fn(&ContractFolder);
        let steps: [Step; 6] = [
            |folder| std::fs::create_dir(folder.0.join(".draft")).unwrap(),
            |folder| folder.write_draft(&texts("new")).unwrap(),
            |folder| folder.stage(&texts("new")).unwrap(),
            |folder| folder.move_into_place(PROGRAM_FILE).unwrap(),
            |folder| folder.move_into_place(DEFINITIONS_FILE).unwrap(),
            |folder| folder.move_into_place("manifest.toml").unwrap(),
        ];
        for cut in 0..=steps.len() {
            let (_stage, folder) = folder();
            steps.iter().take(cut).for_each(|step| step(&folder));
            let is_committed = cut >= 3;
            let expected = if is_committed { texts("new") } else { texts("old") };
            assert_eq!(folder.read().unwrap(), expected, "after {cut} steps");
            assert_eq!(folder.signature().exists(), !is_committed, "after {cut} steps");
            folder.replace(Before::Same(&expected), &texts("newer")).unwrap();
            assert_eq!(folder.read().unwrap(), texts("newer"), "after {cut} steps");
            assert!(!folder.0.join(NEXT).exists());
        }
    }

    #[test]
    fn what_was_changed_in_the_meantime_is_not_written_over() {
        let (_stage, folder) = folder();
        assert!(folder.replace(Before::Nothing, &texts("new")).is_err());
        assert!(folder.replace(Before::Same(&texts("other")), &texts("new")).is_err());
        assert_eq!(folder.read().unwrap(), texts("old"));
        folder.renew_program("another manifest", "fresh");
        assert_eq!(folder.read().unwrap(), texts("old"), "an index of another program");
        folder.renew_program("manifest old", "fresh");
        assert_eq!(folder.read().unwrap().program, "fresh");
        let mut renewed = texts("old");
        renewed.program = "stale".into();
        folder.replace(Before::Same(&renewed), &texts("new")).unwrap();
    }

    #[test]
    fn readers_and_writers_at_once_never_see_half() {
        let (_stage, folder) = folder();
        std::thread::scope(|scope| {
            for writer in 0..2 {
                let folder = folder.clone();
                scope.spawn(move || {
                    for round in 0..20 {
                        folder
                            .replace(Before::Anything, &texts(&format!("{writer}-{round}")))
                            .unwrap();
                    }
                });
            }
            for _ in 0..200 {
                let read = folder.read().unwrap();
                let word = read.manifest.strip_prefix("manifest ").unwrap();
                assert_eq!(read, texts(word));
            }
        });
    }
}
