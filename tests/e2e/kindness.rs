//! What a sealed server was refused is told to people, with the line that would grant it, and never in band.

use serde_json::{Value, json};

use crate::support::{Conversation, STUCK, Stage, fixture, text};

/// A stage with the fixture protected as `one` in a client's file; the file.
fn protected() -> (Stage, std::path::PathBuf) {
    let stage = Stage::new();
    let file = stage.workspace().join("mcp.json");
    std::fs::write(
        &file,
        json!({"mcpServers": {"one": {"command": fixture()}}}).to_string(),
    )
    .unwrap();
    let output = stage.run(&[
        "protect",
        "--yes",
        "--client",
        "cursor",
        "--config",
        file.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    (stage, file)
}

fn status(stage: &Stage, file: &std::path::Path, format: &str) -> String {
    let file = file.to_str().unwrap();
    text(
        &stage
            .run(&["--format", format, "status", "--client", "cursor", "--config", file])
            .stdout,
    )
}

#[test]
fn status_and_show_name_the_line_that_would_grant_it() {
    let (stage, file) = protected();
    let outside = stage.workspace().join("plan.txt");
    std::fs::write(&outside, "x").unwrap();
    let mut gate = stage.converse(&["one"]);
    gate.initialize("2025-11-25");
    // It finds no shell, then a file that is not there for it, then a call that is refused.
    let first = gate.call("daemon", json!({}));
    let second = gate.call("look", json!({"read": outside}));
    let third = gate.call("socket", json!({"path": "/run/docker.sock", "times": 1}));
    for answer in [&first, &second, &third] {
        assert!(!answer.to_string().contains("manifest allow"), "{answer}");
    }
    assert!(gate.end().success());

    let shown = status(&stage, &file, "text");
    assert!(shown.contains("cofferdam manifest allow one program sh"), "{shown}");
    assert!(
        shown.contains("last started") && shown.contains("a call (argument/"),
        "{shown}"
    );
    let told: Value = serde_json::from_str(&status(&stage, &file, "json")).unwrap();
    let refused = told[0]["lately"]["refused"].as_array().unwrap().clone();
    assert_eq!(refused.len(), 2, "{refused:?}");

    let session = told[0]["lately"]["last_run"]["session"].as_str().unwrap().to_owned();
    let story = text(&stage.run(&["audit", "show", &session]).stdout);
    assert!(story.contains("cofferdam manifest allow one program sh"), "{story}");
    let path = format!("cofferdam manifest allow one path {}", outside.display());
    assert!(story.contains(&path), "{story}");

    let allowed = stage.run(&["manifest", "allow", "one", "path", outside.to_str().unwrap(), "--yes"]);
    assert!(allowed.status.success(), "{}", text(&allowed.stderr));
    let story = text(&stage.run(&["audit", "show", &session]).stdout);
    assert!(!story.contains(&path), "what is granted is not proposed: {story}");
}

/// A program that stands for the desktop's notifier, and a session bus, in a mount namespace of the test's own.
const DESKTOP: &str = r#"
set -e
mount -t tmpfs none /run
mkdir -p /run/user/0
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/run/user/0/bus")'
mount --bind "$1" /usr/local/bin
shift
exec "$@"
"#;

/// A desktop whose notifier says what it was given, and never ends.
struct Desktop {
    folder: std::path::PathBuf,
    seen: std::path::PathBuf,
}

impl Desktop {
    fn of(stage: &Stage) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, seen) = (stage.workspace().join("desktop"), stage.workspace().join("seen"));
        std::fs::create_dir(&folder).unwrap();
        let notifier = folder.join("notify-send");
        let script = format!(
            "#!/bin/sh\nprintf '%s|' \"$@\" >> {0}\necho >> {0}\nexec sleep 60\n",
            seen.display()
        );
        std::fs::write(&notifier, script).unwrap();
        std::fs::set_permissions(&notifier, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, seen }
    }

    fn converse(&self, stage: &Stage, name: &str) -> Conversation {
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", DESKTOP, "sh"]).arg(&self.folder);
        let mut gate = Conversation::with(stage.command_in(command, &["run", name]));
        gate.initialize("2025-11-25");
        gate
    }

    fn wait(&self) {
        let began = std::time::Instant::now();
        while !self.seen.exists() && began.elapsed() < STUCK {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn seen(&self) -> String {
        std::fs::read_to_string(&self.seen).unwrap()
    }
}

#[test]
fn questions_that_come_together_are_one_notification_and_no_markup() {
    let stage = crate::consent::asking();
    let desktop = Desktop::of(&stage);
    let mut gate = desktop.converse(&stage, "fixture");
    gate.request("tools/list", json!({}));
    for number in 0..5 {
        crate::consent::post(&mut gate, &format!("<b>{number}</b>"));
    }
    desktop.wait();
    // They all asked by now.
    gate.request("ping", json!({}));
    assert!(gate.end().success());
    let seen = desktop.seen();
    assert_eq!(seen.lines().count(), 1, "{seen}");
    assert!(
        seen.contains("fixture waits for your consent to a call of echo|"),
        "{seen}"
    );
    assert!(
        seen.contains("`cofferdam approvals` shows it|") && !seen.contains("<b>"),
        "{seen}"
    );
}

#[test]
fn each_new_cause_is_one_notification_and_a_stuck_notifier_stops_nothing() {
    let (stage, _file) = protected();
    let desktop = Desktop::of(&stage);
    for _session in 0..2 {
        let mut gate = desktop.converse(&stage, "one");
        for _time in 0..2 {
            gate.call("daemon", json!({}));
        }
        desktop.wait();
        assert!(gate.end().success());
    }
    let seen = desktop.seen();
    assert_eq!(seen.lines().count(), 1, "{seen}");
    assert!(
        seen.contains("one was refused the program `sh`|") && seen.contains("cofferdam manifest allow one program sh|"),
        "{seen}"
    );
}
