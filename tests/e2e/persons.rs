//! Levels 3 and 4: a person is proven by a key whose passphrase is typed on a terminal, and which only root enrols.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::{Value, json};

use crate::policies::in_etc;
use crate::support::{Conversation, STUCK, Stage, fixture, rule_of, said_in, text, within};

/// Runs a command on a terminal of its own and types one answer at each prompt that ends in `: `.
const ON_A_TERMINAL: &str = r#"
import os, pty, sys, termios, time
answers = sys.argv[1].split("|")
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b""
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:
        break
    if not piece:
        break
    said += piece
    if said.endswith(b": ") and answers:
        while b"passphrase" in said.splitlines()[-1] and termios.tcgetattr(fd)[3] & termios.ECHO:
            time.sleep(0.01)
        os.write(fd, answers.pop(0).encode() + b"\n")
        said += b"\n"
sys.stdout.write(said.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

fn on_a_terminal(stage: &Stage, answers: &str, arguments: &[&str]) -> Output {
    typed(answers, &stage.command(arguments)).output().unwrap()
}

/// `inner` on a terminal of its own, with somebody who types.
pub(crate) fn typed(answers: &str, inner: &Command) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", ON_A_TERMINAL, answers]);
    within(command, inner)
}

/// A machine with these approvers: public lines by name.
struct Approvers<'a> {
    stage: &'a Stage,
    files: Vec<(String, &'a str)>,
}

impl<'a> Approvers<'a> {
    fn of(stage: &'a Stage, lines: &[(&str, &'a str)]) -> Self {
        let file = |(name, line): &(&str, &'a str)| (format!("cofferdam/approvers/{name}.pub"), *line);
        Self {
            stage,
            files: lines.iter().map(file).collect(),
        }
    }

    fn command(&self, inner: &Command) -> Command {
        let files: Vec<(&str, &str)> = self.files.iter().map(|(path, line)| (path.as_str(), *line)).collect();
        in_etc(self.stage, &files, "644", inner)
    }

    /// Without a terminal.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(&self.stage.command(arguments)).output().unwrap()
    }

    fn on_a_terminal(&self, answers: &str, arguments: &[&str]) -> Output {
        typed(answers, &self.command(&self.stage.command(arguments)))
            .output()
            .unwrap()
    }

    /// Signs the fixture's manifest and talks to it.
    fn talk(&self, passphrase: &str) -> Conversation {
        let signed = self.on_a_terminal(passphrase, &["manifest", "sign", "fixture"]);
        assert!(signed.status.success(), "{}", text(&signed.stdout));
        Conversation::with(self.command(&self.stage.command(&["run", "fixture"])))
    }
}

/// Enrols and gives the line for the administrator.
pub(crate) fn enrolled(stage: &Stage, passphrase: &str) -> String {
    let made = on_a_terminal(stage, &format!("{passphrase}|{passphrase}"), &["approvals", "enroll"]);
    assert!(made.status.success(), "{}{}", text(&made.stdout), text(&made.stderr));
    assert!(!text(&made.stdout).contains(passphrase), "it is not echoed");
    let said = text(&made.stdout);
    said.lines()
        .find(|line| line.starts_with("ed25519:"))
        .unwrap()
        .trim()
        .to_owned()
}

pub(crate) fn asking(consent: &str) -> Stage {
    let stage = Stage::new();
    let added = stage.add("fixture", &[], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    if consent != "allow" {
        stage.edit_manifest("fixture", |manifest| {
            manifest.replace("consent = \"allow\"", &format!("consent = \"{consent}\""))
        });
    }
    stage
}

pub(crate) fn post(conversation: &mut Conversation) -> u64 {
    conversation.initialize("2025-11-25");
    conversation.request("tools/list", json!({}));
    conversation.post("tools/call", json!({"name": "echo", "arguments": {"message": "hello"}}))
}

fn question(stage: &Stage) -> Value {
    let began = Instant::now();
    loop {
        let listed = stage.run(&["--format", "json", "approvals", "list"]);
        let open: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
        if let Some(first) = open.into_iter().next() {
            return first;
        }
        assert!(began.elapsed() < STUCK, "nothing asks");
    }
}

#[test]
fn a_person_is_proven_by_a_passphrase_on_a_terminal_and_by_nothing_else() {
    let stage = asking("person");
    let line = enrolled(&stage, "correct horse battery");
    let mut conversation = Approvers::of(&stage, &[("ann", &line)]).talk("correct horse battery");
    let call = post(&mut conversation);
    let asked = question(&stage);
    let id = asked["id"].as_str().unwrap();
    assert_eq!(asked["level"], 3);
    let without = stage.run(&["approvals", "allow", id]);
    assert_eq!(
        without.status.code(),
        Some(4),
        "there is no terminal: {}",
        text(&without.stderr)
    );
    let wrong = on_a_terminal(
        &stage,
        "wrong horse battery|wrong again, sorry|and wrong again",
        &["approvals", "allow", id],
    );
    assert_eq!(wrong.status.code(), Some(1), "{}", text(&wrong.stdout));
    assert!(conversation.is_silent());
    let right = on_a_terminal(&stage, "correct horse battery", &["approvals", "allow", id]);
    assert!(right.status.success(), "{}", text(&right.stdout));
    assert_eq!(said_in(&conversation.answer(call)), "hello");
    conversation.end();
    let records = stage.records();
    let passed = records
        .iter()
        .find(|record| record["facts"]["consent"]["level"] == 3)
        .unwrap();
    assert!(line.starts_with(passed["facts"]["consent"]["who"].as_str().unwrap()));
}

#[test]
fn a_key_that_only_its_user_enrolled_proves_nobody() {
    let stage = asking("person");
    enrolled(&stage, "correct horse battery");
    let other = Stage::new();
    let theirs = enrolled(&other, "somebody else entirely");
    let approvers = Approvers::of(&stage, &[("bob", &theirs)]);
    let signed = approvers.on_a_terminal("correct horse battery", &["manifest", "sign", "fixture"]);
    assert!(signed.status.success(), "{}", text(&signed.stdout));
    let run = approvers.run(&["run", "fixture"]);
    assert_eq!(run.status.code(), Some(4));
    assert!(text(&run.stderr).contains("not trusted here"), "{}", text(&run.stderr));
    let theirs = other.home().join("config/approver.json");
    std::fs::rename(theirs, stage.home().join("config/theirs.json")).unwrap();
    std::fs::rename(
        stage.home().join("config/approver.json"),
        stage.home().join("config/mine.json"),
    )
    .unwrap();
    std::fs::rename(
        stage.home().join("config/theirs.json"),
        stage.home().join("config/approver.json"),
    )
    .unwrap();
    let mut conversation = approvers.talk("somebody else entirely");
    let call = post(&mut conversation);
    let asked = question(&stage);
    let id = asked["id"].as_str().unwrap();
    let mine = stage.home().join("config/mine.json");
    let arguments = ["approvals", "allow", id, "--key", mine.to_str().unwrap()];
    let allowed = on_a_terminal(&stage, "correct horse battery", &arguments);
    assert_eq!(allowed.status.code(), Some(1), "{}", text(&allowed.stdout));
    assert!(conversation.is_silent());
    let allowed = on_a_terminal(&stage, "somebody else entirely", &["approvals", "allow", id]);
    assert!(allowed.status.success(), "{}", text(&allowed.stdout));
    assert_eq!(said_in(&conversation.answer(call)), "hello");
}

#[test]
fn two_people_are_two_keys() {
    let (stage, other) = (asking("two"), Stage::new());
    let (first, second) = (
        enrolled(&stage, "correct horse battery"),
        enrolled(&other, "another stapled phrase"),
    );
    let approvers = Approvers::of(&stage, &[("ann", &first), ("bob", &second)]);
    let mut conversation = approvers.talk("correct horse battery");
    let call = post(&mut conversation);
    let asked = question(&stage);
    let id = asked["id"].as_str().unwrap();
    for _ in 0..2 {
        let signed = on_a_terminal(&stage, "correct horse battery", &["approvals", "allow", id]);
        assert!(
            text(&signed.stdout).contains("second person"),
            "{}",
            text(&signed.stdout)
        );
    }
    assert!(conversation.is_silent(), "one person twice is one person");
    let key = other.home().join("config/approver.json");
    let allowed = on_a_terminal(
        &stage,
        "another stapled phrase",
        &["approvals", "allow", id, "--key", key.to_str().unwrap()],
    );
    assert!(allowed.status.success(), "{}", text(&allowed.stdout));
    assert_eq!(said_in(&conversation.answer(call)), "hello");
}

#[test]
fn one_key_cannot_be_two_people() {
    let stage = asking("two");
    let line = enrolled(&stage, "correct horse battery");
    let approvers = Approvers::of(&stage, &[("ann", &line), ("bob", &line)]);
    let mut conversation = approvers.talk("correct horse battery");
    let call = post(&mut conversation);
    assert_eq!(rule_of(&conversation.answer(call)), "consent/unreachable");
}

/// The key as a program has it that somehow learnt the passphrase; here, to forge with it.
fn say(stage: &Stage, request: &Value) -> Value {
    let entries = std::fs::read_dir(stage.home().join("state/run")).unwrap();
    let socket = entries.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).unwrap();
    serde_json::from_str(&reply).unwrap()
}

#[test]
fn a_signature_is_for_the_question_that_was_seen_and_for_no_other() {
    let stage = asking("two");
    let other = Stage::new();
    let (first, second) = (
        enrolled(&stage, "correct horse battery"),
        enrolled(&other, "another stapled phrase"),
    );
    let approvers = Approvers::of(&stage, &[("ann", &first), ("bob", &second)]);
    let mut conversation = approvers.talk("correct horse battery");
    post(&mut conversation);
    let asked = question(&stage);
    let id = asked["id"].as_str().unwrap();
    // Ann signs, and the gate keeps what she signed in its record: all that an eavesdropper could have.
    on_a_terminal(&stage, "correct horse battery", &["approvals", "allow", id]);
    let forge = |key: &str, signature: &str| {
        json!({"do": "allow", "id": id, "digest": asked["digest"], "scope": "once", "minutes": 60,
            "proofs": [{"key": key, "signature": signature}]})
    };
    let bob = second.split(' ').next().unwrap();
    for signature in ["", "00", &"0".repeat(128), &"f".repeat(128), &"é".repeat(64)] {
        let reply = say(&stage, &forge(bob, signature));
        assert!(
            reply["done"].as_str().is_none_or(|done| done.contains("second person")),
            "{reply}"
        );
    }
    let ann = first.split(' ').next().unwrap();
    for key in [ann, "ed25519:", "", &ann.replace("ed25519", "ED25519")] {
        say(&stage, &forge(key, &"0".repeat(128)));
    }
    assert!(
        conversation.is_silent(),
        "one true signature and any number of false ones are one person"
    );
    conversation.end();
}

#[test]
fn where_there_are_approvers_a_manifest_counts_by_their_signature_alone() {
    let stage = asking("allow");
    let line = enrolled(&stage, "correct horse battery");
    let approvers = Approvers::of(&stage, &[("ann", &line)]);
    let run = approvers.run(&["run", "fixture"]);
    assert_eq!(run.status.code(), Some(4));
    assert!(text(&run.stderr).contains("not signed"), "{}", text(&run.stderr));
    // What a process of the user can do: make a key, trust it, sign with it.
    let key = stage.home().join("mine.pem");
    let made = stage.run(&["manifest", "key", "new", key.to_str().unwrap()]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let keys = stage.home().join("config/keys");
    std::fs::DirBuilder::new().mode(0o700).create(&keys).unwrap();
    std::fs::write(keys.join("mine.pub"), &made.stdout).unwrap();
    let signed = stage.run(&["manifest", "sign", "fixture", "--key", key.to_str().unwrap()]);
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    let run = approvers.run(&["run", "fixture"]);
    assert_eq!(run.status.code(), Some(4), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("not trusted here"), "{}", text(&run.stderr));
    for guarded in [&["manifest", "sign", "fixture"][..], &["unprotect"]] {
        let refused = approvers.run(guarded);
        assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
        assert!(
            text(&refused.stderr).contains("there is none"),
            "{}",
            text(&refused.stderr)
        );
    }
    let unprotected = approvers.on_a_terminal("correct horse battery", &["unprotect"]);
    assert_eq!(
        unprotected.status.code(),
        Some(3),
        "nothing is protected: {}",
        text(&unprotected.stdout)
    );
    let mut conversation = approvers.talk("correct horse battery");
    let call = post(&mut conversation);
    assert_eq!(said_in(&conversation.answer(call)), "hello");
    let widen = ["manifest", "allow", "fixture", "host", "example.com:443", "--yes"];
    let refused = approvers.run(&widen);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    let widened = approvers.on_a_terminal("correct horse battery", &widen);
    assert!(widened.status.success(), "{}", text(&widened.stdout));
    let check = approvers.run(&["manifest", "check", "fixture"]);
    assert!(check.status.success(), "{}", text(&check.stderr));
}

#[test]
fn a_grant_is_a_persons_to_give_where_one_can_be_proven() {
    let stage = asking("allow");
    stage.write_policy(
        "default.cedar",
        "permit(principal, action, resource) unless { action in Action::\"call\" && context.consent < 1 };",
    );
    let line = enrolled(&stage, "correct horse battery");
    let mut conversation = Approvers::of(&stage, &[("ann", &line)]).talk("correct horse battery");
    let call = post(&mut conversation);
    let asked = question(&stage);
    let id = asked["id"].as_str().unwrap();
    let bare = json!({"do": "allow", "id": id, "digest": asked["digest"], "scope": "tool", "minutes": 60});
    assert!(say(&stage, &bare)["refused"].is_string(), "any process could say that");
    let approvers = Approvers::of(&stage, &[("ann", &line)]);
    let granted = approvers.on_a_terminal("correct horse battery", &["approvals", "allow", id, "--for", "tool"]);
    assert!(granted.status.success(), "{}", text(&granted.stdout));
    assert_eq!(said_in(&conversation.answer(call)), "hello");
    assert_eq!(
        said_in(&conversation.call("echo", json!({"message": "again"}))),
        "again"
    );
}

#[test]
fn a_stored_grant_counts_by_the_signature_under_these_very_terms() {
    let stage = asking("allow");
    stage.write_policy(
        "default.cedar",
        "permit(principal, action, resource) unless { action in Action::\"call\" && context.consent < 1 };",
    );
    let line = enrolled(&stage, "correct horse battery");
    let approvers = Approvers::of(&stage, &[("ann", &line)]);
    let mut conversation = approvers.talk("correct horse battery");
    let call = post(&mut conversation);
    let asked = question(&stage);
    let id = asked["id"].as_str().unwrap();
    let allow = ["approvals", "allow", id, "--for", "call", "--minutes", "30"];
    let granted = approvers.on_a_terminal("correct horse battery", &allow);
    assert!(granted.status.success(), "{}", text(&granted.stdout));
    assert!(
        text(&granted.stdout).contains("for the very same call of `echo`, until "),
        "what is signed stands above the prompt: {}",
        text(&granted.stdout)
    );
    assert_eq!(said_in(&conversation.answer(call)), "hello");
    conversation.end();
    let again = || {
        let mut conversation = Conversation::with(approvers.command(&stage.command(&["run", "fixture"])));
        let call = post(&mut conversation);
        (conversation, call)
    };
    let (mut conversation, call) = again();
    assert_eq!(
        said_in(&conversation.answer(call)),
        "hello",
        "signed, it holds in another session"
    );
    conversation.end();
    let path = stage.home().join(format!("state/grants/{id}.json"));
    let signed: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let edited = |from: &str, to: &str| {
        let mut file = signed.clone();
        let statement = file["statement"].as_str().unwrap();
        assert!(statement.contains(from), "{statement}");
        file["statement"] = json!(statement.replacen(from, to, 1));
        file
    };
    let mut unsigned = signed.clone();
    unsigned.as_object_mut().unwrap().remove("proofs");
    let until = signed["statement"]
        .as_str()
        .unwrap()
        .split("\"until\":")
        .nth(1)
        .unwrap();
    let until: i64 = until.split(',').next().unwrap().parse().unwrap();
    for (what, file) in [
        ("unsigned", unsigned),
        ("of a lower level", edited(",2,", ",1,")),
        (
            "longer",
            edited(&format!("\"until\":{until}"), &format!("\"until\":{}", until + 60)),
        ),
    ] {
        std::fs::write(&path, file.to_string()).unwrap();
        let (conversation, _) = again();
        question(&stage);
        let listed = approvers.run(&["approvals", "grants"]);
        assert!(
            text(&listed.stderr).contains("is no grant: "),
            "{what}: {}",
            text(&listed.stderr)
        );
        conversation.end();
    }
}
