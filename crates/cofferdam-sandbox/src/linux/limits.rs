//! Resource limits of the compartment's processes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{Limits, SandboxError};

/// Every limit that is set, by its name and its hard value.
fn wanted(limits: &Limits) -> Vec<(&'static str, Resource, u64)> {
    vec![
        // One byte, not none: at 0 the kernel still pipes a dump to a handler that runs as root outside, at 1 it
        // does not (core(5)), and a file of one byte is none.
        ("core-bytes", Resource::Core, 1),
        ("open-files", Resource::Nofile, limits.open_files),
        // Counted per user namespace, so that compartments of one user do not count against one another.
        ("processes", Resource::Nproc, limits.processes),
        ("file-bytes", Resource::Fsize, limits.file_bytes),
        ("locked-bytes", Resource::Memlock, 0),
        ("queue-bytes", Resource::Msgqueue, 0),
        ("real-time-priority", Resource::Rtprio, 0),
        ("nice", Resource::Nice, 0),
    ]
}

/// The memory one process may write to and not share. What is only reserved does not count, so runtimes that
/// reserve much live with it, as they do not with a limit of the address space.
const DATA: (&str, Resource) = ("data-bytes", Resource::Data);

/// Sets them, soft and hard alike. A lower hard limit of the caller stays: it cannot be raised. Where memory
/// is not capped for all processes together, each is held to it on its own.
pub(super) fn set(limits: &Limits, memory_is_capped: bool) -> Result<(), SandboxError> {
    let mut all = wanted(limits);
    if !memory_is_capped {
        all.push((DATA.0, DATA.1, limits.memory_bytes));
    }
    for (name, resource, value) in all {
        let hard = getrlimit(resource).maximum.map_or(value, |hard| hard.min(value));
        let limit = Rlimit {
            current: Some(hard),
            maximum: Some(hard),
        };
        setrlimit(resource, limit).map_err(|error| SandboxError::Limit {
            name: name.to_owned(),
            errno: error.raw_os_error(),
        })?;
    }
    Ok(())
}

/// What holds in this process.
pub(super) fn measured() -> Vec<crate::Limit> {
    let mut all = wanted(&Limits::default());
    all.push((DATA.0, DATA.1, 0));
    let limit = |(name, resource, _): &(&str, Resource, u64)| crate::Limit {
        name: (*name).to_owned(),
        hard: getrlimit(*resource).maximum,
        inodes: None,
    };
    all.iter().map(limit).collect()
}
