//! Driving compartments from tests, as root and as an ordinary user.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cofferdam_sandbox::{Enforced, Plan, Programs};
use tempfile::TempDir;

/// The ordinary user that root's tests become.
pub(crate) const ORDINARY: u32 = 1001;

/// Who launches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Root,
    Ordinary,
}

/// Everybody this test can be: both when it runs as root, and otherwise whoever runs it.
pub(crate) fn everybody() -> Vec<Caller> {
    if is_root() {
        vec![Caller::Root, Caller::Ordinary]
    } else {
        vec![Caller::Ordinary]
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Tests of what only root can do say so and fail when they cannot be run.
pub(crate) fn require_root() {
    assert!(
        is_root(),
        "this test needs root: it is about what root's compartments do"
    );
}

/// A driver at work, ended with the test however that ends.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Kills the driver as nothing else could.
    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended before.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// A folder everybody can enter, with the programs the tests use, and room for plans and grants.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    caller: Caller,
}

/// How a driven program ended, and what was enforced on it.
pub(crate) struct Driven {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) enforced: Option<Enforced>,
}

impl Bench {
    pub(crate) fn new(caller: Caller) -> Self {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        for name in ["drive", "probe"] {
            let built = examples().join(name);
            assert!(
                built.is_file(),
                "`{}` is not built: cargo build --examples",
                built.display()
            );
            fs::copy(&built, folder.path().join(name)).unwrap();
        }
        Self { folder, caller }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new folder that belongs to the caller.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        self.give(&path);
        path
    }

    /// A new file that belongs to the caller.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        self.give(&path);
        path
    }

    fn give(&self, path: &Path) {
        if is_root() && self.caller == Caller::Ordinary {
            std::os::unix::fs::chown(path, Some(ORDINARY), Some(ORDINARY)).unwrap();
        }
    }

    /// A plan for the probe program, with the system's programs in sight: most tests use some.
    pub(crate) fn probe(&self, arguments: &[&str]) -> Plan {
        let program = self.path("probe");
        let mut plan = Plan::sealed(program.to_str().unwrap());
        plan.programs = Programs::Any;
        plan.command
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        plan
    }

    /// The driver with a plan, not yet started.
    pub(crate) fn command(&self, plan: &Plan) -> Command {
        let order = self.path("plan.json");
        fs::write(&order, serde_json::to_vec(plan).unwrap()).unwrap();
        let enforced = self.path("enforced.json");
        fs::write(&enforced, "").unwrap();
        self.give(&enforced);
        let drive = self.path("drive");
        let mut command = match self.caller {
            Caller::Ordinary => as_ordinary(&drive),
            Caller::Root => Command::new(drive),
        };
        command.arg(order).arg(enforced);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The other half of a pair: what the probe says outside, where nothing but the ordinary user's rights bounds it.
    pub(crate) fn says_outside(&self, arguments: &[&str]) -> String {
        said(as_ordinary(&self.path("probe")).args(arguments))
    }

    /// The same in a throw-away user namespace, as its root: never as root of this machine.
    pub(crate) fn says_as_root_of_nothing(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork"]);
        command.args(["--mount-proc", "--net", "--uts", "--ipc"]);
        said(command.arg(self.path("probe")).args(arguments))
    }

    /// Drives a plan to its end.
    pub(crate) fn drive(&self, plan: &Plan) -> Driven {
        self.driven(self.command(plan).output().unwrap())
    }

    fn driven(&self, output: Output) -> Driven {
        Driven {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            enforced: self.enforced(),
        }
    }

    /// What the driver wrote down, once it has.
    pub(crate) fn enforced(&self) -> Option<Enforced> {
        serde_json::from_slice(&fs::read(self.path("enforced.json")).unwrap()).ok()
    }

    /// Starts a plan and waits until its program has written its first line.
    pub(crate) fn start(&self, plan: &Plan) -> (Running, Enforced) {
        self.start_command(self.command(plan))
    }

    /// The same for a driver that was changed meanwhile.
    pub(crate) fn start_command(&self, mut command: Command) -> (Running, Enforced) {
        let mut driver = Running(command.spawn().unwrap());
        let mut byte = [0];
        while byte != [b'\n'] {
            let count = driver.0.stdout.as_mut().unwrap().read(&mut byte).unwrap();
            assert_eq!(count, 1, "the program did not start");
        }
        let enforced = self.enforced().unwrap();
        (driver, enforced)
    }

    /// What the probe says, without the last line break; the program must have started.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        self.says_with(arguments, |_| {})
    }

    pub(crate) fn says_with(&self, arguments: &[&str], change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = self.probe(arguments);
        change(&mut plan);
        let driven = self.drive(&plan);
        assert_eq!(
            driven.code, 0,
            "{:?} {arguments:?}: {}{}",
            self.caller, driven.stdout, driven.stderr
        );
        driven.stdout.trim_end().to_owned()
    }
}

/// A program as an ordinary user, outside any compartment.
pub(crate) fn as_ordinary(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let id = ORDINARY.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    command.arg(program);
    command
}

/// What a command that ends well prints, without the last line break.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}{complaint}", output.status);
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Where cargo puts examples: beside the folder of this test's own program.
fn examples() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("examples")
}

pub(crate) fn open_to_all(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Processes whose process table is the compartment's, by number on this side.
pub(crate) fn processes_of(enforced: &Enforced) -> Vec<i32> {
    let table = enforced
        .namespaces
        .iter()
        .find(|namespace| namespace.kind == "pid")
        .unwrap();
    let wanted = format!("pid:[{}]", table.inode);
    let is_inside =
        |pid: &i32| fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| link.as_os_str() == wanted.as_str());
    // One that has ended and waits to be reaped runs no more; whose turn that is depends on the machine.
    let runs = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(is_inside).filter(runs).collect()
}

/// Waits until something holds, and says how long that took; none when it never does.
pub(crate) fn eventually(limit: Duration, holds: impl Fn() -> bool) -> Option<Duration> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if holds() {
            return Some(start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}
