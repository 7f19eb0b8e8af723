//! The socket of a running gate, and who may speak on it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Uid, geteuid};

use super::folders::{ApproverFolder, ForeignSocket, let_connect, pinned};
use super::protocol::{LINE_BYTES_MAX, Reply, Request};
use crate::failure::{Failure, file_failure};
use crate::own_files::{check_folder, shown};

/// How the sockets' names end.
const SOCKET_ENDING: &str = "sock";
/// People at once; one more is sent away.
const SPEAKERS_MAX: usize = 8;
/// How long a speaker may take over one line.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a waiting listener looks whether the session has ended, in milliseconds.
const TICK_MS: u16 = 250;
/// Namespaces that a speaker must share with the gate.
const NAMESPACES: [&str; 2] = ["user", "pid"];

/// A gate's socket.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    speakers: AtomicUsize,
    /// The approver who is heard here, where it is not the user.
    approver: Option<Uid>,
}

/// The socket's name in the runtime folder, which goes when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketName(PathBuf);

impl Drop for SocketName {
    fn drop(&mut self) {
        // A name that stays behind leads nowhere, and readers remove it.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Listens in `folder`, under the session's name.
    ///
    /// # Errors
    /// The folder is not ours alone, or the socket cannot be made.
    pub(crate) fn bind(folder: &Path, session: &str) -> io::Result<(Self, SocketName)> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
        check_folder(folder).map_err(|failure| io::Error::other(failure.what))?;
        let file = format!("{session}.{SOCKET_ENDING}");
        let path = folder.join(&file);
        // A socket's address has 108 bytes, a folder's path may have more: the descriptor's name is short.
        let directory = directory(folder)?;
        let socket = UnixListener::bind(format!("/proc/self/fd/{}/{file}", directory.as_raw_fd()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        socket.set_nonblocking(true)?;
        Ok((Self::of(socket, None), SocketName(path)))
    }

    /// Listens in the folder of an approver who is another user.
    ///
    /// # Errors
    /// The folder is not as it must be, or the socket cannot be made.
    pub(crate) fn bind_for(folder: &ApproverFolder, session: &str) -> io::Result<(Self, SocketName)> {
        let directory = folder.open()?;
        let file = format!("{session}.{SOCKET_ENDING}");
        let socket = UnixListener::bind(format!("/proc/self/fd/{}/{file}", directory.as_raw_fd()))?;
        let name = SocketName(folder.path.join(&file));
        let_connect(&directory, &file)?;
        socket.set_nonblocking(true)?;
        Ok((Self::of(socket, Some(folder.owner)), name))
    }

    fn of(socket: UnixListener, approver: Option<Uid>) -> Self {
        Self {
            socket,
            speakers: AtomicUsize::new(0),
            approver,
        }
    }

    /// Serves speakers until `is_over`; each on a thread of `scope`'s, so that none keeps another waiting.
    pub(crate) fn serve(&self, is_over: impl Fn() -> bool + Sync, answer: impl Fn(Request, &Speaker) -> Reply + Sync) {
        std::thread::scope(|scope| {
            while !is_over() {
                let mut waiting = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut waiting, PollTimeout::from(TICK_MS));
                let Ok((stream, _)) = self.socket.accept() else {
                    continue;
                };
                if self.speakers.fetch_add(1, Ordering::Relaxed) >= SPEAKERS_MAX {
                    self.speakers.fetch_sub(1, Ordering::Relaxed);
                    continue;
                }
                let (is_over, answer) = (&is_over, &answer);
                let spoken = std::thread::Builder::new()
                    .name("approval".to_owned())
                    .spawn_scoped(scope, move || {
                        // A speaker that breaks off has nothing to be told.
                        let _ = self.converse(&stream, is_over, answer);
                        self.speakers.fetch_sub(1, Ordering::Relaxed);
                    });
                if spoken.is_err() {
                    self.speakers.fetch_sub(1, Ordering::Relaxed);
                }
            }
        });
    }
}

pub(super) fn directory(folder: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
        .open(folder)
}

impl Listener {
    /// Requests of one speaker, until it ends or takes too long.
    fn converse(
        &self,
        stream: &UnixStream,
        is_over: impl Fn() -> bool,
        answer: impl Fn(Request, &Speaker) -> Reply,
    ) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let speaker = Speaker::of(stream, self.approver)?;
        let mut reader = BufReader::new(stream);
        while !is_over() {
            let Some(line) = line(&mut reader)? else { return Ok(()) };
            // Looked at again with every request: the process behind a number may have become another one.
            let reply = match serde_json::from_str(&line) {
                Ok(request) if speaker.is_heard() => answer(request, &speaker),
                Ok(_) => Reply::Refused(speaker.not_heard().to_owned()),
                Err(error) => Reply::Refused(format!("no request: {error}")),
            };
            write_line(stream, &reply)?;
        }
        Ok(())
    }
}

/// The process at the other end.
#[derive(Debug)]
pub(crate) struct Speaker {
    uid: u32,
    pid: i32,
    approver: Option<Uid>,
}

impl std::fmt::Display for Speaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} of user {}", self.pid, self.uid)
    }
}

impl Speaker {
    fn of(stream: &UnixStream, approver: Option<Uid>) -> io::Result<Self> {
        let credentials = getsockopt(stream, PeerCredentials)?;
        Ok(Self {
            uid: credentials.uid(),
            pid: credentials.pid(),
            approver,
        })
    }

    /// Whether it is another user's, whose word counts by a signature alone.
    pub(crate) const fn is_foreign(&self) -> bool {
        self.approver.is_some()
    }

    fn is_heard(&self) -> bool {
        match self.approver {
            None => self.is_ours(),
            Some(approver) => self.uid == approver.as_raw() && self.pid > 0 && has_our_namespaces(self.pid),
        }
    }

    const fn not_heard(&self) -> &'static str {
        match self.approver {
            None => "only processes of the same user, outside every compartment, are heard here",
            Some(_) => "only the approver whose folder this is, outside every compartment, is heard here",
        }
    }

    /// The same user, in our user and PID namespace.
    fn is_ours(&self) -> bool {
        // A process of a PID namespace that ours does not contain has no number here.
        self.uid == geteuid().as_raw()
            && self.pid > 0
            && NAMESPACES.iter().all(|kind| {
                let theirs = namespace(&format!("/proc/{}/ns/{kind}", self.pid));
                theirs.is_some() && theirs == namespace(&format!("/proc/self/ns/{kind}"))
            })
    }
}

/// Whether another user's process is in our user and PID namespace. Its namespaces themselves cannot be looked at, what they make of it can: it has one
/// number as a process, and users as we have them.
fn has_our_namespaces(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let is_here = numbers.is_some_and(|numbers| numbers.split_whitespace().count() == 1);
    let users = |of: &str| std::fs::read_to_string(format!("/proc/{of}/uid_map")).ok();
    let (theirs, ours) = (users(&pid.to_string()), users("self"));
    is_here && theirs.is_some() && theirs == ours
}

/// Device and inode of a namespace.
fn namespace(path: &str) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// A line without its end, or `None` at the end of what is said.
fn line(reader: &mut impl io::BufRead) -> io::Result<Option<String>> {
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut line = String::new();
    let read = reader.by_ref().take(limit).read_line(&mut line)?;
    match (read, line.ends_with('\n')) {
        (0, _) => Ok(None),
        (_, true) => Ok(Some(line)),
        (_, false) => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn write_line(mut stream: &UnixStream, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// The sockets of running gates in these folders, the oldest name first. Sockets that nobody listens on are removed.
pub(crate) fn gate_sockets(folders: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut sockets = Vec::new();
    for folder in folders {
        check_folder(folder)?;
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(file_failure("list", folder, &cause)),
        };
        let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
        sockets.extend(paths.filter(|path| path.extension().is_some_and(|ending| ending == SOCKET_ENDING)));
    }
    sockets.sort();
    Ok(sockets)
}

/// Asks one gate; `None` where nobody listens any more.
pub(crate) fn ask_gate(socket: &Path, request: &Request) -> Result<Option<Reply>, Failure> {
    let broken = |cause: &io::Error| {
        Failure::not_enforced(format!(
            "the gate behind `{}` does not answer: {cause}",
            socket.display()
        ))
    };
    let stream = match connect(socket) {
        Ok(stream) => stream,
        Err(cause) if matches!(cause.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            // Left behind by a gate that was killed.
            let _ = std::fs::remove_file(socket);
            return Ok(None);
        }
        Err(cause) => return Err(broken(&cause)),
    };
    let asked = || {
        stream.set_read_timeout(Some(PATIENCE))?;
        write_line(&stream, request)?;
        line(&mut BufReader::new(&stream))
    };
    match asked() {
        // It ended while we asked.
        Ok(None) => Ok(None),
        Ok(Some(reply)) => serde_json::from_str(&reply).map(Some).map_err(|error| {
            Failure::not_enforced(format!(
                "the gate behind `{}` answers something else: {error}",
                socket.display()
            ))
        }),
        Err(cause) => Err(broken(&cause)),
    }
}

/// Asks the gate of another user, which may be anything that user put there; `None` where nobody listens any more.
///
/// # Errors
/// It is no socket of that user's, is not served by that user, or does not answer in time.
pub(crate) fn ask_foreign_gate(socket: &ForeignSocket, request: &Request) -> Result<Option<Reply>, Failure> {
    let broken = |cause: &io::Error| {
        let path = shown(&socket.path);
        Failure::not_enforced(format!(
            "what listens behind `{path}` for user {} does not answer: {cause}",
            socket.user
        ))
    };
    let stream = match connect_to(socket) {
        Ok(stream) => stream,
        Err(cause) if matches!(cause.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            // Left behind by a gate that was killed; the folder is ours.
            let _ = std::fs::remove_file(&socket.path);
            return Ok(None);
        }
        Err(cause) => return Err(broken(&cause)),
    };
    let asked = || {
        stream.set_write_timeout(Some(PATIENCE))?;
        write_line(&stream, request)?;
        line(&mut BufReader::new(Within {
            stream: &stream,
            until: Instant::now() + PATIENCE,
        }))
    };
    let Some(reply) = asked().map_err(|cause| broken(&cause))? else {
        return Ok(None);
    };
    let unreadable = |error: serde_json::Error| broken(&io::Error::other(error.to_string()));
    serde_json::from_str(&reply).map(Some).map_err(unreadable)
}

/// Connects to the very socket that lies there, no link followed, and sees that its user serves it.
fn connect_to(socket: &ForeignSocket) -> io::Result<UnixStream> {
    let pinned = pinned(&socket.path)?;
    let metadata = pinned.metadata()?;
    if !metadata.file_type().is_socket() || metadata.uid() != socket.user.as_raw() {
        return Err(io::Error::other("another thing was put in its place"));
    }
    let address = UnixAddr::new(format!("/proc/self/fd/{}", pinned.as_raw_fd()).as_str())?;
    // Not blocking: a listener that never accepts would keep us for ever.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let connection = nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    nix::sys::socket::connect(connection.as_raw_fd(), &address)?;
    let stream = UnixStream::from(connection);
    stream.set_nonblocking(false)?;
    if getsockopt(&stream, PeerCredentials)?.uid() != socket.user.as_raw() {
        return Err(io::Error::other("another user listens on it"));
    }
    Ok(stream)
}

/// Reads until a moment and no longer, however slowly something comes.
struct Within<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl io::Read for Within<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        (&mut &*self.stream).read(buffer)
    }
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let folder: OwnedFd = directory(socket.parent().unwrap_or(Path::new("/")))?.into();
    let name = socket.file_name().unwrap_or_default();
    UnixStream::connect(Path::new(&format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name))
}
