//! Segments that have ended, packed with Zstandard (`docs/audit-format.md` section 9).
//!
//! A packed segment is an ordinary Zstandard file of frames of one mebibyte, with a table behind
//! them (the seekable format of the Zstandard project), so that it can be read from any place.

use crate::error::AuditError;
use crate::folder::PACKED_SUFFIX;
use crate::record::Fields;
use crate::source::Source;
use crate::verify::{Ended, Verdict, verify};
use rustix::fs::{Mode, OFlags};
use std::fs::{File, FileTimes};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes of the segment in one frame; the last may have fewer.
const FRAME_BYTES: usize = 1024 * 1024;
/// Most frames of one segment: 64 GiB.
const FRAMES_MAX: usize = 65_536;
/// Zstandard's default: beyond it little is won here.
const LEVEL: i32 = 3;
/// How a Zstandard frame begins.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();
/// A frame that decoders skip; this number is the one of seek tables.
const SKIPPABLE: u32 = 0x184d_2a5e;
const TABLE_MAGIC: u32 = 0x8f92_eab1;
/// Number of frames, a byte of flags, the magic.
const FOOTER_BYTES: usize = 9;
const ENTRY_BYTES: usize = 8;

/// A packed segment, open.
pub(crate) struct Packed {
    file: File,
    /// Where each frame begins in the file, and how long it is there.
    frames: Vec<(u64, usize)>,
    length: u64,
    /// The frame that was read last.
    current: Option<(usize, Vec<u8>)>,
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl Packed {
    pub(crate) fn is_packed(file: &File) -> io::Result<bool> {
        let mut start = [0; 4];
        let count = file.read_at(&mut start, 0)?;
        Ok(count == start.len() && start == MAGIC)
    }

    /// Reads the table at the file's end.
    pub(crate) fn open(file: File, file_bytes: u64) -> io::Result<Self> {
        let mut footer = [0; FOOTER_BYTES];
        let end = file_bytes.checked_sub(FOOTER_BYTES as u64).ok_or_else(no_table)?;
        file.read_exact_at(&mut footer, end)?;
        let mut fields = Fields(&footer);
        let count = fields
            .take()
            .map(u32::from_le_bytes)
            .and_then(|count| usize::try_from(count).ok());
        let [flags] = fields.take().ok_or_else(no_table)?;
        let magic = fields.take().map(u32::from_le_bytes);
        let count = count
            .filter(|count| *count <= FRAMES_MAX && flags == 0 && magic == Some(TABLE_MAGIC))
            .ok_or_else(no_table)?;
        let mut table = vec![0; count * ENTRY_BYTES];
        let begins = end.checked_sub(table.len() as u64).ok_or_else(no_table)?;
        file.read_exact_at(&mut table, begins)?;
        let (mut frames, mut at, mut length) = (Vec::with_capacity(count), 0_u64, 0_u64);
        for (number, entry) in table.as_chunks::<ENTRY_BYTES>().0.iter().enumerate() {
            let mut fields = Fields(entry);
            let packed = fields.take().map_or(0, u32::from_le_bytes);
            let plain = fields.take().map_or(0, u32::from_le_bytes);
            let full = usize::try_from(plain) == Ok(FRAME_BYTES);
            let last = number + 1 == count && plain > 0 && u64::from(plain) < FRAME_BYTES as u64;
            if !(full || last) {
                return Err(no_table());
            }
            frames.push((at, usize::try_from(packed).unwrap_or(usize::MAX)));
            at = at.saturating_add(u64::from(packed));
            length = length.saturating_add(u64::from(plain));
        }
        // Behind the frames stands the table in a frame of its own, and nothing else.
        if at.checked_add(8) != Some(begins) {
            return Err(no_table());
        }
        Ok(Self {
            file,
            frames,
            length,
            current: None,
        })
    }

    /// The same file, to be read at another place meanwhile.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            file: self.file.try_clone()?,
            frames: self.frames.clone(),
            length: self.length,
            current: None,
        })
    }

    /// How long the segment is, unpacked.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// As read(2) at a place of the unpacked segment.
    pub(crate) fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let number = usize::try_from(offset / FRAME_BYTES as u64).map_err(io::Error::other)?;
        let within = usize::try_from(offset % FRAME_BYTES as u64).map_err(io::Error::other)?;
        let frame = self.frame(number)?;
        let rest = frame.split_at_checked(within).ok_or_else(no_table)?.1;
        let count = rest.len().min(buffer.len());
        let (filled, _) = buffer.split_at_mut(count);
        filled.copy_from_slice(rest.split_at(count).0);
        Ok(count)
    }

    fn frame(&mut self, number: usize) -> io::Result<&[u8]> {
        if self.current.as_ref().is_none_or(|(current, _)| *current != number) {
            let (at, bytes) = *self.frames.get(number).ok_or_else(no_table)?;
            if bytes > zstd::zstd_safe::compress_bound(FRAME_BYTES) {
                return Err(no_table());
            }
            let mut packed = vec![0; bytes];
            self.file.read_exact_at(&mut packed, at)?;
            let plain = zstd::bulk::decompress(&packed, FRAME_BYTES)?;
            let begins = number as u64 * FRAME_BYTES as u64;
            let expected = self.length.saturating_sub(begins).min(FRAME_BYTES as u64);
            if plain.len() as u64 != expected {
                return Err(no_table());
            }
            self.current = Some((number, plain));
        }
        self.current
            .as_ref()
            .map(|(_, plain)| plain.as_slice())
            .ok_or_else(no_table)
    }
}

fn no_table() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the packed segment is damaged, or another tool packed it",
    )
}

/// What packing did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedSegment {
    /// The packed file, which stands in place of the segment now.
    pub path: PathBuf,
    /// How long the segment was.
    pub bytes_before: u64,
    /// How long it is packed.
    pub bytes_after: u64,
}

/// Packs a segment that has ended and is whole: `NAME.cfa` becomes `NAME.cfa.zst`. `None` for one
/// that has not ended, is broken or packed already; it stays as it is.
///
/// The packed file is on the disk, and was unpacked and compared, before the other is removed.
///
/// # Errors
/// When a file cannot be read or written. The segment is still there then.
pub fn pack(path: &Path) -> Result<Option<PackedSegment>, AuditError> {
    let mut source = Source::open(path)?;
    let Some(plain) = source.plain() else { return Ok(None) };
    let metadata = plain.metadata().map_err(|cause| read(path, cause))?;
    match verify(path)? {
        Verdict::Verified(verified) if matches!(verified.ended, Ended::Closed | Ended::Continued) => {}
        _ => return Ok(None),
    }
    let packed = PathBuf::from(format!("{}{PACKED_SUFFIX}", path.display()));
    let temporary = PathBuf::from(format!("{}{PACKED_SUFFIX}.tmp", path.display()));
    let outcome = write_packed(&mut source, &temporary)
        .and_then(|()| compare(&mut source, &temporary))
        .and_then(|()| {
            let times = FileTimes::new().set_modified(metadata.modified()?);
            let file = File::options().append(true).open(&temporary)?;
            file.set_times(times)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &packed)?;
            sync_folder(path)?;
            std::fs::remove_file(path)?;
            file.metadata()
        });
    match outcome {
        Ok(after) => Ok(Some(PackedSegment {
            path: packed,
            bytes_before: metadata.len(),
            bytes_after: after.len(),
        })),
        Err(cause) => {
            // Half a file that nobody reads; the next attempt writes over it.
            match std::fs::remove_file(&temporary) {
                Ok(()) | Err(_) => {}
            }
            Err(AuditError::Write { path: packed, cause })
        }
    }
}

fn write_packed(source: &mut Source, path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) | Err(_) => {}
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    let mut table = Vec::new();
    let mut left = source.length();
    let mut plain = vec![0; FRAME_BYTES];
    while left > 0 {
        let size = usize::try_from(left.min(FRAME_BYTES as u64)).map_err(io::Error::other)?;
        plain.resize(size, 0);
        source.read_exact(&mut plain)?;
        let packed = zstd::bulk::compress(&plain, LEVEL)?;
        file.write_all(&packed)?;
        for bytes in [packed.len(), size] {
            table.extend_from_slice(&u32::try_from(bytes).map_err(io::Error::other)?.to_le_bytes());
        }
        left -= size as u64;
    }
    let frames = u32::try_from(table.len() / ENTRY_BYTES).map_err(io::Error::other)?;
    table.extend_from_slice(&frames.to_le_bytes());
    table.push(0);
    table.extend_from_slice(&TABLE_MAGIC.to_le_bytes());
    file.write_all(&SKIPPABLE.to_le_bytes())?;
    file.write_all(&u32::try_from(table.len()).map_err(io::Error::other)?.to_le_bytes())?;
    file.write_all(&table)?;
    file.sync_all()
}

/// Unpacks what was written and compares it with the segment, byte for byte.
fn compare(source: &mut Source, path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut packed = Packed::open(file, bytes)?;
    if packed.length() != source.length() {
        return Err(no_table());
    }
    let (mut one, mut other) = (vec![0; FRAME_BYTES], vec![0; FRAME_BYTES]);
    let mut at = 0;
    while at < source.length() {
        let count = packed.read_at(&mut one, at)?;
        let (expected, found) = (other.split_at_mut(count).0, one.split_at(count).0);
        source.read_exact_at(expected, at)?;
        if count == 0 || expected != found {
            return Err(no_table());
        }
        at += count as u64;
    }
    Ok(())
}

/// Removes a segment. What it was packed to goes first, where both are there: who packed it ended before the other was removed.
///
/// # Errors
/// When a file cannot be removed. The segment is still there then.
pub fn remove_segment(path: &Path) -> Result<(), AuditError> {
    let packed = PathBuf::from(format!("{}{PACKED_SUFFIX}", path.display()));
    match std::fs::remove_file(&packed) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(AuditError::Write { path: packed, cause }),
        _ => {}
    }
    std::fs::remove_file(path).map_err(|cause| AuditError::Write {
        path: path.to_owned(),
        cause,
    })
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn read(path: &Path, cause: io::Error) -> AuditError {
    AuditError::Read {
        path: path.to_owned(),
        cause,
    }
}
