//! The operations on a segment's file: few, named, and replaceable in tests.

use crate::error::AuditError;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the log does with its file. Tests put one that fails in its place.
pub(crate) trait SegmentFile: Debug + Send + Sync {
    /// One write(2) at the end; may write less.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// fdatasync(2).
    fn sync(&self) -> io::Result<()>;
    /// fsync(2) of the folders the file's name hangs on.
    fn sync_name(&self) -> io::Result<()>;
    /// Reserves blocks behind the end without changing the length.
    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()>;
    /// Cuts to a length and gives back every block behind it.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
    /// Whether a name still leads to the file. Without one, what is written is lost when its
    /// writer ends.
    fn is_named(&self) -> io::Result<bool>;
}

/// Where the later segments of a session come from. Tests put one that fails in its place.
pub(crate) trait SegmentSource: Debug + Send {
    /// Creates the file of the segment with this index.
    fn create(&mut self, index: u32, wall_ns: u64) -> Result<(Arc<dyn SegmentFile>, PathBuf), AuditError>;
    /// Removes a segment that was created and came to nothing. One that stays holds no record.
    fn discard(&mut self, path: &Path);
}

/// A file on disk, opened for appending, and the folders above it.
#[derive(Debug)]
pub(crate) struct DiskFile {
    pub(crate) file: File,
    pub(crate) folders: Arc<[OwnedFd; 2]>,
}

impl SegmentFile for DiskFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.file).write(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_name(&self) -> io::Result<()> {
        for folder in self.folders.iter() {
            rustix::fs::fsync(folder)?;
        }
        Ok(())
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        Ok(fallocate(&self.file, FallocateFlags::KEEP_SIZE, offset, bytes)?)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstat(&self.file)?.st_nlink > 0)
    }
}

/// Whether the kernel says that there is no room, which can change.
pub(crate) fn is_full(error: &io::Error) -> bool {
    let code = Errno::from_io_error(error);
    code == Some(Errno::NOSPC) || code == Some(Errno::DQUOT)
}

/// Whether the filesystem cannot reserve blocks at all.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    let code = Errno::from_io_error(error);
    code == Some(Errno::OPNOTSUPP) || code == Some(Errno::NOSYS)
}
