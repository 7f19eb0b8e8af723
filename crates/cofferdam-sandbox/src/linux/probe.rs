//! Looking at what this kernel offers, without starting anything.

use std::fs;

use super::cgroup;
use super::identity;
use super::syscalls;
use crate::{Feature, Lack, Probe};

/// What this machine can do, without starting anything.
#[must_use]
pub fn probe() -> Probe {
    let map = identity::read_map("self", "uid_map").unwrap_or_default();
    let can_choose_user = identity::can_choose(rustix::process::geteuid().as_raw(), &map);
    let landlock = syscalls::landlock_version().ok();
    let mut lacks = Vec::new();
    let mut lack = |feature, reason: &str, fix: &str| {
        lacks.push(Lack {
            feature,
            reason: reason.to_owned(),
            fix: fix.to_owned(),
        });
    };
    if setting("user/max_user_namespaces") == Some(0) {
        lack(
            Feature::UserNamespace,
            "`user.max_user_namespaces` is 0",
            "raise it with sysctl; inside a compartment it is 0 on purpose",
        );
    }
    if !can_choose_user && setting("kernel/unprivileged_userns_clone") == Some(0) {
        lack(
            Feature::UserNamespace,
            "`kernel.unprivileged_userns_clone` is 0",
            "sysctl kernel.unprivileged_userns_clone=1",
        );
    }
    if !can_choose_user && setting("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        lack(
            Feature::UserNamespace,
            "AppArmor restricts user namespaces to programs with a profile",
            "`cofferdam doctor --apparmor | sudo tee /etc/apparmor.d/cofferdam`, then `sudo apparmor_parser -r \
             /etc/apparmor.d/cofferdam`",
        );
    }
    if landlock.is_none() {
        lack(
            Feature::Landlock(1),
            "Landlock is not in this kernel or not switched on",
            "add `landlock` to the kernel's `lsm=` list",
        );
    }
    if fs::metadata("/proc/sys/kernel/seccomp/actions_avail").is_err() {
        lack(
            Feature::Seccomp,
            "this kernel has no system-call filters",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        );
    }
    if let Err(reason) = cgroup::can_cap_memory() {
        lack(
            Feature::MemoryLimit,
            &reason,
            "run in a systemd user session (`Delegate=yes`), or as root",
        );
    }
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Probe {
        system: "Linux".to_owned(),
        release,
        landlock,
        can_choose_user,
        lacks,
    }
}

/// A numeric setting of the kernel.
fn setting(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{name}"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn looking_starts_nothing_and_names_the_kernel() {
        let probe = super::probe();
        assert_eq!(probe.system, "Linux");
        assert!(probe.release.contains('.'), "{}", probe.release);
        assert!(probe.lacks.iter().all(|lack| !lack.fix.is_empty()));
    }
}
