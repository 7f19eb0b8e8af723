//! What was measured on the very process that runs the program, and which features that makes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Feature, Tier};

/// What was measured on the process that runs the program: from inside after it was sealed and before its
/// program was executed, from outside beside that, and its status once more after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enforced {
    /// Its namespaces beside those of the process that launched it.
    pub namespaces: Vec<Namespace>,
    /// User and group inside the compartment.
    pub inside_ids: (u32, u32),
    /// `uid_map`, as it stands in the kernel.
    pub user_map: Vec<IdMap>,
    /// `gid_map`, as it stands in the kernel.
    pub group_map: Vec<IdMap>,
    /// Supplementary groups, as numbers inside. Root's compartments have none; an ordinary user keeps those of
    /// the session, and they count for what is mounted.
    pub groups: Vec<u32>,
    /// The five capability sets.
    pub capabilities: Capabilities,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// Seccomp mode; 2 is a filter.
    pub seccomp_mode: u32,
    /// How many filters are stacked.
    pub seccomp_filters: u32,
    /// A call the filter refuses was tried, and was refused.
    pub seccomp_refuses: bool,
    /// Landlock.
    pub landlock: Landlock,
    /// `user.max_user_namespaces` inside, read back after it was set.
    pub max_user_namespaces: Option<u64>,
    /// `vm.memfd_noexec` inside, read back after it was set; none before Linux 6.3.
    pub memfd_noexec: Option<u64>,
    /// Every mount there is.
    pub mounts: Vec<Mount>,
    /// Places in granted folders that show nothing.
    #[serde(default)]
    pub masks: Vec<PathBuf>,
    /// Secrets that were found there and can be read all the same.
    #[serde(default)]
    pub unmasked: Vec<PathBuf>,
    /// Granted folders in which appears what happens in them on the host.
    #[serde(default)]
    pub live_folders: Vec<PathBuf>,
    /// Network interfaces that are up.
    pub interfaces_up: Vec<String>,
    /// Routes, of both protocols, in words of `/proc/net`.
    pub routes: Vec<String>,
    /// TCP ports on which something accepts connections inside: those whose connections the launching process
    /// decides about, before the program has run.
    pub listening: Vec<u16>,
    /// Resource limits.
    pub limits: Vec<Limit>,
    /// Size and files of the private file system.
    pub disk: Limit,
    /// The cap on memory, where one could be set.
    pub memory: Option<Memory>,
    /// Processor time in percent of one processor, where it could be capped.
    pub cpu_percent: Option<u64>,
    /// Open descriptors that the program will have.
    pub descriptors: Vec<Descriptor>,
    /// Processes visible in `/proc`, by number.
    pub visible_processes: Vec<i32>,
    /// Files of the kernel in `/proc` that are neither ours nor covered, by name.
    pub kernel_files: Vec<String>,
    /// What binds the programs that may be executed.
    pub walls: Walls,
    /// What it executes, connects to and is refused is told to the launching process.
    #[serde(default)]
    pub is_observed: bool,
    /// The process was looked at from outside as well, and both views agree.
    pub confirmed_outside: bool,
    /// After its program had started, its status was read again and still held. False when it had already ended.
    pub confirmed_after_start: bool,
    /// What the plan asks for and could not be done here, with the reason.
    pub not_enforced: Vec<String>,
    /// What stands in the place of namespaces, where they were given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landlocked: Option<Landlocked>,
}

/// What stands in the place of namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landlocked {
    /// The folder on the host that holds its home and temporary files, made for this run and removed after.
    pub folder: PathBuf,
    /// A signal that its user may send, to the process that supervises it, was tried and refused.
    pub refuses_signals: bool,
    /// Reading the list of processes, and this very machine's first, was tried and refused.
    pub refuses_processes: bool,
}

/// One namespace of the process beside the launching process's own of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Its kind, as `/proc/PID/ns` names it.
    pub kind: String,
    /// Its inode number.
    pub inode: u64,
    /// The inode number of the launching process's.
    pub ours: u64,
}

/// One line of an identity map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// First number inside.
    pub inside: u32,
    /// First number outside: on the host, as far as the launching process can see out.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The five capability sets of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// `CapInh`.
    pub inheritable: u64,
    /// `CapPrm`.
    pub permitted: u64,
    /// `CapEff`.
    pub effective: u64,
    /// `CapBnd`.
    pub bounding: u64,
    /// `CapAmb`.
    pub ambient: u64,
}

/// The Landlock ruleset of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Landlock {
    /// The version of the interface in this kernel; 0 is none.
    pub version: u32,
    /// File rights that are denied unless granted, as the kernel's bits.
    pub files: u64,
    /// Network rights that are denied unless granted.
    pub network: u64,
    /// Scopes: abstract sockets and signals.
    pub scopes: u64,
    /// An opening that only Landlock refuses was tried, and was refused.
    pub refuses: bool,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where, inside.
    pub path: PathBuf,
    /// What of the host it shows, without symbolic links; none for what is made up.
    pub source: Option<PathBuf>,
    /// Kind of file system.
    pub kind: String,
    /// Read-only.
    pub read_only: bool,
    /// Nothing can be executed from it.
    pub noexec: bool,
    /// Set-user-ID bits mean nothing.
    pub nosuid: bool,
    /// Device nodes mean nothing.
    pub nodev: bool,
    /// Owners are mapped.
    pub idmapped: bool,
}

/// One resource limit; the unit is that of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Its name: `processes`, `open-files`, `file-bytes` and so on.
    pub name: String,
    /// The hard limit; none is unlimited.
    pub hard: Option<u64>,
    /// The same for the second quantity, where there is one (inodes beside bytes).
    pub inodes: Option<u64>,
}

/// The cap on memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The control group that holds it.
    pub control_group: PathBuf,
    /// 1 or 2.
    pub version: u8,
    /// The limit read back, in bytes.
    pub bytes: u64,
}

/// One open descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What it is, as `/proc/self/fd` has it.
    pub what: String,
}

/// What binds the programs that may be executed. Each stands alone against one way around the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// Landlock gives the right to execute to the listed files only.
    pub landlock_execute: bool,
    /// No writable mount allows executing, so nothing that was written runs, the loader's way neither.
    pub noexec_writable: bool,
    /// Memory files cannot be made executable.
    pub memfd_noexec: bool,
    /// A descriptor cannot be executed.
    pub no_descriptor_exec: bool,
    /// Folders of programs are not in the mount tree. Programs that lie among the libraries in `/usr/lib` still
    /// are, and the loader can be made to run them: they are as trusted as the libraries.
    pub programs_hidden: bool,
}

/// How a compartment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The program exited with this code.
    Exited(i32),
    /// The program was ended by this signal.
    Signaled(i32),
    /// [`crate::Compartment::kill`] ended it.
    Killed,
}

impl Walls {
    /// Whether all of them stand.
    #[must_use]
    pub fn all(&self) -> bool {
        self.landlock_execute
            && self.noexec_writable
            && self.memfd_noexec
            && self.no_descriptor_exec
            && self.programs_hidden
    }
}

impl Enforced {
    /// The required features that were not found.
    #[must_use]
    pub fn missing(&self, require: &[Feature]) -> Vec<Feature> {
        require.iter().copied().filter(|feature| !self.has(*feature)).collect()
    }

    /// Whether the measurement shows a feature.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        match feature {
            Feature::UserNamespace => self.is_own("user") && self.maps_one(),
            Feature::PidNamespace => self.is_own("pid"),
            Feature::MountNamespace => self.is_own("mnt"),
            Feature::IpcNamespace => self.is_own("ipc"),
            Feature::UtsNamespace => self.is_own("uts"),
            Feature::CgroupNamespace => self.is_own("cgroup"),
            Feature::NetworkNamespace => self.is_own("net"),
            Feature::NoNetwork => {
                let is_empty = self.routes.is_empty() && self.interfaces_up.iter().all(|name| name == "lo");
                // The one filter refuses sockets of every family.
                (self.is_own("net") && is_empty) || (self.landlocked.is_some() && self.has(Feature::Seccomp))
            }
            Feature::PivotRoot => {
                self.mounts_at("/").all(|root| root.kind == "tmpfs" && root.read_only)
                    && self.mounts_at("/").count() == 1
            }
            Feature::NoexecWritable => self.walls.noexec_writable,
            Feature::PrivateProc if !self.kernel_files.is_empty() => false,
            Feature::PrivateProc => {
                self.is_own("pid") && self.visible_processes.iter().all(|pid| (1..=2).contains(pid))
            }
            Feature::UnprivilegedUser if self.landlocked.is_some() => self.is_user_without_map(),
            Feature::UnprivilegedUser => {
                self.maps_one() && self.user_map.iter().chain(&self.group_map).all(|map| map.outside != 0)
            }
            Feature::NoNewPrivileges => self.no_new_privileges,
            Feature::NoCapabilities if self.landlocked.is_some() && self.no_new_privileges => {
                // What could be gained never is, without new privileges; an ordinary user cannot give it up.
                let bounding = 0;
                let held = Capabilities {
                    bounding,
                    ..self.capabilities
                };
                held == Capabilities::default()
            }
            Feature::NoCapabilities => self.capabilities == Capabilities::default(),
            Feature::NoUserNamespaces => self.max_user_namespaces == Some(0),
            Feature::Landlock(version) => self.landlock.version >= version && self.landlock.refuses,
            Feature::Seccomp => self.seccomp_mode == 2 && self.seccomp_refuses,
            Feature::NoDescriptors => self.descriptors.iter().map(|fd| fd.number).eq(0..=2),
            Feature::ProcessLimit => self.is_limited("processes"),
            Feature::OpenFileLimit => self.is_limited("open-files"),
            Feature::FileSizeLimit => self.is_limited("file-bytes"),
            Feature::DiskLimit => self.disk.hard.is_some() && self.disk.inodes.is_some(),
            Feature::MemoryLimit => self.memory.is_some(),
            Feature::CpuLimit => self.cpu_percent.is_some(),
            Feature::ProgramWalls => self.walls.all(),
            // Nothing measured has no mount table.
            Feature::Masks => self.unmasked.is_empty() && (!self.mounts.is_empty() || self.landlocked.is_some()),
            // Copies need a mount table.
            Feature::MaskStrict => {
                self.landlocked.is_none() && self.live_folders.is_empty() && self.has(Feature::Masks)
            }
            Feature::ProcessFence => {
                let is_fenced = |walls: &Landlocked| walls.refuses_signals && walls.refuses_processes;
                self.is_own("pid") || self.landlocked.as_ref().is_some_and(is_fenced)
            }
        }
    }

    /// How much of a compartment stands around it.
    #[must_use]
    pub const fn tier(&self) -> Tier {
        match self.landlocked {
            Some(_) => Tier::Landlocked,
            None => Tier::Sealed,
        }
    }

    /// The user on the host.
    #[must_use]
    pub fn host_uid(&self) -> Option<u32> {
        if self.landlocked.is_some() {
            return seen_outside(&self.user_map, self.inside_ids.0);
        }
        self.user_map.first().map(|map| map.outside)
    }

    /// Neither user nor group is root, here or further out.
    fn is_user_without_map(&self) -> bool {
        let (uid, gid) = self.inside_ids;
        let is_root = |map: &[IdMap], id| id == 0 || seen_outside(map, id).is_none_or(|outside| outside == 0);
        !is_root(&self.user_map, uid) && !is_root(&self.group_map, gid)
    }

    fn is_own(&self, kind: &str) -> bool {
        self.namespaces
            .iter()
            .any(|namespace| namespace.kind == kind && namespace.inode != namespace.ours)
    }

    fn maps_one(&self) -> bool {
        [&self.user_map, &self.group_map]
            .into_iter()
            .all(|map| matches!(map.as_slice(), [IdMap { count: 1, .. }]))
    }

    fn mounts_at<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Mount> {
        self.mounts.iter().filter(move |mount| mount.path.as_os_str() == path)
    }

    fn is_limited(&self, name: &str) -> bool {
        self.limits
            .iter()
            .any(|limit| limit.name == name && limit.hard.is_some())
    }
}

/// What a number of this user namespace is one further out.
fn seen_outside(map: &[IdMap], inside: u32) -> Option<u32> {
    let within = |line: &&IdMap| inside.checked_sub(line.inside).is_some_and(|above| above < line.count);
    let line = map.iter().find(within)?;
    line.outside.checked_add(inside - line.inside)
}

#[cfg(test)]
mod tests {
    use super::{Enforced, IdMap, Landlocked, Mount, Namespace};
    use crate::Feature;

    #[test]
    fn nothing_measured_is_nothing_enforced() {
        let none = Enforced {
            capabilities: super::Capabilities {
                bounding: 1,
                ..Default::default()
            },
            ..Default::default()
        };
        let mut every = Feature::DEFAULT_REQUIRED.to_vec();
        every.extend([Feature::MemoryLimit, Feature::CpuLimit, Feature::ProgramWalls]);
        assert_eq!(none.missing(&every), every);
    }

    #[test]
    fn a_namespace_counts_only_when_it_differs_from_ours() {
        let with = |inode| Enforced {
            namespaces: vec![Namespace {
                kind: "net".into(),
                inode,
                ours: 7,
            }],
            ..Default::default()
        };
        assert!(!with(7).has(Feature::NetworkNamespace));
        assert!(with(8).has(Feature::NetworkNamespace));
        assert!(
            !Enforced {
                routes: vec!["default".into()],
                ..with(8)
            }
            .has(Feature::NoNetwork)
        );
        assert!(
            !Enforced {
                interfaces_up: vec!["eth0".into()],
                ..with(8)
            }
            .has(Feature::NoNetwork)
        );
    }

    #[test]
    fn root_on_the_host_is_never_unprivileged() {
        let with = |outside| Enforced {
            user_map: vec![IdMap {
                inside: 65532,
                outside,
                count: 1,
            }],
            group_map: vec![IdMap {
                inside: 65532,
                outside: 1000,
                count: 1,
            }],
            ..Default::default()
        };
        assert!(with(1000).has(Feature::UnprivilegedUser));
        assert!(!with(0).has(Feature::UnprivilegedUser));
    }

    #[test]
    fn without_namespaces_nothing_counts_that_was_not_measured() {
        let unmeasured = Enforced {
            landlocked: Some(Landlocked::default()),
            ..Default::default()
        };
        let mut missing = unmeasured.missing(crate::Tier::Landlocked.required());
        // Empty sets and no secret in sight are what an empty measurement shows.
        missing.extend([Feature::NoCapabilities, Feature::Masks]);
        missing.sort();
        let mut required = crate::Tier::Landlocked.required().to_vec();
        required.sort();
        assert_eq!(missing, required);
        for namespaced in [
            Feature::PidNamespace,
            Feature::PrivateProc,
            Feature::PivotRoot,
            Feature::NoexecWritable,
        ] {
            assert!(!unmeasured.has(namespaced), "{namespaced}");
        }
    }

    #[test]
    fn without_a_map_of_its_own_root_is_root_here_and_further_out() {
        let with = |uid, outside| Enforced {
            inside_ids: (uid, 1000),
            user_map: vec![IdMap {
                inside: 0,
                outside,
                count: 2000,
            }],
            group_map: vec![IdMap {
                inside: 0,
                outside: 5000,
                count: 2000,
            }],
            landlocked: Some(Landlocked::default()),
            ..Default::default()
        };
        assert!(with(1000, 0).has(Feature::UnprivilegedUser));
        assert_eq!(with(1000, 7000).host_uid(), Some(8000));
        assert!(!with(0, 7000).has(Feature::UnprivilegedUser), "root here");
        assert!(
            !with(2000, 7000).has(Feature::UnprivilegedUser),
            "a number without a meaning"
        );
    }

    #[test]
    fn a_file_of_the_kernel_in_sight_is_no_private_proc() {
        let private = Enforced {
            namespaces: vec![Namespace {
                kind: "pid".into(),
                inode: 8,
                ours: 7,
            }],
            visible_processes: vec![2],
            ..Default::default()
        };
        assert!(private.has(Feature::PrivateProc));
        assert!(
            !Enforced {
                kernel_files: vec!["kcore".into()],
                ..private.clone()
            }
            .has(Feature::PrivateProc)
        );
        assert!(
            !Enforced {
                visible_processes: vec![2, 77],
                ..private
            }
            .has(Feature::PrivateProc)
        );
    }

    #[test]
    fn a_second_mount_over_the_root_is_not_a_fresh_root() {
        let root = Mount {
            path: "/".into(),
            source: None,
            kind: "tmpfs".into(),
            read_only: true,
            noexec: true,
            nosuid: true,
            nodev: true,
            idmapped: false,
        };
        let with = |mounts| Enforced {
            mounts,
            ..Default::default()
        };
        assert!(with(vec![root.clone()]).has(Feature::PivotRoot));
        assert!(!with(vec![root.clone(), root.clone()]).has(Feature::PivotRoot));
        assert!(
            !with(vec![Mount {
                read_only: false,
                ..root.clone()
            }])
            .has(Feature::PivotRoot)
        );
        assert!(!with(vec![]).has(Feature::PivotRoot));
    }
}
