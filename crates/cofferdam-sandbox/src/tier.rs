//! Tiers: how much of a compartment stands around a program.

use serde::{Deserialize, Serialize};

use crate::Feature;

/// How much of a compartment stands around a program. No tier ever takes the place of another by itself: a plan names its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Namespaces, with every other wall inside them.
    #[default]
    Sealed,
    /// No namespace: Landlock, the system-call filter, limits and a supervisor, among the user's other processes and under the
    /// host's own paths. For places where no namespace can be made, and only where somebody said so.
    Landlocked,
}

impl Tier {
    /// What gives up the namespaces in a manifest's `waive`.
    pub const WAIVER: &'static str = "namespaces";

    /// Its name, as `doctor`, the record and policies have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Landlocked => "landlocked",
        }
    }

    /// What every compartment of this tier must have unless single features are waived as well.
    #[must_use]
    pub const fn required(self) -> &'static [Feature] {
        match self {
            Self::Sealed => Feature::DEFAULT_REQUIRED,
            Self::Landlocked => &[
                Feature::ProcessFence,
                Feature::NoNetwork,
                Feature::UnprivilegedUser,
                Feature::NoNewPrivileges,
                Feature::NoCapabilities,
                Feature::Landlock(2),
                Feature::Seccomp,
                Feature::NoDescriptors,
                Feature::ProcessLimit,
                Feature::OpenFileLimit,
                Feature::FileSizeLimit,
                Feature::Masks,
            ],
        }
    }

    /// What of it can be waived: of the tier without namespaces only what concerns the user's own files and limits.
    #[must_use]
    pub fn can_waive(self, feature: Feature) -> bool {
        match self {
            Self::Sealed => Feature::WAIVABLE.contains(&feature),
            Self::Landlocked => Feature::WAIVABLE.contains(&feature) && feature != Feature::Landlock(2),
        }
    }
}
