//! An approver who is another user of the machine: asked through a folder of their own, believed by a signature and by nothing else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::persons::{asking, enrolled, post, typed};
use crate::policies::in_etc;
use crate::support::{Conversation, STUCK, Stage, rule_of, said_in, text, within};

const BOB: &str = "4002";
const EVE: &str = "4003";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbob:x:4002:4002::/tmp:/bin/sh\neve:x:4003:4003::/tmp:/bin/sh\n";
const GROUP: &str = "root:x:0:\nbob:x:4002:\neve:x:4003:\n";
const PHRASE: &str = "another stapled phrase";

/// A machine on which bob approves what the gates of another user ask.
struct Machine {
    /// Of the user who asks.
    stage: Stage,
    /// Bob's home.
    bobs: Stage,
    files: Vec<(String, String)>,
}

impl Machine {
    /// `consent` is what the fixture's tools ask for; `further` are public lines of approvers beside bob.
    fn new(consent: &str, own_phrase: Option<&str>) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root: it acts as several users"
        );
        let (stage, bobs) = (asking(consent), Stage::new());
        let bobs_line = enrolled(&bobs, PHRASE);
        let mut files = vec![
            ("passwd".to_owned(), PASSWD.to_owned()),
            ("group".to_owned(), GROUP.to_owned()),
            ("cofferdam/approvers/bob.pub".to_owned(), bobs_line),
        ];
        if let Some(phrase) = own_phrase {
            files.push(("cofferdam/approvers/ann.pub".to_owned(), enrolled(&stage, phrase)));
        }
        let home = bobs.home();
        std::fs::set_permissions(home.parent().unwrap(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let machine = Self { stage, bobs, files };
        std::fs::create_dir_all(machine.folder()).unwrap();
        std::fs::set_permissions(machine.folder(), std::fs::Permissions::from_mode(0o1733)).unwrap();
        for path in [&home, &machine.folder()] {
            let owner = format!("{BOB}:{BOB}");
            let changed = Command::new("chown").arg("-R").arg(owner).arg(path).status().unwrap();
            assert!(changed.success());
        }
        machine
    }

    /// Bob's folder, as the machine outside has it.
    fn folder(&self) -> PathBuf {
        self.stage.workspace().join("varlib/cofferdam/approvers/bob")
    }

    /// `inner` on this machine.
    fn command(&self, inner: &Command) -> Command {
        let mut mount = Command::new("sh");
        mount.args(["-c", "mount --bind \"$0\" /var/lib && exec \"$@\""]);
        mount.arg(self.stage.workspace().join("varlib"));
        let files: Vec<(&str, &str)> = self
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        in_etc(&self.stage, &files, "644", &within(mount, inner))
    }

    /// `inner` as another user, in namespaces of `unshare`'s options.
    fn as_user(&self, user: &str, namespaces: &[&str], inner: &Command) -> Command {
        let mut become_ = Command::new("setpriv");
        become_.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        if !namespaces.is_empty() {
            become_.arg("unshare").args(namespaces);
        }
        self.command(&within(become_, inner))
    }

    fn bob(&self, arguments: &[&str]) -> Output {
        self.as_user(BOB, &[], &self.bobs.command(arguments)).output().unwrap()
    }

    /// Bob on a terminal, typing his passphrase.
    fn bob_typing(&self, arguments: &[&str]) -> Output {
        typed(PHRASE, &self.as_user(BOB, &[], &self.bobs.command(arguments)))
            .output()
            .unwrap()
    }

    /// The gate, whose manifest bob's key signs: the machine has no other approver that could.
    fn talk(&self) -> Conversation {
        let key = self.bobs.home().join("config/approver.json");
        let copy = self.stage.home().join("config/approver.json");
        let is_own = copy.exists();
        let phrase = if is_own { OWN } else { PHRASE };
        if !is_own {
            std::fs::copy(&key, &copy).unwrap();
        }
        let sign = self.command(&self.stage.command(&["manifest", "sign", "fixture"]));
        let signed = typed(phrase, &sign).output().unwrap();
        assert!(signed.status.success(), "{}", text(&signed.stdout));
        if !is_own {
            std::fs::remove_file(&copy).unwrap();
        }
        Conversation::with(self.command(&self.stage.command(&["run", "fixture"])))
    }

    /// What bob is asked.
    fn asked(&self) -> Vec<Value> {
        let listed = self.bob(&["--format", "json", "approvals", "list"]);
        assert!(listed.status.success(), "{}", text(&listed.stderr));
        serde_json::from_slice(&listed.stdout).unwrap()
    }

    fn question(&self) -> Value {
        let began = Instant::now();
        loop {
            if let Some(first) = self.asked().into_iter().next() {
                return first;
            }
            assert!(began.elapsed() < STUCK, "bob is asked nothing");
        }
    }

    /// The gate's socket in bob's folder.
    fn socket(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.folder()).unwrap();
        let name = entries.map(|entry| entry.unwrap().file_name()).next().unwrap();
        PathBuf::from("/var/lib/cofferdam/approvers/bob").join(name)
    }

    /// What a gate answers somebody who says this on its socket in bob's folder.
    fn say(&self, user: &str, namespaces: &[&str], request: &Value) -> String {
        let mut python = Command::new("python3");
        python.args(["-c", SAY]).arg(self.socket()).arg(request.to_string());
        python.env_clear().env("PATH", "/usr/bin:/bin");
        let said = self.as_user(user, namespaces, &python).output().unwrap();
        format!("{}{}", text(&said.stdout), text(&said.stderr))
    }

    /// A listener of eve's in bob's folder that runs this.
    fn plant(&self, name: &str, answer: &str) -> Planted {
        let script = PLANT.replace("ANSWER", answer);
        let mut python = Command::new("python3");
        python
            .args(["-c", &script])
            .arg(format!("/var/lib/cofferdam/approvers/bob/{name}"));
        python.env_clear().env("PATH", "/usr/bin:/bin");
        let child = self.as_user(EVE, &[], &python).stdin(Stdio::null()).spawn().unwrap();
        let began = Instant::now();
        while !self.folder().join(name).exists() {
            assert!(began.elapsed() < STUCK, "nothing was planted");
        }
        Planted(child)
    }
}

const OWN: &str = "correct horse battery";
const SAY: &str = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(sys.argv[2].encode()+b'\\n')\nprint(s.makefile().readline())";
const PLANT: &str = "import json,os,socket,sys,time\ns=socket.socket(socket.AF_UNIX)\nos.umask(0)\ns.bind(sys.argv[1])\ns.listen(1)\nANSWER";

/// Ended with the test.
struct Planted(Child);

impl Drop for Planted {
    fn drop(&mut self) {
        // Ours, and possibly gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn allow(question: &Value, proofs: &Value) -> Value {
    json!({"do": "allow", "id": question["id"], "digest": question["digest"], "scope": "once", "minutes": 60, "proofs": proofs})
}

#[test]
fn another_user_is_asked_through_their_folder_and_proves_a_person() {
    let machine = Machine::new("person", None);
    let mut gate = machine.talk();
    let call = post(&mut gate);
    let question = machine.question();
    assert_eq!((&question["level"], &question["user"]), (&json!(3), &json!("root (0)")));
    let id = question["id"].as_str().unwrap();
    let shown = machine.bob(&["approvals", "list"]);
    assert!(
        text(&shown.stdout).contains("root (0), who is not you"),
        "{}",
        text(&shown.stdout)
    );
    let without = machine.bob(&["approvals", "allow", id]);
    assert_eq!(without.status.code(), Some(4), "no terminal: {}", text(&without.stderr));
    assert!(gate.is_silent());
    let allowed = machine.bob_typing(&["approvals", "allow", id]);
    assert!(allowed.status.success(), "{}", text(&allowed.stdout));
    let said = text(&allowed.stdout);
    let (arguments, prompt) = (said.find("message = \"hello\""), said.find("passphrase of"));
    assert!(
        arguments.is_some() && arguments < prompt,
        "what is signed is shown first: {said}"
    );
    assert_eq!(said_in(&gate.answer(call)), "hello");
    assert_eq!(
        machine.bob_typing(&["approvals", "allow", id]).status.code(),
        Some(3),
        "used once"
    );
    gate.end();
    assert_eq!(
        std::fs::read_dir(machine.folder()).unwrap().count(),
        0,
        "the socket is gone"
    );
    let records = machine.stage.records();
    let approval = records.iter().find(|record| record["kind"] == "approval").unwrap();
    assert_eq!(
        (&approval["facts"]["level"], &approval["facts"]["decision"]),
        (&json!(3), &json!("allow"))
    );
    assert!(
        approval["facts"]["who"].as_str().unwrap().ends_with("of user 4002"),
        "{approval}"
    );
}

#[test]
fn another_user_is_the_second_person() {
    let machine = Machine::new("two", Some(OWN));
    let mut gate = machine.talk();
    let call = post(&mut gate);
    let question = machine.question();
    let id = question["id"].as_str().unwrap();
    let first = machine.bob_typing(&["approvals", "allow", id]);
    assert!(text(&first.stdout).contains("second person"), "{}", text(&first.stdout));
    let again = machine.bob_typing(&["approvals", "allow", id]);
    assert!(
        text(&again.stdout).contains("second person"),
        "one person twice: {}",
        text(&again.stdout)
    );
    assert!(gate.is_silent());
    let own = machine.command(&machine.stage.command(&["approvals", "allow", id]));
    let second = typed(OWN, &own).output().unwrap();
    assert!(second.status.success(), "{}", text(&second.stdout));
    assert_eq!(said_in(&gate.answer(call)), "hello");
}

#[test]
fn nobody_else_and_nothing_unsigned_is_believed_there() {
    // Level 2, which any process of the user who asks could answer: none of another user's can.
    let machine = Machine::new("ask", None);
    let mut gate = machine.talk();
    let call = post(&mut gate);
    let question = machine.question();
    let bare = machine.say(BOB, &[], &allow(&question, &json!([])));
    assert!(bare.contains("needs a proven person"), "{bare}");
    let bobs = machine.files[2].1.split(' ').next().unwrap();
    let forged = json!([{"key": bobs, "signature": "0".repeat(128)}]);
    let forged = machine.say(BOB, &[], &allow(&question, &forged));
    assert!(forged.contains("needs a proven person"), "{forged}");
    for request in [json!({"do": "grants"}), json!({"do": "revoke", "id": "x"})] {
        let refused = machine.say(BOB, &[], &request);
        assert!(refused.contains("by the user they are of"), "{refused}");
    }
    let listing = json!({"do": "list"});
    for (user, namespaces) in [
        (EVE, &[][..]),
        ("0", &[]),
        (BOB, &["--user", "--map-root-user"]),
        (BOB, &["--user", "--map-current-user", "--pid", "--fork"]),
    ] {
        let refused = machine.say(user, namespaces, &listing);
        assert!(
            refused.contains("only the approver"),
            "{user} {namespaces:?}: {refused}"
        );
    }
    assert!(gate.is_silent());
    let denied = machine.bob(&["approvals", "deny", question["id"].as_str().unwrap()]);
    assert!(denied.status.success(), "{}", text(&denied.stderr));
    assert_eq!(rule_of(&gate.answer(call)), "consent/denied");
}

#[test]
fn what_others_plant_in_the_folder_is_asked_about_nothing_and_holds_nothing_up() {
    let machine = Machine::new("person", None);
    let mut gate = machine.talk();
    let call = post(&mut gate);
    let question = machine.question();
    let id = question["id"].as_str().unwrap();
    // A link to the gate's own socket, and files: no second way to the same question.
    for (name, target) in [("a.sock", machine.socket()), ("b.sock", PathBuf::from("/etc/passwd"))] {
        std::os::unix::fs::symlink(target, machine.folder().join(name)).unwrap();
    }
    std::fs::write(machine.folder().join("c.sock"), "x").unwrap();
    assert_eq!(machine.asked().len(), 1);
    let silent = machine.plant("d.sock", "time.sleep(600)");
    let began = Instant::now();
    let listed = machine.bob(&["approvals", "list"]);
    assert!(began.elapsed() < STUCK / 2, "one that never answers holds up nobody");
    assert!(text(&listed.stdout).contains(id), "{}", text(&listed.stdout));
    assert!(
        text(&listed.stderr).contains("for user 4003 does not answer"),
        "{}",
        text(&listed.stderr)
    );
    drop(silent);
    // The same id over a harmless call: bob is not made to sign the wrong one.
    let mut harmless = question.clone();
    harmless["arguments"] = json!({"message": "harmless"});
    harmless.as_object_mut().unwrap().remove("user");
    let serve = format!(
        "reply={:?}\nwhile True:\n    c,_=s.accept()\n    c.recv(65536)\n    c.sendall(reply.encode()+b'\\n')\n    c.close()",
        json!({"questions": [harmless]}).to_string()
    );
    let forger = machine.plant("e.sock", &serve);
    assert_eq!(machine.asked().len(), 2);
    let refused = machine.bob_typing(&["approvals", "allow", id]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    assert!(
        text(&refused.stdout).contains("several questions"),
        "{}",
        text(&refused.stdout)
    );
    drop(forger);
    let allowed = machine.bob_typing(&["approvals", "allow", id]);
    assert!(allowed.status.success(), "{}", text(&allowed.stdout));
    assert_eq!(said_in(&gate.answer(call)), "hello");
}

#[test]
fn a_folder_that_others_can_change_is_no_way() {
    let machine = Machine::new("person", None);
    std::fs::set_permissions(machine.folder(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let mut gate = machine.talk();
    post(&mut gate);
    let began = Instant::now();
    let mut said = String::new();
    while !said.contains("cannot be asked") {
        said.push_str(&gate.said());
        assert!(began.elapsed() < STUCK, "{said}");
    }
    assert_eq!(std::fs::read_dir(machine.folder()).unwrap().count(), 0);
    let listed = machine.bob(&["approvals", "list"]);
    assert_eq!(listed.status.code(), Some(4), "{}", text(&listed.stderr));
}
