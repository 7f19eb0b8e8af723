//! Installs the real MCP servers, clients and suites that the tests drive, at exact versions with integrity hashes.
//!
//! Each set is installed once for each content of its lock file: a copy of the lock file, written last, marks a
//! complete install, so a half-done one is done again and a complete one costs a file comparison.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::workspace::Workspace;

/// A real server that is linked statically, of the kind that no library can be put under.
const GO_SERVER: &str = "node_modules/kubernetes-mcp-server-linux-amd64/bin/kubernetes-mcp-server-linux-amd64";

/// Installs what is missing under `target/servers`, a folder for each set.
///
/// # Errors
/// npm, python3, pip, apt-get or dpkg-deb is missing or fails, or the target folder cannot be written.
pub(crate) fn install(workspace: &Workspace) -> Result<()> {
    let (locks, servers) = (workspace.root().join("tests/servers"), workspace.servers());
    let sdk = "node_modules/@modelcontextprotocol/sdk/package.json";
    install_all(
        &servers,
        &[
            // The servers apart from the rest: all that lies beside a server is part of its program, which the gate reads whole.
            Set::node(&locks, &servers, ("node", sdk)),
            Set::node(&locks, &servers, ("clients", sdk)),
            Set::node(&locks, &servers, ("vulnerable", sdk)),
            Set::node(&locks, &servers, ("go", GO_SERVER)),
            Set::python(&locks, &servers, "python"),
            Set::python(&locks, &servers, "fetch"),
            Set::python(&locks, &servers, "uv"),
            Set::python(&locks, &servers, "vulnerable-python"),
            // Who the record is shipped to.
            Set::python(&locks, &servers, "collectors"),
            Set::debian(&locks, &servers, ("rsyslog", "usr/sbin/rsyslogd")),
            // What lets the disk fail under who keeps the record.
            Set::debian(&locks, &servers, ("strace", "usr/bin/strace")),
            // Who makes containers.
            Set::debian(&locks, &servers, ("podman", "usr/bin/podman")),
            // What the browser profile is for.
            Set::debian(&locks, &servers, ("chromium", "usr/lib/chromium/chromium")),
        ],
    )
}

/// Installs the servers of `cargo xtask compat` that are missing under `target/servers/compat`, a folder for each set.
///
/// # Errors
/// As [`install`].
pub(crate) fn install_compat(workspace: &Workspace) -> Result<()> {
    let servers = workspace.servers().join("compat");
    let locks = workspace.root().join("tests/servers/compat");
    install_all(
        &servers,
        &[
            Set::node(
                &locks,
                &servers,
                (
                    "node",
                    "node_modules/@modelcontextprotocol/server-everything/package.json",
                ),
            ),
            Set::python(&locks, &servers, "python"),
            Set::python(&locks, &servers, "python-mcp1"),
        ],
    )
}

/// Fills one virtual environment under `places` from the lock file in the folder `name` of `locks`.
///
/// # Errors
/// As [`install`].
pub(crate) fn install_python_set(locks: &Path, places: &Path, name: &str) -> Result<()> {
    install_all(places, &[Set::python(locks, places, name)])
}

/// The version of `package` that the requirements in `lock` install.
///
/// # Errors
/// The file cannot be read or does not have it.
pub(crate) fn locked_python_version(lock: &Path, package: &str) -> Result<String> {
    let text = fs::read_to_string(lock).with_context(|| format!("cannot read `{}`", lock.display()))?;
    let pinned = text.lines().filter_map(|line| line.split_once("=="));
    let version = pinned
        .filter(|(name, _)| *name == package)
        .find_map(|(_, rest)| rest.split_whitespace().next());
    version
        .map(str::to_owned)
        .with_context(|| format!("`{}` does not have `{package}`", lock.display()))
}

fn install_all(places: &Path, sets: &[Set]) -> Result<()> {
    fs::create_dir_all(places).with_context(|| format!("cannot create `{}`", places.display()))?;
    // Two runs at once (two terminals, an editor) must not install over each other.
    let alone = File::create(places.join(".installing"))?;
    alone.lock().context("cannot wait for another install")?;
    sets.iter().try_for_each(Set::install_once)
}

/// One lock file and the folder that it fills.
struct Set {
    /// The folder in the repository that holds the lock file.
    locks: PathBuf,
    /// The lock file's name.
    lock: &'static str,
    /// The folder that is filled.
    place: PathBuf,
    /// A file of the install, whose absence shows that it was removed or has died.
    witness: &'static str,
    install: fn(&Self) -> Result<()>,
}

impl Set {
    /// The npm packages of `locks/NAME`, in `places/NAME`.
    fn node(locks: &Path, places: &Path, (name, witness): (&str, &'static str)) -> Self {
        Self {
            locks: locks.join(name),
            lock: "package-lock.json",
            place: places.join(name),
            witness,
            install: install_node,
        }
    }

    /// The Python packages of `locks/NAME`, in a virtual environment `places/NAME`.
    fn python(locks: &Path, places: &Path, name: &str) -> Self {
        Self {
            locks: locks.join(name),
            lock: "requirements.txt",
            place: places.join(name),
            witness: "bin/python",
            install: install_python,
        }
    }

    /// The Debian packages of `locks/NAME`, unpacked in `places/NAME`: nothing of the system changes.
    fn debian(locks: &Path, places: &Path, (name, witness): (&str, &'static str)) -> Self {
        Self {
            locks: locks.join(name),
            lock: "packages.txt",
            place: places.join(name),
            witness,
            install: install_debian,
        }
    }

    /// Installs unless the marker equals the lock file and the witness can still be read: a virtual environment dies
    /// with the interpreter it was made from.
    fn install_once(&self) -> Result<()> {
        let source = self.locks.join(self.lock);
        let wanted = fs::read(&source).with_context(|| format!("cannot read `{}`", source.display()))?;
        let marker = self.place.with_extension("lock");
        let complete = fs::read(&marker).is_ok_and(|installed| installed == wanted);
        if complete && self.place.join(self.witness).exists() {
            return Ok(());
        }
        remove_if_there(&marker)?;
        if self.place.exists() {
            fs::remove_dir_all(&self.place).with_context(|| format!("cannot remove `{}`", self.place.display()))?;
        }
        (self.install)(self)?;
        fs::write(&marker, wanted).with_context(|| format!("cannot write `{}`", marker.display()))
    }

    fn lock_file(&self) -> PathBuf {
        self.locks.join(self.lock)
    }
}

/// `npm ci` beside the final place, then one rename. Install scripts never run.
fn install_node(set: &Set) -> Result<()> {
    let partial = set.place.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    for name in ["package.json", "package-lock.json"] {
        fs::copy(set.locks.join(name), partial.join(name)).with_context(|| format!("cannot copy `{name}`"))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .current_dir(&partial);
    command::run(&mut npm)?;
    fs::rename(&partial, &set.place).context("cannot move the finished install to its place")
}

/// A virtual environment in its final place (it embeds its own path), filled from wheels with known hashes only.
fn install_python(set: &Set) -> Result<()> {
    command::run(Command::new("python3").args(["-m", "venv"]).arg(&set.place))?;
    let mut pip = Command::new(set.place.join("bin/python"));
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--disable-pip-version-check",
    ]);
    pip.args(["--require-hashes", "--only-binary=:all:", "--no-deps", "--requirement"])
        .arg(set.lock_file());
    command::run(&mut pip)
}

/// `apt-get download` as any user, and each package unpacked beside the final place, then one rename.
fn install_debian(set: &Set) -> Result<()> {
    let partial = set.place.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let debs = partial.join("debs");
    for folder in ["debs", "apt/state/lists/partial", "apt/cache/archives/partial"] {
        fs::create_dir_all(partial.join(folder))?;
    }
    let packages = fs::read_to_string(set.lock_file())?;
    let names = packages.lines().filter(|line| !line.starts_with('#'));
    let own = |folder: &str, place: &str| format!("Dir::{folder}={}", partial.join("apt").join(place).display());
    // A package list of our own: the system's may be missing, old, or not ours to write.
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.args(["-q", "-o", &own("State", "state"), "-o", &own("Cache", "cache")]);
        apt.args([
            "-o",
            "Dir::State::status=/var/lib/dpkg/status",
            "-o",
            "APT::Sandbox::User=",
        ]);
        apt.current_dir(&debs);
        apt
    };
    command::run(apt().arg("update"))?;
    command::run(apt().arg("download").args(names))?;
    for package in fs::read_dir(&debs)? {
        let mut unpack = Command::new("dpkg-deb");
        command::run(unpack.arg("-x").arg(package?.path()).arg(&partial))?;
    }
    fs::rename(&partial, &set.place).context("cannot move the finished install to its place")
}

fn remove_if_there(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", file.display()))
        }
        _ => Ok(()),
    }
}
