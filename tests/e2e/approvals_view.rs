//! `approvals` on a terminal: one question at a time, answered in words, calm on a screen and line by line without one.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::json;

use crate::support::{Conversation, STUCK, Stage, fixture, rule_of, said_in, text};

/// A terminal of its own: what comes on stdin is typed, what is printed comes out, a NUL behind each piece.
const TERMINAL: &str = r#"
import os, pty, select, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
while True:
    ready, _, _ = select.select([fd, 0], [], [])
    if fd in ready:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        sys.stdout.buffer.write(piece.replace(b"\n", b"") + b"\n")
        sys.stdout.flush()
    if 0 in ready:
        typed = os.read(0, 4096)
        if not typed:
            break
        os.write(fd, typed)
"#;

struct Terminal {
    child: Child,
    keys: ChildStdin,
    pieces: Receiver<String>,
    seen: String,
}

impl Terminal {
    fn new(stage: &Stage, term: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("python3");
        command.args(["-c", TERMINAL]);
        let mut command = stage.command_in(command, arguments);
        command.env("TERM", term).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (keys, screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            for piece in BufReader::new(screen).split(b'\n').map_while(Result::ok) {
                if sender.send(text(&piece)).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            pieces,
            seen: String::new(),
        }
    }

    fn type_line(&mut self, words: &str) {
        self.keys.write_all(format!("{words}\n").as_bytes()).unwrap();
    }

    /// Waits until `words` were printed, and forgets all up to them.
    fn until(&mut self, words: &str) -> String {
        let began = Instant::now();
        loop {
            if let Some(at) = self.seen.find(words) {
                let rest = self.seen.split_off(at + words.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            assert!(began.elapsed() < STUCK, "no `{words}` in {:?}", self.seen);
            if let Ok(piece) = self.pieces.recv_timeout(std::time::Duration::from_millis(100)) {
                self.seen.push_str(&piece);
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ours, and possibly gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn asking() -> (Stage, Conversation) {
    let stage = Stage::new();
    let added = stage.add("fixture", &[], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage.edit_manifest("fixture", |manifest| {
        manifest.replace("consent = \"allow\"", "consent = \"ask\"")
    });
    let mut conversation = stage.converse(&["fixture"]);
    conversation.initialize("2025-11-25");
    conversation.request("tools/list", json!({}));
    (stage, conversation)
}

fn post(conversation: &mut Conversation, message: &str) -> u64 {
    conversation.post("tools/call", json!({"name": "echo", "arguments": {"message": message}}))
}

const PROMPT: &str = "anything else puts it off";

#[test]
fn each_question_has_the_screen_to_itself_and_is_answered_in_words() {
    let (stage, mut conversation) = asking();
    let mut terminal = Terminal::new(&stage, "xterm", &["approvals"]);
    terminal.until("waiting for questions");
    // Typed before anything asks: it must not answer what comes.
    terminal.type_line("allow");
    let first = post(&mut conversation, "one\u{1b}[2Jtwo");
    let shown = terminal.until(PROMPT);
    assert!(
        shown.contains("\u{1b}[2J\u{1b}[H") && shown.contains("1 question waits"),
        "{shown:?}"
    );
    assert!(
        shown.contains("one\\u001b[2Jtwo"),
        "the model's text steers no terminal: {shown:?}"
    );
    assert!(conversation.is_silent(), "what was typed before is no answer");
    terminal.type_line("y");
    terminal.until("waiting for questions");
    assert!(
        conversation.is_silent(),
        "a key pressed for something else is no answer"
    );
    let second = post(&mut conversation, "other");
    terminal.until(PROMPT);
    terminal.type_line("allow");
    assert_eq!(said_in(&conversation.answer(second)), "other");
    let third = post(&mut conversation, "third");
    terminal.until(PROMPT);
    terminal.type_line("deny");
    assert_eq!(rule_of(&conversation.answer(third)), "consent/denied");
    let listed = stage.run(&["approvals", "list"]);
    assert!(
        text(&listed.stdout).contains("one\\u001b[2Jtwo"),
        "{first} was put off and is open"
    );
}

#[test]
fn line_mode_never_clears_and_says_when_a_question_is_gone() {
    for (term, arguments) in [
        ("xterm", &["approvals", "watch", "--lines"][..]),
        ("dumb", &["approvals", "watch"]),
    ] {
        let (stage, mut conversation) = asking();
        let mut terminal = Terminal::new(&stage, term, arguments);
        let call = post(&mut conversation, "x");
        let shown = terminal.until(PROMPT);
        assert!(!shown.contains("\u{1b}[2J"), "{shown:?}");
        let listed = stage.run(&["--format", "json", "approvals", "list"]);
        let open: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert!(
            stage
                .run(&["approvals", "allow", open[0]["id"].as_str().unwrap()])
                .status
                .success()
        );
        assert_eq!(said_in(&conversation.answer(call)), "x");
        terminal.until("settled elsewhere");
    }
}

#[test]
fn a_narrower_grant_is_offered_and_given_in_words() {
    let stage = Stage::with_shipped_policies();
    let workspace = stage.workspace();
    std::fs::create_dir_all(workspace.join("deep")).unwrap();
    let added = stage.add("fixture", &["--write", workspace.to_str().unwrap()], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage.edit_manifest("fixture", |manifest| {
        format!("{manifest}\n[tools.echo.arguments.message]\nrole = \"path\"\n")
    });
    let mut conversation = stage.converse(&["fixture"]);
    conversation.initialize("2025-11-25");
    conversation.request("tools/list", json!({}));
    let file = |name: &str| workspace.join(name).to_str().unwrap().to_owned();
    let mut terminal = Terminal::new(&stage, "xterm", &["approvals"]);
    let first = post(&mut conversation, &file("deep/a"));
    let shown = terminal.until(PROMPT);
    for line in [
        format!("path     {}", file("deep/a")),
        format!("`path`  for every call of this tool within {}", file("deep")),
        format!("`path {0}`  the same within {0}", workspace.display()),
    ] {
        assert!(shown.contains(&line), "{shown}");
    }
    terminal.type_line("path /etc");
    terminal.until("the folders that can be allowed here are: ");
    terminal.type_line("nothing");
    let listed = stage.run(&["approvals", "list"]);
    assert!(text(&listed.stdout).contains("deep/a"), "{first} is open");
    let second = post(&mut conversation, &file("deep/b"));
    terminal.until(PROMPT);
    terminal.type_line("path");
    terminal.until("this grant is for every call of `echo` whose paths lie within ");
    assert_eq!(said_in(&conversation.answer(second)), file("deep/b"));
    let third = post(&mut conversation, &file("deep/c"));
    assert_eq!(said_in(&conversation.answer(third)), file("deep/c"));
}
