//! Which paths a manifest may grant, and where `~` is.

use std::path::{Component, Path, PathBuf};

use crate::diagnostic::ManifestError;
use crate::manifest::Manifest;

/// What a grant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
    /// Connecting to a UNIX socket.
    Connect,
}

/// Kernel interfaces: whoever holds these holds the machine.
const KERNEL: &[&str] = &["/proc", "/sys", "/dev"];
/// Folders of sockets that command the machine (container engines, D-Bus, udev, systemd).
const SOCKET_FOLDERS: &[&str] = &[
    "/run",
    "/var/run",
    "/run/containerd",
    "/run/docker",
    "/run/podman",
    "/run/crio",
    "/run/user",
    "/run/systemd",
    "/run/dbus",
    "/run/k3s",
    "/run/libvirt",
    "/run/lxd",
    "/var/lib/lxd",
    "/var/snap/lxd",
];
/// Container engines' own storage: images, layers and other containers' files.
const ENGINE_STORAGE: &[&str] = &[
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/kubelet",
];
/// Sockets that command a container engine, wherever they lie.
const ENGINE_SOCKETS: &[&str] = &[
    "docker.sock",
    "containerd.sock",
    "podman.sock",
    "crio.sock",
    "cri-dockerd.sock",
    "dockershim.sock",
    "docker.raw.sock",
    "buildkitd.sock",
    "lxd.socket",
    "unix.socket",
    "libvirt-sock",
];
/// Folders of credentials, wherever a home folder lies. Masks inside granted folders are not here yet, so at least these names are refused.
const CREDENTIAL_FOLDERS: &[&str] = &[
    ".ssh",
    ".aws",
    ".azure",
    ".gnupg",
    ".kube",
    ".docker",
    ".password-store",
];

/// The system itself: writing here is owning the machine.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/boot",
    "/var/spool/cron",
];

/// Why `path` can never be granted, for people; `None` when it can.
///
/// Purely by the spelling of the path; [`Manifest::resolve`] asks again with what the path resolves to. `own_folders`
/// are Cofferdam's configuration, state, data and runtime folders, absolute: neither they nor a folder that contains
/// one can be granted.
#[must_use]
pub fn forbidden_grant(path: &Path, access: Access, own_folders: &[PathBuf]) -> Option<String> {
    // `/./x//y` and `/x/y` are one place.
    let path: PathBuf = path.components().collect();
    if path == Path::new("/") {
        return Some(String::from("it is the whole machine"));
    }
    if let Some(kernel) = KERNEL.iter().find(|kernel| path.starts_with(kernel)) {
        return Some(format!("`{kernel}` is the kernel's own interface"));
    }
    if path
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| ENGINE_SOCKETS.contains(&name))
    {
        return Some(String::from(
            "this socket commands a container engine, and with it the machine",
        ));
    }
    let names = || path.iter().filter_map(|name| name.to_str());
    if let Some(store) = names().find(|name| CREDENTIAL_FOLDERS.contains(name)) {
        return Some(format!("`{store}` holds credentials"));
    }
    if names().zip(names().skip(1)).any(|pair| pair == (".config", "gcloud")) {
        return Some(String::from("`.config/gcloud` holds credentials"));
    }
    if access != Access::Connect && (SOCKET_FOLDERS.iter().any(|folder| path == Path::new(folder)) || is_runtime(&path))
    {
        return Some(String::from("this folder holds sockets that command the machine"));
    }
    if let Some(storage) = ENGINE_STORAGE.iter().find(|storage| path.starts_with(storage)) {
        return Some(format!("`{storage}` is a container engine's own storage"));
    }
    if access == Access::Write {
        if let Some(system) = SYSTEM.iter().find(|system| path.starts_with(system)) {
            return Some(format!(
                "`{system}` is part of the system: what can write there owns the machine"
            ));
        }
        if path == Path::new("~") {
            return Some(String::from(
                "the home folder holds files that shells execute: name folders inside it",
            ));
        }
    }
    own_folders.iter().find_map(|own| own_folder_reason(&path, own))
}

/// `/run/user/UID` and the engines' folders in it.
fn is_runtime(path: &Path) -> bool {
    let names: Vec<&str> = path.iter().filter_map(|name| name.to_str()).collect();
    match names.as_slice() {
        ["/", "run", "user", _] | ["/", "var", "run", "user", _] => true,
        ["/", "run", "user", _, inner] | ["/", "var", "run", "user", _, inner] => {
            matches!(
                *inner,
                "docker" | "podman" | "containers" | "systemd" | "dbus-1" | "bus" | "keyring" | "gnupg"
            )
        }
        ["/", "var", "run", inner, ..] => SOCKET_FOLDERS.contains(&format!("/run/{inner}").as_str()),
        _ => false,
    }
}

fn own_folder_reason(path: &Path, own: &Path) -> Option<String> {
    if path.starts_with(own) {
        return Some(format!("`{}` is Cofferdam's own folder", own.display()));
    }
    if own.starts_with(path) {
        let reason = "it contains Cofferdam's own folder";
        return Some(format!(
            "{reason} `{}`, which is not masked so far: name folders inside it",
            own.display()
        ));
    }
    None
}

/// What is wrong with the spelling of a path, and how to write it.
pub(crate) fn path_fault(text: &str) -> Option<(String, &'static str)> {
    let under_home = text == "~" || text.starts_with("~/");
    if !under_home && text.starts_with('~') {
        return Some((format!("`{text}` names another user's home"), "write the whole path"));
    }
    if !under_home && !text.starts_with('/') {
        return Some((
            format!("`{text}` is not an absolute path"),
            "write the whole path, or `~/…` for your own home",
        ));
    }
    if Path::new(text).components().any(|part| part == Component::ParentDir) {
        return Some((format!("`{text}` contains `..`"), "write the path it leads to"));
    }
    None
}

impl Manifest {
    /// The manifest with `~` expanded and each grant checked against what it resolves to on this machine.
    ///
    /// `home` is the user's home folder from the passwd entry, `own_folders` are Cofferdam's own folders (see
    /// [`forbidden_grant`]); both absolute. A path that does not exist is kept: the compartment refuses it by name.
    ///
    /// # Errors
    /// Every grant that is forbidden, with its reason. There is no place in a text to point at.
    pub fn resolve(&self, home: &Path, own_folders: &[PathBuf]) -> Result<Self, ManifestError> {
        let mut resolved = self.clone();
        let own: Vec<PathBuf> = own_folders
            .iter()
            .flat_map(|own| [Some(own.clone()), own.canonicalize().ok()])
            .flatten()
            .collect();
        let mut faults = Vec::new();
        for (name, access, path) in resolved.granted_paths() {
            *path = expanded(path, home);
            let real = path.canonicalize().ok();
            let is_home =
                access == Access::Write && (path == home || real.as_deref() == home.canonicalize().ok().as_deref());
            let reason = [Some(path.as_path()), real.as_deref()].into_iter().flatten();
            let reason = reason.into_iter().find_map(|path| forbidden_grant(path, access, &own));
            let reason = reason.or_else(|| is_home.then(|| forbidden_grant(Path::new("~"), access, &[])).flatten());
            if let Some(reason) = reason {
                faults.push((
                    format!("`{}` in `{name}` can never be granted: {reason}", path.display()),
                    None,
                ));
            }
        }
        if let Some(directory) = &mut resolved.launch.directory {
            *directory = expanded(directory, home);
        }
        if faults.is_empty() {
            Ok(resolved)
        } else {
            Err(ManifestError::unplaced(faults, "manifest"))
        }
    }

    /// Every granted path with its key and what it is granted for.
    fn granted_paths(&mut self) -> Vec<(&'static str, Access, &mut PathBuf)> {
        let mut paths = Vec::new();
        paths.extend(
            self.launch
                .program
                .iter_mut()
                .map(|path| ("launch.program", Access::Read, path)),
        );
        paths.extend(
            self.filesystem
                .read
                .iter_mut()
                .map(|path| ("filesystem.read", Access::Read, path)),
        );
        paths.extend(
            self.filesystem
                .write
                .iter_mut()
                .map(|path| ("filesystem.write", Access::Write, path)),
        );
        paths.extend(
            self.sockets
                .allow
                .iter_mut()
                .map(|path| ("sockets.allow", Access::Connect, path)),
        );
        let arguments = self.tools.values_mut().flat_map(|tool| tool.arguments.values_mut());
        let within = arguments.flat_map(|argument| argument.within.iter_mut());
        paths.extend(within.map(|path| ("tools.NAME.arguments.NAME.within", Access::Read, path)));
        paths
    }
}

fn expanded(path: &Path, home: &Path) -> PathBuf {
    match path.strip_prefix("~") {
        Ok(rest) if rest.as_os_str().is_empty() => home.to_owned(),
        Ok(rest) => home.join(rest),
        Err(_) => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Access, forbidden_grant};

    #[test]
    fn what_holds_the_machine_is_never_granted() {
        for path in [
            "/",
            "//",
            "/./",
            "/proc",
            "/proc/self",
            "/sys/fs/cgroup",
            "/dev/shm",
            "/run",
            "/run/",
            "/var/run",
            "/run/user",
            "/run/user/1000",
            "/run/user/1000/podman",
            "/run/containerd",
            "/var/run/docker",
            "/var/lib/docker/overlay2",
            "/home/me/.docker/run/docker.sock",
            "/run/podman/podman.sock",
            "/var/run/crio/crio.sock",
            "/home/me/.ssh",
            "/home/me/.aws/credentials",
            "~/.kube",
            "/root/.config/gcloud",
        ] {
            assert!(forbidden_grant(Path::new(path), Access::Read, &[]).is_some(), "{path}");
        }
        for path in [
            "/home/me",
            "/srv",
            "/process",
            "/devices",
            "/runner",
            "/etc",
            "/usr/share",
            "/run/myapp",
            "~",
            "/var",
        ] {
            assert_eq!(forbidden_grant(Path::new(path), Access::Read, &[]), None, "{path}");
        }
    }

    #[test]
    fn the_system_and_the_home_folder_are_never_written() {
        for path in ["/etc", "/etc/cron.d", "/usr/local/bin", "/lib", "/boot", "~"] {
            assert!(forbidden_grant(Path::new(path), Access::Write, &[]).is_some(), "{path}");
        }
        for path in ["/home/me/x", "/srv", "~/x", "/tmp/x"] {
            assert_eq!(forbidden_grant(Path::new(path), Access::Write, &[]), None, "{path}");
        }
    }

    #[test]
    fn sockets_may_be_named_one_by_one() {
        for path in ["/run/docker.sock", "/proc/1/x", "/run/containerd/containerd.sock"] {
            assert!(
                forbidden_grant(Path::new(path), Access::Connect, &[]).is_some(),
                "{path}"
            );
        }
        assert_eq!(
            forbidden_grant(Path::new("/run/postgresql/.s.PGSQL.5432"), Access::Connect, &[]),
            None
        );
    }

    #[test]
    fn own_folders_and_what_contains_them_are_never_granted() {
        let own = [PathBuf::from("/home/me/.config/cofferdam")];
        for path in [
            "/home/me/.config/cofferdam/x",
            "/home/me/.config/cofferdam",
            "/home/me/.config",
            "/home/me",
            "/home",
        ] {
            assert!(forbidden_grant(Path::new(path), Access::Read, &own).is_some(), "{path}");
        }
        assert_eq!(
            forbidden_grant(Path::new("/home/me/.config/cofferdam2"), Access::Read, &own),
            None
        );
    }
}
