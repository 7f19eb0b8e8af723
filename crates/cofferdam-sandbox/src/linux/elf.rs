//! The dynamic loader that a program names in its ELF header (System V ABI, chapter 5).

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const PT_INTERP: u32 = 3;
/// Bytes of one program header of a 64-bit file.
const HEADER_BYTES: usize = 56;
/// Most program headers that are looked at.
const HEADERS_MAX: u16 = 64;
/// Longest path of a loader; Linux takes no longer one.
const PATH_BYTES_MAX: u64 = 4096;

/// The loader of a 64-bit little-endian program; none for a static one or another file.
pub(super) fn loader(program: &Path) -> Option<PathBuf> {
    let file = File::open(program).ok()?;
    let header: [u8; 64] = read(&file, 0)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = u64::from_le_bytes(field(&header, 32)?);
    let size = u64::from(u16::from_le_bytes(field(&header, 54)?));
    let count = u16::from_le_bytes(field(&header, 56)?).min(HEADERS_MAX);
    for index in 0..u64::from(count) {
        let entry: [u8; HEADER_BYTES] = read(&file, table.checked_add(index * size)?)?;
        if u32::from_le_bytes(field(&entry, 0)?) == PT_INTERP {
            let offset = u64::from_le_bytes(field(&entry, 8)?);
            let length = u64::from_le_bytes(field(&entry, 32)?).min(PATH_BYTES_MAX);
            let mut path = vec![0; usize::try_from(length).ok()?];
            file.read_exact_at(&mut path, offset).ok()?;
            path.truncate(path.iter().position(|byte| *byte == 0)?);
            return Some(PathBuf::from(OsString::from_vec(path)));
        }
    }
    None
}

fn read<const N: usize>(file: &File, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::loader;
    use std::path::Path;

    #[test]
    fn a_program_of_this_machine_names_its_loader() {
        let own = loader(Path::new("/proc/self/exe")).expect("this test is dynamically linked");
        assert!(own.to_str().expect("UTF-8").contains("ld"), "{own:?}");
    }

    #[test]
    fn another_file_names_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        for bytes in [
            &b""[..],
            b"#!/bin/sh\n",
            b"\x7fELF\x02\x01",
            &[0x7f, b'E', b'L', b'F', 2, 1, 255, 255],
        ] {
            std::fs::write(&file, bytes).expect("written");
            assert_eq!(loader(&file), None);
        }
    }
}
