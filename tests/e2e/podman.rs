//! A real podman for tests, as root and as an ordinary user, in a mount namespace of its own: what `cargo xtask servers` unpacked
//! lies over this system there, and its images and containers lie in the test's folder.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::driven::installed;
use crate::support::{ALL_RECORDS, Conversation, STUCK, fixture, listed, text};

/// The ordinary user: has a line in the passwd file of the namespace, and a range of users of its own.
const USER: u32 = 64_321;
const RANGE: u32 = 1_500_000_000;

/// Who runs the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    User,
}

/// A machine with podman on it.
pub(crate) struct Bench {
    folder: TempDir,
    who: Who,
    /// Holds the mount namespace.
    holder: Child,
}

/// What makes the namespace: podman over the system, users, folders of the test's for what would lie about, and no control groups of
/// version 2 that are of no use, over which crun stumbles.
const ENTER: &str = r#"set -e
mount -t overlay overlay -o "lowerdir=$1/etc:$2/etc:/etc" /etc
mount -t overlay overlay -o "lowerdir=$2/usr:/usr" /usr
if [ -d /sys/fs/cgroup/unified ]; then mount -t tmpfs tmpfs /sys/fs/cgroup/unified; fi
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs tmpfs /var/lib
mkdir -p "/run/user/$3"
mount --bind "$1/runtime" "/run/user/$3"
echo ready
exec sleep 100000
"#;

impl Bench {
    pub(crate) fn new(who: Who) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "tests of containers make users and mounts in a namespace of their own: run them as root"
        );
        let unpacked = Path::new(&installed("podman/usr/bin/podman"))
            .ancestors()
            .nth(3)
            .unwrap()
            .to_owned();
        let folder = tempfile::Builder::new().prefix("cofferdam-oci-").tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in [
            "etc/containers",
            "home/gate",
            "runtime",
            "storage",
            "images",
            "workspace",
        ] {
            std::fs::create_dir_all(path(name)).unwrap();
        }
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["home/gate", "runtime"] {
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        Self::write_system(folder.path());
        if who == Who::User {
            for name in ["home", "home/gate", "runtime", "workspace"] {
                nix::unistd::chown(&path(name), Some(USER.into()), Some(USER.into())).unwrap();
            }
        }
        let number = if who == Who::User { USER } else { 0 };
        let mut holder = Command::new("unshare");
        holder.args(["--mount", "--propagation", "private", "sh", "-c", ENTER, "enter"]);
        holder.arg(folder.path()).arg(&unpacked).arg(number.to_string());
        let mut holder = holder.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        let read = std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut ready);
        read.unwrap_or_else(|cause| panic!("the namespace for podman cannot be made: {cause}"));
        Self { folder, who, holder }
    }

    /// What the namespace's `/etc` has more than this system's.
    fn write_system(folder: &Path) {
        let etc = folder.join("etc");
        let with = |name: &str, line: &str| {
            let own = std::fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
            std::fs::write(etc.join(name), format!("{own}{line}\n")).unwrap();
        };
        let home = folder.join("home");
        with("passwd", &format!("boat:x:{USER}:{USER}::{}:/bin/sh", home.display()));
        with("group", &format!("boat:x:{USER}:"));
        with("hosts", crate::egress::NAMES);
        with("subuid", &format!("boat:{RANGE}:65536"));
        with("subgid", &format!("boat:{RANGE}:65536"));
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/storage\"\nrunroot = \"/run/containers\"\n",
            folder.display()
        );
        std::fs::write(etc.join("containers/storage.conf"), storage).unwrap();
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home/gate")
    }

    /// A command of this user in the namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id()));
        if self.who == Who::User {
            let user = USER.to_string();
            command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        command
            .arg(program)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .stdin(Stdio::null());
        if self.who == Who::User {
            command.env("HOME", self.folder.path().join("home"));
        }
        command
    }

    /// The gate.
    pub(crate) fn gate(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_cofferdam"));
        command.arg("--home").arg(self.home()).args(arguments);
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.gate(arguments).output().unwrap()
    }

    pub(crate) fn converse(&self, name: &str) -> Conversation {
        let mut gate = Conversation::with(self.gate(&["run", name]));
        gate.initialize("2025-11-25");
        gate.request("tools/list", serde_json::json!({}));
        gate
    }

    pub(crate) fn podman(&self, arguments: &[&str]) -> String {
        let done = self.command("podman").args(arguments).output().unwrap();
        assert!(done.status.success(), "podman {arguments:?}: {}", text(&done.stderr));
        text(&done.stdout).trim().to_owned()
    }

    /// Builds an image out of nothing: these programs with their libraries at `/usr/bin`, and what `more` puts beside them. Gives its
    /// pinned reference.
    pub(crate) fn image(&self, name: &str, programs: &[&str], instructions: &str, more: impl FnOnce(&Path)) -> String {
        let context = self.folder.path().join("images").join(name);
        let root = context.join("root");
        for folder in ["usr/bin", "usr/lib64", "usr/lib/x86_64-linux-gnu", "etc"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for (link, leads_to) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")] {
            std::os::unix::fs::symlink(leads_to, root.join(link)).unwrap();
        }
        for program in programs {
            let program = std::fs::canonicalize(program).unwrap();
            copy_with_libraries(&program, &root);
        }
        more(&root);
        std::fs::write(
            context.join("Containerfile"),
            format!("FROM scratch\nADD root /\n{instructions}"),
        )
        .unwrap();
        let tag = format!("localhost/{name}:1");
        self.podman(&[
            "build",
            "--quiet",
            "--format=docker",
            "--network=none",
            "-t",
            &tag,
            context.to_str().unwrap(),
        ]);
        let digest = self.podman(&["image", "inspect", "--format", "{{.Digest}}", &tag]);
        format!("localhost/{name}@{digest}")
    }

    /// An image that has the fixture server for its entry point.
    pub(crate) fn fixture_image(&self) -> String {
        let instructions = "ENTRYPOINT [\"fixture_server\"]\n";
        self.image("fixture", &[&fixture()], instructions, |_| {})
    }

    /// Adds a server, and permits every call.
    pub(crate) fn add(&self, name: &str, options: &[&str], command: &[&str]) -> Output {
        let policy = self.home().join("config/policy/default.cedar");
        let made = self
            .command("sh")
            .args(["-c", "umask 077; mkdir -p \"${1%/*}\"; echo \"$2\" > \"$1\"", "sh"])
            .arg(&policy)
            .arg("permit(principal, action, resource);")
            .status()
            .unwrap();
        assert!(made.success());
        self.run(&[&["add", name, "--yes"], options, &["--"], command].concat())
    }

    /// Every record, oldest session first.
    pub(crate) fn records(&self) -> Vec<Value> {
        listed(&self.run(&ALL_RECORDS))
    }

    /// What was measured on the last server that started.
    pub(crate) fn enforced(&self) -> Value {
        let records = self.records();
        let last = records.iter().rfind(|record| record["kind"] == "enforcement");
        last.unwrap_or_else(|| panic!("{records:?}"))["facts"].clone()
    }

    /// Containers in podman's list, however they are. podman refuses to list while one of them is being taken away: then it is asked
    /// again.
    pub(crate) fn containers(&self) -> Vec<String> {
        let began = Instant::now();
        loop {
            let arguments = ["ps", "--all", "--quiet", "--external"];
            let listed = self.command("podman").args(arguments).output().unwrap();
            if listed.status.success() {
                return text(&listed.stdout).lines().map(str::to_owned).collect();
            }
            let fault = text(&listed.stderr);
            let going = ["container not known", "no such container"]
                .iter()
                .any(|it| fault.contains(it));
            assert!(going && began.elapsed() < STUCK, "podman {arguments:?}: {fault}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A program with the libraries that it lists, at the same places.
fn copy_with_libraries(program: &Path, root: &Path) {
    std::fs::copy(program, root.join("usr/bin").join(program.file_name().unwrap())).unwrap();
    let listed = Command::new("ldd").arg(program).output().unwrap();
    for word in text(&listed.stdout)
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
    {
        let inside = root.join(word.trim_start_matches('/'));
        if !inside.exists() {
            std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
            std::fs::copy(word, inside).unwrap();
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Rootless podman leaves a process that holds its user namespace.
        let pause = self.folder.path().join("runtime/libpod/tmp/pause.pid");
        if let Some(pid) = std::fs::read_to_string(pause)
            .ok()
            .and_then(|pid| pid.trim().parse().ok())
        {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        // Ours, and possibly gone already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
