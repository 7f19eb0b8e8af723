//! A control group for what only control groups can cap: memory and processor time.
//!
//! Version 2 where a group above ours is delegated to us, version 1 where we may make groups (root), and
//! otherwise a reason why not.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::errno;
use crate::{Limits, Memory};

/// Names of our groups: the launching process, when it started, and a count.
const PREFIX: &str = "cofferdam-";
/// How often and how far apart removing a group is tried while its last process is being reaped.
const REMOVALS_MAX: usize = 50;
const REMOVAL_PAUSE: Duration = Duration::from_millis(2);
/// The period over which processor time is counted, in microseconds.
const PERIOD_MICROSECONDS: u64 = 100_000;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The groups of one compartment; removed when dropped.
#[derive(Debug, Default)]
pub(super) struct ControlGroup {
    folders: Vec<PathBuf>,
    pub(super) memory: Option<Memory>,
    pub(super) cpu_percent: Option<u64>,
    /// What could not be capped, with the reason.
    pub(super) reasons: Vec<String>,
}

impl ControlGroup {
    /// Makes the groups this machine lets us make.
    pub(super) fn make(limits: &Limits) -> Self {
        let mut group = Self::default();
        let hierarchies = Hierarchies::here();
        let name = name();
        let made = group.make_v2(&hierarchies, &name, limits).or_else(|of_v2| {
            group
                .make_v1_memory(&hierarchies, &name, limits)
                .map_err(|of_v1| format!("{of_v2}, {of_v1}"))
        });
        if let Err(reason) = made {
            let each = limits.memory_bytes;
            group.reasons.push(format!(
                "memory: not capped: {reason}; each process is held to {each} bytes of data"
            ));
        }
        if let (Some(percent), None) = (limits.cpu_percent, group.cpu_percent) {
            match group.make_v1_cpu(&hierarchies, &name, percent) {
                Ok(()) => group.cpu_percent = Some(percent),
                Err(reason) => group.reasons.push(format!("processor time: not capped: {reason}")),
            }
        }
        group
    }

    /// How the compartment's first process gets into the groups.
    pub(super) fn places(&self) -> Places {
        let of_v2 = |memory: &&Memory| memory.version == 2;
        let v2 = self
            .memory
            .as_ref()
            .filter(of_v2)
            .map(|memory| memory.control_group.clone());
        let v1 = self.folders.iter().filter(|folder| Some(*folder) != v2.as_ref());
        Places {
            v1: v1.map(|folder| folder.join("tasks")).collect(),
            v2,
        }
    }

    /// Whether the kernel has ended a process in the group because memory ran out.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let Some(memory) = &self.memory else { return false };
        let file = if memory.version == 2 {
            "memory.events"
        } else {
            "memory.oom_control"
        };
        let events = fs::read_to_string(memory.control_group.join(file)).unwrap_or_default();
        let mut counts = events.lines().filter_map(|line| line.strip_prefix("oom_kill "));
        counts.any(|count| count.trim() != "0")
    }

    /// The nearest group above ours that hands memory down and lets us make one.
    fn make_v2(&mut self, hierarchies: &Hierarchies, name: &str, limits: &Limits) -> Result<(), String> {
        let mut reason = "no control group of version 2 is delegated to this user".to_owned();
        for parent in hierarchies.v2_parents() {
            match self.try_v2(parent, name, limits) {
                Ok(()) => return Ok(()),
                Err(error) => reason = format!("`{}`: {error}", parent.display()),
            }
        }
        Err(reason)
    }

    fn try_v2(&mut self, parent: &Path, name: &str, limits: &Limits) -> io::Result<()> {
        let folder = make_folder(parent, name)?;
        let set = |file: &str, value: &str| fs::write(folder.join(file), value);
        let limited =
            set("memory.max", &limits.memory_bytes.to_string()).and_then(|()| read_number(&folder.join("memory.max")));
        let bytes = match limited {
            Ok(bytes) => bytes,
            Err(error) => {
                // Nothing has joined it yet.
                let _kept = fs::remove_dir(&folder);
                return Err(error);
            }
        };
        // Absent where there is no swap accounting, and then there is nothing to cap.
        let _no_swap = set("memory.swap.max", "0");
        let _no_group_kill = set("memory.oom.group", "1");
        if let Some(percent) = limits.cpu_percent {
            let quota = percent.saturating_mul(PERIOD_MICROSECONDS / 100);
            if set("cpu.max", &format!("{quota} {PERIOD_MICROSECONDS}")).is_ok() {
                self.cpu_percent = Some(percent);
            }
        }
        self.memory = Some(Memory {
            control_group: folder.clone(),
            version: 2,
            bytes,
        });
        self.folders.push(folder);
        Ok(())
    }

    fn make_v1_memory(&mut self, hierarchies: &Hierarchies, name: &str, limits: &Limits) -> Result<(), String> {
        let parent = hierarchies
            .v1_memory
            .as_ref()
            .ok_or("no control groups of version 1 for memory")?;
        let made = make_folder(parent, name).and_then(|folder| {
            self.folders.push(folder.clone());
            let limit = folder.join("memory.limit_in_bytes");
            fs::write(&limit, limits.memory_bytes.to_string())?;
            // Memory and swap together; absent without swap accounting.
            let _no_swap = fs::write(
                folder.join("memory.memsw.limit_in_bytes"),
                limits.memory_bytes.to_string(),
            );
            self.memory = Some(Memory {
                control_group: folder,
                version: 1,
                bytes: read_number(&limit)?,
            });
            Ok(())
        });
        made.map_err(|error| format!("`{}`: {error}", parent.display()))
    }

    fn make_v1_cpu(&mut self, hierarchies: &Hierarchies, name: &str, percent: u64) -> Result<(), String> {
        let parent = hierarchies.v1_cpu.as_ref().ok_or("no control group for it")?;
        let made = make_folder(parent, name).and_then(|folder| {
            self.folders.push(folder.clone());
            fs::write(folder.join("cpu.cfs_period_us"), PERIOD_MICROSECONDS.to_string())?;
            let quota = percent.saturating_mul(PERIOD_MICROSECONDS / 100);
            fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string())
        });
        made.map_err(|error| format!("`{}`: {error}", parent.display()))
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            for _ in 0..REMOVALS_MAX {
                match fs::remove_dir(folder) {
                    Err(error) if errno(&error) == libc::EBUSY => thread::sleep(REMOVAL_PAUSE),
                    _ => break,
                }
            }
        }
    }
}

/// Whether memory can be capped here, as far as can be seen without making a group.
pub(super) fn can_cap_memory() -> Result<(), String> {
    let found = Hierarchies::here();
    let of_v2 = found.v2_parents();
    let is_writable = |folder: &Path| rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    if of_v2.iter().copied().chain(found.v1_memory.as_deref()).any(is_writable) {
        Ok(())
    } else {
        Err("no control group for memory is delegated to this user".to_owned())
    }
}

/// How a process gets into its groups without the wait for every processor that moving another process costs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Places {
    /// Files of version 1 into which the launcher, having one thread, writes itself; what it makes inherits.
    pub(super) v1: Vec<PathBuf>,
    /// The folder of version 2 in which the first process is made.
    pub(super) v2: Option<PathBuf>,
}

/// Makes a group. The first time, groups whose launching process is gone are removed from beside it.
fn make_folder(parent: &Path, name: &str) -> io::Result<PathBuf> {
    static CLEARED: Once = Once::new();
    let folder = parent.join(name);
    fs::create_dir(&folder)?;
    CLEARED.call_once(|| remove_stale(parent));
    Ok(folder)
}

fn remove_stale(parent: &Path) {
    for sibling in fs::read_dir(parent).into_iter().flatten().flatten() {
        if sibling.file_name().to_str().is_some_and(is_stale) {
            // A group with a process in it is refused by the kernel.
            let _in_use = fs::remove_dir(sibling.path());
        }
    }
}

fn name() -> String {
    let pid = std::process::id();
    let started = started(pid).unwrap_or(0);
    format!("{PREFIX}{pid}-{started}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Whether a name is of ours and the process in it no longer exists.
fn is_stale(name: &str) -> bool {
    let mut parts = name
        .strip_prefix(PREFIX)
        .unwrap_or_default()
        .split('-')
        .map(str::parse::<u64>);
    let (Some(Ok(pid)), Some(Ok(then)), Some(Ok(_)), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    u32::try_from(pid).ok().and_then(started).is_none_or(|now| now != then)
}

/// When a process started, in ticks since the machine did (proc(5), field 22 of `stat`).
fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, blanks too.
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn read_number(path: &Path) -> io::Result<u64> {
    fs::read_to_string(path)?.trim().parse().map_err(io::Error::other)
}

/// Where this process stands in the hierarchies of control groups.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hierarchies {
    /// Where version 2 is mounted, and our group in it.
    v2: Option<(PathBuf, PathBuf)>,
    v1_memory: Option<PathBuf>,
    v1_cpu: Option<PathBuf>,
}

impl Hierarchies {
    fn here() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
    }

    /// Groups of version 2 at or above ours that hand memory down, the nearest first.
    fn v2_parents(&self) -> Vec<&Path> {
        let Some((mount, own)) = &self.v2 else {
            return Vec::new();
        };
        let hands_down = |folder: &&Path| {
            let controllers = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
            controllers.split_whitespace().any(|controller| controller == "memory")
        };
        own.ancestors()
            .take_while(|folder| folder.starts_with(mount))
            .filter(hands_down)
            .collect()
    }

    /// From `/proc/self/mountinfo` and `/proc/self/cgroup` (cgroups(7)).
    fn parse(mounts: &str, groups: &str) -> Self {
        let own = |controller: &str| {
            groups.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                controllers.split(',').any(|name| name == controller).then_some(path)
            })
        };
        let mut found = Self::default();
        for line in mounts.lines() {
            let Some((before, after)) = line.split_once(" - ") else {
                continue;
            };
            let mut before = before.split(' ').skip(3);
            let (Some(root), Some(mount)) = (before.next(), before.next()) else {
                continue;
            };
            let mut after = after.split(' ');
            let kind = after.next().unwrap_or_default();
            let has = |controller: &str| {
                after
                    .clone()
                    .nth(1)
                    .unwrap_or_default()
                    .split(',')
                    .any(|name| name == controller)
            };
            let folder = |controller: &str| {
                let path = Path::new(own(controller)?);
                let below = path
                    .strip_prefix(root)
                    .unwrap_or_else(|_not_below| path.strip_prefix("/").unwrap_or(path));
                Some(Path::new(mount).join(below))
            };
            match kind {
                "cgroup2" if found.v2.is_none() => found.v2 = folder("").map(|own| (PathBuf::from(mount), own)),
                "cgroup" if has("memory") && found.v1_memory.is_none() => found.v1_memory = folder("memory"),
                "cgroup" if has("cpu") && found.v1_cpu.is_none() => found.v1_cpu = folder("cpu"),
                _ => {}
            }
        }
        found
    }
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
