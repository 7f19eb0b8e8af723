//! What a server sees from inside, through the whole product: as root here, and as an ordinary user.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{Stage, fixture, said_in, text};

#[test]
fn nothing_is_inherited() {
    let stage = Stage::with_fixture(&[]);
    let mut command = stage.command(&["run", "fixture"]);
    command
        .env("SECRET_OF_THE_USER", "do-not-inherit")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut gate = command.spawn().unwrap();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "look", "arguments": {}}});
    std::io::Write::write_all(gate.stdin.as_mut().unwrap(), format!("{call}\n").as_bytes()).unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(gate.stdout.as_mut().unwrap()), &mut line).unwrap();
    drop(gate.stdin.take());
    gate.wait().unwrap();
    assert!(!line.contains("do-not-inherit"), "{line}");
    assert!(line.contains("processes 1"), "the server sees itself alone: {line}");
    assert!(
        line.contains("CapEff:\\t0000000000000000")
            && line.contains("NoNewPrivs:\\t1")
            && line.contains("Seccomp:\\t2"),
        "{line}"
    );
}

#[test]
fn files_and_network_of_the_host_are_not_there() {
    let stage = Stage::with_fixture(&[]);
    let secret = stage.workspace().join("secret");
    std::fs::write(&secret, "host secret").unwrap();
    let service = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = service.local_addr().unwrap().to_string();
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let seen = gate.call(
        "look",
        json!({"read": secret, "connect": address, "write": "/etc/passwd"}),
    );
    let said = said_in(&seen);
    assert!(
        said.contains("read: No such file") && said.contains("connect: ") && said.contains("write: "),
        "{said}"
    );
    assert!(!said.contains("host secret") && !said.contains("connected"), "{said}");
}

#[test]
fn grants_are_what_the_manifest_says_and_no_more() {
    let stage = Stage::new();
    let (read, write) = (stage.workspace().join("read"), stage.workspace().join("write"));
    for folder in [&read, &write] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("file"), "granted").unwrap();
    }
    let added = stage.add(
        "fixture",
        &["--read", read.to_str().unwrap(), "--write", write.to_str().unwrap()],
        &[&fixture()],
    );
    assert!(added.status.success(), "{}", text(&added.stderr));
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let reads = gate.call("look", json!({"read": read.join("file"), "write": read.join("new")}));
    assert!(said_in(&reads).starts_with("granted\nwrite: "), "{reads}");
    let writes = gate.call("look", json!({"read": write.join("file"), "write": write.join("new")}));
    assert_eq!(said_in(&writes), "granted\nwritten");
    assert!(gate.end().success());
    assert_eq!(std::fs::read_to_string(write.join("new")).unwrap(), "written");
    assert!(!read.join("new").exists());
}

/// A server that means to run a shell finds none, whichever way it tries; what its manifest lists, it can run.
#[test]
fn only_listed_programs_are_there() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let left = gate.call("daemon", json!({}));
    assert!(said_in(&left).contains("No such file"), "{left}");
    assert!(gate.end().success());
    let listed = Stage::with_daemon_fixture(&[]);
    let mut gate = listed.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let left = gate.call("daemon", json!({}));
    assert_eq!(said_in(&left), "left\n", "{left}");
    drop(gate);
    let manifest = std::fs::read_to_string(listed.manifest("fixture")).unwrap();
    assert!(
        manifest.contains("[programs]\nallow = [\"/bin/sh\", \"setsid\", \"sleep\"]"),
        "{manifest}"
    );
    // A name that is nowhere is refused before anything starts.
    listed.edit_manifest("fixture", |text| text.replace("\"setsid\"", "\"no-such-program\""));
    let refused = listed.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("`no-such-program`"),
        "{}",
        text(&refused.stderr)
    );
}

/// Secrets in a granted folder read as empty; what an editor puts in their place is masked again, and that is recorded.
#[test]
fn secrets_in_granted_folders_are_masked() {
    let stage = Stage::new();
    let folder = stage.workspace().join("project");
    std::fs::create_dir_all(folder.join(".git")).unwrap();
    for (name, content) in [
        (".env", "TOKEN=hunter2"),
        ("deploy.pem", "-----BEGIN PRIVATE KEY-----"),
        (".git/HEAD", "ref: refs/heads/main"),
        (
            ".git/config",
            "[remote \"o\"]\n url = https://me:hunter2@example.org/x\n",
        ),
        ("tokens.json", "hunter2"),
        ("readme", "hello"),
    ] {
        std::fs::write(folder.join(name), content).unwrap();
    }
    let added = stage.add("fixture", &["--write", folder.to_str().unwrap()], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage.edit_manifest("fixture", |manifest| {
        manifest.replacen("\n# `host:port`", "mask = [\"tokens.json\"]\n\n# `host:port`", 1)
    });
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let mut read = |name: &str| said_in(&gate.call("look", json!({"read": folder.join(name)}))).to_owned();
    for name in [".env", "deploy.pem", ".git/config", "tokens.json"] {
        assert_eq!(read(name), "", "{name}");
    }
    assert_eq!(read("readme"), "hello");
    std::fs::write(folder.join("edited"), "TOKEN=hunter3").unwrap();
    std::fs::rename(folder.join("edited"), folder.join(".env")).unwrap();
    let began = std::time::Instant::now();
    while !read(".env").is_empty() {
        assert!(began.elapsed() < crate::support::STUCK, "it stays readable");
    }
    assert!(gate.end().success());
    assert_eq!(std::fs::read_to_string(folder.join(".env")).unwrap(), "TOKEN=hunter3");
    let records = stage.records();
    let notices: Vec<_> = records
        .iter()
        .filter(|record| record["facts"]["call"] == "mask")
        .collect();
    assert!(
        notices
            .iter()
            .any(|notice| notice["facts"]["path"] == json!(folder.join(".env")) && notice["facts"]["masked"] == true),
        "{notices:?}"
    );
    // A second name would show what the first hides.
    std::fs::hard_link(folder.join(".env"), folder.join("harmless")).unwrap();
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("hard links"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn a_socket_is_reached_when_the_manifest_names_it() {
    let stage = Stage::with_fixture(&[]);
    let path = stage.workspace().join("service");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::io::Write::write_all(&mut stream.unwrap(), b"hello").unwrap();
        }
    });
    let connect = |stage: &Stage| {
        let mut gate = stage.converse(&["fixture"]);
        gate.initialize("2025-11-25");
        let answer = gate.call("socket", json!({"path": path}));
        assert!(gate.end().success());
        said_in(&answer).to_owned()
    };
    assert!(connect(&stage).contains("Operation not permitted"));
    let named = format!("[sockets]\nallow = [{:?}]\n\n[limits]", path.to_str().unwrap());
    stage.edit_manifest("fixture", |text| text.replacen("[limits]", &named, 1));
    assert_eq!(connect(&stage), "hello");
}

/// Folders are shown as they were at the start, so that no mask can be taken off them; none for writing is granted.
#[test]
fn strict_masks_show_folders_as_they_were() {
    let stage = Stage::new();
    let folder = stage.workspace().join("project");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(".env"), "TOKEN=hunter2").unwrap();
    std::fs::write(folder.join("readme"), "text").unwrap();
    let added = stage.add("fixture", &["--read", folder.to_str().unwrap()], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage.edit_manifest("fixture", |text| {
        text.replacen("require = []", "require = [\"mask-strict\"]", 1)
    });
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    std::fs::write(folder.join("4913"), "TOKEN=hunter3").unwrap();
    std::fs::rename(folder.join("4913"), folder.join(".env")).unwrap();
    std::fs::write(folder.join("later"), "TOKEN=hunter4").unwrap();
    let mut read = |name: &str| said_in(&gate.call("look", json!({"read": folder.join(name)}))).to_owned();
    assert_eq!(read("readme"), "text");
    assert_eq!(read(".env"), "");
    assert!(read("later").contains("No such file"));
    assert!(gate.end().success());
    stage.edit_manifest("fixture", |text| {
        text.replacen("write = []", &format!("write = [{:?}]", folder.to_str().unwrap()), 1)
    });
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    let said = text(&refused.stderr);
    assert!(
        said.contains("mask-strict") && said.contains("granted for writing"),
        "{said}"
    );
}

/// A profile loosens the compartment for one server; what that gives up is said wherever the server is looked at.
#[test]
fn what_the_browser_profile_gives_up_is_said_and_recorded() {
    let stage = Stage::new();
    let added = stage.add("fixture", &["--browser"], &[&fixture()]);
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    assert!(
        said.contains("gives up") && said.contains("`no-user-namespaces` does not hold"),
        "{said}"
    );
    let checked = stage.run(&["manifest", "check", "fixture"]);
    assert!(
        text(&checked.stderr).contains("profile `browser`"),
        "{}",
        text(&checked.stderr)
    );
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert!(gate.end().success());
    let records = stage.records();
    let open = records.iter().rfind(|record| record["kind"] == "open").unwrap();
    assert_eq!(open["facts"]["opening"]["profile"], json!("browser"), "{open}");
    // Whoever requires what it gives up gets a refusal, not a compartment without it.
    stage.edit_manifest("fixture", |text| {
        text.replacen("require = []", "require = [\"no-user-namespaces\"]", 1)
    });
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(5));
    assert!(
        text(&refused.stderr).contains("required and not enforced: `no-user-namespaces`"),
        "{}",
        text(&refused.stderr)
    );
}

/// What a person gives up for one server is named, is on record, and cannot be the compartment itself.
#[test]
fn a_waiver_is_named_and_recorded() {
    let stage = Stage::new();
    let folder = stage.workspace().join("project");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join(".env"), "TOKEN=hunter2").unwrap();
    let added = stage.add("fixture", &["--read", folder.to_str().unwrap()], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage.edit_manifest("fixture", |text| {
        text.replacen("require = []", "require = []\nwaive = [\"masks\"]", 1)
    });
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let read = gate.call("look", json!({"read": folder.join(".env")}));
    assert_eq!(said_in(&read), "TOKEN=hunter2");
    assert!(gate.end().success());
    let records = stage.records();
    let open = records.iter().rfind(|record| record["kind"] == "open").unwrap();
    assert_eq!(open["facts"]["opening"]["waived"], json!(["masks"]), "{open}");
    stage.edit_manifest("fixture", |text| {
        text.replacen("waive = [\"masks\"]", "waive = [\"seccomp\"]", 1)
    });
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        text(&refused.stderr).contains("`seccomp` cannot be waived"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn doctor_measures_and_names_the_way_to_what_is_missing() {
    let stage = Stage::new();
    let examined = stage.run(&["--format", "json", "doctor"]);
    let facts: serde_json::Value = serde_json::from_slice(&examined.stdout).unwrap();
    let native = &facts["backends"][0];
    assert_eq!(native["name"], "native");
    assert!(
        native["enforced"].as_array().unwrap().contains(&json!("seccomp")),
        "{facts}"
    );
    let missing = native["missing"].as_array().unwrap();
    assert!(
        missing
            .iter()
            .all(|lack| lack["fix"].as_str().is_some_and(|fix| !fix.is_empty())),
        "{facts}"
    );
    let is_short = missing.iter().any(|lack| lack["required"] == true);
    assert_eq!(examined.status.code(), Some(if is_short { 5 } else { 0 }), "{facts}");
    assert_eq!(native["tier"] == "sealed", !is_short, "{facts}");
    // Where no namespace can be made, it says so, and how to get one: in a throw-away namespace that forbids more.
    let without = |kind: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c"]);
        command.arg(format!(
            "echo 0 > /proc/sys/user/max_{kind}_namespaces && exec \"$0\" doctor"
        ));
        command.arg(env!("CARGO_BIN_EXE_cofferdam"));
        command.env_remove("CI").stdin(Stdio::null()).output().unwrap()
    };
    // What may be given up is missing, and the rest is measured all the same.
    let waived = without("cgroup");
    let said = text(&waived.stdout);
    assert_eq!(waived.status.code(), Some(5), "{said}{}", text(&waived.stderr));
    assert!(
        said.contains("missing  cgroup-namespace") && said.contains("enforced user-namespace"),
        "{said}"
    );
    let limited = without("user");
    let said = text(&limited.stdout);
    assert!(said.contains("none: no server starts here"), "{said}");
    assert_eq!(limited.status.code(), Some(5), "{said}{}", text(&limited.stderr));
    assert!(
        said.contains("`user.max_user_namespaces` is 0") && said.contains("raise it with sysctl"),
        "{said}"
    );
    let profile = stage.run(&["doctor", "--apparmor"]);
    assert!(text(&profile.stdout).contains("userns,"), "{}", text(&profile.stdout));
}

#[test]
fn what_was_enforced_is_recorded_before_the_first_line() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    assert!(gate.end().success());
    let records = stage.records();
    let enforced = records
        .iter()
        .rposition(|record| record["kind"] == "enforcement")
        .unwrap();
    let first_line = records.iter().rposition(|record| record["kind"] == "open").unwrap();
    assert_eq!(enforced, first_line + 1);
    let facts = &records[enforced]["facts"];
    assert_eq!(
        (&facts["no_new_privileges"], &facts["seccomp_mode"]),
        (&json!(true), &json!(2)),
        "{facts}"
    );
    assert!(
        facts["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .all(|namespace| namespace["inode"] != namespace["ours"]),
        "{facts}"
    );
}

#[test]
fn a_required_feature_that_is_missing_refuses() {
    let stage = Stage::with_fixture(&[]);
    stage.edit_manifest("fixture", |manifest| {
        manifest.replacen("require = []", "require = [\"no-such-feature\"]", 1)
    });
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        text(&refused.stderr).contains("no-such-feature"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn enter_looks_around_in_the_same_compartment() {
    let stage = Stage::new();
    let entered = stage.run(&["enter", "--", "/usr/bin/id", "-u"]);
    assert_eq!(
        (entered.status.code(), text(&entered.stdout).trim()),
        (Some(0), "65532"),
        "{}",
        text(&entered.stderr)
    );
    let listed = stage.run(&["enter", "--", "/bin/ls", "/root", "/home"]);
    assert!(!text(&listed.stdout).contains(".ssh"), "{}", text(&listed.stdout));
    let failed = stage.run(&["enter", "--", "/bin/false"]);
    assert_eq!(failed.status.code(), Some(1));
}

/// The same binary as an ordinary user: root re-executes it with `setpriv`; anybody else is one already and the tests above cover it.
#[test]
fn it_works_as_an_ordinary_user() {
    if !nix::unistd::geteuid().is_root() {
        return nothing_is_inherited();
    }
    let folder = tempfile::Builder::new().prefix("cofferdam-user-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (gate, server) = (folder.path().join("cofferdam"), folder.path().join("fixture_server"));
    std::fs::copy(env!("CARGO_BIN_EXE_cofferdam"), &gate).unwrap();
    std::fs::copy(fixture(), &server).unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).unwrap();
    // 65534 is `nobody`, which has a passwd entry everywhere.
    nix::unistd::chown(&home, Some(65534.into()), Some(65534.into())).unwrap();
    let as_user = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&gate)
            .arg("--home")
            .arg(&home)
            .args(arguments);
        command.current_dir("/").stdin(Stdio::null()).output().unwrap()
    };
    let added = as_user(&["add", "fixture", "--yes", "--", server.to_str().unwrap()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let called = as_user(&["call", "fixture", "look"]);
    let said = text(&called.stdout);
    assert!(
        called.status.success() && said.contains("processes 1") && said.contains("CapEff:\t0000000000000000"),
        "{said}{}",
        text(&called.stderr)
    );
}
