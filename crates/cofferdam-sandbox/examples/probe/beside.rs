//! Attempts on what lies beside a program that has no namespaces: the user's files, by calls that open none, and processes.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use libc::c_long;

use crate::call;

fn outcome(result: io::Result<c_long>) -> String {
    result.map_or_else(
        |error| format!("errno {}", error.raw_os_error().unwrap_or(0)),
        |_| "allowed".to_owned(),
    )
}

fn lines(attempts: Vec<(&str, io::Result<c_long>)>) -> String {
    let line = |(name, result)| format!("{name}: {}\n", outcome(result));
    attempts.into_iter().map(line).collect()
}

/// What can be done to a file by its name without opening it. Each is such that nothing changes where it is allowed.
pub(crate) fn touch(path: &str) -> io::Result<String> {
    let found = fs::metadata(path).ok();
    let name = CString::new(path)?;
    let (at, here) = (name.as_ptr() as c_long, -100);
    let label = c"user.cofferdam".as_ptr() as c_long;
    let mode = c_long::from(
        found.map_or(0o600, |found| {
            std::os::unix::fs::PermissionsExt::mode(&found.permissions())
        }) & 0o777,
    );
    let watcher = call(libc::SYS_inotify_init1, [0; 5])?;
    let now = [0_u64, libc::UTIME_OMIT as u64, 0, libc::UTIME_OMIT as u64];
    Ok(lines(vec![
        ("mode", call(libc::SYS_fchmodat, [here, at, mode, 0, 0])),
        ("owner", call(libc::SYS_fchownat, [here, at, -1, -1, 0])),
        (
            "times",
            call(libc::SYS_utimensat, [here, at, now.as_ptr() as c_long, 0, 0]),
        ),
        ("attribute", call(libc::SYS_setxattr, [at, label, label, 1, 0])),
        ("attributes", call(libc::SYS_listxattr, [at, 0, 0, 0, 0])),
        ("watch", call(libc::SYS_inotify_add_watch, [watcher, at, 2, 0, 0])),
    ]))
}

/// What of an open file can be changed although it was opened for reading.
pub(crate) fn opened(path: &str) -> io::Result<String> {
    const GET_FLAGS: c_long = 0x8008_6601;
    const SET_FLAGS: c_long = 0x4008_6602;
    let file = fs::File::open(path)?;
    let number = c_long::from(file.as_raw_fd());
    let mut flags = [0_u64];
    // Where they cannot be read, none are set.
    let _unread = call(libc::SYS_ioctl, [number, GET_FLAGS, flags.as_mut_ptr() as c_long, 0, 0]);
    Ok(lines(vec![
        ("mode", call(libc::SYS_fchmod, [number, 0o644, 0, 0, 0])),
        ("owner", call(libc::SYS_fchown, [number, -1, -1, 0, 0])),
        (
            "flags",
            call(libc::SYS_ioctl, [number, SET_FLAGS, flags.as_ptr() as c_long, 0, 0]),
        ),
        (
            "signals to another",
            call(
                libc::SYS_fcntl,
                [number, 8, c_long::from(std::os::unix::process::parent_id()), 0, 0],
            ),
        ),
    ]))
}

/// What one process of a user can do to another. It is slower afterwards where that is allowed, and otherwise as it was.
pub(crate) fn process(number: &str) -> io::Result<String> {
    let pid: c_long = number.parse().map_err(io::Error::other)?;
    let read = |name: &str| fs::File::open(format!("/proc/{number}/{name}")).map(|_| 0);
    // SAFETY: an array of numbers, for which zero is one.
    let mut limit: [u64; 2] = unsafe { MaybeUninit::zeroed().assume_init() };
    let limits = limit.as_mut_ptr() as c_long;
    let same = call(libc::SYS_prlimit64, [pid, 7, 0, limits, 0]);
    let pidfd = call(libc::SYS_pidfd_open, [pid, 0, 0, 0, 0]).unwrap_or(-1);
    let processors = [u64::MAX; 16];
    Ok(lines(vec![
        ("environment", read("environ")),
        ("memory", read("mem")),
        ("descriptors", fs::read_dir(format!("/proc/{number}/fd")).map(|_| 0)),
        ("command line", read("cmdline")),
        ("its root", fs::read_dir(format!("/proc/{number}/root")).map(|_| 0)),
        (
            "program",
            fs::read_link(Path::new(&format!("/proc/{number}/exe"))).map(|_| 0),
        ),
        ("signal", call(libc::SYS_kill, [pid, 0, 0, 0, 0])),
        (
            "signal by descriptor",
            call(libc::SYS_pidfd_send_signal, [pidfd, 0, 0, 0, 0]),
        ),
        ("queued signal", call(libc::SYS_tgkill, [pid, pid, 0, 0, 0])),
        (
            "limits",
            same.and_then(|_| call(libc::SYS_prlimit64, [pid, 7, limits, 0, 0])),
        ),
        (
            "processors",
            call(
                libc::SYS_sched_setaffinity,
                [pid, 128, processors.as_ptr() as c_long, 0, 0],
            ),
        ),
        ("niceness", call(libc::SYS_setpriority, [0, pid, 19, 0, 0])),
        ("input and output", call(libc::SYS_ioprio_set, [1, pid, 0, 0, 0])),
        ("tracing", call(libc::SYS_ptrace, [0x4206, pid, 0, 0, 0])),
    ]))
}

/// A socket of each kind that reaches somebody.
pub(crate) fn sockets() -> String {
    let socket = |family, kind, protocol| call(libc::SYS_socket, [family, kind, protocol, 0, 0]);
    lines(vec![
        ("tcp", socket(2, 1, 0)),
        ("tcp over ipv6", socket(10, 1, 6)),
        ("udp", socket(2, 2, 0)),
        ("unix", socket(1, 1, 0)),
        ("unix datagram", socket(1, 2, 0)),
        ("routes", socket(16, 3, 0)),
    ])
}
