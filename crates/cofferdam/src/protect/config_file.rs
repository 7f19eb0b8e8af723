//! A client's file as it was read, and its replacement: whole or not at all, and only while it is still what was read.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cofferdam_scan::DOCUMENT_BYTES_MAX;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::unistd::geteuid;

use crate::failure::{Failure, file_failure};

/// Marks the drafts we put beside a client's file.
const DRAFT_MARK: &str = ".cofferdam-draft";

/// A client's file.
#[derive(Debug)]
pub(crate) struct ConfigText {
    /// The file itself, whatever links led to it.
    real: PathBuf,
    pub(crate) text: String,
    mode: u32,
}

impl ConfigText {
    /// Reads `path`; a link is followed to the file that clients read through it.
    ///
    /// # Errors
    /// It is not there, no regular file, belongs to somebody else, has other names too (hard links), is too long, or is not UTF-8.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let real = path
            .canonicalize()
            .map_err(|cause| file_failure("read", path, &cause))?;
        let mut file = File::options()
            .read(true)
            .custom_flags((nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOFOLLOW).bits())
            .open(&real)
            .map_err(|cause| file_failure("read", path, &cause))?;
        let metadata = file.metadata().map_err(|cause| file_failure("look at", path, &cause))?;
        check(path, &metadata)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|cause| file_failure("read", path, &cause))?;
        let text = String::from_utf8(bytes).map_err(|fault| {
            let line = fault
                .as_bytes()
                .get(..fault.utf8_error().valid_up_to())
                .unwrap_or_default();
            let line = line.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
            Failure::misconfigured(format!("`{}` is not UTF-8: line {line}", path.display()))
        })?;
        Ok(Self {
            real,
            text,
            mode: metadata.permissions().mode() & 0o7777,
        })
    }

    /// Puts `text` in the file's place. Another program that writes the file at the same moment is not overwritten: the two files change
    /// places in one step, and change back when the one that came out is not the one that was read.
    ///
    /// # Errors
    /// The folder or the file cannot be written, or the file is not the one that was read any more.
    pub(crate) fn replace(&self, text: &str) -> Result<(), Failure> {
        let unwritable = |cause: &io::Error| file_failure("write", &self.real, cause).help("nothing was changed");
        if self.mode & 0o200 == 0 {
            return Err(unwritable(&io::ErrorKind::PermissionDenied.into()));
        }
        self.clear_drafts();
        let draft = self.draft_path();
        let written = self.write_draft(&draft, text).and_then(|()| self.exchange(&draft));
        // Whatever happened, a draft is of no further use: it holds our text, or the old one.
        let outcome = match written {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::misconfigured(format!(
                "`{}` was changed by another program meanwhile, and was left as it is",
                self.real.display()
            ))
            .help("close the client, or try again")),
            Err(cause) => Err(unwritable(&cause)),
        };
        let _ = fs::remove_file(&draft);
        outcome
    }

    fn draft_path(&self) -> PathBuf {
        let name = self.real.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.real
            .with_file_name(format!(".{name}{DRAFT_MARK}-{}", std::process::id()))
    }

    fn write_draft(&self, draft: &Path, text: &str) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(draft)?;
        file.set_permissions(fs::Permissions::from_mode(self.mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Whether the draft is in place now.
    fn exchange(&self, draft: &Path) -> io::Result<bool> {
        let change_places = || renameat2(AT_FDCWD, draft, AT_FDCWD, &self.real, RenameFlags::RENAME_EXCHANGE);
        match change_places() {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOSYS) => return self.rename_over(draft),
            Err(errno) => return Err(errno.into()),
        }
        if fs::read(draft)? == self.text.as_bytes() {
            self.sync_folder();
            return Ok(true);
        }
        change_places()?;
        Ok(false)
    }

    /// For file systems that cannot exchange: the check comes a moment before the rename.
    fn rename_over(&self, draft: &Path) -> io::Result<bool> {
        if fs::read(&self.real)? != self.text.as_bytes() {
            return Ok(false);
        }
        fs::rename(draft, &self.real)?;
        self.sync_folder();
        Ok(true)
    }

    fn sync_folder(&self) {
        // The change is made; that it survives a loss of power as well is worth asking for, not failing for.
        if let Some(Ok(folder)) = self.real.parent().map(File::open) {
            let _ = folder.sync_all();
        }
    }

    /// Drafts of ours whose process was killed: they hold what the file holds or held, so nothing is lost with them.
    fn clear_drafts(&self) {
        let Some((folder, name)) = self
            .real
            .parent()
            .zip(self.real.file_name().and_then(|name| name.to_str()))
        else {
            return;
        };
        let mark = format!(".{name}{DRAFT_MARK}-");
        for entry in fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
            let file = entry.file_name();
            let owner = file
                .to_str()
                .and_then(|file| file.strip_prefix(&mark)?.parse::<u32>().ok());
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn check(path: &Path, metadata: &Metadata) -> Result<(), Failure> {
    let refused = |why: String| Err(Failure::misconfigured(format!("`{}` {why}", path.display())));
    if !metadata.is_file() {
        return refused("is no regular file".to_owned());
    }
    if metadata.uid() != geteuid().as_raw() {
        return refused(format!("belongs to user {}", metadata.uid()));
    }
    if metadata.nlink() > 1 {
        return refused("has other names too (hard links), which would go on with the old content".to_owned());
    }
    if metadata.len() > DOCUMENT_BYTES_MAX as u64 {
        return refused("is longer than 64 MiB".to_owned());
    }
    Ok(())
}
