//! A battery of escapes, each tried by a process of its own: all of them are refused in a compartment, and all
//! of them succeed in a throw-away user namespace, which proves that the attempts are real.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use libc::c_long;

/// Where a probe may write, and a file it must not see.
pub(crate) struct Ground {
    pub(crate) work: PathBuf,
    pub(crate) canary: PathBuf,
}

pub(crate) type Escape = (&'static str, fn(&Ground) -> io::Result<()>);

/// A call with plain numbers, and whether it succeeded.
pub(crate) fn call(number: c_long, a: [c_long; 5]) -> io::Result<()> {
    made(number, a).map(drop)
}

/// As wide as a register: of a narrower last argument the upper half would be anything.
const NOTHING: c_long = 0;

/// What such a call gives.
pub(crate) fn made(number: c_long, a: [c_long; 5]) -> io::Result<c_long> {
    // SAFETY: the probes hand over numbers, null and memory that outlives the call.
    match unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], NOTHING) } {
        -1 => Err(io::Error::last_os_error()),
        given => Ok(given),
    }
}

pub(crate) fn text(path: &Path) -> CString {
    CString::new(path.to_str().unwrap_or_default()).unwrap_or_default()
}

pub(crate) fn pointer(text: &CString) -> c_long {
    text.as_ptr() as c_long
}

fn own() -> c_long {
    c_long::from(std::process::id())
}

fn mount(ground: &Ground, name: &str) -> io::Result<()> {
    let folder = ground.work.join(name);
    fs::create_dir(&folder)?;
    let (kind, at) = (CString::from(c"tmpfs"), text(&folder));
    call(libc::SYS_mount, [pointer(&kind), pointer(&at), pointer(&kind), 0, 0])?;
    call(libc::SYS_umount2, [pointer(&at), 0, 0, 0, 0])
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<()> {
    call(libc::SYS_socket, [family.into(), kind.into(), protocol.into(), 0, 0])
}

pub(crate) fn read(path: impl AsRef<Path>) -> io::Result<()> {
    fs::read(path).map(drop)
}

/// Executes a program and says whether it ran.
fn runs(program: &Path) -> io::Result<()> {
    Command::new(program).arg("nothing").output().map(drop)
}

/// Only the calls that programs of users can make outside: what needs more has no other half here, and is tried
/// in the table of refused calls.
const ESCAPES: &[Escape] = &[
    ("environment of the first process", |_| read("/proc/1/environ")),
    ("memory map of the first process", |_| read("/proc/1/maps")),
    ("capability in the bounding set", |_| {
        // SAFETY: the call takes numbers only.
        match unsafe { libc::prctl(libc::PR_CAPBSET_READ, 21, 0, 0, 0) } {
            1 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::EPERM)),
        }
    }),
    ("becoming root", |_| call(libc::SYS_setresuid, [0, 0, 0, 0, 0])),
    ("ptrace", |_| call(libc::SYS_ptrace, [0, 0, 0, 0, 0])),
    ("kcmp", |_| call(libc::SYS_kcmp, [own(), own(), 0, 0, 0])),
    ("mount and umount", |ground| mount(ground, "mounted")),
    ("fsopen", |_| {
        let kind = CString::from(c"tmpfs");
        call(libc::SYS_fsopen, [pointer(&kind), 0, 0, 0, 0])
    }),
    ("open_tree", |ground| {
        let at = text(&ground.work);
        call(libc::SYS_open_tree, [-100, pointer(&at), 1, 0, 0])
    }),
    ("chroot", |ground| {
        let at = text(&ground.work);
        call(libc::SYS_chroot, [pointer(&at), 0, 0, 0, 0])
    }),
    ("reading the canary", |ground| read(&ground.canary)),
    ("the canary through the root of a process", |ground| {
        let below = ground.canary.strip_prefix("/").unwrap_or(&ground.canary);
        read(Path::new("/proc/self/root").join(below))
    }),
    ("the canary by ..", |ground| {
        let up: PathBuf = ground.work.components().skip(1).map(|_| "..").collect();
        read(
            ground
                .work
                .join(up)
                .join(ground.canary.strip_prefix("/").unwrap_or(&ground.canary)),
        )
    }),
    ("the canary through a symbolic link", |ground| {
        let link = ground.work.join("link");
        symlink(&ground.canary, &link)?;
        read(link)
    }),
    ("the canary by a hard link", |ground| {
        fs::hard_link(&ground.canary, ground.work.join("hard"))
    }),
    ("a pipe with a name left behind", |ground| {
        let at = text(&ground.work.join("pipe"));
        call(libc::SYS_mknodat, [-100, pointer(&at), 0o10_644, 0, 0])
    }),
    ("a socket left behind", |ground| {
        UnixListener::bind(ground.work.join("socket")).map(drop)
    }),
    ("a capability on a file", |ground| {
        let file = ground.work.join("capable");
        fs::write(&file, "")?;
        let (at, name) = (text(&file), CString::from(c"security.capability"));
        // VFS_CAP_REVISION_2 with one capability.
        let value: [u32; 5] = [0x0200_0000, 1 << 10, 0, 0, 0];
        call(
            libc::SYS_setxattr,
            [pointer(&at), pointer(&name), value.as_ptr() as c_long, 20, 0],
        )
    }),
    ("another mode for the own program", |_| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(std::env::current_exe()?, mode)
    }),
    ("executing what was written", |ground| {
        let copy = ground.work.join("copy");
        fs::copy(std::env::current_exe()?, &copy)?;
        runs(&copy)
    }),
    ("executing what was written to memory", |_| {
        let name = CString::from(c"program");
        // SAFETY: the name outlives the call.
        let file = unsafe { libc::memfd_create(name.as_ptr(), 0) };
        let path = format!("/proc/self/fd/{file}");
        fs::write(&path, fs::read("/proc/self/exe")?)?;
        Err(Command::new(path).arg("nothing").exec())
    }),
    ("a shell", |_| runs(Path::new("/bin/sh"))),
    ("a user namespace", |_| {
        call(libc::SYS_unshare, [0x1000_0000, 0, 0, 0, 0])
    }),
    ("a mount namespace", |_| call(libc::SYS_unshare, [0x2_0000, 0, 0, 0, 0])),
    ("a network namespace", |_| {
        call(libc::SYS_unshare, [0x4000_0000, 0, 0, 0, 0])
    }),
    ("the session keyring", |_| call(libc::SYS_keyctl, [0, -3, 1, 0, 0])),
    ("a key", |_| {
        let (kind, name) = (CString::from(c"user"), CString::from(c"cofferdam-probe"));
        call(
            libc::SYS_add_key,
            [pointer(&kind), pointer(&name), pointer(&name), 4, -2],
        )
    }),
    ("userfaultfd", |_| call(libc::SYS_userfaultfd, [1, 0, 0, 0, 0])),
    ("another execution domain", |_| {
        call(libc::SYS_personality, [0x004_0000, 0, 0, 0, 0])
    }),
    ("another system-call filter", |_| {
        // Only asks whether filters can refuse; whoever may ask may install.
        let action = libc::SECCOMP_RET_ERRNO;
        call(libc::SYS_seccomp, [2, 0, (&raw const action) as c_long, 0, 0])
    }),
    ("the version of the kernel", |_| read("/proc/version")),
    ("the settings of the kernel", |_| read("/proc/sys/kernel/osrelease")),
    ("the devices of the machine", |_| fs::read_dir("/sys/class").map(drop)),
    ("another host name", |_| {
        let name = CString::from(c"elsewhere");
        call(libc::SYS_sethostname, [pointer(&name), 9, 0, 0, 0])
    }),
    ("shared memory of System V", |_| {
        call(libc::SYS_shmget, [0, 4096, 0o1600, 0, 0])
    }),
    ("a message queue", |_| {
        let name = CString::from(c"cofferdam-probe");
        call(libc::SYS_mq_open, [pointer(&name), 0o102, 0o600, 0, 0])
    }),
    ("being spared when memory runs out", |_| {
        fs::write("/proc/self/oom_score_adj", "500")
    }),
    ("a UNIX socket", |_| socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)),
    ("a raw socket", |_| socket(libc::AF_INET, libc::SOCK_RAW, 1)),
    ("a packet socket", |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
    ("listening on a port", |_| {
        std::net::TcpListener::bind("127.0.0.1:80").map(drop)
    }),
];

/// Tries all of them in this folder, against this canary (`FOLDER:CANARY`).
pub(crate) fn run(argument: &str) -> String {
    let (work, canary) = argument.split_once(':').unwrap_or((argument, ""));
    let ground = Ground {
        work: work.into(),
        canary: canary.into(),
    };
    let outcomes = ESCAPES.iter().chain(crate::reach::ESCAPES).map(|(name, escape)| {
        let outcome = match apart(escape, &ground) {
            0 => "allowed".to_owned(),
            errno => format!("errno {errno}"),
        };
        format!("{name}: {outcome}\n")
    });
    outcomes.collect()
}

/// What a probe says that may change its process for good: 0, or the number by which it was refused.
fn apart(escape: &fn(&Ground) -> io::Result<()>, ground: &Ground) -> i32 {
    // SAFETY: this program has one thread, so the new process may go on using the standard library.
    match unsafe { libc::fork() } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or(255),
        0 => {
            let code = escape(ground)
                .err()
                .map_or(0, |error| error.raw_os_error().unwrap_or(255));
            // SAFETY: the call takes a number and does not return.
            unsafe { libc::_exit(code) }
        }
        child => {
            let mut status = 0;
            // SAFETY: the status outlives the call.
            unsafe { libc::waitpid(child, &raw mut status, 0) };
            if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                128 + libc::WTERMSIG(status)
            }
        }
    }
}
