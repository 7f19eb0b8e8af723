//! Where a segment's bytes come from: its file as it was written, or packed.

use crate::error::AuditError;
use crate::packed::Packed;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The bytes of one segment, read from any place.
#[derive(Debug)]
pub struct Source {
    bytes: Bytes,
    at: u64,
    length: u64,
}

#[derive(Debug)]
enum Bytes {
    Plain(File),
    Packed(Packed),
}

impl Source {
    /// Opens a regular file for reading, without waiting for a pipe somebody put there.
    pub(crate) fn open(path: &Path) -> Result<Self, AuditError> {
        let read = |cause: io::Error| AuditError::Read {
            path: path.to_owned(),
            cause,
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|cause| read(cause.into()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(read(io::Error::other("not a regular file")));
        }
        let (bytes, length) = if Packed::is_packed(&file).map_err(read)? {
            let packed = Packed::open(file, metadata.len()).map_err(read)?;
            let length = packed.length();
            (Bytes::Packed(packed), length)
        } else {
            (Bytes::Plain(file), metadata.len())
        };
        Ok(Self { bytes, at: 0, length })
    }

    /// The same file once more, whatever became of its name, to be read from its beginning.
    pub(crate) fn again(&self) -> io::Result<Self> {
        let bytes = match &self.bytes {
            Bytes::Plain(file) => Bytes::Plain(file.try_clone()?),
            Bytes::Packed(packed) => Bytes::Packed(packed.again()?),
        };
        Ok(Self {
            bytes,
            at: 0,
            length: self.length,
        })
    }

    /// How long the segment is, unpacked.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// The file itself, when the segment is not packed.
    pub(crate) const fn plain(&self) -> Option<&File> {
        match &self.bytes {
            Bytes::Plain(file) => Some(file),
            Bytes::Packed(_) => None,
        }
    }

    /// Fills `buffer` from `offset` on.
    pub(crate) fn read_exact_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &mut self.bytes {
            Bytes::Plain(file) => file.read_exact_at(buffer, offset),
            Bytes::Packed(_) => {
                self.at = offset;
                self.read_exact(buffer)
            }
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.bytes {
            Bytes::Plain(file) => file.read_at(buffer, self.at)?,
            Bytes::Packed(packed) => packed.read_at(buffer, self.at)?,
        };
        self.at = self.at.saturating_add(count as u64);
        Ok(count)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}
