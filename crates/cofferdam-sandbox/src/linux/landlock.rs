//! Landlock: what the sealed process may open, on top of what is mounted.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use super::private_folder::PrivateFolder;
use super::wire::{Access, Graft, Order};
use super::{errno, syscalls, trees};
use crate::plan::HOME;
use crate::{Landlock, Programs, SandboxError};
use syscalls::LandlockRuleset;

// Rights over files, in the kernel's bits (landlock(7)).
const EXECUTE: u64 = 1;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_FOLDER: u64 = 1 << 3;
const REMOVE_FOLDER: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_FOLDER: u64 = 1 << 7;
const MAKE_FILE: u64 = 1 << 8;
const MAKE_SOCKET: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_LINK: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;
/// Connecting to a UNIX socket by its path, from version 9 on.
const RESOLVE_UNIX: u64 = 1 << 16;

/// The scope of signals, and the first version that has it.
const SIGNALS: u64 = 2;
const SIGNALS_SINCE: u32 = 6;
/// The first version that judges cutting a file short by its name.
const TRUNCATE_SINCE: u32 = 3;
/// Files of the kernel by which runtimes count processors and memory. There is no mount that could show others.
const KERNEL_FILES: [&str; 3] = ["/proc/cpuinfo", "/proc/meminfo", "/proc/stat"];
/// What a process without a `/proc` of its own may read of itself. Not `net`, which is everybody's.
const OWN_FILES: [&str; 11] = [
    "auxv", "cmdline", "comm", "fd", "gid_map", "limits", "maps", "stat", "statm", "status", "uid_map",
];

/// The right over the network that stays denied where the network is granted.
const BIND_TCP: u64 = 1;

/// The highest bit of the rights over files, by the version that brought it.
const FILE_RIGHTS: [(u32, u32); 5] = [(1, 12), (2, 13), (3, 14), (5, 15), (9, 16)];
/// Rights that mean something on a file that is not a folder.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | 1 << 15 | RESOLVE_UNIX;
const READ: u64 = READ_FILE | READ_FOLDER;
/// Sockets, devices and pipes with a name are not among them: they would lie in wait for a program outside.
const WRITE: u64 =
    READ | WRITE_FILE | TRUNCATE | REMOVE_FOLDER | REMOVE_FILE | MAKE_FOLDER | MAKE_FILE | MAKE_LINK | REFER;

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Landlock {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

/// Restricts this process for good. Every right this kernel knows how to deny is denied but for the listed
/// places; network rights and scopes newer than this code are denied as well.
pub(super) fn restrict(order: &Order) -> Result<Landlock, SandboxError> {
    let version = match syscalls::landlock_version() {
        Ok(version) => version,
        // Not built in, or not switched on: the plan decides whether that is enough.
        Err(error) if matches!(errno(&error), libc::ENOSYS | libc::EOPNOTSUPP) => return Ok(Landlock::default()),
        Err(error) => return Err(failed("ask for the version of Landlock")(error)),
    };
    let mut handled = handled(version);
    if order.plan.loopback {
        // Ports are denied everywhere or nowhere; the namespace has nothing but its own loopback.
        handled.network = 0;
    } else if !order.plan.ports.is_empty() {
        // Connecting leads to the launching process, which decides and records: what is refused there is seen.
        handled.network &= BIND_TCP;
    }
    let ruleset =
        syscalls::landlock_ruleset(&handled, size_known(version)).map_err(failed("make a Landlock ruleset"))?;
    allow_system(order, &ruleset, handled.files)?;
    allow_granted(order, &ruleset, handled.files)?;
    enforce(&ruleset, version, &handled)
}

/// Restricts this process to `ruleset`; what is refused then is measured later.
fn enforce(ruleset: &OwnedFd, version: u32, handled: &LandlockRuleset) -> Result<Landlock, SandboxError> {
    syscalls::landlock_restrict(ruleset).map_err(failed("enforce the Landlock ruleset"))?;
    Ok(Landlock {
        version,
        files: handled.files,
        network: handled.network,
        scopes: handled.scopes,
        refuses: false,
    })
}

/// Restricts this process, for good, where no mount table hides anything: what is granted is named by what it is on the host.
pub(super) fn restrict_beside(order: &Order, folder: &PrivateFolder) -> Result<Landlock, SandboxError> {
    let version = syscalls::landlock_version().map_err(failed("ask for the version of Landlock"))?;
    let handled = handled(version);
    let ruleset =
        syscalls::landlock_ruleset(&handled, size_known(version)).map_err(failed("make a Landlock ruleset"))?;
    let own = std::process::id();
    for name in OWN_FILES {
        allow(
            &ruleset,
            &Path::new("/proc").join(own.to_string()).join(name),
            READ & handled.files,
        )?;
    }
    for file in KERNEL_FILES {
        allow(&ruleset, Path::new(file), READ_FILE & handled.files)?;
    }
    let may_execute = if order.plan.executable_tmp { EXECUTE } else { 0 };
    for private in [folder.home(), folder.tmp()] {
        allow(&ruleset, &private, (WRITE | may_execute) & handled.files)?;
    }
    allow_beside(order, &ruleset, handled.files)?;
    enforce(&ruleset, version, &handled)
}

/// What the plan grants and the system it needs, each exactly as it was resolved.
fn allow_beside(order: &Order, ruleset: &OwnedFd, handled: u64) -> Result<(), SandboxError> {
    let any = matches!(order.plan.programs, Programs::Any);
    for graft in &order.grafts {
        let rights = match graft.access {
            Access::System | Access::Read if any => READ | EXECUTE,
            Access::System | Access::Read | Access::Data | Access::Configuration => READ,
            Access::Write => WRITE,
            Access::Device => READ_FILE | WRITE_FILE,
            Access::Socket => continue,
        };
        let place = trees::pin(graft)?;
        is_open_to_us(graft)?;
        let rights = if graft.is_folder { rights } else { rights & OF_FILES };
        let doing = || format!("allow `{}` in the Landlock ruleset", graft.target.display());
        syscalls::landlock_allow(ruleset, &place, rights & handled).map_err(failed(&doing()))?;
    }
    for program in &order.executables {
        allow(ruleset, program, (READ_FILE | EXECUTE) & handled)?;
    }
    Ok(())
}

/// Whoever was root is somebody else by now, and has no owner mapped to them: what they cannot use is said now, and not found
/// by the program later. Of the system, what is closed stays closed.
fn is_open_to_us(graft: &Graft) -> Result<(), SandboxError> {
    let wanted = match graft.access {
        Access::Read | Access::Data => rustix::fs::Access::READ_OK,
        Access::Write => rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK,
        _ => return Ok(()),
    };
    rustix::fs::access(&graft.source, wanted).map_err(|error| SandboxError::Source {
        path: graft.target.clone(),
        errno: error.raw_os_error(),
    })
}

/// Whether Landlock judges signals here.
pub(super) fn judges_signals() -> bool {
    syscalls::landlock_version().is_ok_and(|version| version >= SIGNALS_SINCE)
}

/// Whether it judges cutting files short by their names.
pub(super) fn judges_truncation() -> bool {
    syscalls::landlock_version().is_ok_and(|version| version >= TRUNCATE_SINCE)
}

/// Makes a domain of this process and all that descend from it, from which no signal leaves. It bars nothing else.
pub(super) fn keep_signals_inside() -> Result<(), SandboxError> {
    let scope = LandlockRuleset {
        scopes: SIGNALS,
        ..Default::default()
    };
    let ruleset =
        syscalls::landlock_ruleset(&scope, size_known(SIGNALS_SINCE)).map_err(failed("make a Landlock ruleset"))?;
    syscalls::landlock_restrict(&ruleset).map_err(failed("keep signals inside"))
}

/// Keeps what [`restrict_beside`] allowed of the kernel's files where it is: the kernel forgets which file a rule means as
/// soon as nobody holds its name.
pub(super) fn hold_kernel_files(process: i32) -> Vec<OwnedFd> {
    let own = OWN_FILES.map(|name| format!("/proc/{process}/{name}"));
    let paths = KERNEL_FILES.into_iter().map(str::to_owned).chain(own);
    let hold = |path: String| openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok();
    paths.filter_map(hold).collect()
}

/// How much of the structure a version knows.
fn size_known(version: u32) -> usize {
    match version {
        0..=3 => 8,
        4 | 5 => 16,
        _ => 24,
    }
}

/// Everything this kernel can deny.
fn handled(version: u32) -> LandlockRuleset {
    let highest = FILE_RIGHTS
        .iter()
        .filter(|(since, _)| *since <= version)
        .map(|(_, bit)| *bit)
        .max();
    let files = highest.map_or(0, |bit| (1_u64 << (bit + 1)) - 1);
    let size = size_known(version);
    let accepts = |ruleset: LandlockRuleset| syscalls::landlock_ruleset(&ruleset, size).is_ok();
    let network = known(|bits| {
        version >= 4
            && accepts(LandlockRuleset {
                network: bits,
                ..Default::default()
            })
    });
    let scopes = known(|bits| {
        version >= 6
            && accepts(LandlockRuleset {
                scopes: bits,
                ..Default::default()
            })
    });
    LandlockRuleset { files, network, scopes }
}

/// The lowest bits that are accepted together: rights are numbered without gaps.
fn known(accepts: impl Fn(u64) -> bool) -> u64 {
    let counts = (1..=u32::from(u8::MAX >> 2)).map(|count| (1_u64 << count) - 1);
    counts.take_while(|bits| accepts(*bits)).last().unwrap_or(0)
}

/// The system: libraries, configuration, devices, the own processes, the private folders.
fn allow_system(order: &Order, ruleset: &OwnedFd, handled: u64) -> Result<(), SandboxError> {
    let allow = |path: &str, rights: u64| allow(ruleset, Path::new(path), rights & handled);
    allow("/etc", READ)?;
    // The maps of a user namespace are files there.
    let of_processes = if order.plan.browser { WRITE_FILE } else { 0 };
    allow("/proc", READ | of_processes)?;
    let may_execute = if order.plan.executable_tmp { EXECUTE } else { 0 };
    for private in ["/tmp", HOME] {
        // Rights go down into what is granted below it, where a pipe would lie in wait for a program outside.
        let is_above = |graft: &Graft| graft.access == Access::Write && graft.target.starts_with(private);
        let pipes = if order.grafts.iter().any(is_above) {
            0
        } else {
            MAKE_FIFO
        };
        // A browser's processes meet at sockets. Nobody outside can come to them.
        let sockets = if order.plan.browser && pipes != 0 {
            MAKE_SOCKET | RESOLVE_UNIX
        } else {
            0
        };
        allow(private, WRITE | pipes | sockets | may_execute)?;
    }
    allow("/dev/shm", WRITE)?;
    for device in order.grafts.iter().filter(|graft| graft.access == Access::Device) {
        self::allow(ruleset, &device.target, (READ_FILE | WRITE_FILE) & handled)?;
    }
    // The names of what is mounted are no secret; the rule is about the fresh root, not about the host's.
    allow("/", READ_FOLDER)
}

/// What is mounted from the host, and what of it may be executed.
fn allow_granted(order: &Order, ruleset: &OwnedFd, handled: u64) -> Result<(), SandboxError> {
    let any = matches!(order.plan.programs, Programs::Any);
    for graft in &order.grafts {
        let rights = match graft.access {
            Access::System | Access::Read if any => READ | EXECUTE,
            Access::System | Access::Read | Access::Data | Access::Configuration => READ,
            Access::Write => WRITE,
            Access::Socket if handled & RESOLVE_UNIX != 0 => RESOLVE_UNIX,
            Access::Socket | Access::Device => continue,
        };
        allow(ruleset, &graft.target, rights & handled)?;
    }
    for program in &order.executables {
        allow(ruleset, program, (READ_FILE | EXECUTE) & handled)?;
    }
    Ok(())
}

/// Adds one rule; a place that does not exist inside needs none.
fn allow(ruleset: &OwnedFd, path: &Path, rights: u64) -> Result<(), SandboxError> {
    let doing = || format!("allow `{}` in the Landlock ruleset", path.display());
    let place = match openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        other => other.map_err(|error| failed(&doing())(error.into()))?,
    };
    let found = fstat(&place).map_err(|error| failed(&doing())(error.into()))?;
    let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
    let rights = if is_folder { rights } else { rights & OF_FILES };
    syscalls::landlock_allow(ruleset, &place, rights).map_err(failed(&doing()))
}

#[cfg(test)]
mod tests {
    use super::{handled, known};

    #[test]
    fn each_version_denies_everything_it_knows() {
        assert_eq!(handled(1).files, 0x1fff);
        assert_eq!(handled(2).files, 0x3fff);
        assert_eq!(handled(4).files, 0x7fff);
        assert_eq!(handled(7).files, 0xffff);
        assert_eq!(handled(10).files, 0x1_ffff);
        assert_eq!((handled(1).network, handled(1).scopes), (0, 0));
    }

    #[test]
    fn bits_newer_than_this_code_are_found_by_asking() {
        assert_eq!(known(|bits| bits <= 0b111), 0b111);
        assert_eq!(known(|_| false), 0);
    }
}
