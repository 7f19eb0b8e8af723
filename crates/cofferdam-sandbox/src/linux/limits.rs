//! Resource limits of the compartment's processes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{Limits, SandboxError};

/// Every limit that is set, by its name and its hard value.
fn wanted(limits: &Limits) -> [(&'static str, Resource, u64); 8] {
    [
        ("core-bytes", Resource::Core, 0),
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

/// Sets them, soft and hard alike. A lower hard limit of the caller stays: it cannot be raised.
pub(super) fn set(limits: &Limits) -> Result<(), SandboxError> {
    for (name, resource, value) in wanted(limits) {
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
    let all = wanted(&Limits::default());
    let limit = |(name, resource, _): &(&str, Resource, u64)| crate::Limit {
        name: (*name).to_owned(),
        hard: getrlimit(*resource).maximum,
        inodes: None,
    };
    all.iter().map(limit).collect()
}
