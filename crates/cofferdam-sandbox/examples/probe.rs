//! Tries what a hostile program would try: `probe WHAT [ARGUMENT]…`. It prints what happened and decides
//! nothing; the tests run it inside compartments, and outside only as an ordinary user or in a throw-away user namespace.

#![expect(unsafe_code, reason = "it makes raw system calls on purpose")]

#[path = "probe/battery.rs"]
mod battery;
#[path = "probe/beside.rs"]
mod beside;
#[path = "probe/prepared.rs"]
mod prepared;
#[path = "probe/reach.rs"]
mod reach;

use std::env;
use std::ffi::CString;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};
use std::time::Duration;

use libc::c_long;

type Attempt = (&'static str, c_long, [c_long; 5]);

const BAD: c_long = -1;

/// Calls that must be refused. Their arguments are such that even an allowed call would do no harm.
fn refused() -> Vec<Attempt> {
    let mut calls = harmless();
    calls.extend(REFUSED);
    for (name, flag) in NAMESPACES {
        calls.push((name.0, libc::SYS_unshare, [*flag, 0, 0, 0, 0]));
        calls.push((name.1, libc::SYS_clone, [*flag | 17, 0, 0, 0, 0]));
    }
    calls.extend(foreign_sockets());
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        ("modify_ldt", libc::SYS_modify_ldt, [0, 0, 0, 0, 0]),
        ("iopl", libc::SYS_iopl, [0, 0, 0, 0, 0]),
        ("ioperm", libc::SYS_ioperm, [0, 0, 0, 0, 0]),
        ("uselib", libc::SYS_uselib, [0, 0, 0, 0, 0]),
        ("ustat", libc::SYS_ustat, [0, 0, 0, 0, 0]),
        ("sysfs", libc::SYS_sysfs, [3, 0, 0, 0, 0]),
    ]);
    calls
}

const REFUSED: &[Attempt] = &[
    ("request_key", libc::SYS_request_key, [0, 0, 0, 0, 0]),
    ("add_key", libc::SYS_add_key, [0, 0, 0, 0, 0]),
    ("keyctl", libc::SYS_keyctl, [0, -3, 0, 0, 0]),
    ("bpf", libc::SYS_bpf, [BAD, 0, 0, 0, 0]),
    ("perf_event_open", libc::SYS_perf_event_open, [0, 0, BAD, BAD, 0]),
    ("userfaultfd", libc::SYS_userfaultfd, [0, 0, 0, 0, 0]),
    ("process_vm_writev", libc::SYS_process_vm_writev, [1, 0, 0, 0, 0]),
    ("process_madvise", libc::SYS_process_madvise, [BAD, 0, 0, 0, 0]),
    ("ptrace seize init", libc::SYS_ptrace, [0x4206, 1, 0, 0, 0]),
    ("mount", libc::SYS_mount, [0, 0, 0, 0, 0]),
    ("umount2", libc::SYS_umount2, [0, 0, 0, 0, 0]),
    ("pivot_root", libc::SYS_pivot_root, [0, 0, 0, 0, 0]),
    ("chroot", libc::SYS_chroot, [0, 0, 0, 0, 0]),
    ("fsopen", libc::SYS_fsopen, [0, 0, 0, 0, 0]),
    ("fsconfig", libc::SYS_fsconfig, [BAD, 0, 0, 0, 0]),
    ("fsmount", libc::SYS_fsmount, [BAD, 0, 0, 0, 0]),
    ("fspick", libc::SYS_fspick, [BAD, 0, 0, 0, 0]),
    ("open_tree", libc::SYS_open_tree, [BAD, 0, 0, 0, 0]),
    ("move_mount", libc::SYS_move_mount, [BAD, 0, BAD, 0, 0]),
    ("mount_setattr", libc::SYS_mount_setattr, [BAD, 0, 0, 0, 0]),
    ("setns", libc::SYS_setns, [BAD, 0, 0, 0, 0]),
    ("init_module", libc::SYS_init_module, [0, 0, 0, 0, 0]),
    ("finit_module", libc::SYS_finit_module, [BAD, 0, 0, 0, 0]),
    ("delete_module", libc::SYS_delete_module, [0, 0, 0, 0, 0]),
    ("kexec_load", libc::SYS_kexec_load, [0, 0, 0, BAD, 0]),
    ("reboot", libc::SYS_reboot, [0, 0, 0, 0, 0]),
    ("swapon", libc::SYS_swapon, [0, 0, 0, 0, 0]),
    ("swapoff", libc::SYS_swapoff, [0, 0, 0, 0, 0]),
    ("acct", libc::SYS_acct, [1, 0, 0, 0, 0]),
    ("fanotify_init", libc::SYS_fanotify_init, [0, 0, 0, 0, 0]),
    ("open_by_handle_at", libc::SYS_open_by_handle_at, [BAD, 0, 0, 0, 0]),
    ("syslog", libc::SYS_syslog, [10, 0, 0, 0, 0]),
    ("clock_settime", libc::SYS_clock_settime, [0, 0, 0, 0, 0]),
    ("settimeofday", libc::SYS_settimeofday, [1, 1, 0, 0, 0]),
    ("adjtimex", libc::SYS_adjtimex, [0, 0, 0, 0, 0]),
    ("clock_adjtime", libc::SYS_clock_adjtime, [0, 0, 0, 0, 0]),
    ("sethostname", libc::SYS_sethostname, [0, -1, 0, 0, 0]),
    ("setdomainname", libc::SYS_setdomainname, [0, -1, 0, 0, 0]),
    ("quotactl", libc::SYS_quotactl, [0, 0, 0, 0, 0]),
    ("mbind", libc::SYS_mbind, [0, 0, 0, 0, 0]),
    ("move_pages", libc::SYS_move_pages, [0, 0, 0, 0, 0]),
    ("migrate_pages", libc::SYS_migrate_pages, [0, 0, 0, 0, 0]),
    ("memfd_secret", libc::SYS_memfd_secret, [0, 0, 0, 0, 0]),
    ("vhangup", libc::SYS_vhangup, [0, 0, 0, 0, 0]),
    ("seccomp", libc::SYS_seccomp, [2, 0, 0, 0, 0]),
    ("prctl seccomp", libc::SYS_prctl, [22, 2, 0, 0, 0]),
    ("prctl mm", libc::SYS_prctl, [35, 0, 0, 0, 0]),
    ("shmget", libc::SYS_shmget, [0, 4096, 0o1600, 0, 0]),
    ("msgget", libc::SYS_msgget, [0, 0o1600, 0, 0, 0]),
    ("semget", libc::SYS_semget, [0, 1, 0o1600, 0, 0]),
    ("mq_open", libc::SYS_mq_open, [0, 0, 0, 0, 0]),
    ("ioctl TIOCSTI", libc::SYS_ioctl, [0, 0x5412, 0, 0, 0]),
    (
        "ioctl TIOCSTI, upper half",
        libc::SYS_ioctl,
        [0, 0x1_0000_5412, 0, 0, 0],
    ),
    ("ioctl TIOCLINUX", libc::SYS_ioctl, [0, 0x541c, 0, 0, 0]),
    ("ioctl TIOCSETD", libc::SYS_ioctl, [0, 0x5423, 0, 0, 0]),
    ("fcntl lease", libc::SYS_fcntl, [0, 1024, 0, 0, 0]),
    ("setrlimit core", libc::SYS_setrlimit, [4, 0, 0, 0, 0]),
    ("execveat by descriptor", libc::SYS_execveat, [BAD, 0, 0, 0, 0x1000]),
];

const NAMESPACES: &[((&str, &str), c_long)] = &[
    (("unshare user", "clone user"), 0x1000_0000),
    (("unshare mount", "clone mount"), 0x2_0000),
    (("unshare pid", "clone pid"), 0x2000_0000),
    (("unshare net", "clone net"), 0x4000_0000),
    (("unshare ipc", "clone ipc"), 0x800_0000),
    (("unshare uts", "clone uts"), 0x400_0000),
    (("unshare cgroup", "clone cgroup"), 0x200_0000),
];

fn foreign_sockets() -> Vec<Attempt> {
    vec![
        ("socket packet", libc::SYS_socket, [17, 3, 0, 0, 0]),
        ("socket vsock", libc::SYS_socket, [40, 1, 0, 0, 0]),
        ("socket alg", libc::SYS_socket, [38, 5, 0, 0, 0]),
        ("socket key", libc::SYS_socket, [15, 3, 2, 0, 0]),
        ("socket bluetooth", libc::SYS_socket, [31, 3, 0, 0, 0]),
        ("socket xdp", libc::SYS_socket, [44, 3, 0, 0, 0]),
        ("socket netlink audit", libc::SYS_socket, [16, 3, 9, 0, 0]),
        ("socket netlink netfilter", libc::SYS_socket, [16, 3, 12, 0, 0]),
        ("socket netlink uevent", libc::SYS_socket, [16, 3, 15, 0, 0]),
        ("socket inet raw", libc::SYS_socket, [2, 3, 1, 0, 0]),
        (
            "socket inet raw, flags",
            libc::SYS_socket,
            [2, 3 | 0o2_000_000, 255, 0, 0],
        ),
        ("socket inet icmp", libc::SYS_socket, [2, 2, 1, 0, 0]),
        ("socket inet6 raw", libc::SYS_socket, [10, 3, 58, 0, 0]),
        ("socket inet sctp", libc::SYS_socket, [2, 1, 132, 0, 0]),
        ("socket unix, upper half", libc::SYS_socket, [0x1_0000_0001, 1, 0, 0, 0]),
        ("socketpair raw", libc::SYS_socketpair, [1, 3, 0, 0, 0]),
    ]
}

/// Calls that are refused inside and do no harm where they are allowed.
fn harmless() -> Vec<Attempt> {
    let own = c_long::from(std::process::id());
    vec![
        ("socket unix", libc::SYS_socket, [1, 1, 0, 0, 0]),
        ("socket unix datagram", libc::SYS_socket, [1, 2, 0, 0, 0]),
        ("socketpair datagram", libc::SYS_socketpair, [1, 2, 0, scratch(), 0]),
        ("personality", libc::SYS_personality, [0xffff_ffff, 0, 0, 0, 0]),
        ("kcmp own", libc::SYS_kcmp, [own, own, 0, 0, 0]),
        ("process_vm_readv own", libc::SYS_process_vm_readv, [own, 0, 0, 0, 0]),
        ("pidfd_getfd own", libc::SYS_pidfd_getfd, [own_pidfd(), 0, 0, 0, 0]),
        (
            "name_to_handle_at",
            libc::SYS_name_to_handle_at,
            [0, empty(), handle(), scratch(), 0x1000],
        ),
        ("set_mempolicy", libc::SYS_set_mempolicy, [0, 0, 0, 0, 0]),
        ("sync", libc::SYS_syncfs, [0, 0, 0, 0, 0]),
    ]
}

/// Ends a process that was forked off, at once.
fn end() -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(0) }
}

fn scratch() -> c_long {
    Box::leak(Box::new([0_u64; 64])).as_ptr() as c_long
}

fn handle() -> c_long {
    let room = Box::leak(Box::new([0_u64; 64]));
    room[0] = 128;
    room.as_ptr() as c_long
}

fn empty() -> c_long {
    c"".as_ptr() as c_long
}

fn own_pidfd() -> c_long {
    call(libc::SYS_pidfd_open, [c_long::from(std::process::id()), 0, 0, 0, 0]).unwrap_or(BAD)
}

/// Calls that are said not to exist.
fn absent() -> Vec<Attempt> {
    vec![
        ("clone3", libc::SYS_clone3, [0, 0, 0, 0, 0]),
        ("openat2", libc::SYS_openat2, [-100, 0, 0, 0, 0]),
        ("io_uring_setup", libc::SYS_io_uring_setup, [0, 0, 0, 0, 0]),
        ("io_uring_enter", libc::SYS_io_uring_enter, [BAD, 0, 0, 0, 0]),
        ("io_uring_register", libc::SYS_io_uring_register, [BAD, 0, 0, 0, 0]),
        ("a call of the future", 9999, [0, 0, 0, 0, 0]),
    ]
}

fn call(number: c_long, a: [c_long; 5]) -> io::Result<c_long> {
    // SAFETY: the tables above hold numbers, null, bad addresses and leaked memory only.
    match unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], 0) } {
        -1 => Err(io::Error::last_os_error()),
        returned => Ok(returned),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let what = arguments.first().map(String::as_str).unwrap_or_default();
    let argument = arguments.get(1).map(String::as_str).unwrap_or_default();
    match attempt(what, argument) {
        Ok(text) => say(&text),
        Err(error) => say(&format!("errno {}", error.raw_os_error().unwrap_or(0))),
    }
    ExitCode::SUCCESS
}

fn say(text: &str) {
    let _unheard = writeln!(io::stdout(), "{text}");
    let _unheard = io::stdout().flush();
}

fn attempt(what: &str, argument: &str) -> io::Result<String> {
    match what {
        "refused" => table(refused()),
        "absent" => table(absent()),
        "harmless" => table(harmless()),
        "set-id" => set_id(argument),
        "x32" => call(0x4000_0000 + libc::SYS_getpid, [0; 5]).map(|pid| format!("x32 said {pid}")),
        "int80" => Ok(format!("int80 said {}", int80())),
        "environ" => Ok(env::vars().map(|(name, value)| format!("{name}={value}\n")).collect()),
        "descriptors" => descriptors(),
        "processes" => processes(),
        "read" => fs::read_to_string(argument),
        "write" => fs::write(argument, "written").map(|()| "written".to_owned()),
        "list" => Ok(fs::read_dir(argument)?
            .flatten()
            .map(|e| format!("{}\n", e.file_name().display()))
            .collect()),
        "connect" => connect(argument),
        "forkbomb" => forkbomb(),
        "memory" => memory(argument),
        "fill" => fill(argument),
        "inodes" => inodes(argument),
        "daemon" => daemon(),
        "exec" => Err(Command::new(argument).exec()),
        "loader" => Err(Command::new("/lib64/ld-linux-x86-64.so.2").arg(argument).exec()),
        "copy-exec" => copy_exec(argument),
        "memfd-exec" => memfd_exec(argument),
        "signal-all" => call(libc::SYS_kill, [BAD, 15, 0, 0, 0]).map(|_| "signalled".to_owned()),
        "kill-init" => kill_init(),
        "ignore-term" => ignore_term(),
        "echo" => echo(),
        "loopback" => loopback(),
        "core-limit" => core_limit(),
        "receive" => prepared::receive(argument),
        "abstract" => prepared::abstract_socket(argument),
        "signal" => prepared::signal(argument),
        "users" => prepared::users(),
        "terminal" => prepared::terminal(),
        "priority" => prepared::priority(),
        "rename" => prepared::rename(argument),
        "deep" => prepared::deep(argument),
        "battery" => Ok(battery::run(argument)),
        "touch" => beside::touch(argument),
        "opened" => beside::opened(argument),
        "process" => beside::process(argument),
        "sockets" => Ok(beside::sockets()),
        "truncate" => {
            let path = CString::new(argument)?;
            call(libc::SYS_truncate, [path.as_ptr() as c_long, 0, 0, 0, 0]).map(|_| "truncated".to_owned())
        }
        "unix" => {
            let mut said = String::new();
            std::os::unix::net::UnixStream::connect(argument)?.read_to_string(&mut said)?;
            Ok(said)
        }
        "remove" => fs::remove_file(argument).map(|()| "removed".to_owned()),
        "rename-over" => rename_over(argument),
        "link" => fs::hard_link(argument, format!("{argument}-linked")).map(|()| "linked".to_owned()),
        "until-hidden" => until_hidden(argument),
        "hunt" => hunt(argument),
        "refused-flood" => refused_flood(),
        "spawn" => Command::new(argument)
            .arg("an argument")
            .status()
            .map(|status| status.to_string()),
        other => Ok(format!("unknown probe `{other}`")),
    }
}

/// Puts another file in the place of this one.
fn rename_over(path: &str) -> io::Result<String> {
    let new = format!("{path}-new");
    fs::write(&new, "new")?;
    fs::rename(new, path).map(|()| "renamed".to_owned())
}

/// Reads every file of a folder again and again for a while, and says which ever held the word, if one did.
fn hunt(folder: &str) -> io::Result<String> {
    say("ready");
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(1500) {
        for entry in fs::read_dir(folder)?.flatten() {
            // It may be gone or hidden by now: another round follows.
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            if text.contains("hunter") {
                return Ok(format!("seen in {}", entry.file_name().to_string_lossy()));
            }
        }
    }
    Ok("never seen".to_owned())
}

/// Waits until a file shows something, and then until it shows nothing; says how long it did.
fn until_hidden(path: &str) -> io::Result<String> {
    say("ready");
    let shows = || fs::read(path).is_ok_and(|text| !text.is_empty());
    let start = std::time::Instant::now();
    let mut first = None;
    while start.elapsed() < Duration::from_secs(10) {
        match (first, shows()) {
            (None, true) => first = Some(std::time::Instant::now()),
            (Some(then), false) => return Ok(format!("hidden after {} us", then.elapsed().as_micros())),
            _ => {}
        }
        // Where the window was shorter than one look, the test says when it is over.
        if first.is_none() && fs::exists(format!("{path}.done"))? {
            return Ok("never seen".to_owned());
        }
    }
    Ok(if first.is_some() {
        "shown for good"
    } else {
        "never seen"
    }
    .to_owned())
}

/// As many refused calls as fast as they go, from several threads.
fn refused_flood() -> io::Result<String> {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                let refused = (0..5_000).filter(|_| call(libc::SYS_ptrace, [0x4206, 1, 0, 0, 0]).is_err());
                refused.count()
            })
        })
        .collect();
    let counts = threads.into_iter().map(|thread| thread.join().unwrap_or(0));
    Ok(format!("{} refused", counts.sum::<usize>()))
}

fn table(calls: Vec<Attempt>) -> io::Result<String> {
    let mut text = String::new();
    for (name, number, arguments) in calls {
        let outcome = match call(number, arguments) {
            // A `clone` that was allowed has made a second one of us.
            Ok(0) if number == libc::SYS_clone => end(),
            Ok(_) => "allowed".to_owned(),
            Err(error) => error.raw_os_error().unwrap_or(0).to_string(),
        };
        text.push_str(&format!("{name}: {outcome}\n"));
    }
    Ok(text)
}

/// Set-user-ID bits by every call that could set them, on files in this folder.
fn set_id(folder: &str) -> io::Result<String> {
    let file = format!("{folder}/file");
    fs::write(&file, "")?;
    let path = CString::new(file)?.into_raw() as c_long;
    let other = CString::new(format!("{folder}/other"))?.into_raw() as c_long;
    let descriptor = OwnedFd::from(fs::File::open(format!("{folder}/file"))?);
    let (here, fd) = (-100, c_long::from(descriptor.as_raw_fd()));
    let creating = c_long::from(libc::O_CREAT | libc::O_WRONLY);
    let mut calls: Vec<Attempt> = vec![
        ("fchmod", libc::SYS_fchmod, [fd, 0o4755, 0, 0, 0]),
        ("fchmodat", libc::SYS_fchmodat, [here, path, 0o2755, 0, 0]),
        ("fchmodat2", libc::SYS_fchmodat2, [here, path, 0o6755, 0, 0]),
        ("openat", libc::SYS_openat, [here, other, creating, 0o4755, 0]),
        ("mknodat", libc::SYS_mknodat, [here, other, 0o10_4755, 0, 0]),
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        ("chmod", libc::SYS_chmod, [path, 0o4755, 0, 0, 0]),
        ("open", libc::SYS_open, [other, creating, 0o4755, 0, 0]),
        ("creat", libc::SYS_creat, [other, 0o4755, 0, 0, 0]),
        ("mknod", libc::SYS_mknod, [other, 0o10_4755, 0, 0, 0]),
    ]);
    table(calls)
}

#[cfg(target_arch = "x86_64")]
fn int80() -> i64 {
    let mut number: i64 = 20;
    // SAFETY: number 20 of the 32-bit table is getpid, which takes nothing; the registers it may change are named.
    unsafe { std::arch::asm!("int 0x80", inout("rax") number, out("r8") _, out("r9") _, out("r10") _, out("r11") _) };
    number
}

#[cfg(not(target_arch = "x86_64"))]
fn int80() -> i64 {
    0
}

fn descriptors() -> io::Result<String> {
    let mut found: Vec<i32> = (0..1024)
        .filter(|number| call(libc::SYS_fcntl, [c_long::from(*number), 1, 0, 0, 0]).is_ok())
        .collect();
    found.sort_unstable();
    Ok(format!("{found:?}"))
}

fn processes() -> io::Result<String> {
    let mut text = String::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.parse::<u32>().is_ok() {
            let command = fs::read_to_string(format!("/proc/{name}/cmdline")).unwrap_or_default();
            text.push_str(&format!("{name} {}\n", command.replace('\0', " ")));
        }
    }
    let of_init = fs::read("/proc/1/environ").map_err(|error| error.raw_os_error());
    text.push_str(&format!("init environ {of_init:?}"));
    Ok(text)
}

fn connect(address: &str) -> io::Result<String> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    TcpStream::connect_timeout(&address, Duration::from_secs(2)).map(|_| "connected".to_owned())
}

/// Forks until it is refused, and says how often it was not.
fn forkbomb() -> io::Result<String> {
    let mut children = 0;
    loop {
        // SAFETY: the new process only waits to be ended.
        match unsafe { libc::fork() } {
            0 => loop {
                std::thread::park();
            },
            -1 => {
                return Ok(format!(
                    "{children} children, then errno {}",
                    io::Error::last_os_error().raw_os_error().unwrap_or(0)
                ));
            }
            _ if children > 5000 => return Ok("no end".to_owned()),
            _ => children += 1,
        }
    }
}

fn memory(mebibytes: &str) -> io::Result<String> {
    let bytes: usize = mebibytes.parse::<usize>().map_err(io::Error::other)? << 20;
    let mut held = Vec::new();
    for _ in 0..bytes / 4096 {
        held.push([1_u8; 4096].to_vec());
    }
    Ok(format!("held {} pages", held.len()))
}

fn fill(folder: &str) -> io::Result<String> {
    let mut file = fs::File::create(format!("{folder}/fill"))?;
    let block = vec![1_u8; 1 << 20];
    for count in 0..4096 {
        if let Err(error) = file.write_all(&block) {
            return Ok(format!("{count} MiB, then errno {}", error.raw_os_error().unwrap_or(0)));
        }
    }
    Ok("no end".to_owned())
}

fn inodes(folder: &str) -> io::Result<String> {
    for count in 0..200_000 {
        if let Err(error) = fs::File::create(format!("{folder}/{count}")) {
            return Ok(format!(
                "{count} files, then errno {}",
                error.raw_os_error().unwrap_or(0)
            ));
        }
    }
    Ok("no end".to_owned())
}

/// Leaves its parent, its session and its group, closes its pipes, and stays.
fn daemon() -> io::Result<String> {
    // SAFETY: only this thread exists, so the new process may go on as this one would.
    if unsafe { libc::fork() } == 0 {
        call(libc::SYS_setsid, [0; 5])?;
        // SAFETY: as above.
        if unsafe { libc::fork() } == 0 {
            (0..3).for_each(|number| drop(call(libc::SYS_close, [number, 0, 0, 0, 0])));
            loop {
                std::thread::sleep(Duration::from_secs(1000));
            }
        }
        end();
    }
    say("left");
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

fn copy_exec(program: &str) -> io::Result<String> {
    let copy = format!("{}/copy", env::var("HOME").unwrap_or_default());
    fs::copy(program, &copy)?;
    Err(Command::new(copy).exec())
}

/// Puts a program into a memory file and runs it by its name in `/proc`.
fn memfd_exec(program: &str) -> io::Result<String> {
    let made = call(libc::SYS_memfd_create, [c"program".as_ptr() as c_long, 0, 0, 0, 0])?;
    let number = i32::try_from(made).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given this number.
    let mut file = fs::File::from(unsafe { OwnedFd::from_raw_fd(number) });
    file.write_all(&fs::read(program)?)?;
    Err(Command::new(format!("/proc/self/fd/{number}")).exec())
}

fn kill_init() -> io::Result<String> {
    for signal in [9, 15, 19] {
        let _refused = call(libc::SYS_kill, [1, signal, 0, 0, 0]);
    }
    std::thread::sleep(Duration::from_millis(200));
    Ok("still here".to_owned())
}

fn ignore_term() -> io::Result<String> {
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    say("ignoring");
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

fn echo() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Listens on the own loopback and connects to it.
fn loopback() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    connect(&listener.local_addr()?.to_string())
}

/// The limit of core files, and what becomes of an attempt to lower it to none.
fn core_limit() -> io::Result<String> {
    let mut limit = [0_u64; 2];
    call(libc::SYS_prlimit64, [0, 4, 0, limit.as_mut_ptr() as c_long, 0])?;
    let none = [0_u64; 2];
    let lowered = call(libc::SYS_prlimit64, [0, 4, none.as_ptr() as c_long, 0, 0]);
    let errno = lowered.err().and_then(|error| error.raw_os_error()).unwrap_or(0);
    Ok(format!("{} {}, then errno {errno}", limit[0], limit[1]))
}
