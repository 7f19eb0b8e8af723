//! The plan of a compartment: everything one process may have.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Feature, Image, Masks, NAMES_PORT, PORTS_MAX, SandboxError, Tier};

/// The home folder inside every compartment: private, empty, forgotten at the end.
pub const HOME: &str = "/home/sandbox";

/// Most arguments and variables together that a plan may carry.
const STRINGS_MAX: usize = 4096;
/// Most bytes of arguments and variables together: half of what Linux takes at the default stack limit.
const STRING_BYTES_MAX: usize = 1 << 20;
/// Most paths that may be granted.
const GRANTS_MAX: usize = 1024;
/// Longest host name Linux takes.
const HOSTNAME_BYTES_MAX: usize = 64;

/// Everything one process may have; what is not listed here, it has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The argument vector. The first is the absolute path of the program, which is always readable and
    /// executable inside, with its interpreter and its loader.
    pub command: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub environment: Vec<(String, String)>,
    /// The working directory, as a path inside.
    pub directory: PathBuf,
    /// Files and folders that the program consists of: read-only, and libraries in them can be loaded.
    pub program_files: Vec<PathBuf>,
    /// Files and folders granted read-only. Absolute; symbolic links are resolved once, at launch, and what
    /// they led to then is what appears at the path given here. They are data: where only listed programs may
    /// run, nothing in them can be executed or loaded.
    pub read: Vec<PathBuf>,
    /// Files and folders granted for reading and writing; never for executing.
    pub write: Vec<PathBuf>,
    /// UNIX sockets that may be connected to. Without one, none can be made; with one, sockets that lie in granted
    /// folders are masked, since any socket in sight could be connected to.
    pub sockets: Vec<PathBuf>,
    /// What is not readable in what is granted.
    pub masks: Masks,
    /// What may be executed besides the program itself.
    pub programs: Programs,
    /// What it may use up.
    pub limits: Limits,
    /// The host name inside.
    pub hostname: String,
    /// Whether files in `/tmp` and [`HOME`] may be executed (some runtimes unpack libraries there).
    pub executable_tmp: bool,
    /// Whether it is or starts a browser, which confines its own processes: inside, user, process and network
    /// namespaces can be made (no mounts), filters for system calls stacked, and UNIX sockets made in `/tmp` and
    /// [`HOME`]. [`Feature::NoUserNamespaces`] does not hold then.
    #[serde(default)]
    pub browser: bool,
    /// Whether TCP works on the compartment's own loopback interface: between processes inside, and to nothing
    /// else, since the network namespace has no other interface.
    pub loopback: bool,
    /// TCP ports whose connections, to whatever address, are accepted by the holder of the compartment's
    /// [`crate::Doors`]; questions for names are then as well. Empty: no network at all.
    pub ports: Vec<u16>,
    /// Features without which the program must not start.
    pub require: Vec<Feature>,
    /// The image whose files are the system inside, instead of this one's. All of it may be executed, so
    /// [`Programs::Only`] and [`Self::program_files`] do not go with it.
    #[serde(default)]
    pub image: Option<Image>,
    /// Whether it has namespaces. Without, paths are the host's own, [`HOME`] and `/tmp` are folders made for this run, and
    /// nothing of a network, a socket, a browser or an image goes with it.
    #[serde(default)]
    pub tier: Tier,
}

/// What may be executed besides the program itself, its interpreter and the dynamic loader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Programs {
    /// Whatever can be read and does not lie in a writable place.
    Any,
    /// These files only; `/usr` then shows its libraries and these, and no other program. Helpers that a listed
    /// program keeps for itself (`git` in `/usr/lib/git-core`) come with it.
    Only(Vec<PathBuf>),
}

/// What a compartment may use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of all processes and private files together, in bytes. Needs a control group: where none can
    /// be made, [`crate::Enforced::not_enforced`] says so, and each process is held to it on its own.
    pub memory_bytes: u64,
    /// Processes and threads together.
    pub processes: u64,
    /// Open descriptors of each process.
    pub open_files: u64,
    /// Size of any one file written, in bytes.
    pub file_bytes: u64,
    /// Size of the private `/tmp`, [`HOME`] and `/dev/shm` together, in bytes.
    pub disk_bytes: u64,
    /// Files and folders in them together.
    pub inodes: u64,
    /// Processor time in percent of one processor. Needs a control group, as memory does.
    pub cpu_percent: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 2 << 30,
            processes: 256,
            open_files: 1024,
            file_bytes: 1 << 30,
            disk_bytes: 512 << 20,
            inodes: 65_536,
            cpu_percent: None,
        }
    }
}

impl Plan {
    /// The sealed default for one program without arguments: no host files but the system's libraries, no other
    /// program, no network, nothing in the environment but the folders inside, [`Feature::DEFAULT_REQUIRED`].
    #[must_use]
    pub fn sealed(program: &str) -> Self {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            command: vec![program.to_owned()],
            environment: vec![
                variable("HOME", HOME),
                variable("TMPDIR", "/tmp"),
                variable("PATH", "/usr/local/bin:/usr/bin:/bin"),
                variable("LANG", "C.UTF-8"),
            ],
            directory: PathBuf::from(HOME),
            program_files: Vec::new(),
            read: Vec::new(),
            write: Vec::new(),
            sockets: Vec::new(),
            masks: Masks::default(),
            programs: Programs::Only(Vec::new()),
            limits: Limits::default(),
            hostname: "compartment".to_owned(),
            executable_tmp: false,
            browser: false,
            loopback: false,
            ports: Vec::new(),
            require: Feature::DEFAULT_REQUIRED.to_vec(),
            image: None,
            tier: Tier::Sealed,
        }
    }

    /// Gives up the namespaces: what is required is what the tier without them can have.
    pub fn give_up_namespaces(&mut self) {
        self.tier = Tier::Landlocked;
        let given_up = |feature: &Feature| {
            let was_required = Feature::DEFAULT_REQUIRED.contains(feature) || *feature == Feature::ProgramWalls;
            was_required && !Tier::Landlocked.required().contains(feature)
        };
        self.require.retain(|feature| !given_up(feature));
        for feature in Tier::Landlocked.required() {
            if !self.require.contains(feature) {
                self.require.push(*feature);
            }
        }
    }

    /// Checks what can be checked without looking at the machine.
    ///
    /// # Errors
    /// [`SandboxError::Plan`] with what is wrong, in the words of the plan.
    pub fn check(&self) -> Result<(), SandboxError> {
        let refuse = |problem: String| Err(SandboxError::Plan { problem });
        let Some(program) = self.command.first() else {
            return refuse("the command is empty".to_owned());
        };
        // In an image, a plain name is looked for along the plan's own `PATH`.
        let is_name = self.image.is_some() && !program.is_empty() && !program.contains('/');
        if !is_name && !is_plain_absolute(Path::new(program)) {
            return refuse(format!(
                "the program `{program}` is not an absolute path without `.` and `..`"
            ));
        }
        let variables = self.environment.iter().flat_map(|(name, value)| [name, value]);
        let strings: Vec<&String> = self.command.iter().chain(variables).collect();
        if strings.iter().any(|string| string.contains('\0')) {
            return refuse("an argument or variable has a NUL in it".to_owned());
        }
        let bytes: usize = strings.iter().map(|string| string.len() + 1).sum();
        if strings.len() > STRINGS_MAX || bytes > STRING_BYTES_MAX {
            return refuse(format!(
                "arguments and variables are over {STRINGS_MAX} strings or {STRING_BYTES_MAX} bytes"
            ));
        }
        if let Some((name, _)) = self
            .environment
            .iter()
            .find(|(name, _)| name.is_empty() || name.contains('='))
        {
            return refuse(format!("`{name}` cannot be the name of a variable"));
        }
        if let Some(problem) = self.masks.problem() {
            return refuse(problem);
        }
        if let Some(problem) = self.image.as_ref().and_then(Image::problem) {
            return refuse(problem);
        }
        if self.image.is_some() && (self.programs != Programs::Any || !self.program_files.is_empty()) {
            return refuse("programs and program files of this system do not go with an image".to_owned());
        }
        if self.shows_snapshots() && self.masks.is_empty() {
            return refuse("`mask-strict` is required, and nothing is masked".to_owned());
        }
        if let Some(problem) = self.problem_of_tier() {
            return refuse(problem);
        }
        self.check_paths()?;
        self.check_ports()?;
        self.check_limits()
    }

    /// What of the plan needs namespaces, when it has none.
    fn problem_of_tier(&self) -> Option<String> {
        let needs = [
            (!self.ports.is_empty() || self.loopback, "connections to granted hosts"),
            (!self.sockets.is_empty(), "granted UNIX sockets"),
            (self.browser, "a browser"),
            (self.image.is_some(), "a container's image"),
            (self.shows_snapshots(), "`mask-strict`"),
        ];
        let (_, what) = needs.into_iter().find(|(is_wanted, _)| *is_wanted)?;
        (self.tier == Tier::Landlocked)
            .then(|| format!("the namespaces are given up, and {what} cannot be had without"))
    }

    /// Whether granted folders are shown as they were at the start.
    pub(crate) fn shows_snapshots(&self) -> bool {
        self.require.contains(&Feature::MaskStrict)
    }

    /// Whether UNIX sockets can be made inside; those that lie in granted folders and nobody named are masked then.
    pub(crate) fn has_unix_sockets(&self) -> bool {
        self.browser || !self.sockets.is_empty()
    }

    fn check_paths(&self) -> Result<(), SandboxError> {
        let refuse = |problem: String| Err(SandboxError::Plan { problem });
        let listed: &[PathBuf] = match &self.programs {
            Programs::Any => &[],
            Programs::Only(listed) => listed,
        };
        if self.program_files.len() + self.read.len() + self.write.len() + self.sockets.len() + listed.len()
            > GRANTS_MAX
        {
            return refuse(format!("more than {GRANTS_MAX} paths are granted"));
        }
        for path in self
            .program_files
            .iter()
            .chain(&self.read)
            .chain(&self.write)
            .chain(&self.sockets)
            .chain(listed)
            .chain([&self.directory])
        {
            if !is_plain_absolute(path) {
                return refuse(format!(
                    "`{}` is not an absolute path without `.` and `..`",
                    path.display()
                ));
            }
            if path.to_str().is_none_or(|path| path.contains('\0')) {
                return refuse(format!("`{}` is not UTF-8 or has a NUL in it", path.display()));
            }
        }
        Ok(())
    }

    fn check_ports(&self) -> Result<(), SandboxError> {
        let refuse = |problem: String| Err(SandboxError::Plan { problem });
        if self.ports.len() > PORTS_MAX {
            return refuse(format!("more than {PORTS_MAX} ports are granted"));
        }
        let mut seen = BTreeSet::from([0, NAMES_PORT]);
        match self.ports.iter().find(|port| !seen.insert(**port)) {
            Some(port) => refuse(format!(
                "port {port} cannot be granted: it is 0, the one for names ({NAMES_PORT}), or granted twice"
            )),
            None => Ok(()),
        }
    }

    fn check_limits(&self) -> Result<(), SandboxError> {
        let refuse = |problem: String| Err(SandboxError::Plan { problem });
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
        let name = self.hostname.as_bytes();
        if name.is_empty() || name.len() > HOSTNAME_BYTES_MAX || !name.iter().copied().all(is_name) {
            return refuse(format!("`{}` cannot be a host name", self.hostname));
        }
        let limits = &self.limits;
        let needed = [
            limits.memory_bytes,
            limits.processes,
            limits.open_files,
            limits.disk_bytes,
            limits.inodes,
        ];
        if needed.contains(&0) || limits.cpu_percent == Some(0) {
            return refuse("a limit of 0 lets nothing start".to_owned());
        }
        Ok(())
    }
}

/// Whether a path is absolute and spelled without `.` and `..`.
fn is_plain_absolute(path: &Path) -> bool {
    let dotted = path
        .to_str()
        .is_some_and(|path| path.split('/').any(|part| part == "." || part == ".."));
    path.is_absolute()
        && !dotted
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::{Limits, Plan};

    fn problem(change: impl FnOnce(&mut Plan)) -> String {
        let mut plan = Plan::sealed("/usr/bin/true");
        change(&mut plan);
        plan.check().expect_err("refused").to_string()
    }

    #[test]
    fn the_sealed_default_is_a_valid_plan() {
        Plan::sealed("/usr/bin/true").check().expect("valid");
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused_in_its_own_words() {
        assert!(problem(|plan| plan.command.clear()).contains("command is empty"));
        assert!(problem(|plan| plan.command = vec!["true".into()]).contains("`true`"));
        assert!(problem(|plan| plan.command.push("a\0b".into())).contains("NUL"));
        assert!(problem(|plan| plan.environment.push(("A=B".into(), "".into()))).contains("`A=B`"));
        assert!(problem(|plan| plan.read.push("relative".into())).contains("`relative`"));
        assert!(problem(|plan| plan.read.push("/a/../b".into())).contains("`/a/../b`"));
        assert!(problem(|plan| plan.write.push("/a/./b".into())).contains("`/a/./b`"));
        assert!(problem(|plan| plan.ports = vec![443, 443]).contains("port 443"));
        assert!(problem(|plan| plan.ports = vec![53]).contains("port 53"));
        assert!(problem(|plan| plan.ports = vec![0]).contains("port 0"));
        assert!(problem(|plan| plan.ports = (1000..2000).collect()).contains("128 ports"));
        assert!(problem(|plan| plan.hostname = "a b".into()).contains("`a b`"));
        assert!(
            problem(|plan| plan.limits = Limits {
                processes: 0,
                ..Limits::default()
            })
            .contains("limit of 0")
        );
        assert!(problem(|plan| plan.command.push("x".repeat(1 << 20))).contains("bytes"));
    }

    #[test]
    fn a_plan_survives_its_journey_unchanged() {
        let plan = Plan::sealed("/usr/bin/true");
        let bytes = serde_json::to_vec(&plan).expect("serialised");
        assert_eq!(serde_json::from_slice::<Plan>(&bytes).expect("read back"), plan);
    }
}
