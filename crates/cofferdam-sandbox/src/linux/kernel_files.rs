//! Settings of the kernel that belong to the compartment's own namespaces.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, openat};

use super::{errno, private_proc};
use crate::SandboxError;

/// Namespaces that cannot be made inside, not even by a hole in the system-call filter.
const NO_NAMESPACES: [&str; 7] = ["user", "pid", "mnt", "ipc", "uts", "cgroup", "net"];
/// Of these a browser makes some for its own processes. Without a mount namespace it can mount nothing.
const NAMESPACES_OF_BROWSERS: [&str; 3] = ["user", "pid", "net"];
const NAMESPACES_OF_BROWSERS_MAX: u64 = 64;
/// Memory files cannot be executable, and asking for one that is fails.
pub(super) const MEMFD_NOEXEC_ENFORCED: u64 = 2;

fn failed(name: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Setting {
        name: name.to_owned(),
        errno: errno(&error),
    }
}

/// A `/proc` of our own that is never mounted anywhere, through which the settings are made.
pub(super) struct OwnSettings {
    proc: OwnedFd,
}

impl OwnSettings {
    pub(super) fn open() -> Result<Self, SandboxError> {
        let proc = private_proc::detached(false).map_err(|error| SandboxError::Mount {
            path: "/proc".into(),
            errno: errno(&error),
        })?;
        Ok(Self { proc })
    }

    /// Makes memory files not executable in this process table, and gives the setting as read back; none
    /// where it cannot be made. Only the kernel's own root can, while it still is root.
    pub(super) fn forbid_executable_memory_files(&self) -> Result<Option<u64>, SandboxError> {
        let name = "vm/memfd_noexec";
        match write_one(&self.proc, name, MEMFD_NOEXEC_ENFORCED) {
            Ok(true) => read_one(&self.proc, name).map_err(failed(name)),
            Ok(false) => Ok(None),
            Err(error) if matches!(errno(&error), libc::EACCES | libc::EPERM) => Ok(None),
            Err(error) => Err(failed(name)(error)),
        }
    }

    /// Takes the right to make namespaces away, and gives `user.max_user_namespaces` as read back. Detached
    /// mounts count as namespaces, so everything is mounted before. A browser keeps a few.
    pub(super) fn forbid_namespaces(self, is_browser: bool) -> Result<Option<u64>, SandboxError> {
        for kind in NO_NAMESPACES {
            let name = format!("user/max_{kind}_namespaces");
            let is_kept = is_browser && NAMESPACES_OF_BROWSERS.contains(&kind);
            let most = if is_kept { NAMESPACES_OF_BROWSERS_MAX } else { 0 };
            write_one(&self.proc, &name, most).map_err(failed(&name))?;
        }
        let name = "user/max_user_namespaces";
        read_one(&self.proc, name).map_err(failed(name))
    }
}

/// Writes a number; whether this kernel has such a setting.
fn write_one(proc: &OwnedFd, name: &str, value: u64) -> io::Result<bool> {
    let path = format!("sys/{name}");
    match openat(proc, &*path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => Ok(false),
        other => File::from(other?)
            .write_all(value.to_string().as_bytes())
            .map(|()| true),
    }
}

/// What the setting is; none when this kernel has no such setting.
fn read_one(proc: &OwnedFd, name: &str) -> io::Result<Option<u64>> {
    let path = format!("sys/{name}");
    let file = match openat(proc, &*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        other => other?,
    };
    let mut text = String::new();
    File::from(file).read_to_string(&mut text)?;
    Ok(text.trim().parse().ok())
}
