//! A server that needs the network, after `protect`: what it asked for is shown and offered, and granted by nobody but a person.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::listing_server::Person;
use crate::scripted::Scripted;
use crate::support::{Stage, fixture, text};

/// Asks for two hosts while it is watched.
const ASKS: &str = r#"
    if method == "tools/list":
        import socket
        for host in ("api.example.com", "feed.example.org", "api.example.com"):
            try:
                socket.getaddrinfo(host, 443)
            except OSError:
                pass
"#;

/// A client's file with this server as `net`, and the fixture as `plain`.
fn configured(stage: &Stage) -> PathBuf {
    let script = Scripted::write(stage, "net", ASKS);
    let file = stage.workspace().join("mcp.json");
    let servers = json!({
        "net": {"command": "/usr/bin/python3", "args": [script]},
        "plain": {"command": fixture()},
    });
    std::fs::write(&file, json!({"mcpServers": servers}).to_string()).unwrap();
    file
}

fn manifest(stage: &Stage, name: &str) -> String {
    std::fs::read_to_string(stage.manifest(name)).unwrap()
}

#[test]
fn with_yes_nothing_is_granted_and_one_line_says_what_would() {
    let stage = Stage::new();
    let file = configured(&stage);
    let config = ["--client", "cursor", "--config", file.to_str().unwrap()];
    let output = stage.run(&[&["--format", "json", "protect", "--yes"], &config[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = |server: &str, host: &str| format!("cofferdam manifest allow {server} host {host}:443");
    assert_eq!(
        outcomes[0]["unreached"],
        json!([line("net", "api.example.com"), line("net", "feed.example.org")]),
        "{outcomes}"
    );
    assert_eq!(outcomes[1]["unreached"], json!([line("plain", "HOST")]), "{outcomes}");
    assert!(
        manifest(&stage, "net").contains("[network]\nallow = []"),
        "{}",
        manifest(&stage, "net")
    );

    // The line, as it is shown.
    let words = line("net", "api.example.com");
    let words: Vec<&str> = words.split(' ').skip(1).chain(["--yes"]).collect();
    let allowed = stage.run(&words);
    assert!(allowed.status.success(), "{}", text(&allowed.stderr));
    assert!(manifest(&stage, "net").contains("allow = [\"api.example.com:443\"]"));

    // For people: once, and plain.
    let undone = stage.run(&[&["unprotect"], &config[..]].concat());
    assert!(undone.status.success(), "{}", text(&undone.stderr));
    std::fs::remove_dir_all(stage.home().join("config/servers")).unwrap();
    let shown = text(&stage.run(&[&["protect", "--yes"], &config[..]].concat()).stdout);
    let asked = format!(
        "it asked for a host, which it reaches after `{}`",
        line("net", "api.example.com")
    );
    let plain = format!(
        "it connects nowhere until a host is granted: `{}`",
        line("plain", "HOST")
    );
    for expected in [asked, plain] {
        assert_eq!(shown.matches(&expected).count(), 1, "{expected}: {shown}");
    }
}

#[test]
fn the_screen_offers_the_hosts_that_it_asked_for() {
    let stage = Stage::new();
    let file = configured(&stage);
    let config = ["--client", "cursor", "--config", file.to_str().unwrap()];
    let mut person = Person::at(&stage, &[&["protect"], &config[..]].concat());
    let screen = person.is_asked("protect `net` as shown?").to_owned();
    for expected in [
        "network   none",
        "refused   the host `api.example.com`, which it asked for meanwhile",
        "offered   `hosts` lets it connect to the hosts that it asked for",
    ] {
        assert_eq!(screen.matches(expected).count(), 1, "{expected}: {screen}");
    }
    person.types("hosts");
    let screen = person.is_asked("protect `net` as shown?").to_owned();
    assert!(
        screen.contains("network   api.example.com:443, feed.example.org:443") && !screen.contains("refused   "),
        "{screen}"
    );
    person.types("without feed.example.org:443");
    let screen = person.is_asked("protect `net` as shown?").to_owned();
    assert!(screen.contains("refused   the host `feed.example.org`"), "{screen}");
    person.types("y");
    // It asked for none: there is nothing to offer.
    let screen = person.is_asked("protect `plain` as shown?").to_owned();
    assert!(!screen.contains("offered   "), "{screen}");
    person.types("hosts");
    person.is_asked("it asked for no host that it may not reach");
    person.types("n");
    let (status, said) = person.end();
    assert!(status.success(), "{said}");
    assert!(manifest(&stage, "net").contains("allow = [\"api.example.com:443\"]"));
    assert!(!stage.manifest("plain").exists());
}

#[test]
fn a_flood_of_names_is_shown_and_offered_up_to_a_bound() {
    let stage = Stage::new();
    let asks = ASKS.replace(
        "(\"api.example.com\", \"feed.example.org\", \"api.example.com\")",
        "[f\"h{number}.example.com\" for number in range(30)] + [\"a`id`.example.com\", \"localhost\"]",
    );
    assert_ne!(asks, ASKS);
    let script = Scripted::write(&stage, "net", &asks);
    let file = stage.workspace().join("mcp.json");
    let servers = json!({"net": {"command": "/usr/bin/python3", "args": [script]}});
    std::fs::write(&file, json!({"mcpServers": servers}).to_string()).unwrap();
    let config = ["--client", "cursor", "--config", file.to_str().unwrap()];
    let output = stage.run(&[&["--format", "json", "protect", "--yes"], &config[..]].concat());
    let screen = text(&output.stderr);
    assert!(output.status.success(), "{screen}");
    assert_eq!(screen.matches("  refused   the host `h").count(), 16, "{screen}");
    assert!(!screen.contains("`id`"), "{screen}");
    let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcomes[0]["unreached"].as_array().unwrap().len(), 4, "{outcomes}");
    assert!(manifest(&stage, "net").contains("[network]\nallow = []"));
}

/// Asks for one host while it is watched, and for that of its argument when it is called.
const LOOKS_UP: &str = r#"
    if method in ("tools/list", "tools/call"):
        import socket
        said = (params.get("arguments") or {}).get("message", "https://api.example.com/")
        try:
            socket.getaddrinfo(said.split("/")[2], 443)
        except (OSError, IndexError):
            pass
"#;

#[test]
fn a_host_that_is_needed_later_is_named_too_until_it_is_granted() {
    let stage = Stage::new();
    let script = Scripted::write(&stage, "net", LOOKS_UP);
    let file = stage.workspace().join("mcp.json");
    let servers = json!({"net": {"command": "/usr/bin/python3", "args": [script]}});
    std::fs::write(&file, json!({"mcpServers": servers}).to_string()).unwrap();
    let config = ["--client", "cursor", "--config", file.to_str().unwrap()];
    let output = stage.run(&[&["protect", "--yes"], &config[..]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let status = || {
        let output = stage.run(&[&["status"], &config[..]].concat());
        text(&output.stdout).to_owned()
    };
    let line = |host: &str| format!("`cofferdam manifest allow net host {host}:443`");

    // Heard at the first look, before it ran for anybody.
    let told = status();
    assert!(told.contains(&line("api.example.com")), "{told}");
    let call = |message: &str| {
        let mut gate = stage.converse(&["net"]);
        gate.initialize("2025-11-25");
        let answer = gate.call("echo", json!({ "message": message }));
        assert!(!answer.to_string().contains("manifest allow"), "{answer}");
        assert!(gate.end().success());
    };
    // Nobody hears a name where no host is granted: the call says which one was needed.
    call("https://calls.example.net/x");
    let told = status();
    assert!(told.contains(&line("calls.example.net")), "{told}");
    assert!(!told.contains("HOST:443"), "{told}");
    let story = stage.run(&["audit", "show"]);
    assert!(
        text(&story.stdout).contains(&line("calls.example.net")),
        "{}",
        text(&story.stdout)
    );

    for host in ["api.example.com:443", "calls.example.net:443"] {
        let allowed = stage.run(&["manifest", "allow", "net", "host", host, "--yes"]);
        assert!(allowed.status.success(), "{}", text(&allowed.stderr));
    }
    let told = status();
    assert!(!told.contains("was refused"), "{told}");
    // A call that names none tells none.
    call("file:///x");
    assert!(!status().contains("calls.example.net"), "{}", status());
}
