//! Reading what a waiting call is about from the memory of its caller. All of it is racy.

use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

/// Longest path the kernel takes.
const PATH_BYTES_MAX: usize = 4096;
/// Most arguments, and most bytes of each, that are kept of a program's argument vector.
const ARGUMENTS_MAX: usize = 16;
const ARGUMENT_BYTES_MAX: usize = 256;
/// Longest address of a socket (`struct sockaddr_un`).
const ADDRESS_BYTES_MAX: usize = 110;
/// Memory is read in pieces that do not cross a page: what follows may not be mapped.
const PAGE_BYTES: u64 = 4096;

/// A process whose call waits.
pub(super) struct Caller {
    pid: u32,
    memory: Option<File>,
}

impl Caller {
    /// Whatever of it can be opened; what cannot is not told.
    pub(super) fn open(pid: u32) -> Self {
        let memory = File::open(format!("/proc/{pid}/mem")).ok();
        Self { pid, memory }
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default();
        name.trim_end().to_owned()
    }

    /// A path at this address.
    pub(super) fn path(&self, address: u64) -> Option<String> {
        self.string(address, PATH_BYTES_MAX)
    }

    /// The strings that a null-terminated array of pointers leads to.
    pub(super) fn strings(&self, array: u64) -> Vec<String> {
        let mut strings = Vec::new();
        for index in 0..ARGUMENTS_MAX as u64 {
            let mut pointer = [0; 8];
            let Some(address) = array.checked_add(8 * index) else {
                break;
            };
            if self.read(address, &mut pointer) < pointer.len() || pointer == [0; 8] {
                break;
            }
            match self.string(u64::from_ne_bytes(pointer), ARGUMENT_BYTES_MAX) {
                Some(string) => strings.push(string),
                None => break,
            }
        }
        strings
    }

    /// An address of a socket, in words.
    pub(super) fn address(&self, at: u64, length: u64) -> Option<String> {
        let mut bytes = [0; ADDRESS_BYTES_MAX];
        let wanted = usize::try_from(length).unwrap_or(usize::MAX).min(ADDRESS_BYTES_MAX);
        let read = self.read(at, bytes.get_mut(..wanted)?);
        address_in_words(bytes.get(..read)?)
    }

    /// Whether a path leads to a regular file where the caller is. Absolute paths only: where it stands may change.
    pub(super) fn has_file(&self, path: &str) -> bool {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let root = open(format!("/proc/{}/root", self.pid), flags, Mode::empty());
        let found = root
            .and_then(|root| openat2(&root, path, flags, Mode::empty(), resolve))
            .and_then(fstat);
        path.starts_with('/') && found.is_ok_and(|found| FileType::from_raw_mode(found.st_mode).is_file())
    }

    fn string(&self, address: u64, longest: usize) -> Option<String> {
        let mut bytes = vec![0; longest];
        let read = self.read(address, &mut bytes);
        bytes.truncate(read);
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            bytes.truncate(end);
        } else if read < longest {
            return None;
        }
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads until the room is full, a NUL was read, or nothing more is mapped; gives how much.
    fn read(&self, address: u64, room: &mut [u8]) -> usize {
        let Some(memory) = &self.memory else { return 0 };
        let mut done = 0;
        while done < room.len() {
            let Some(at) = address.checked_add(done as u64) else {
                break;
            };
            let to_page_end = usize::try_from(PAGE_BYTES - at % PAGE_BYTES).unwrap_or(1);
            let end = room.len().min(done + to_page_end);
            let Some(piece) = room.get_mut(done..end) else { break };
            match memory.read_at(piece, at) {
                Ok(count @ 1..) => done += count,
                Ok(0) | Err(_) => break,
            }
        }
        done
    }
}

/// `ADDRESS:PORT`, `unix:PATH` (an abstract name begins with `@`) or `family-N`.
fn address_in_words(bytes: &[u8]) -> Option<String> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let port = || bytes.get(2..4)?.first_chunk().map(|port| u16::from_be_bytes(*port));
    match family {
        libc::AF_INET => {
            let address: [u8; 4] = *bytes.get(4..8)?.first_chunk()?;
            Some(SocketAddr::from((Ipv4Addr::from(address), port()?)).to_string())
        }
        libc::AF_INET6 => {
            let address: [u8; 16] = *bytes.get(8..24)?.first_chunk()?;
            Some(SocketAddr::from((Ipv6Addr::from(address), port()?)).to_string())
        }
        libc::AF_UNIX => {
            let path = bytes.get(2..)?;
            let (mark, path) = match path.split_first() {
                Some((0, name)) => ("@", name),
                _ => ("", path),
            };
            let path: Vec<u8> = path.iter().copied().take_while(|byte| *byte != 0).collect();
            Some(format!("unix:{mark}{}", String::from_utf8_lossy(&path)))
        }
        other => Some(format!("family-{other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, address_in_words};

    #[test]
    fn addresses_are_told_in_words() {
        assert_eq!(
            address_in_words(&[2, 0, 1, 187, 10, 0, 0, 1]).as_deref(),
            Some("10.0.0.1:443")
        );
        let mut six = vec![10, 0, 0, 80, 0, 0, 0, 0];
        six.extend([0; 15]);
        six.push(1);
        assert_eq!(address_in_words(&six).as_deref(), Some("[::1]:80"));
        assert_eq!(address_in_words(b"\x01\0/run/x\0y").as_deref(), Some("unix:/run/x"));
        assert_eq!(address_in_words(b"\x01\0\0name").as_deref(), Some("unix:@name"));
        assert_eq!(address_in_words(&[40, 0, 1]).as_deref(), Some("family-40"));
        for cut in [&[][..], &[2], &[2, 0], &[2, 0, 1, 187, 10], &[10, 0, 0, 80, 0, 0]] {
            assert_eq!(address_in_words(cut), None);
        }
    }

    #[test]
    fn memory_is_read_across_pages_and_not_beyond_what_is_mapped() {
        let own = Caller::open(std::process::id());
        let long = std::ffi::CString::new("x".repeat(10_000)).expect("no NUL");
        assert_eq!(
            own.string(long.as_ptr() as u64, 20_000).map(|text| text.len()),
            Some(10_000)
        );
        assert_eq!(own.string(long.as_ptr() as u64, 100).map(|text| text.len()), Some(100));
        for nowhere in [0, 1, u64::MAX, u64::MAX - 4095, 1 << 63] {
            assert_eq!(own.path(nowhere), None, "{nowhere:x}");
            assert!(own.strings(nowhere).is_empty());
            assert_eq!(own.address(nowhere, u64::MAX), None);
        }
        let array = [long.as_ptr() as u64, 0, 1];
        assert_eq!(own.strings(array.as_ptr() as u64).len(), 1);
        assert!(own.has_file("/usr/bin/true") && !own.has_file("/usr/bin") && !own.has_file("true"));
    }
}
