//! What a machine lacks, as far as can be seen without starting anything.

use serde::{Deserialize, Serialize};

use crate::Feature;

/// What this machine can do, as far as can be seen without starting anything. Only a [`crate::launch`] proves
/// it; this is for `doctor` and for help with errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The name of the system.
    pub system: String,
    /// The release of its kernel.
    pub release: String,
    /// The version of Landlock's interface; none when it is absent or switched off.
    pub landlock: Option<u32>,
    /// Whether the caller is root and has users to give away, so that each compartment is a user of its own.
    pub can_choose_user: bool,
    /// What cannot be enforced here.
    pub lacks: Vec<Lack>,
}

/// Something that cannot be enforced here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// What cannot be enforced.
    pub feature: Feature,
    /// Why not.
    pub reason: String,
    /// What a person can do about it.
    pub fix: String,
}
