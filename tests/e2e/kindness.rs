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
    assert!(shown.contains("its manifest is accepted: "), "{shown}");
    let told: Value = serde_json::from_str(&status(&stage, &file, "json")).unwrap();
    assert!(told[0]["accepted"]["tools"].as_u64().unwrap() > 3, "{told}");
    assert!(told[0]["accepted"]["signed_by"].is_null(), "{told}");
    let refused = told[0]["lately"]["refused"].as_array().unwrap().clone();
    assert_eq!(refused.len(), 3, "{refused:?}");

    let session = told[0]["lately"]["last_run"]["session"].as_str().unwrap().to_owned();
    let story = text(&stage.run(&["audit", "show", &session]).stdout);
    assert!(story.contains("cofferdam manifest allow one program sh"), "{story}");
    let path = format!("cofferdam manifest allow one path {}", outside.display());
    assert!(story.contains(&path) && shown.contains(&path), "{story}{shown}");

    let allowed = stage.run(&["manifest", "allow", "one", "path", outside.to_str().unwrap(), "--yes"]);
    assert!(allowed.status.success(), "{}", text(&allowed.stderr));
    let story = text(&stage.run(&["audit", "show", &session]).stdout);
    assert!(!story.contains(&path), "what is granted is not proposed: {story}");
}

/// What a test has listening on this machine: a UNIX socket in a folder of its own, and a port.
struct Listening {
    socket: std::path::PathBuf,
    port: u16,
    _listener: std::net::TcpListener,
}

impl Listening {
    fn at(stage: &Stage) -> Self {
        use std::os::unix::fs::PermissionsExt as _;
        let socket = stage.workspace().join("service.sock");
        let here = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        // A gate that root starts runs the server as somebody else.
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
        std::thread::spawn(move || {
            for mut stream in here.incoming().map_while(Result::ok) {
                // Whoever hung up again heard nothing.
                let _ = std::io::Write::write_all(&mut stream, b"hello");
            }
        });
        let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = there.local_addr().unwrap().port();
        Self {
            socket,
            port,
            _listener: there,
        }
    }

    fn connect(&self, gate: &mut Conversation) -> Value {
        gate.call("look", json!({"connect": format!("127.0.0.1:{}", self.port)}))
    }

    fn lines(&self) -> [String; 2] {
        [
            format!("cofferdam manifest allow one socket {}", self.socket.display()),
            format!("cofferdam manifest allow one host localhost:{}", self.port),
        ]
    }
}

#[test]
fn a_socket_and_a_port_of_this_machine_are_named_and_work_after_their_lines() {
    let (stage, file) = protected();
    let listening = Listening::at(&stage);
    let mut gate = stage.converse(&["one"]);
    gate.initialize("2025-11-25");
    let by_path = json!({"path": listening.socket, "times": 1});
    let answers = [gate.call("socket", by_path.clone()), listening.connect(&mut gate)];
    assert!(gate.end().success());
    for answer in &answers {
        assert!(!answer.to_string().contains("manifest allow"), "{answer}");
    }
    let shown = status(&stage, &file, "text");
    let session: Value = serde_json::from_str(&status(&stage, &file, "json")).unwrap();
    let session = session[0]["lately"]["last_run"]["session"].as_str().unwrap().to_owned();
    let story = text(&stage.run(&["audit", "show", &session]).stdout);
    for line in listening.lines() {
        assert!(shown.contains(&line), "{line}: {shown}");
        let words: Vec<&str> = line.split(' ').skip(1).chain(["--yes"]).collect();
        let allowed = stage.run(&words);
        assert!(allowed.status.success(), "{}", text(&allowed.stderr));
    }
    assert!(story.contains(&listening.lines()[0]), "{story}");

    let mut gate = stage.converse(&["one"]);
    gate.initialize("2025-11-25");
    let connected = gate.call("socket", by_path);
    assert_eq!(crate::support::said_in(&connected), "hello", "{connected}");
    let connected = listening.connect(&mut gate);
    assert_eq!(crate::support::said_in(&connected), "connected", "{connected}");
    assert!(gate.end().success());
    let causes: Value = serde_json::from_str(&status(&stage, &file, "json")).unwrap();
    let refused = causes[0]["lately"]["refused"].as_array().unwrap();
    assert!(refused.iter().all(|cause| cause["times"] == 1), "{refused:?}");
}

#[test]
fn a_socket_that_a_variable_names_is_the_one_and_one_that_can_never_be_granted_is_none() {
    let stage = Stage::new();
    let listening = Listening::at(&stage);
    let engine = stage.workspace().join("docker.sock");
    let _engine = std::os::unix::net::UnixListener::bind(&engine).unwrap();
    let unix = |path: &std::path::Path| format!("unix://{}", path.display());
    let variables = json!({"A_ENGINE": unix(&engine), "B_ADDRESS": unix(&listening.socket)});
    let file = stage.workspace().join("mcp.json");
    let servers = json!({"mcpServers": {"one": {"command": fixture(), "env": variables}}});
    std::fs::write(&file, servers.to_string()).unwrap();
    let config = ["--client", "cursor", "--config", file.to_str().unwrap()];
    let output = stage.run(&[&["protect", "--yes"], &config[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut run = stage.command(&["run", "one"]);
    run.env("A_ENGINE", unix(&engine))
        .env("B_ADDRESS", unix(&listening.socket));
    let mut gate = Conversation::with(run);
    gate.initialize("2025-11-25");
    gate.call("socket", json!({"path": "", "times": 3}));
    assert!(gate.end().success());
    let shown = status(&stage, &file, "text");
    assert!(shown.contains(&listening.lines()[0]), "{shown}");
    assert!(!shown.contains("docker.sock"), "{shown}");
}

#[test]
fn a_flood_of_one_kind_leaves_room_for_the_others() {
    let (stage, file) = protected();
    let folder = stage.workspace().join("many");
    std::fs::create_dir(&folder).unwrap();
    let mut gate = stage.converse(&["one"]);
    gate.initialize("2025-11-25");
    for number in 0..40 {
        let path = folder.join(number.to_string());
        std::fs::write(&path, "x").unwrap();
        gate.call("look", json!({"read": path}));
    }
    gate.call("daemon", json!({}));
    assert!(gate.end().success());
    let causes: Value = serde_json::from_str(&status(&stage, &file, "json")).unwrap();
    let refused = causes[0]["lately"]["refused"].as_array().unwrap().clone();
    assert_eq!(refused.len(), 17, "{refused:?}");
    let shown = status(&stage, &file, "text");
    assert!(shown.contains("cofferdam manifest allow one program sh"), "{shown}");
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

    /// Until it was given so many.
    fn wait(&self, notifications: usize) {
        let began = std::time::Instant::now();
        let seen = || std::fs::read_to_string(&self.seen).unwrap_or_default().lines().count();
        while seen() < notifications && began.elapsed() < STUCK {
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
    desktop.wait(1);
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
fn each_new_cause_of_each_kind_is_one_notification_and_a_stuck_notifier_stops_nothing() {
    let (stage, _file) = protected();
    let desktop = Desktop::of(&stage);
    let listening = Listening::at(&stage);
    let outside = stage.workspace().join("plan.txt");
    std::fs::write(&outside, "x").unwrap();
    let [socket, port] = listening.lines();
    let path = format!("cofferdam manifest allow one path {}", outside.display());
    let expected = [
        (
            "one was refused the program `sh`|",
            "cofferdam manifest allow one program sh".to_owned(),
        ),
        ("one was refused the path `", path),
        ("one was refused the socket `", socket),
        ("one was refused port ", port),
    ];
    for _session in 0..2 {
        let mut gate = desktop.converse(&stage, "one");
        for _time in 0..2 {
            gate.call("daemon", json!({}));
            gate.call("look", json!({"read": outside}));
            gate.call("socket", json!({"path": listening.socket, "times": 1}));
            listening.connect(&mut gate);
        }
        desktop.wait(expected.len());
        assert!(gate.end().success());
    }
    let seen = desktop.seen();
    assert_eq!(seen.lines().count(), expected.len(), "{seen}");
    for (title, line) in expected {
        let is_told = |told: &str| told.contains(title) && told.contains(&format!("{line}|"));
        assert!(seen.lines().any(is_told), "{title}: {seen}");
    }
}
