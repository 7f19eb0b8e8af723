//! The demo's stage: a throw-away folder with made-up secrets, a process that waits, a port that answers, and the two ways to start the server.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use cofferdam_sandbox::{Compartment, Plan, Programs};

use super::server::{self, PRIVATE_KEY, RELEASE_FILE};
use crate::failure::{Exit, Failure, file_failure};
use crate::home::Home;

/// What the environment gives away.
pub(super) const ENVIRONMENT_SECRET: &str = "DEMO_API_TOKEN=demo-token-4f1c";
/// What the cloud credentials give away.
pub(super) const CLOUD_SECRET: &str = "aws_secret_access_key = demo-cloud-secret";
/// Port of the internal service inside the bare compartment, where nothing else listens.
const BARE_SERVICE_PORT: u16 = 8169;
/// The file whose presence makes the server poison a description.
const POISON_FILE: &str = "update-available";
/// How the victim announces itself on stderr, in the bare half.
const VICTIM_LINE: &str = "victim ";

/// What the attacks need to know of the machine they play on.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) machine: String,
    pub(super) victim_pid: u32,
    pub(super) service_port: u16,
    /// Where the victim can be seen from here, or where its end is announced.
    lives: Lives,
}

#[derive(Debug)]
enum Lives {
    /// A process of ours on this machine.
    Here(PathBuf),
    /// A process inside the bare compartment, whose supervisor announces its end.
    Announced(Receiver<String>),
}

impl Facts {
    /// Whether the victim still waits, a moment after the attack.
    pub(super) fn victim_lives(&self) -> bool {
        match &self.lives {
            Lives::Here(process) => {
                std::thread::sleep(Duration::from_millis(200));
                // A killed child stays as a zombie until it is waited for.
                std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
            }
            Lives::Announced(lines) => !lines
                .recv_timeout(Duration::from_millis(1_500))
                .is_ok_and(|line| line.contains("gone")),
        }
    }
}

/// Everything the demo made, removed when it is over.
#[derive(Debug)]
pub(super) struct Stage {
    folder: PathBuf,
    keep: bool,
    /// This very binary.
    own_program: String,
    /// The same under another name: the vulnerable server's program, which is no Cofferdam to anybody who looks.
    server_program: String,
}

impl Stage {
    /// Makes the throw-away folder.
    pub(super) fn set(keep: bool) -> Result<Self, Failure> {
        let name = crate::random::hex(8)
            .map_err(|error| Failure::not_enforced(format!("the kernel gives no random bytes: {error}")))?;
        let folder = std::env::temp_dir().join(format!("cofferdam-demo-{name}"));
        Home::make(&folder)?;
        let own = std::env::current_exe()
            .map_err(|cause| Failure::not_enforced(format!("our own program cannot be found: {cause}")))?;
        let server = folder.join("vulnerable-server");
        std::fs::hard_link(&own, &server)
            .or_else(|_other_disk| std::fs::copy(&own, &server).map(|_bytes| ()))
            .map_err(|cause| file_failure("copy", &own, &cause))?;
        let stage = Self {
            folder,
            keep,
            own_program: own.display().to_string(),
            server_program: server.display().to_string(),
        };
        stage.file("machine/project/monday.txt", "buy milk\ncall the harbour master\n")?;
        stage.file(&format!("machine/{RELEASE_FILE}"), "release 1.0.0")?;
        stage.file(
            "machine/home/.ssh/id_demo",
            &format!("-----BEGIN DEMO KEY-----\n{PRIVATE_KEY}\n"),
        )?;
        stage.file("machine/home/.aws/credentials", &format!("[default]\n{CLOUD_SECRET}\n"))?;
        Ok(stage)
    }

    fn file(&self, relative: &str, text: &str) -> Result<(), Failure> {
        let path = self.folder.join(relative);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|cause| file_failure("make the folder", parent, &cause))?;
        }
        std::fs::write(&path, text).map_err(|cause| file_failure("write", &path, &cause))
    }

    fn machine(&self) -> PathBuf {
        self.folder.join("machine")
    }

    fn project(&self) -> PathBuf {
        self.machine().join("project")
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// From now on the server lists a poisoned description.
    pub(super) fn poison(&self) -> Result<(), Failure> {
        self.file(&format!("machine/project/{POISON_FILE}"), "")
    }

    /// The stage as it was.
    pub(super) fn rewind(&self) -> Result<(), Failure> {
        self.file(&format!("machine/{RELEASE_FILE}"), "release 1.0.0")?;
        let path = self.project().join(POISON_FILE);
        std::fs::remove_file(&path).map_err(|cause| file_failure("remove", &path, &cause))
    }

    /// Where everything stays, if it does.
    pub(super) fn kept(&self) -> Option<&Path> {
        self.keep.then_some(self.folder.as_path())
    }

    /// The server as clients start it today, on a machine that is itself a throw-away compartment.
    pub(super) fn bare(&self) -> Result<Running, Failure> {
        let mut plan = Plan::sealed(&self.server_program);
        // The bare machine has its own loopback, and nothing beyond it.
        plan.loopback = true;
        plan.programs = Programs::Any;
        let machine = self.machine();
        plan.command.extend([
            "__vulnerable-server".to_owned(),
            self.project().display().to_string(),
            BARE_SERVICE_PORT.to_string(),
        ]);
        plan.write = vec![machine];
        if let Some((name, value)) = ENVIRONMENT_SECRET.split_once('=') {
            plan.environment.push((name.to_owned(), value.to_owned()));
        }
        let mut compartment = crate::compartment::start(&plan)?;
        let stderr = compartment.stderr.take();
        let announcements = stderr.map(announced);
        Ok(Running::Bare {
            compartment: Box::new(compartment),
            announcements,
        })
    }

    /// The same server behind the gate: `run demo` of this very binary, with the same variable in its own environment.
    pub(super) fn gated(&self) -> Result<Running, Failure> {
        let (name, value) = ENVIRONMENT_SECRET.split_once('=').unwrap_or_default();
        let mut gate = self.command(&["run", "demo"]);
        // The first eight are played at a person's desk.
        gate.env(name, value).env_remove("CI");
        self.behind(gate)
    }

    /// The same server with a folder to publish to, as a job of continuous integration starts it.
    pub(super) fn gated_in_ci(&self) -> Result<Running, Failure> {
        let mut gate = self.command(&["run", "demo-ci"]);
        gate.env("CI", "true");
        self.behind(gate)
    }

    fn behind(&self, mut gate: Command) -> Result<Running, Failure> {
        let child = gate
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let child = child.map_err(|cause| Failure::not_enforced(format!("the gate could not be started: {cause}")))?;
        let victim = Command::new(&self.server_program)
            .arg("__vulnerable-server")
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let victim = victim.map_err(|cause| {
            Failure::not_enforced(format!("the demo's waiting process could not be started: {cause}"))
        })?;
        let service = TcpListener::bind(("127.0.0.1", 0))
            .map_err(|cause| Failure::not_enforced(format!("the demo's service could not be started: {cause}")))?;
        let port = service.local_addr().map_or(0, |address| address.port());
        std::thread::spawn(move || server::internal_service(&service));
        Ok(Running::Gated { child, victim, port })
    }

    /// `add` of this very binary: once to read, and once to publish as well.
    pub(super) fn add(&self) -> Result<(), Failure> {
        let release = self.machine().join(RELEASE_FILE);
        let release = release.parent().unwrap_or(&release).display().to_string();
        self.add_as("demo", &[])?;
        self.add_as("demo-ci", &["--write", &release])
    }

    fn add_as(&self, name: &str, more: &[&str]) -> Result<(), Failure> {
        let project = self.project().display().to_string();
        let grants = [&["add", name, "--yes", "--read", &project], more].concat();
        let line = ["--", &self.server_program, "__vulnerable-server", &project];
        let added = self.command(&[&grants, line.as_slice()].concat()).output();
        let added = added.map_err(|cause| Failure::not_enforced(format!("`add` could not be started: {cause}")))?;
        if added.status.success() {
            return Ok(());
        }
        Err(Failure::new(
            Exit::Findings,
            format!("`add` failed: {}", String::from_utf8_lossy(&added.stderr).trim()),
        ))
    }

    /// `audit verify` of this very binary: one JSON object for each session.
    pub(super) fn verify(&self) -> Result<Vec<String>, Failure> {
        let verified = self.command(&["--format", "json", "audit", "verify"]).output();
        let verified =
            verified.map_err(|cause| Failure::not_enforced(format!("`audit verify` could not be started: {cause}")))?;
        Ok(String::from_utf8_lossy(&verified.stdout)
            .lines()
            .map(str::to_owned)
            .collect())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.own_program);
        command
            .arg("--home")
            .arg(self.home())
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed stays in the temporary folder; it holds nothing real.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Lines of the bare machine that are about the victim.
fn announced(stderr: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some(about) = line.strip_prefix(VICTIM_LINE)
                && sender.send(about.to_owned()).is_err()
            {
                return;
            }
        }
    });
    receiver
}

/// A server's stdout and stdin.
pub(super) type Pipes = (Box<dyn Read + Send>, Box<dyn Write + Send>);

/// A server that runs.
#[derive(Debug)]
pub(super) enum Running {
    Bare {
        compartment: Box<Compartment>,
        announcements: Option<Receiver<String>>,
    },
    Gated {
        child: Child,
        victim: Child,
        port: u16,
    },
}

impl Running {
    /// The server's stdout and stdin.
    pub(super) fn pipes(&mut self) -> Result<Pipes, Failure> {
        let missing = || Failure::not_enforced("the demo's server has no pipes");
        match self {
            Self::Bare { compartment, .. } => {
                let (stdout, stdin) = (
                    compartment.stdout.take().ok_or_else(missing)?,
                    compartment.stdin.take().ok_or_else(missing)?,
                );
                Ok((Box::new(stdout), Box::new(stdin)))
            }
            Self::Gated { child, .. } => {
                let (stdout, stdin) = (
                    child.stdout.take().ok_or_else(missing)?,
                    child.stdin.take().ok_or_else(missing)?,
                );
                Ok((Box::new(stdout), Box::new(stdin)))
            }
        }
    }

    /// What the attacks may know.
    pub(super) fn facts(&mut self, stage: &Stage) -> Result<Facts, Failure> {
        let machine = stage.machine().display().to_string();
        match self {
            Self::Bare { announcements, .. } => {
                let lines = announcements
                    .take()
                    .ok_or_else(|| Failure::not_enforced("the bare machine was asked twice"))?;
                let pid = lines
                    .recv_timeout(Duration::from_secs(5))
                    .ok()
                    .and_then(|line| line.parse().ok());
                let victim_pid =
                    pid.ok_or_else(|| Failure::not_enforced("the bare machine did not start its waiting process"))?;
                Ok(Facts {
                    machine,
                    victim_pid,
                    service_port: BARE_SERVICE_PORT,
                    lives: Lives::Announced(lines),
                })
            }
            Self::Gated { victim, port, .. } => {
                let lives = Lives::Here(PathBuf::from(format!("/proc/{}", victim.id())));
                Ok(Facts {
                    machine,
                    victim_pid: victim.id(),
                    service_port: *port,
                    lives,
                })
            }
        }
    }

    /// Ends it, and whatever belongs to it.
    pub(super) fn end(&mut self) {
        match self {
            Self::Bare { compartment, .. } => compartment.kill(),
            Self::Gated { child, victim, .. } => {
                // Both are ours; a process that is gone already needs no end.
                let _ = child.wait();
                let _ = victim.kill();
                let _ = victim.wait();
            }
        }
    }
}
