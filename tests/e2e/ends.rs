//! Ends that must come whatever the two sides do with the pipes, and one server's flood that stops at that server.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::scripted::Scripted;
use crate::support::{Stage, fixture};

fn ends_within(child: &mut Child, limit: Duration) -> bool {
    let began = Instant::now();
    while began.elapsed() < limit {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

#[test]
fn a_client_that_does_not_read_stderr_cannot_keep_the_gate_alive() {
    let stage = Stage::new();
    let body = "\n    if method == \"ping\":\n        import os\n        for n in range(200):\n            os.write(2, b\"z\" * 3000 + b\"\\n\")\n            time.sleep(0.002)\n        os._exit(7)\n";
    Scripted::add(&stage, "noisy", body);
    let mut child = stage
        .command(&["run", "noisy"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n")
        .unwrap();
    let unread = child.stderr.take();
    assert!(
        ends_within(&mut child, Duration::from_secs(6)),
        "the server is gone, the gate is not"
    );
    drop(unread);
}

#[test]
fn a_socket_closed_for_writing_ends_the_session_even_if_the_server_reads_nothing() {
    let stage = Stage::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let script = stage.workspace().join("deaf.py");
    std::fs::write(&script, "import time\ntime.sleep(600)\n").unwrap();
    let mut child = stage
        .command(&["run", "--", "/usr/bin/python3", script.to_str().unwrap()])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    ours.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let line = format!(
        "{}\n",
        json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed", "params": {"x": "y".repeat(1000)}})
    );
    while (&ours).write_all(line.as_bytes()).is_ok() {}
    // What Node does when it ends a child's stdin: its stdio pipes are sockets.
    ours.shutdown(Shutdown::Write).unwrap();
    assert!(
        ends_within(&mut child, Duration::from_secs(3)),
        "two seconds after stdin closed nothing is left"
    );
}

#[test]
fn each_unpinned_command_has_a_record_quota_of_its_own() {
    let stage = Stage::new();
    let mut servers = std::collections::BTreeSet::new();
    for word in ["--one", "--other", "--other"] {
        let mut gate = stage.converse(&["--", &fixture(), word]);
        assert!(gate.initialize("2025-11-25").get("result").is_some());
        assert!(gate.end().success());
        servers.insert(stage.records().last().unwrap()["server"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        servers.len(),
        2,
        "the same command the same quota, another another: {servers:?}"
    );
    let stolen = stage.add(servers.first().unwrap(), &[], &[&fixture()]);
    assert_eq!(
        stolen.status.code(),
        Some(2),
        "the name is taken: {}",
        crate::support::text(&stolen.stderr)
    );
}

#[test]
fn a_record_that_refuses_is_told_even_if_the_client_closed_first() {
    let stage = Stage::new();
    let body = "\n    if method == \"ping\":\n        time.sleep(0.3)\n        sys.stdout.write(json.dumps({\"jsonrpc\": \"2.0\", \"id\": id, \"result\": {\"x\": \"y\" * 2000000}}) + \"\\n\")\n        sys.stdout.flush()\n        continue\n";
    Scripted::add(&stage, "large", body);
    stage.edit_manifest("large", |text| {
        text.replace("record_per_hour = \"1GiB\"", "record_per_hour = \"1MiB\"")
    });
    let mut gate = stage.converse(&["large"]);
    let id = gate.post("ping", json!({}));
    gate.hang_up();
    let answer = gate.answer(id);
    assert_eq!(crate::support::rule_of(&answer), "session/ended", "{answer}");
    assert_ne!(gate.wait().code(), Some(0));
}
