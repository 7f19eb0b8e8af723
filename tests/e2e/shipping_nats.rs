//! `audit ship` to real NATS servers: one of them over TLS, and a cluster of three whose leader is killed under load.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::driven::{installed, root};
use crate::shipping::{assert_all_arrived, configure, count_of_records, is_checkpoint, recorded, session, ship_once};
use crate::shipping_syslog::{Running, free_port};
use crate::support::{STUCK, Stage, certificate, said_in, text};

/// Made up for this test.
const TOKEN: &str = "a-token-of-these-tests-alone";

/// One server, with what it keeps.
pub(crate) struct Server {
    name: String,
    pub(crate) port: u16,
    configuration: PathBuf,
}

impl Server {
    /// Syncs each message before it acknowledges it; `more` is further configuration.
    pub(crate) fn new(folder: &Path, name: &str, more: &str) -> Self {
        let (port, configuration) = (free_port(), folder.join(format!("{name}.conf")));
        let store = folder.join(name);
        let text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\njetstream {{ store_dir: \"{}\", sync_interval: always }}\n{more}\n",
            store.display()
        );
        std::fs::write(&configuration, text).unwrap();
        Self {
            name: name.to_owned(),
            port,
            configuration,
        }
    }

    pub(crate) fn start(&self) -> Running {
        let mut server = Command::new(installed("collectors/bin/nats-server"));
        server
            .arg("-c")
            .arg(&self.configuration)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Running::listening(&mut server, self.port)
    }
}

/// Asks the servers with their own client for Python.
pub(crate) fn asked(what: &str, servers: &str, variables: &[(&str, &str)]) -> String {
    let mut python = Command::new(installed("collectors/bin/python"));
    python
        .arg(root().join("tests/fixture/jetstream.py"))
        .args([what, servers]);
    python.envs(variables.iter().copied());
    let asked = python.output().unwrap();
    assert!(asked.status.success(), "{}", text(&asked.stderr));
    text(&asked.stdout)
}

/// What is in the stream: each message once, under the id of its record and a subject of its own.
pub(crate) fn assert_in_stream(stage: &Stage, read: &str) {
    let messages: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for message in &messages {
        let event = &message["event"];
        assert_eq!(message["id"], event["metadata"]["uid"]);
        let kind = event["unmapped"]["cofferdam"]["kind"].as_str().unwrap();
        let server = if is_checkpoint(event) { "unknown" } else { "fixture" };
        assert_eq!(message["subject"], format!("cofferdam.{server}.{kind}"));
    }
    let events: Vec<Value> = messages
        .into_iter()
        .map(|mut message| message["event"].take())
        .collect();
    assert_all_arrived(stage, &events);
    assert_eq!(
        count_of_records(&events),
        recorded(stage).len(),
        "the stream drops what it has already"
    );
}

#[test]
fn a_server_over_tls_gets_every_record_once() {
    let stage = Stage::with_fixture(&[]);
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path(), "localhost");
    let (certificate, key) = (certificate.display(), key.display());
    let more = format!(
        "authorization {{ token: \"{TOKEN}\" }}\ntls {{ cert_file: \"{certificate}\", key_file: \"{key}\" }}\n"
    );
    let server = Server::new(folder.path(), "one", &more);
    let port = server.port;
    configure(
        &stage,
        &format!(
            "[[sinks]]\nname = \"fleet\"\ntype = \"nats\"\nservers = [\"tls://localhost:{port}\"]\nca = \"{certificate}\"\n\
             stream = \"RECORD\"\ntoken_env = \"TEST_TOKEN\"\n"
        ),
    );
    let ship = || {
        let mut ship = stage.command(&["audit", "ship", "--once"]);
        ship.env("TEST_TOKEN", TOKEN).output().unwrap()
    };
    session(&stage, 5);
    let running = server.start();
    let nowhere = ship();
    assert_eq!(nowhere.status.code(), Some(5));
    assert!(text(&nowhere.stderr).contains("no stream"), "{}", text(&nowhere.stderr));
    let certificate = certificate.to_string();
    let variables = [("TOKEN", TOKEN), ("CA", certificate.as_str())];
    let url = format!("tls://localhost:{port}");
    asked("create", &url, &variables);
    let shipped = ship();
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    // Killed, and everything that was acknowledged is there again; the cursor is lost, and nothing comes twice.
    drop(running);
    let _running = server.start();
    std::fs::remove_file(stage.home().join("state/ship/fleet.cursor")).unwrap();
    // 60 KiB of payload: the event is cut to what is shipped of it, and the stream takes it.
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.call("echo", json!({"message": "x".repeat(60_000)}));
    assert!(gate.end().success());
    let shipped = ship();
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    assert_in_stream(&stage, &asked("read", &url, &variables));
}

#[test]
fn a_cluster_of_three_whose_leader_is_killed_under_load_has_every_record_once_and_in_order() {
    let stage = Stage::with_fixture(&[]);
    let folder = tempfile::tempdir().unwrap();
    let routes = [free_port(), free_port(), free_port()];
    let urls: Vec<String> = routes
        .iter()
        .map(|port| format!("\"nats://127.0.0.1:{port}\""))
        .collect();
    let server = |(number, route): (usize, &u16)| {
        let routes = urls.join(", ");
        let more = format!("cluster {{ name: c, listen: \"127.0.0.1:{route}\", routes: [{routes}] }}\n");
        Server::new(folder.path(), &format!("n{number}"), &more)
    };
    let servers: Vec<Server> = routes.iter().enumerate().map(server).collect();
    let mut running: Vec<Running> = servers.iter().map(Server::start).collect();
    let urls: Vec<String> = servers
        .iter()
        .map(|server| format!("nats://127.0.0.1:{}", server.port))
        .collect();
    let all = urls.join(",");
    asked("create", &all, &[]);
    let listed: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    configure(
        &stage,
        &format!(
            "[[sinks]]\nname = \"fleet\"\ntype = \"nats\"\nservers = [{}]\n",
            listed.join(", ")
        ),
    );
    let mut ship = stage.command(&["audit", "ship"]);
    let shipper = Running(ship.stderr(Stdio::null()).spawn().unwrap());
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for number in 0..200 {
        if number == 50 {
            let leader = asked("leader", &all, &[]);
            let leader = servers.iter().position(|server| server.name == leader.trim()).unwrap();
            running[leader].0.kill().unwrap();
            running[leader].0.wait().unwrap();
        }
        let message = format!("call {number}");
        assert_eq!(said_in(&gate.call("echo", json!({"message": message}))), message);
    }
    assert!(gate.end().success());
    let cursor = stage.home().join("state/ship/fleet.cursor");
    let began = Instant::now();
    // A session is done when the cursor stands behind its `close` record (code 2); `add` had one of its own.
    let is_done = || {
        let text = std::fs::read_to_string(&cursor).unwrap_or_default();
        let steps = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let closed = steps
            .filter(|step| step.get(6) == Some(&"2"))
            .map(|step| step[0].to_owned());
        closed.collect::<HashSet<String>>().len() == 2
    };
    while !is_done() {
        assert!(began.elapsed() < STUCK * 2, "not everything is shipped");
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(shipper);
    assert_in_stream(&stage, &asked("read", &all, &[]));
    assert!(ship_once(&stage).status.success());
}
