//! One builder for end-to-end tests of the built binary: a home of its own, a scrubbed environment, a conversation line by line.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A generous bound: what takes longer is stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(60);

/// A home of its own and a folder to grant.
pub(crate) struct Stage {
    folder: TempDir,
}

impl Stage {
    /// With a user's policy that permits everything: most tests are about something else.
    pub(crate) fn new() -> Self {
        let stage = Self::with_shipped_policies();
        stage.write_policy("default.cedar", "permit(principal, action, resource);\n");
        stage
    }

    /// As a user has it who wrote no policy.
    pub(crate) fn with_shipped_policies() -> Self {
        let folder = tempfile::Builder::new().prefix("cofferdam-test-").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("workspace")).unwrap();
        Self { folder }
    }

    /// Writes a policy file of the user's.
    pub(crate) fn write_policy(&self, name: &str, text: &str) {
        let folder = self.home().join("config/policy");
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(&folder).unwrap();
        std::fs::write(folder.join(name), text).unwrap();
    }

    /// A stage with the fixture server added as `fixture`, `extra` words behind its program.
    pub(crate) fn with_fixture(extra: &[&str]) -> Self {
        let stage = Self::new();
        let added = stage.add("fixture", &[], &[&[fixture().as_str()], extra].concat());
        assert!(added.status.success(), "{}", text(&added.stderr));
        stage
    }

    /// The same, and the fixture may execute what its `daemon` tool needs.
    pub(crate) fn with_daemon_fixture(extra: &[&str]) -> Self {
        let stage = Self::new();
        let programs = ["--execute", "/bin/sh", "--execute", "setsid", "--execute", "sleep"];
        let added = stage.add("fixture", &programs, &[&[fixture().as_str()], extra].concat());
        assert!(added.status.success(), "{}", text(&added.stderr));
        stage
    }

    /// The same home and folder in another place, the settings changed to it.
    pub(crate) fn twin(&self) -> Self {
        let folder = tempfile::Builder::new().prefix("cofferdam-test-").tempdir().unwrap();
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.folder.path().join(".")).arg(folder.path());
        assert!(copy.status().unwrap().success());
        let twin = Self { folder };
        let settings = twin.home().join("config/cofferdam.toml");
        let [here, there] = [&self.folder, &twin.folder].map(|folder| folder.path().to_str().unwrap().to_owned());
        let text = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(&settings, text.replace(&here, &there)).unwrap();
        twin
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A folder that tests may grant.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("workspace")
    }

    pub(crate) fn manifest(&self, name: &str) -> PathBuf {
        self.home().join("config/servers").join(name).join("manifest.toml")
    }

    /// Edits a manifest as a person would.
    pub(crate) fn edit_manifest(&self, name: &str, edit: impl FnOnce(String) -> String) {
        let path = self.manifest(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let edited = edit(text.clone());
        assert_ne!(text, edited, "the edit changed nothing in\n{text}");
        std::fs::write(&path, edited).unwrap();
    }

    /// The binary with a scrubbed environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.folder.path());
        command
            .arg("--home")
            .arg(self.home())
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The binary, started by what `outer` runs last: with the scrubbed environment, which a wrapped command would lose.
    pub(crate) fn command_in(&self, outer: Command, arguments: &[&str]) -> Command {
        within(outer, &self.command(arguments))
    }

    pub(crate) fn add(&self, name: &str, options: &[&str], command: &[&str]) -> Output {
        self.run(&[&["add", name, "--yes"], options, &["--"], command].concat())
    }

    /// `run` with these arguments, ready to talk to.
    pub(crate) fn converse(&self, arguments: &[&str]) -> Conversation {
        Conversation::with(self.command(&[&["run"], arguments].concat()))
    }

    /// Every record of every session, oldest session first, as JSON objects.
    pub(crate) fn records(&self) -> Vec<Value> {
        listed(&self.run(&ALL_RECORDS))
    }

    /// Verifies the whole record; each session's verdict.
    pub(crate) fn verify(&self) -> Vec<Value> {
        let verified = self.run(&["--format", "json", "audit", "verify"]);
        text(&verified.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|verdict: &Value| verdict.get("session").is_some())
            .collect()
    }
}

/// What lists every record of every session.
pub(crate) const ALL_RECORDS: [&str; 6] = ["--format", "json", "audit", "tail", "-n", "100000"];

/// The JSON objects that a verb printed, one a line.
pub(crate) fn listed(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = text(&output.stdout);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A certificate for `name` and 127.0.0.1 in this folder, with its key. It is no authority, and stands for itself.
pub(crate) fn certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    openssl.args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
    openssl.args(["-addext", &format!("subjectAltName=DNS:{name},IP:127.0.0.1")]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    let made = openssl.output();
    let made = made.unwrap_or_else(|cause| panic!("this test needs openssl: {cause}"));
    assert!(made.status.success(), "{}", text(&made.stderr));
    (certificate, key)
}

/// The fixture server's program, built beside the binary.
pub(crate) fn fixture() -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_cofferdam"))
        .with_file_name("examples")
        .join("fixture_server");
    assert!(
        path.exists(),
        "{} is not built: `cargo build --example fixture_server`",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}

/// `inner` as the last arguments of `outer`, with the environment of `inner` and nothing of this process: continuous integration sets
/// variables that Cofferdam reads.
pub(crate) fn within(mut outer: Command, inner: &Command) -> Command {
    outer
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear()
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir("/");
    outer
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn channel_of(stream: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A running gate, spoken to line by line.
pub(crate) struct Conversation {
    pub(crate) child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
    next_id: u64,
}

impl Conversation {
    /// Starts `command`, which runs a gate.
    pub(crate) fn with(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let lines = channel_of(child.stdout.take().unwrap());
        let stderr = channel_of(child.stderr.take().unwrap());
        Self {
            child,
            stdin,
            lines,
            stderr,
            next_id: 1,
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(bytes).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn send_line(&mut self, line: &str) {
        self.send(format!("{line}\n").as_bytes());
    }

    /// The next line on stdout, or `None` at its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(STUCK) {
            Ok(line) => Some(String::from_utf8(line).unwrap()),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {STUCK:?}; stderr: {}", self.said()),
        }
    }

    /// The next line on stdout, if one comes in time.
    pub(crate) fn line_within(&mut self, time: Duration) -> Option<String> {
        let line = self.lines.recv_timeout(time).ok()?;
        Some(String::from_utf8(line).unwrap())
    }

    pub(crate) fn message(&mut self) -> Value {
        let line = self
            .line()
            .unwrap_or_else(|| panic!("the stream ended; stderr: {}", self.said()));
        serde_json::from_str(&line).unwrap()
    }

    /// Nothing comes within a moment.
    pub(crate) fn is_silent(&mut self) -> bool {
        matches!(
            self.lines.recv_timeout(Duration::from_millis(300)),
            Err(RecvTimeoutError::Timeout)
        )
    }

    /// A request; the answer with its id, other messages left out.
    pub(crate) fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.post(method, params);
        self.answer(id)
    }

    /// A request whose answer is not waited for.
    pub(crate) fn post(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
        id
    }

    pub(crate) fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.message();
            if message["id"] == json!(id) && message.get("method").is_none() {
                return message;
            }
        }
    }

    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    pub(crate) fn initialize(&mut self, revision: &str) -> Value {
        let answer = self.request(
            "initialize",
            json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}),
        );
        self.send_line(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        answer
    }

    /// What was said on stderr until now.
    pub(crate) fn said(&mut self) -> String {
        let mut said = String::new();
        while let Ok(line) = self.stderr.recv_timeout(Duration::from_millis(200)) {
            said.push_str(&text(&line));
            said.push('\n');
        }
        said
    }

    /// Closes stdin.
    pub(crate) fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Closes stdin and waits for the end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.hang_up();
        self.wait()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < STUCK, "the gate does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // Ours, and possibly gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of a tool result.
pub(crate) fn said_in(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_default()
}

/// The rule id of an in-band refusal, whichever form it has.
pub(crate) fn rule_of(answer: &Value) -> &str {
    let meta = if answer.get("error").is_some() {
        &answer["error"]["data"]
    } else {
        &answer["result"]["_meta"]
    };
    meta["dev.cofferdam/rule"].as_str().unwrap_or_default()
}
