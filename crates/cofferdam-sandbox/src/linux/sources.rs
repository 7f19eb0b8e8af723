//! What of the host appears inside: resolved once, judged, and pinned by inode.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::elf;
use super::wire::{Access, Graft};
use crate::plan::HOME;
use crate::{Plan, Programs, SandboxError};

/// Folders of the root that hold programs or libraries, besides `/usr`.
const ROOT_FOLDERS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Folders of `/usr` without programs: all that is shown of it when only listed programs may run.
const LIBRARY_FOLDERS: [&str; 10] = [
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libx32",
    "/usr/share",
    "/usr/local/lib",
    "/usr/local/lib32",
    "/usr/local/lib64",
    "/usr/local/share",
    "/usr/include",
];
/// Configuration of the system that programs need and that says nothing of its users. Keys lie beside the
/// certificates, and an ordinary user keeps groups that may read them, so folders are named one by one.
const CONFIGURATION: [&str; 16] = [
    "/etc/ld.so.cache",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates",
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/mime.types",
    "/etc/services",
    "/etc/protocols",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
];
pub(super) const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];
/// File systems that are windows into the kernel: never inside a granted folder.
const KERNEL_FILE_SYSTEMS: [&str; 16] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "securityfs",
    "debugfs",
    "tracefs",
    "bpf",
    "mqueue",
    "configfs",
    "pstore",
    "efivarfs",
    "binfmt_misc",
    "fusectl",
];
/// Sockets that give away the host; a folder they lie in directly is not granted.
const CONTROL_SOCKETS: [&str; 12] = [
    "docker.sock",
    "containerd.sock",
    "podman.sock",
    "crio.sock",
    "docker/docker.sock",
    "containerd/containerd.sock",
    "podman/podman.sock",
    "crio/crio.sock",
    "buildkit/buildkitd.sock",
    "k3s/containerd/containerd.sock",
    "dbus/system_bus_socket",
    "systemd/private",
];
/// How many interpreters may stand behind one another (`#!` in a script that `#!` names); Linux takes four.
const INTERPRETERS_MAX: usize = 4;
/// Longest first line of a script; Linux takes 256.
const SHEBANG_BYTES_MAX: u64 = 256;

/// Symbolic links that may be followed on the way to one path; Linux follows no more.
const LINKS_MAX: usize = 40;

/// What appears inside.
#[derive(Default)]
pub(super) struct Sources {
    pub(super) grafts: Vec<Graft>,
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    pub(super) executables: Vec<PathBuf>,
    /// Links that were followed: the path that was asked for, and where the link itself lies.
    followed: Vec<(PathBuf, PathBuf)>,
    /// Where file systems of the kernel are mounted.
    kernel_mounts: BTreeSet<PathBuf>,
}

/// Resolves everything the plan grants, the program and what of the system goes with it. With an image, what is
/// granted only: the rest lies in the image.
pub(super) fn resolve(plan: &Plan) -> Result<Sources, SandboxError> {
    let mut sources = Sources {
        kernel_mounts: kernel_mounts()?,
        ..Sources::default()
    };
    let (any, has_image) = (matches!(plan.programs, Programs::Any), plan.image.is_some());
    if !has_image {
        sources.add_system(any);
    }
    let data = if any && !has_image { Access::Read } else { Access::Data };
    let granted = [
        (&plan.sockets, Access::Socket),
        (&plan.write, Access::Write),
        (&plan.program_files, Access::Read),
        (&plan.read, data),
    ];
    for (paths, access) in granted {
        for path in paths {
            let graft = sources.granted(path, access)?;
            sources.add(graft);
        }
    }
    let program = plan.command.first().map(PathBuf::from).unwrap_or_default();
    if !has_image {
        sources.add_program(&program)?;
    }
    if let Programs::Only(listed) = &plan.programs {
        for program in listed {
            sources.add_program(program)?;
            sources.add_helpers(program);
        }
    }
    sources.refuse_writable_links()?;
    sources.grafts.sort_by_key(|graft| graft.target.components().count());
    Ok(sources)
}

impl Sources {
    /// The system read-only: all of `/usr`, or its libraries only.
    fn add_system(&mut self, programs: bool) {
        let whole = ["/usr"];
        let folders: &[&str] = if programs { &whole } else { &LIBRARY_FOLDERS };
        for folder in folders {
            self.add_if_present(Path::new(folder), Access::System);
        }
        for name in ROOT_FOLDERS {
            let path = Path::new("/").join(name);
            match fs::read_link(&path) {
                Ok(leads_to) => self.links.push((path, leads_to)),
                Err(_not_a_link) if programs || name.starts_with("lib") => self.add_if_present(&path, Access::System),
                Err(_not_a_link) => {}
            }
        }
        for path in CONFIGURATION {
            self.add_if_present(Path::new(path), Access::Configuration);
        }
        if fs::symlink_metadata("/etc/localtime").is_ok_and(|found| found.is_file()) {
            self.add_if_present(Path::new("/etc/localtime"), Access::Configuration);
        }
        for java in fs::read_dir("/etc").into_iter().flatten().flatten() {
            if java.file_name().as_encoded_bytes().starts_with(b"java-") {
                self.add_if_present(&java.path(), Access::Configuration);
            }
        }
        for path in DEVICES {
            self.add_if_present(Path::new(path), Access::Device);
        }
    }

    /// A part of the system that may be absent; then there is nothing to show.
    pub(super) fn add_if_present(&mut self, path: &Path, access: Access) {
        if let Ok((graft, _links)) = resolved(path, access) {
            self.add(graft);
        }
    }

    /// Resolves and judges a path of the plan.
    fn granted(&mut self, path: &Path, access: Access) -> Result<Graft, SandboxError> {
        let (graft, links) = resolved(path, access)?;
        judge(&graft, &self.kernel_mounts)?;
        self.followed
            .extend(links.into_iter().map(|link| (path.to_path_buf(), link)));
        Ok(graft)
    }

    /// Refuses what was reached by a link in a folder granted for writing: the program of an earlier start may
    /// have left it there to be shown more in the next.
    fn refuse_writable_links(&self) -> Result<(), SandboxError> {
        for (path, link) in &self.followed {
            let holds = |graft: &&Graft| graft.access == Access::Write && link.starts_with(&graft.source);
            if let Some(writable) = self.grafts.iter().find(holds) {
                let (link, folder) = (link.display(), writable.target.display());
                return Err(SandboxError::SourceForbidden {
                    path: path.clone(),
                    reason: format!(
                        "the symbolic link `{link}` on the way to it lies in `{folder}`, which is granted for writing"
                    ),
                });
            }
        }
        Ok(())
    }

    /// Adds a graft, unless the same place has one already (writing was added before reading).
    fn add(&mut self, mut graft: Graft) {
        graft.target = self.behind_links(&graft.target);
        let is_read = matches!(graft.access, Access::Read | Access::Data);
        let shown_by_system = is_read && self.is_within(&graft.target, Access::System);
        if !shown_by_system && self.grafts.iter().all(|other| other.target != graft.target) {
            self.grafts.push(graft);
        }
    }

    /// A program with the interpreters it names and the loader they need: visible, and executable.
    fn add_program(&mut self, program: &Path) -> Result<(), SandboxError> {
        let mut next = Some(program.to_path_buf());
        for _ in 0..=INTERPRETERS_MAX {
            let Some(path) = next else { return Ok(()) };
            let mut graft = self.granted(&path, Access::System)?;
            if !graft.source.starts_with("/usr") {
                // Somebody's own: shown as what is granted is, with its owner mapped.
                graft.access = Access::Read;
            }
            let mut start = Vec::new();
            let opened = fs::File::open(&graft.source);
            let read = opened.and_then(|file| file.take(SHEBANG_BYTES_MAX).read_to_end(&mut start));
            read.map_err(|error| source_error(&path, &error))?;
            next = interpreter(&start).or_else(|| elf::loader(&graft.source));
            self.executables.push(path.clone());
            if !self.is_visible(&path, &graft.source) || self.is_data(&path) {
                self.grafts
                    .retain(|other| other.target != graft.target || other.access != Access::Data);
                self.add(graft);
            }
        }
        Ok(())
    }

    /// The folder of helpers that a program of the system keeps for itself, as `git` does in `git-core`: it looks
    /// there first, and gives up when it may not execute what it finds.
    fn add_helpers(&mut self, program: &Path) {
        let (Some(name), Some(prefix)) = (program.file_name(), program.parent().and_then(Path::parent)) else {
            return;
        };
        if !prefix.starts_with("/usr") {
            return;
        }
        let mut folder = name.to_owned();
        folder.push("-core");
        for place in ["lib", "libexec"] {
            let helpers = prefix.join(place).join(&folder);
            if helpers.is_dir() {
                self.add_if_present(&helpers, Access::System);
                self.executables.push(helpers);
            }
        }
    }

    /// Whether a path already leads inside to what it leads to here.
    fn is_visible(&self, path: &Path, source: &Path) -> bool {
        let within = |path: &Path| {
            let path = self.behind_links(path);
            self.grafts.iter().any(|graft| path.starts_with(&graft.target))
        };
        within(path) && within(source)
    }

    /// Whether what a path shows inside is data, by the innermost graft it lies in.
    fn is_data(&self, path: &Path) -> bool {
        let path = self.behind_links(path);
        let around = self.grafts.iter().filter(|graft| path.starts_with(&graft.target));
        let innermost = around.max_by_key(|graft| graft.target.components().count());
        innermost.is_some_and(|graft| graft.access == Access::Data)
    }

    fn is_within(&self, path: &Path, access: Access) -> bool {
        self.grafts
            .iter()
            .any(|graft| graft.access == access && path.starts_with(&graft.target))
    }

    /// A path with a link of the root at its start replaced by what it leads to.
    fn behind_links(&self, path: &Path) -> PathBuf {
        let through = |(link, leads_to): &(PathBuf, PathBuf)| {
            Some(Path::new("/").join(leads_to).join(path.strip_prefix(link).ok()?))
        };
        self.links
            .iter()
            .find_map(through)
            .unwrap_or_else(|| path.to_path_buf())
    }
}

/// Resolves one path: symbolic links are followed now and never again. Gives the links as well.
pub(super) fn resolved(path: &Path, access: Access) -> Result<(Graft, Vec<PathBuf>), SandboxError> {
    let (source, links, found) = found(path).map_err(|error| source_error(path, &error))?;
    let forbidden = |reason: &str| SandboxError::SourceForbidden {
        path: path.to_path_buf(),
        reason: reason.to_owned(),
    };
    if source.to_str().is_none() {
        return Err(forbidden("it leads to a path that is not UTF-8"));
    }
    let kind = found.file_type();
    if access == Access::Socket && !kind.is_socket() {
        return Err(forbidden("it is not a socket"));
    }
    if !kind.is_dir() && !kind.is_file() && !matches!(access, Access::Device | Access::Socket) {
        let what = if kind.is_socket() {
            "it is a socket"
        } else {
            "it is neither a file nor a folder"
        };
        return Err(forbidden(what));
    }
    let graft = Graft {
        // Without doubled and trailing slashes.
        target: path.components().collect(),
        source,
        identity: (found.dev(), found.ino()),
        owner: (found.uid(), found.gid()),
        is_folder: kind.is_dir(),
        access,
    };
    Ok((graft, links))
}

/// Where a path leads, by which links, and what is there.
fn found(path: &Path) -> io::Result<(PathBuf, Vec<PathBuf>, fs::Metadata)> {
    // Most paths have no links on the way, which the kernel says in one call. What it says otherwise is found out part by part.
    let has_turns = path.components().any(|part| part == Component::ParentDir);
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let open = || openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve);
    match (!has_turns && path.is_absolute()).then(open) {
        Some(Ok(there)) => {
            let found = fs::File::from(there).metadata()?;
            Ok((path.components().collect(), Vec::new(), found))
        }
        Some(Err(Errno::NOENT)) => Err(Errno::NOENT.into()),
        _ => {
            let (source, links) = follow(path)?;
            let found = fs::symlink_metadata(&source)?;
            Ok((source, links, found))
        }
    }
}

/// Where a path leads, and where every symbolic link on the way lies, each as a path without links.
fn follow(path: &Path) -> io::Result<(PathBuf, Vec<PathBuf>)> {
    let parts = |path: &Path| -> Vec<OsString> {
        path.components()
            .rev()
            .map(|part| part.as_os_str().to_owned())
            .collect()
    };
    let (mut at, mut links, mut ahead) = (PathBuf::from("/"), Vec::new(), parts(path));
    while let Some(part) = ahead.pop() {
        if part == "/" {
            at = PathBuf::from("/");
            continue;
        }
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(&part);
        match fs::read_link(&next) {
            Ok(leads_to) => {
                links.push(next);
                if links.len() > LINKS_MAX {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                ahead.extend(parts(&leads_to));
            }
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => at = next,
            Err(error) => return Err(error),
        }
    }
    Ok((at, links))
}

pub(super) fn source_error(path: &Path, error: &io::Error) -> SandboxError {
    SandboxError::Source {
        path: path.to_path_buf(),
        errno: error.raw_os_error().unwrap_or(0),
    }
}

/// Refuses what must never be granted, by where it is wanted and by where it really lies.
fn judge(graft: &Graft, kernel_mounts: &BTreeSet<PathBuf>) -> Result<(), SandboxError> {
    let forbidden = |reason: String| {
        Err(SandboxError::SourceForbidden {
            path: graft.target.clone(),
            reason,
        })
    };
    for path in [&graft.source, &graft.target] {
        if path.parent().is_none() {
            return forbidden("it is the whole host".to_owned());
        }
        if let Some(window) = ["/proc", "/sys", "/dev"].iter().find(|window| path.starts_with(window)) {
            return forbidden(format!("`{window}` is a window into the kernel"));
        }
        if graft.access == Access::Socket && CONTROL_SOCKETS.iter().any(|name| path.ends_with(name)) {
            return forbidden("it gives control of the host".to_owned());
        }
        if ["/run", "/var/run", "/boot", "/lost+found"]
            .iter()
            .any(|folder| path == Path::new(folder))
        {
            return forbidden("it holds what runs the host".to_owned());
        }
    }
    if Path::new(HOME).starts_with(&graft.target) {
        return forbidden(format!("the compartment's own home `{HOME}` lies there"));
    }
    if let Some(mount) = kernel_mounts.iter().find(|mount| mount.starts_with(&graft.source)) {
        return forbidden(format!("`{}` in it is a window into the kernel", mount.display()));
    }
    if !graft.is_folder {
        return Ok(());
    }
    let is_socket =
        |name: &&&str| fs::symlink_metadata(graft.source.join(name)).is_ok_and(|found| found.file_type().is_socket());
    if let Some(name) = CONTROL_SOCKETS.iter().find(is_socket) {
        return forbidden(format!("`{name}` in it gives control of the host"));
    }
    Ok(())
}

/// Where file systems of the kernel are mounted here.
fn kernel_mounts() -> Result<BTreeSet<PathBuf>, SandboxError> {
    let table = "/proc/self/mountinfo";
    let text = fs::read_to_string(table).map_err(|error| SandboxError::Measure {
        what: table.to_owned(),
        errno: error.raw_os_error().unwrap_or(0),
    })?;
    let mounts = text.lines().filter_map(super::mountinfo::parse);
    Ok(mounts
        .filter(|mount| KERNEL_FILE_SYSTEMS.contains(&mount.kind.as_str()))
        .map(|mount| mount.path)
        .collect())
}

/// The interpreter that the first line of a script names.
fn interpreter(start: &[u8]) -> Option<PathBuf> {
    let line = start.strip_prefix(b"#!")?;
    let line = line.split(|byte| *byte == b'\n').next()?;
    let words = std::str::from_utf8(line).ok()?;
    words.split_whitespace().next().map(PathBuf::from)
}

#[cfg(test)]
#[path = "sources_tests.rs"]
mod tests;
