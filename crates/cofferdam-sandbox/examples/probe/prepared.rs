//! Attempts on what a test has prepared outside: a socket, a process, a terminal, a folder.

use std::fs;
use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};

use libc::c_long;

use crate::call;

/// What a service hands over by descriptor, read.
pub(crate) fn receive(path: &str) -> io::Result<String> {
    let stream = UnixStream::connect(path)?;
    let mut byte = 0_u8;
    let mut span = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = [0_u64; 8];
    // SAFETY: a message header is numbers and pointers, for which zero is none.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut span;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: everything the header points to outlives the call.
    if unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // The header of a control message takes two words, the descriptor comes after it.
    let number = i32::try_from(control[2] & 0xffff_ffff).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given this number.
    let mut file = fs::File::from(unsafe { OwnedFd::from_raw_fd(number) });
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// What a service on a name without a file says.
pub(crate) fn abstract_socket(name: &str) -> io::Result<String> {
    let mut said = String::new();
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?)?.read_to_string(&mut said)?;
    Ok(said)
}

/// Ends a process, by its number here.
pub(crate) fn signal(number: &str) -> io::Result<String> {
    let number: c_long = number.parse().map_err(io::Error::other)?;
    call(libc::SYS_kill, [number, 15, 0, 0, 0]).map(|_| "signalled".to_owned())
}

/// Users, real and effective.
pub(crate) fn users() -> io::Result<String> {
    let (real, effective) = (call(libc::SYS_getuid, [0; 5])?, call(libc::SYS_geteuid, [0; 5])?);
    Ok(format!("{real} {effective}"))
}

fn outcome(result: io::Result<c_long>) -> String {
    result.map_or_else(
        |error| format!("errno {}", error.raw_os_error().unwrap_or(0)),
        |_| "allowed".to_owned(),
    )
}

/// Typing into the terminal, if there is one.
pub(crate) fn terminal() -> io::Result<String> {
    let (key, code) = ([b'x'; 8], [6_u8; 8]);
    let typed = call(libc::SYS_ioctl, [0, 0x5412, key.as_ptr() as c_long, 0, 0]);
    let console = call(libc::SYS_ioctl, [0, 0x541c, code.as_ptr() as c_long, 0, 0]);
    // SAFETY: the call takes a number.
    let is_terminal = unsafe { libc::isatty(0) } == 1;
    let own = fs::File::open("/dev/tty").map(|_| 0);
    Ok(format!(
        "terminal {is_terminal}\ntyping {}\nconsole {}\nown {}",
        outcome(typed),
        outcome(console),
        outcome(own)
    ))
}

/// A better place among those who wait for a processor, by each of its ways.
pub(crate) fn priority() -> io::Result<String> {
    let level = [1_u32];
    let nice = call(libc::SYS_setpriority, [0, 0, -1, 0, 0]);
    let real_time = call(libc::SYS_sched_setscheduler, [0, 1, level.as_ptr() as c_long, 0, 0]);
    let spared = fs::write("/proc/self/oom_score_adj", "-1000").map(|()| 0);
    Ok(format!(
        "nice {}\nreal time {}\nspared {}",
        outcome(nice),
        outcome(real_time),
        outcome(spared)
    ))
}

/// Gives a file or folder another name (`OLD:NEW`).
pub(crate) fn rename(argument: &str) -> io::Result<String> {
    let (old, new) = argument.split_once(':').unwrap_or((argument, ""));
    fs::rename(old, new).map(|()| "renamed".to_owned())
}

/// Folders in folders in a folder, deeper than any path can say.
pub(crate) fn deep(folder: &str) -> io::Result<String> {
    std::env::set_current_dir(folder)?;
    for depth in 0..3_000 {
        if let Err(error) = fs::create_dir("d").and_then(|()| std::env::set_current_dir("d")) {
            return Ok(format!(
                "{depth} deep, then errno {}",
                error.raw_os_error().unwrap_or(0)
            ));
        }
    }
    Ok("3000 deep".to_owned())
}
