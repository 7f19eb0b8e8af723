//! Measuring the sealed process: from inside, from outside, and once more after its program has started.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, MemfdFlags, Mode, memfd_create, mknodat};

use super::identity;
use super::kernel_files::MEMFD_NOEXEC_ENFORCED;
use super::landlocked::Supervised;
use super::private_proc::is_of_processes;
use super::wire::{Graft, Order};
use super::{errno, limits, mountinfo, netlink, syscalls};
use crate::{
    Capabilities, Descriptor, Enforced, IdMap, Landlock, Landlocked, Limit, Mount, NAMES_PORT, Namespace, Plan,
    Programs, SandboxError, Tier, Walls,
};

/// Settings of the kernel that the compartment has for itself, as read back after they were set.
#[derive(Clone, Copy, Default)]
pub(super) struct Settings {
    pub(super) max_user_namespaces: Option<u64>,
    pub(super) memfd_noexec: Option<u64>,
}

/// How often and how far apart the status of a program that is ending is read.
const REREADINGS_MAX: usize = 20;
const REREADING_PAUSE: Duration = Duration::from_millis(5);

/// One of the parts of a status that are compared.
const CAPABILITIES: &str = "capabilities";
const NAMESPACES: [&str; 7] = ["user", "pid", "mnt", "ipc", "uts", "cgroup", "net"];
/// The maps of a user namespace.
const MAPS: [&str; 2] = ["uid_map", "gid_map"];
/// Folders of programs: with one of them mounted, programs are in sight that nobody listed.
const PROGRAM_FOLDERS: [&str; 8] = [
    "/usr",
    "/bin",
    "/sbin",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local",
    "/usr/local/bin",
    "/usr/libexec",
];

fn failed(what: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Measure {
        what: what.to_owned(),
        errno: errno(&error),
    }
}

fn read(path: &str) -> Result<String, SandboxError> {
    fs::read_to_string(path).map_err(failed(path))
}

/// What the sealed process sees of itself. `landlock` and `settings` are what was asked for; whether they
/// hold is tried. `listening` is what [`listening`] found before the filter refused to ask.
pub(super) fn inside(
    order: &Order,
    landlock: Landlock,
    settings: Settings,
    listening: BTreeSet<u16>,
) -> Result<Enforced, SandboxError> {
    let mut enforced = status("self")?;
    enforced.namespaces = namespaces("self")?;
    enforced.user_map = identity::read_map("self", "uid_map")?;
    enforced.group_map = identity::read_map("self", "gid_map")?;
    enforced.landlock = Landlock {
        refuses: is_refused_by_landlock(),
        ..landlock
    };
    enforced.seccomp_refuses = is_refused_by_seccomp();
    enforced.max_user_namespaces = settings.max_user_namespaces;
    enforced.memfd_noexec = settings.memfd_noexec;
    enforced.mounts = mounts(order)?;
    masks(order, &mut enforced);
    enforced.live_folders = live_folders(order);
    enforced.interfaces_up = interfaces_up();
    enforced.routes = routes()?;
    enforced.listening = listening.into_iter().collect();
    enforced.limits = limits::measured();
    enforced.disk = disk()?;
    enforced.descriptors = descriptors()?;
    enforced.visible_processes = visible_processes()?;
    enforced.kernel_files = kernel_files(&enforced.mounts)?;
    enforced.walls = walls(order, &enforced);
    Ok(enforced)
}

/// What is given up with the namespaces, in words: it stands in the record of every such compartment.
const GIVEN_UP: [&str; 4] = [
    "namespaces: none, by a waiver: Landlock and the system-call filter alone keep it from the user's files, processes and network",
    "files: that a path exists, its size, owner and times can be asked of every path of the host; names are not listed",
    "programs: what it writes itself the loader can be made to run; of the system it can read and run what is listed alone",
    "disk: its private files are not capped together, each file is",
];

/// The same for a process without namespaces: what is everybody's (mounts, routes, interfaces) is not of the compartment and
/// not told.
pub(super) fn beside(order: &Order, landlock: Landlock, supervised: &Supervised) -> Result<Enforced, SandboxError> {
    let mut enforced = status("self")?;
    enforced.namespaces = namespaces("self")?;
    enforced.user_map = identity::read_map("self", "uid_map")?;
    enforced.group_map = identity::read_map("self", "gid_map")?;
    let folder = supervised.folder.path();
    // It is this process's own, so only Landlock refuses to list it.
    let refuses = is_refused(fs::read_dir(folder).map(drop));
    enforced.landlock = Landlock { refuses, ..landlock };
    enforced.seccomp_refuses = is_refused_by_seccomp();
    masks(order, &mut enforced);
    enforced.live_folders = live_folders(order);
    enforced.limits = limits::measured();
    enforced.descriptors = descriptors()?;
    enforced.walls = Walls {
        landlock_execute: matches!(order.plan.programs, Programs::Only(_)) && refuses,
        noexec_writable: false,
        memfd_noexec: are_memory_files_harmless(None),
        no_descriptor_exec: enforced.seccomp_refuses,
        programs_hidden: false,
    };
    enforced.not_enforced = GIVEN_UP.iter().map(|what| (*what).to_owned()).collect();
    enforced.not_enforced.extend_from_slice(&supervised.lacks);
    enforced.landlocked = Some(Landlocked {
        folder: folder.to_path_buf(),
        refuses_signals: is_signal_refused(),
        refuses_processes: is_refused(fs::read_dir("/proc").map(drop))
            && is_refused(fs::read("/proc/1/stat").map(drop)),
    });
    Ok(enforced)
}

fn is_refused(opened: io::Result<()>) -> bool {
    opened.is_err_and(|error| errno(&error) == libc::EACCES)
}

/// The supervisor has the same user, so only Landlock, or where it is too old the filter, refuses a signal to it.
fn is_signal_refused() -> bool {
    let attempt = rustix::process::getppid().map(rustix::process::test_kill_process);
    matches!(attempt, Some(Err(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS)))
}

/// The mount table, with what of the host each of our mounts shows.
fn mounts(order: &Order) -> Result<Vec<Mount>, SandboxError> {
    let table = read("/proc/self/mountinfo")?;
    let mut mounts: Vec<Mount> = table.lines().filter_map(mountinfo::parse).collect();
    for mount in &mut mounts {
        let graft = order.grafts.iter().find(|graft| graft.target == mount.path);
        mount.source = graft.map(|graft| graft.source.clone());
    }
    Ok(mounts)
}

/// Moves the mounts that are masks to a list of their own, and says what is there and has none.
fn masks(order: &Order, enforced: &mut Enforced) {
    let is_mask = |mount: &Mount| order.masks.iter().any(|mask| mask.target == mount.path);
    let (masks, others): (Vec<Mount>, Vec<Mount>) = std::mem::take(&mut enforced.mounts).into_iter().partition(is_mask);
    enforced.mounts = others;
    enforced.masks = masks.into_iter().map(|mount| mount.path).collect();
    let is_open = |path: &PathBuf| !enforced.masks.contains(path) && fs::File::open(path).is_ok();
    let wanted = order.masks.iter().map(|mask| mask.target.clone());
    enforced.unmasked = wanted.filter(is_open).collect();
}

/// Granted folders that are the host's own, by device and inode, and not copies.
fn live_folders(order: &Order) -> Vec<PathBuf> {
    let is_live = |graft: &&Graft| {
        // What cannot be looked at is not known to be a copy.
        graft.is_granted_folder()
            && rustix::fs::stat(&graft.target).map_or(true, |found| (found.st_dev, found.st_ino) == graft.identity)
    };
    let live = order.grafts.iter().filter(is_live);
    live.map(|graft| graft.target.clone()).collect()
}

/// What `/proc/PID/status` says (proc(5)); everything else is left empty.
pub(super) fn status(process: &str) -> Result<Enforced, SandboxError> {
    let path = format!("/proc/{process}/status");
    let text = read(&path)?;
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value
            .map(str::trim)
            .ok_or_else(|| failed(&format!("{name} in {path}"))(io::ErrorKind::NotFound.into()))
    };
    let hex = |name: &str| {
        let parsed = u64::from_str_radix(field(name)?, 16);
        parsed.map_err(|error| failed(name)(io::Error::other(error)))
    };
    let number = |name: &str| {
        let parsed = field(name)?
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .parse::<u32>();
        parsed.map_err(|error| failed(name)(io::Error::other(error)))
    };
    Ok(Enforced {
        inside_ids: (number("Uid")?, number("Gid")?),
        groups: field("Groups")?
            .split_whitespace()
            .filter_map(|group| group.parse().ok())
            .collect(),
        capabilities: Capabilities {
            inheritable: hex("CapInh")?,
            permitted: hex("CapPrm")?,
            effective: hex("CapEff")?,
            bounding: hex("CapBnd")?,
            ambient: hex("CapAmb")?,
        },
        no_new_privileges: number("NoNewPrivs")? == 1,
        seccomp_mode: number("Seccomp")?,
        // Shown from Linux 5.9 on.
        seccomp_filters: number("Seccomp_filters").unwrap_or(0),
        ..Enforced::default()
    })
}

/// The namespaces of a process, with nothing to compare them with yet.
pub(super) fn namespaces(process: &str) -> Result<Vec<Namespace>, SandboxError> {
    let one = |kind: &&str| {
        let path = format!("/proc/{process}/ns/{kind}");
        let link = fs::read_link(&path).map_err(failed(&path))?;
        let number = link
            .to_str()
            .and_then(|link| link.split_once('[')?.1.strip_suffix(']')?.parse().ok());
        let inode = number.ok_or_else(|| failed(&path)(io::ErrorKind::InvalidData.into()))?;
        Ok(Namespace {
            kind: (*kind).to_owned(),
            inode,
            ours: 0,
        })
    };
    NAMESPACES.iter().map(one).collect()
}

/// The folder is this process's own, so only Landlock refuses it a pipe with a name there.
fn is_refused_by_landlock() -> bool {
    let pipe = "/dev/shm/attempt";
    let made = mknodat(CWD, pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0);
    if made.is_ok() {
        // A program that is not confined by Landlock starts with an empty folder as well.
        let _removed = fs::remove_file(pipe);
    }
    made == Err(rustix::io::Errno::ACCESS)
}

/// Asking for the execution domain changes nothing and is always allowed; only the filter refuses it.
fn is_refused_by_seccomp() -> bool {
    const ASK: libc::c_long = 0xffff_ffff;
    syscalls::attempt(libc::SYS_personality, ASK).is_err_and(|error| errno(&error) == libc::EPERM)
}

/// A memory file made as programs make it cannot be executed, and one that could be is refused. With the
/// kernel's own setting the second is not tried: it would be written into the kernel's log at every start.
fn are_memory_files_harmless(setting: Option<u64>) -> bool {
    const MFD_EXEC: MemfdFlags = MemfdFlags::from_bits_retain(0x10);
    let is_executable = |flags: MemfdFlags| {
        let made = memfd_create(c"attempt", flags | MemfdFlags::CLOEXEC).and_then(rustix::fs::fstat);
        made.is_ok_and(|found| found.st_mode & 0o111 != 0)
    };
    let is_set = setting == Some(MEMFD_NOEXEC_ENFORCED);
    !is_executable(MemfdFlags::empty()) && (is_set || !is_executable(MFD_EXEC))
}

/// Interfaces are up when they have an address in one of these tables; without one nothing leaves them.
fn interfaces_up() -> Vec<String> {
    let addresses = fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
    addresses
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .map(str::to_owned)
        .collect()
}

/// The routing tables of both protocols, without the entries that refuse and those that stay on the loopback.
fn routes() -> Result<Vec<String>, SandboxError> {
    let table = read("/proc/self/net/route")?;
    let mut routes: Vec<String> = table.lines().skip(1).map(|line| line.trim().to_owned()).collect();
    routes.retain(|route| route.split_whitespace().next() != Some("lo"));
    // Absent where the kernel has no such protocol.
    let table = fs::read_to_string("/proc/self/net/ipv6_route").unwrap_or_default();
    let leads_nowhere = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(8).is_some_and(|flags| flags.ends_with("200200")) || fields.last() == Some(&"lo")
    };
    routes.extend(table.lines().filter(|line| !leads_nowhere(line)).map(str::to_owned));
    Ok(routes)
}

/// Ports in the state of listening, of both protocols. To be asked before the filter is on, which has no room for
/// the question; nobody but us is in the network namespace by then.
pub(super) fn listening() -> BTreeSet<u16> {
    netlink::listening_ports().unwrap_or_else(|_no_such_interface| listening_in_proc())
}

/// The same from `/proc` (proc_net_tcp: the second field is the address with the port after the colon, the fourth
/// the state), where the kernel has no other way. Each reading goes through every connection of the machine.
fn listening_in_proc() -> BTreeSet<u16> {
    const LISTENING: &str = "0A";
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/self/net/{name}")).unwrap_or_default());
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let address = fields.next()?;
        let is_listening = fields.nth(1)? == LISTENING;
        let (_address, port) = address.rsplit_once(':').filter(|_| is_listening)?;
        u16::from_str_radix(port, 16).ok()
    };
    tables.iter().flat_map(|table| table.lines()).filter_map(port).collect()
}

/// Whether connections are accepted on the ports of the plan and no other.
pub(super) fn confirm_ports(enforced: &Enforced, plan: &Plan) -> Result<(), SandboxError> {
    let mut planned: BTreeSet<u16> = plan.ports.iter().copied().collect();
    if !planned.is_empty() {
        planned.insert(NAMES_PORT);
    }
    if planned.into_iter().eq(enforced.listening.iter().copied()) {
        Ok(())
    } else {
        let what = "the ports on which connections are accepted".to_owned();
        Err(SandboxError::Disagreement { what })
    }
}

/// Size and files of the private file system.
fn disk() -> Result<Limit, SandboxError> {
    let found = rustix::fs::statvfs("/tmp").map_err(|error| failed("/tmp")(error.into()))?;
    let bytes = found.f_blocks.saturating_mul(found.f_frsize);
    Ok(Limit {
        name: "disk-bytes".to_owned(),
        hard: Some(bytes).filter(|bytes| *bytes > 0),
        inodes: Some(found.f_files).filter(|files| *files > 0),
    })
}

/// Descriptors that stay open over `execve`.
fn descriptors() -> Result<Vec<Descriptor>, SandboxError> {
    let folder = "/proc/self/fd";
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let name = entry.map_err(failed(folder))?.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // The descriptor of this very listing is closed on execution as well.
        if !syscalls::is_closed_on_execution(number).map_err(failed(folder))? {
            let what = fs::read_link(format!("{folder}/{number}")).unwrap_or_default();
            found.push(Descriptor {
                number,
                what: what.display().to_string(),
            });
        }
    }
    found.sort_by_key(|descriptor| descriptor.number);
    Ok(found)
}

fn visible_processes() -> Result<Vec<i32>, SandboxError> {
    let entries = fs::read_dir("/proc").map_err(failed("/proc"))?;
    let numbers = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<i32> = numbers.collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Names in `/proc` that are not of processes and have no mount of ours over them.
fn kernel_files(mounts: &[Mount]) -> Result<Vec<String>, SandboxError> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").map_err(failed("/proc"))? {
        let entry = entry.map_err(failed("/proc"))?;
        let kind = entry.file_type().map_err(failed("/proc"))?;
        let kind = if kind.is_symlink() {
            FileType::Symlink
        } else {
            FileType::Unknown
        };
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_covered = mounts.iter().any(|mount| mount.path == entry.path());
        if !is_covered && !is_of_processes(&name, kind) {
            found.push(name);
        }
    }
    Ok(found)
}

fn walls(order: &Order, enforced: &Enforced) -> Walls {
    let is_listed = matches!(order.plan.programs, Programs::Only(_));
    let mounted = |folder: &str| enforced.mounts.iter().any(|mount| mount.path == Path::new(folder));
    Walls {
        landlock_execute: is_listed && enforced.landlock.refuses,
        noexec_writable: enforced
            .mounts
            .iter()
            .all(|mount: &Mount| mount.read_only || mount.noexec),
        memfd_noexec: are_memory_files_harmless(enforced.memfd_noexec),
        no_descriptor_exec: enforced.seccomp_refuses,
        programs_hidden: is_listed && !PROGRAM_FOLDERS.iter().any(|folder| mounted(folder)),
    }
}

/// The sealed process as it is seen from outside, and this process beside it.
pub(super) struct Outside {
    status: Enforced,
    /// None of a process without namespaces of its own that is another user's by now, which only a root with every right may ask.
    namespaces: Option<Vec<Namespace>>,
    maps: [Vec<IdMap>; 2],
    own_namespaces: Vec<Namespace>,
    own_maps: [Vec<IdMap>; 2],
}

impl Outside {
    /// Looks at a process that has sealed itself.
    pub(super) fn of(pid: i32, tier: Tier) -> Result<Self, SandboxError> {
        let process = pid.to_string();
        let namespaces_of = match namespaces(&process) {
            Err(SandboxError::Measure { errno, .. }) if tier == Tier::Landlocked && errno == libc::EACCES => None,
            found => Some(found?),
        };
        let maps = |process: &str| {
            let [users, groups] = MAPS.map(|name| identity::read_map(process, name));
            Ok::<_, SandboxError>([users?, groups?])
        };
        Ok(Self {
            status: status(&process)?,
            namespaces: namespaces_of,
            maps: maps(&process)?,
            own_namespaces: namespaces("self")?,
            own_maps: maps("self")?,
        })
    }
}

/// Compares the report of the sealed process with how it is seen from outside, completes it, and says what
/// differs. In a container it sees the container's users and not ours, so there only the view from outside says who it
/// is.
pub(super) fn confirm(enforced: &mut Enforced, outside: Outside, is_contained: bool) -> Result<(), SandboxError> {
    let disagreement = |what: &str| Err(SandboxError::Disagreement { what: what.to_owned() });
    if what_changed(enforced, &outside.status).is_some() {
        return disagreement("the status of the process");
    }
    match outside.namespaces {
        Some(seen) if seen != enforced.namespaces => return disagreement("its namespaces"),
        Some(_same) => {}
        None => enforced
            .not_enforced
            .push("namespaces: seen from inside alone: this root may not look at other users' processes".to_owned()),
    }
    let is_in_own_namespace = enforced.landlocked.is_none();
    let inside = [&mut enforced.user_map, &mut enforced.group_map];
    for (((name, inside), seen), own) in MAPS.iter().zip(inside).zip(outside.maps).zip(outside.own_maps) {
        let counted = |map: &[IdMap]| map.iter().map(|line| (line.inside, line.count)).collect::<Vec<_>>();
        let is_same = if is_contained {
            counted(&seen) == counted(inside)
        } else {
            seen == *inside
        };
        if !is_same {
            return disagreement(name);
        }
        *inside = seen;
        if is_in_own_namespace {
            identity::seen_further_out(inside, &own);
        }
    }
    for (theirs, ours) in enforced.namespaces.iter_mut().zip(outside.own_namespaces) {
        theirs.ours = ours.inode;
    }
    enforced.confirmed_outside = true;
    Ok(())
}

/// Which part of the status differs, if any.
fn what_changed(before: &Enforced, now: &Enforced) -> Option<&'static str> {
    let same = [
        (CAPABILITIES, before.capabilities == now.capabilities),
        ("no new privileges", before.no_new_privileges == now.no_new_privileges),
        (
            "the system-call filter",
            (before.seccomp_mode, before.seccomp_filters) == (now.seccomp_mode, now.seccomp_filters),
        ),
    ];
    same.iter().find(|(_, same)| !same).map(|(what, _)| *what)
}

/// Reads the status once more after the program has started. A program that has already ended cannot be read,
/// and one that is ending shows a filter that is being let go of: it is read again until it is clear.
pub(super) fn confirm_after_start(enforced: &mut Enforced, pid: i32) -> Result<(), SandboxError> {
    let mut differs = None;
    for _ in 0..REREADINGS_MAX {
        let Some(now) = living_status(pid) else { return Ok(()) };
        // A program that confines itself further stacks filters of its own.
        let now = Enforced {
            seccomp_filters: enforced.seccomp_filters,
            ..now
        };
        differs = what_changed(enforced, &now);
        if differs.is_none() || (differs == Some(CAPABILITIES) && is_in_inner_namespace(enforced, pid)) {
            enforced.confirmed_after_start = true;
            return Ok(());
        }
        thread::sleep(REREADING_PAUSE);
    }
    let what = differs.unwrap_or_default().to_owned();
    Err(SandboxError::Changed { what })
}

/// Whether a process that may make user namespaces has gone into one: its capabilities are of that one then.
fn is_in_inner_namespace(enforced: &Enforced, pid: i32) -> bool {
    let may_make_some = enforced.max_user_namespaces != Some(0);
    let of_user = |namespaces: &[Namespace]| namespaces.first().map(|namespace| namespace.inode);
    may_make_some && namespaces(&pid.to_string()).is_ok_and(|now| of_user(&now) != of_user(&enforced.namespaces))
}

/// The status of a process; none when it has ended and is at most waiting to be reaped.
fn living_status(pid: i32) -> Option<Enforced> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, blanks too.
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    if matches!(state, 'Z' | 'X') {
        None
    } else {
        status(&pid.to_string()).ok()
    }
}
