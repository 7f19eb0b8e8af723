//! Features of a compartment: single walls that can be required and are measured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One wall of a compartment, as it is required by a plan and found by the measurement.
///
/// The names are stable: manifests and records carry them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Feature {
    /// An own user namespace that maps exactly one user and one group.
    UserNamespace,
    /// An own process table.
    PidNamespace,
    /// An own mount table.
    MountNamespace,
    /// Own System V and POSIX message queues.
    IpcNamespace,
    /// An own host name.
    UtsNamespace,
    /// An own view of control groups.
    CgroupNamespace,
    /// An own network stack.
    NetworkNamespace,
    /// No interface is up but the loopback, and no route leads anywhere; without a network stack of its own: no socket can be made.
    NoNetwork,
    /// The root is a fresh one and cannot be written.
    PivotRoot,
    /// What can be written cannot be executed.
    NoexecWritable,
    /// `/proc` shows the compartment's own processes only.
    PrivateProc,
    /// The user on the host is not root.
    UnprivilegedUser,
    /// No set-user-ID program can give more rights.
    NoNewPrivileges,
    /// No capability, in none of the five sets.
    NoCapabilities,
    /// No user namespace can be made inside.
    NoUserNamespaces,
    /// Landlock at this version of its interface or a newer one.
    Landlock(u32),
    /// The system-call filter.
    Seccomp,
    /// Descriptors 0, 1 and 2 and no other.
    NoDescriptors,
    /// A cap on processes and threads.
    ProcessLimit,
    /// A cap on open descriptors.
    OpenFileLimit,
    /// A cap on the size of a file.
    FileSizeLimit,
    /// A cap on private files.
    DiskLimit,
    /// A cap on memory.
    MemoryLimit,
    /// A cap on processor time.
    CpuLimit,
    /// Only listed programs can be executed, by every wall there is.
    ProgramWalls,
    /// No secret that the plan masks can be read in a granted folder, and folders are watched for more.
    Masks,
    /// What is masked stays so whatever others do in a granted folder: such folders are shown as they were at the
    /// start, and none is granted for writing.
    MaskStrict,
    /// No other process than its own can be signalled, traced or read: by a process table of its own, or by Landlock.
    ProcessFence,
}

/// The features with a fixed name; `Landlock` carries a number.
const NAMES: [(Feature, &str); 27] = [
    (Feature::UserNamespace, "user-namespace"),
    (Feature::PidNamespace, "pid-namespace"),
    (Feature::MountNamespace, "mount-namespace"),
    (Feature::IpcNamespace, "ipc-namespace"),
    (Feature::UtsNamespace, "uts-namespace"),
    (Feature::CgroupNamespace, "cgroup-namespace"),
    (Feature::NetworkNamespace, "network-namespace"),
    (Feature::NoNetwork, "no-network"),
    (Feature::PivotRoot, "pivot-root"),
    (Feature::NoexecWritable, "noexec-writable"),
    (Feature::PrivateProc, "private-proc"),
    (Feature::UnprivilegedUser, "unprivileged-user"),
    (Feature::NoNewPrivileges, "no-new-privileges"),
    (Feature::NoCapabilities, "no-capabilities"),
    (Feature::NoUserNamespaces, "no-user-namespaces"),
    (Feature::Seccomp, "seccomp"),
    (Feature::NoDescriptors, "no-descriptors"),
    (Feature::ProcessLimit, "process-limit"),
    (Feature::OpenFileLimit, "open-file-limit"),
    (Feature::FileSizeLimit, "file-size-limit"),
    (Feature::DiskLimit, "disk-limit"),
    (Feature::MemoryLimit, "memory-limit"),
    (Feature::CpuLimit, "cpu-limit"),
    (Feature::ProgramWalls, "program-walls"),
    (Feature::Masks, "masks"),
    (Feature::MaskStrict, "mask-strict"),
    (Feature::ProcessFence, "process-fence"),
];

impl Feature {
    /// What every compartment must have unless a manifest says otherwise. Debian 12 (Linux 6.1, Landlock 2),
    /// Ubuntu 24.04 (6.8, Landlock 4) and the host of a stock container are judged by it. Memory is not in
    /// it: an ordinary user without a delegated control group cannot cap it.
    pub const DEFAULT_REQUIRED: &'static [Self] = &[
        Self::UserNamespace,
        Self::PidNamespace,
        Self::MountNamespace,
        Self::IpcNamespace,
        Self::UtsNamespace,
        Self::CgroupNamespace,
        Self::NetworkNamespace,
        Self::NoNetwork,
        Self::PivotRoot,
        Self::NoexecWritable,
        Self::PrivateProc,
        Self::UnprivilegedUser,
        Self::NoNewPrivileges,
        Self::NoCapabilities,
        Self::NoUserNamespaces,
        Self::Landlock(2),
        Self::Seccomp,
        Self::NoDescriptors,
        Self::ProcessLimit,
        Self::OpenFileLimit,
        Self::FileSizeLimit,
        Self::DiskLimit,
        Self::Masks,
    ];
}

impl Feature {
    /// Required by default, and a person may give them up for one server: what is left still is a compartment.
    pub const WAIVABLE: &'static [Self] = &[
        Self::CgroupNamespace,
        Self::Landlock(2),
        Self::NoexecWritable,
        Self::ProcessLimit,
        Self::OpenFileLimit,
        Self::FileSizeLimit,
        Self::DiskLimit,
        Self::ProgramWalls,
        Self::Masks,
    ];

    /// Every feature, Landlock at the version that is required by default.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.iter().map(|(feature, _)| *feature).chain([Self::Landlock(2)])
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, NAMES.iter().find(|(feature, _)| feature == self)) {
            (Self::Landlock(version), _) => write!(out, "landlock-{version}"),
            (_, Some((_, name))) => out.write_str(name),
            (_, None) => write!(out, "{self:?}"),
        }
    }
}

/// A name no feature has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFeature {
    name: String,
}

impl fmt::Display for UnknownFeature {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` is not a feature of a compartment", self.name)
    }
}

impl std::error::Error for UnknownFeature {}

impl FromStr for Feature {
    type Err = UnknownFeature;

    fn from_str(name: &str) -> Result<Self, UnknownFeature> {
        let fixed = || {
            NAMES
                .iter()
                .find(|(_, known)| *known == name)
                .map(|(feature, _)| *feature)
        };
        let landlock = || match name.strip_prefix("landlock-")?.parse() {
            Ok(0) | Err(_) => None,
            Ok(version) => Some(Self::Landlock(version)).filter(|feature| feature.to_string() == name),
        };
        fixed()
            .or_else(landlock)
            .ok_or_else(|| UnknownFeature { name: name.to_owned() })
    }
}

impl From<Feature> for String {
    fn from(feature: Feature) -> Self {
        feature.to_string()
    }
}

impl TryFrom<String> for Feature {
    type Error = UnknownFeature;

    fn try_from(name: String) -> Result<Self, UnknownFeature> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::{Feature, NAMES};

    #[test]
    fn every_name_is_kebab_case_and_reads_back() {
        for feature in NAMES.iter().map(|(feature, _)| *feature).chain([Feature::Landlock(6)]) {
            let name = feature.to_string();
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
                "{name}"
            );
            assert_eq!(name.parse(), Ok(feature));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "Seccomp", "landlock", "landlock-0", "landlock-06", "landlock-x"] {
            assert!(name.parse::<Feature>().is_err(), "{name}");
        }
    }
}
