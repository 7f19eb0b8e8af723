//! Giving up every privilege, in the order in which nothing can be taken back.

use std::io;

use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use super::{errno, syscalls};
use crate::SandboxError;

/// More capabilities than any kernel has.
const CAPABILITIES_MAX: u32 = 64;

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Privileges {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

/// Empties the five capability sets and closes the way to new ones.
pub(super) fn give_up_privileges() -> Result<(), SandboxError> {
    empty_bounding_set()?;
    give_up_all_but_bounding_set()
}

/// Empties the set of what could be gained.
pub(super) fn empty_bounding_set() -> Result<(), SandboxError> {
    for capability in 0..CAPABILITIES_MAX {
        if !syscalls::drop_bounding(capability).map_err(failed("empty the bounding set"))? {
            break;
        }
    }
    Ok(())
}

/// Empties the other four, and closes the way to new ones, whatever could be gained.
pub(super) fn give_up_all_but_bounding_set() -> Result<(), SandboxError> {
    rustix::thread::clear_ambient_capability_set()
        .map_err(|error| failed("empty the ambient capabilities")(error.into()))?;
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(|error| failed("give up the capabilities")(error.into()))?;
    set_no_new_privs(true).map_err(|error| failed("refuse new privileges")(error.into()))
}

/// Whether others of the same user may look into this process's memory and descriptors.
pub(super) fn set_dumpable(dumpable: bool) -> Result<(), SandboxError> {
    let behavior = if dumpable {
        DumpableBehavior::Dumpable
    } else {
        DumpableBehavior::NotDumpable
    };
    set_dumpable_behavior(behavior).map_err(|error| failed("set who may look into the process")(error.into()))
}
