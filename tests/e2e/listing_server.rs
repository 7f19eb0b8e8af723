//! A server whose tools lie in a file, so that tests can change what it lists with or without changing its program; and people at a terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{STUCK, Stage, text};

const SERVER: &str = r#"import json, sys
TOOLS = json.load(open(sys.argv[1]))
WROTE = ""
START
for line in sys.stdin:
    message = json.loads(line)
    id, method, params = message.get("id"), message.get("method"), message.get("params") or {}
    if id is None or method is None:
        continue
    result = {}
    if method == "initialize":
        result = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": {"name": "listing", "version": "1"}}
    if method == "tools/list":
        result = {"tools": TOOLS}
    if method == "tools/call":
        result = {"content": [{"type": "text", "text": "called " + params["name"]}]}
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}) + "\n")
    sys.stdout.flush()
"#;

/// A server called `listing` on a stage of its own.
pub(crate) struct Listing {
    pub(crate) stage: Stage,
}

pub(crate) fn tool(name: &str, description: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"message": {"type": "string"}}});
    json!({"name": name, "description": description, "inputSchema": schema})
}

impl Listing {
    /// Added with these tools, and with a folder it may write to.
    pub(crate) fn new(tools: &[Value]) -> Self {
        let listing = Self { stage: Stage::new() };
        std::fs::create_dir(listing.stage.workspace().join("data")).unwrap();
        std::fs::create_dir(listing.writable()).unwrap();
        listing.lists(tools);
        listing.program("");
        let (program, data, out) = (listing.script(), listing.data(), listing.writable());
        let words = ["/usr/bin/python3", program.to_str().unwrap(), data.to_str().unwrap()];
        let grants = ["--read", data.to_str().unwrap(), "--write", out.to_str().unwrap()];
        let added = listing.stage.add("listing", &grants, &words);
        assert!(added.status.success(), "{}", text(&added.stderr));
        listing
    }

    /// From now on it lists these.
    pub(crate) fn lists(&self, tools: &[Value]) {
        std::fs::write(self.data(), json!(tools).to_string()).unwrap();
    }

    /// From now on it is another program, which runs `start` first.
    pub(crate) fn program(&self, start: &str) {
        std::fs::write(self.script(), SERVER.replace("START", start)).unwrap();
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.stage.workspace().join("listing.py")
    }

    fn data(&self) -> PathBuf {
        self.stage.workspace().join("data/tools.json")
    }

    pub(crate) fn writable(&self) -> PathBuf {
        self.stage.workspace().join("out")
    }

    pub(crate) fn manifest_text(&self) -> String {
        std::fs::read_to_string(self.stage.manifest("listing")).unwrap()
    }

    /// `manifest diff` for programs: exit code and document.
    pub(crate) fn diff(&self) -> (i32, Value) {
        let output = self.stage.run(&["--format", "json", "manifest", "diff", "listing"]);
        let document =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no document: {}", text(&output.stderr)));
        (output.status.code().unwrap(), document)
    }

    /// The digest that `manifest diff` shows.
    pub(crate) fn digest(&self) -> String {
        self.diff().1["digest"].as_str().unwrap().to_owned()
    }

    pub(crate) fn accept(&self, digest: &str) -> std::process::Output {
        self.stage
            .run(&["manifest", "accept", "listing", "--yes", "--digest", digest])
    }

    pub(crate) fn call(&self, tool: &str) -> std::process::Output {
        self.stage.run(&["call", "listing", tool, "{}"])
    }
}

/// A person at a terminal: each answer is typed once its question has appeared.
pub(crate) struct Person {
    child: std::process::Child,
    keyboard: File,
    said: String,
}

impl Person {
    pub(crate) fn at(stage: &Stage, arguments: &[&str]) -> Self {
        Self::with(stage.command(arguments))
    }

    pub(crate) fn with(mut command: std::process::Command) -> Self {
        let terminal = nix::pty::openpty(None, None).unwrap();
        let child = command
            .stdin(Stdio::from(terminal.slave))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            child,
            keyboard: File::from(terminal.master),
            said: String::new(),
        }
    }

    /// Reads what is said until `question` is among it.
    pub(crate) fn is_asked(&mut self, question: &str) -> &str {
        let began = Instant::now();
        while !self.said.contains(question) {
            assert!(began.elapsed() < STUCK, "{question:?} was not asked: {}", self.said);
            assert!(self.hears(), "it ended before {question:?}: {}", self.said);
        }
        &self.said
    }

    /// One byte more; `false` at the end.
    fn hears(&mut self) -> bool {
        let mut byte = [0];
        let heard = self.child.stderr.as_mut().unwrap().read(&mut byte);
        let is_one = matches!(heard, Ok(1..));
        if is_one {
            self.said.push(char::from(byte[0]));
        }
        is_one
    }

    /// Says yes to each question, and types each word that is asked for, to the end: exit status, and all that was said.
    pub(crate) fn agrees_to_all(mut self) -> (ExitStatus, String) {
        let mut answered = 0;
        while self.hears() {
            let asked = self.said.get(answered..).unwrap_or_default();
            let word = asked.strip_suffix(" to accept it, anything else to stop: ");
            let word = word.and_then(|asked| asked.rsplit_once("type ")).map(|(_, word)| word);
            let answer = if asked.ends_with("[y/N] ") { Some("y") } else { word };
            if let Some(answer) = answer {
                self.keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
                answered = self.said.len();
            }
        }
        let said = self.said.clone();
        let (status, _rest) = self.end();
        (status, said)
    }

    pub(crate) fn types(&mut self, answer: &str) {
        self.said.clear();
        self.keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }

    /// Waits for the end: exit status, and what was said since the last answer.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut rest = Vec::new();
        self.child.stderr.take().unwrap().read_to_end(&mut rest).unwrap();
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.said.clone() + &text(&rest));
            }
            assert!(began.elapsed() < STUCK, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
