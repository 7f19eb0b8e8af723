//! The system calls no safe library offers: the only unsafe code there is.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

/// What a call of `clone` or `fork` returned, and where.
pub(super) enum Cloned {
    /// In the process that called: the new process, held by a descriptor that cannot mean another one.
    Parent { pid: i32, pidfd: OwnedFd },
    /// In the new process.
    Child,
}

/// Words of `struct clone_args` in the version that knows control groups (Linux 5.7).
const CLONE_WORDS: usize = 11;
/// `IFF_UP`, in the width of its field.
const IFF_UP: libc::c_short = 1;

/// The result of a raw call as a result of Rust.
fn checked(returned: c_long) -> io::Result<c_long> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}

/// A descriptor number the kernel just gave.
fn owned(returned: c_long) -> io::Result<OwnedFd> {
    let number = RawFd::try_from(checked(returned)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned this number as a new descriptor, and nobody else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `clone` as older than `clone3`, which the filter of a stock container does not have: with these flags and a pidfd, in
/// the caller's control groups. The caller has exactly one thread, so the new process may go on using the standard library.
fn clone_plainly(flags: c_int) -> io::Result<Cloned> {
    let mut pidfd: c_int = -1;
    let bits = c_long::from(flags | libc::CLONE_PIDFD | libc::SIGCHLD);
    let unused: *const c_void = ptr::null();
    // SAFETY: without CLONE_VM the new process has its own copy of everything, its stack too where none is given, and
    // `pidfd` outlives the call. The unused arguments are null in the order of either architecture.
    let returned = unsafe { libc::syscall(libc::SYS_clone, bits, unused, ptr::from_mut(&mut pidfd), unused, unused) };
    match checked(returned)? {
        0 => Ok(Cloned::Child),
        pid => Ok(Cloned::Parent {
            pid: i32::try_from(pid).map_err(io::Error::other)?,
            pidfd: owned(c_long::from(pidfd))?,
        }),
    }
}

/// [`clone_process`] also where there is no `clone3`, for a process that has no namespace to be made.
pub(super) fn clone_without_namespaces(flags: c_int, group: Option<&OwnedFd>) -> io::Result<Cloned> {
    match clone_process(flags, group) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            if let Some(group) = group {
                let members = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::CLOEXEC;
                let members = rustix::fs::openat(group, "cgroup.procs", members, rustix::fs::Mode::empty())?;
                rustix::io::write(members, b"0")?;
            }
            clone_plainly(flags)
        }
        cloned => cloned,
    }
}

/// `clone3` with these flags and a pidfd, in the control group of version 2 whose folder is given, or else in
/// the caller's. The caller has exactly one thread, so the new process may go on using the standard library.
pub(super) fn clone_process(flags: c_int, group: Option<&OwnedFd>) -> io::Result<Cloned> {
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    let mut pidfd: c_int = -1;
    let has_parent_of_ours = flags & libc::CLONE_PARENT != 0;
    let bits = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    let group = group.map(|group| u64::from(group.as_raw_fd().cast_unsigned()));
    let mut arguments = [0_u64; CLONE_WORDS];
    let [first, second, _, _, signal, .., last] = &mut arguments;
    *first = bits | group.map_or(0, |_| CLONE_INTO_CGROUP);
    *second = ptr::from_mut(&mut pidfd) as u64;
    *signal = if has_parent_of_ours {
        0
    } else {
        u64::from(libc::SIGCHLD.cast_unsigned())
    };
    *last = group.unwrap_or(0);
    // SAFETY: the words are the third version of `struct clone_args`, they and `pidfd` outlive the call, and
    // without CLONE_VM the new process has its own copy of everything.
    let returned = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) };
    match checked(returned)? {
        0 => Ok(Cloned::Child),
        pid => {
            let pid = i32::try_from(pid).map_err(io::Error::other)?;
            Ok(Cloned::Parent {
                pid,
                pidfd: owned(c_long::from(pidfd))?,
            })
        }
    }
}

/// Gives this process an own view of control groups, from the one it is in.
pub(super) fn unshare_cgroup_namespace() -> io::Result<()> {
    // SAFETY: the call takes a number; of what it can take apart, this flag touches nothing Rust knows of.
    checked(c_long::from(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })).map(drop)
}

/// `close_range`: closes every descriptor from `first` on, or marks them close-on-exec.
pub(super) fn close_from(first: u32, on_exec_only: bool) -> io::Result<()> {
    let flags = if on_exec_only { libc::CLOSE_RANGE_CLOEXEC } else { 0 };
    // SAFETY: the launcher owns no descriptor object at or above `first` when it closes for good.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) }).map(drop)
}

/// Whether a descriptor of this process, by its number, is closed by `execve`.
pub(super) fn is_closed_on_execution(number: RawFd) -> io::Result<bool> {
    // SAFETY: the call takes numbers, and of a number that is no descriptor it says so.
    let flags = checked(c_long::from(unsafe { libc::fcntl(number, libc::F_GETFD) }))?;
    Ok(flags & c_long::from(libc::FD_CLOEXEC) != 0)
}

/// `mount_setattr` on the whole tree a descriptor stands for.
pub(super) fn set_mount_attributes(tree: impl AsFd, attributes: &libc::mount_attr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let tree = tree.as_fd().as_raw_fd();
    // SAFETY: the path is an empty C string and the attributes are the kernel's own structure and size.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree,
            c"".as_ptr(),
            flags,
            ptr::from_ref(attributes),
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// Attributes of a Landlock ruleset, in the kernel's layout.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct LandlockRuleset {
    pub(super) files: u64,
    pub(super) network: u64,
    pub(super) scopes: u64,
}

/// Attributes of one Landlock rule, in the kernel's layout (packed there as well).
#[repr(C, packed)]
struct LandlockPathBeneath {
    allowed: u64,
    parent: i32,
}

/// The version of Landlock's interface in this kernel.
pub(super) fn landlock_version() -> io::Result<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    let nothing: *const c_void = ptr::null();
    // SAFETY: with this flag the kernel reads no memory and returns a number.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            nothing,
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(checked(returned)?).map_err(io::Error::other)
}

/// `landlock_create_ruleset`; `size` is how many bytes of the structure this kernel's version knows.
pub(super) fn landlock_ruleset(attributes: &LandlockRuleset, size: usize) -> io::Result<OwnedFd> {
    let size = size.min(size_of::<LandlockRuleset>());
    // SAFETY: at most the size of the structure is read from it.
    owned(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            ptr::from_ref(attributes),
            size,
            0_u32,
        )
    })
}

/// `landlock_add_rule` for what lies at or beneath an open file or folder.
pub(super) fn landlock_allow(ruleset: &OwnedFd, parent: &OwnedFd, allowed: u64) -> io::Result<()> {
    const LANDLOCK_RULE_PATH_BENEATH: c_int = 1;
    let rule = LandlockPathBeneath {
        allowed,
        parent: parent.as_raw_fd(),
    };
    let ruleset = ruleset.as_raw_fd();
    // SAFETY: the rule is in the kernel's packed layout and outlives the call.
    checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset,
            LANDLOCK_RULE_PATH_BENEATH,
            ptr::from_ref(&rule),
            0_u32,
        )
    })
    .map(drop)
}

/// `landlock_restrict_self`.
pub(super) fn landlock_restrict(ruleset: &OwnedFd) -> io::Result<()> {
    // SAFETY: the call takes a descriptor and a number.
    checked(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0_u32) }).map(drop)
}

/// Installs a classic BPF program as the system-call filter of this process, for good.
pub(super) fn install_seccomp(program: &mut [libc::sock_filter]) -> io::Result<()> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program and its length belong together and outlive the call; the kernel checks the rest.
    checked(unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0_u32,
            ptr::from_ref(&program),
        )
    })
    .map(drop)
}

/// Installs it with a listener: what the program does not decide itself is told there, and waits for an answer.
pub(super) fn install_observed_seccomp(program: &mut [libc::sock_filter]) -> io::Result<OwnedFd> {
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = libc::sock_fprog {
        len: length,
        filter: program.as_mut_ptr(),
    };
    let install = |flags: libc::c_ulong| {
        // SAFETY: the program and its length belong together and outlive the call; the kernel checks the rest.
        owned(unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                ptr::from_ref(&program),
            )
        })
    };
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // From Linux 5.19 on a signal does not break off a call that was told already, which would be told again.
    match install(listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => install(listener),
        installed => installed,
    }
}

/// A call that was told and waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    /// Names this call; a call that was given up has no answer.
    pub(super) id: u64,
    /// The calling process, as a number of the reader.
    pub(super) pid: u32,
    pub(super) number: c_int,
    pub(super) arguments: [u64; 6],
}

/// The next call that was told to a listener.
pub(super) fn receive_told(listener: &OwnedFd) -> io::Result<Told> {
    let mut told = MaybeUninit::<libc::seccomp_notif>::zeroed();
    let command = libc::SECCOMP_IOCTL_NOTIF_RECV;
    // SAFETY: the structure is the kernel's own, zeroed as the kernel asks, and lives for the call.
    checked(unsafe { libc::ioctl(listener.as_raw_fd(), command, told.as_mut_ptr()) }.into())?;
    // SAFETY: it was zeroed, which is a valid value of each of its numbers, and written by the kernel since.
    let told = unsafe { told.assume_init() };
    Ok(Told {
        id: told.id,
        pid: told.pid,
        number: told.data.nr,
        arguments: told.data.args,
    })
}

/// Answers a call that was told: with a number of the kernel to refuse it, without one to let it go on.
pub(super) fn answer_told(listener: &OwnedFd, id: u64, refuse: Option<c_int>) -> io::Result<()> {
    let goes_on = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).map_err(io::Error::other)?;
    let answer = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: refuse.map_or(0, |errno| -errno),
        flags: if refuse.is_some() { 0 } else { goes_on },
    };
    let command = libc::SECCOMP_IOCTL_NOTIF_SEND;
    // SAFETY: the structure is the kernel's own and lives for the call, which only reads it.
    checked(unsafe { libc::ioctl(listener.as_raw_fd(), command, ptr::from_ref(&answer)) }.into()).map(drop)
}

/// Whether a call that was told still waits: then its process is still the one that made it.
pub(super) fn is_told_waiting(listener: &OwnedFd, id: u64) -> bool {
    let command = libc::SECCOMP_IOCTL_NOTIF_ID_VALID;
    // SAFETY: the number lives for the call, which only reads it.
    checked(unsafe { libc::ioctl(listener.as_raw_fd(), command, ptr::from_ref(&id)) }.into()).is_ok()
}

/// Makes one call with arguments that are plain numbers, to see what the filter says.
pub(super) fn attempt(number: c_long, argument: c_long) -> io::Result<c_long> {
    // SAFETY: it is called only for `personality`, which takes one number and no memory.
    checked(unsafe { libc::syscall(number, argument) })
}

/// Brings up the loopback interface of this network namespace.
pub(super) fn raise_loopback() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: IFF_UP },
    };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = byte.cast_signed();
    }
    // SAFETY: the request is a whole `ifreq` that lives for the call, and the kernel only reads it.
    checked(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.into())?;
    Ok(())
}

/// Drops one capability from the bounding set; false when the kernel has no such capability.
pub(super) fn drop_bounding(capability: u32) -> io::Result<bool> {
    // SAFETY: the call takes numbers only.
    let returned = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
    match checked(c_long::from(returned)) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Joins a fresh session keyring, so that none of the caller's keys is possessed.
pub(super) fn join_new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;
    let unnamed: *const c_char = ptr::null();
    // SAFETY: a null name asks for an unnamed keyring; the kernel reads no memory.
    checked(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, unnamed) }).map(drop)
}

/// Sets the execution domain to plain Linux: address randomisation on, no executable data.
pub(super) fn reset_personality() -> io::Result<()> {
    // SAFETY: the call takes a number only.
    checked(c_long::from(unsafe { libc::personality(0) })).map(drop)
}

/// Ends every process that this one may signal, but not itself. The caller has made sure that these are its own.
pub(super) fn end_all_within_reach() {
    const ALL: libc::pid_t = -1;
    // SAFETY: the call takes numbers. Its only errors are that nobody is there and that nobody may be signalled.
    unsafe { libc::kill(ALL, libc::SIGKILL) };
}

/// A set of these signals.
fn signal_set(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the pointer is valid for writing a signal set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: `sigemptyset` has just written it, and it cannot fail for a valid pointer.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: the set is initialised; an unknown number changes nothing.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    set
}

/// Blocks exactly these signals in this thread.
pub(super) fn block_signals(signals: &[c_int]) -> io::Result<()> {
    let set = signal_set(signals);
    // SAFETY: the set is initialised and the old one is not asked for.
    checked(c_long::from(unsafe {
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut())
    }))
    .map(drop)
}

/// A descriptor that becomes readable when one of these signals, blocked before, is pending.
pub(super) fn signal_descriptor(signals: &[c_int]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: the set is initialised.
    owned(c_long::from(unsafe {
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    }))
}

/// Bytes of one record read from a signal descriptor; its first four are the signal.
pub(super) const SIGNAL_RECORD_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// Gives every signal its default action again (an ignored one stays ignored over `execve`), also the two that
/// the C library keeps for itself.
pub(super) fn default_signal_actions() {
    const SIGNALS: c_long = 64;
    /// The kernel's `struct sigaction`, of which all parts are 0 for the default.
    const DEFAULT: [u64; 4] = [0; 4];
    let old: *mut c_void = ptr::null_mut();
    for signal in 1..=SIGNALS {
        // SAFETY: the default action runs no code; the structure is as long as the kernel's, and the set has 8 bytes.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, DEFAULT.as_ptr(), old, 8_usize) };
    }
}

/// `execve`. Returns only with the reason why not.
pub(super) fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const c_char> {
        strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (arguments, environment) = (pointers(arguments), pointers(environment));
    // SAFETY: both arrays end with a null pointer, and their strings outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process at once, without running what the standard library would run at an exit: a forked
/// process shares none of it.
pub(super) fn end(code: c_int) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::path::Path;

    use rustix::process::{Pid, WaitOptions, waitpid};

    use super::{Cloned, clone_process, end};

    #[test]
    fn a_process_is_made_in_the_control_group_that_is_given() {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("a mount table");
        let version_2 = mounts
            .lines()
            .find(|line| line.contains(" - cgroup2 "))
            .and_then(|line| line.split(' ').nth(4));
        let folder = Path::new(version_2.expect("control groups of version 2 mounted")).join("cofferdam-test-of-clone");
        if let Err(error) = fs::create_dir(&folder) {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
            return;
        }
        let group = OwnedFd::from(fs::File::open(&folder).expect("the group"));
        let (waiting, held) = rustix::pipe::pipe().expect("a pipe");
        let (pid, _pidfd) = match clone_process(0, Some(&group)).expect("a process") {
            Cloned::Child => {
                drop(held);
                let _end = rustix::io::read(&waiting, &mut [0_u8; 1]);
                end(0)
            }
            Cloned::Parent { pid, pidfd } => (pid, pidfd),
        };
        let members = fs::read_to_string(folder.join("cgroup.procs")).expect("members");
        drop(held);
        waitpid(Pid::from_raw(pid), WaitOptions::empty()).expect("reaped");
        fs::remove_dir(&folder).expect("removed");
        assert_eq!(members.trim(), pid.to_string());
    }
}
