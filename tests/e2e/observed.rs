//! What a server does while a call is in flight stands in the record beside that call.

use serde_json::{Value, json};

use crate::support::{Stage, said_in, text};

/// Records of one kind whose facts have this call.
fn told<'a>(records: &'a [Value], kind: &str, call: &str) -> Vec<&'a Value> {
    let is_told = |record: &&Value| record["kind"] == kind && record["facts"]["call"] == call;
    records.iter().filter(is_told).map(|record| &record["facts"]).collect()
}

#[test]
fn an_injected_command_finds_no_shell_and_leaves_a_trace() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let id = gate.post("tools/call", json!({"name": "daemon", "arguments": {}}));
    assert!(said_in(&gate.answer(id)).contains("No such file"));
    assert!(gate.end().success());
    let records = stage.records();
    let told = told(&records, "system-call", "execve");
    assert_eq!(told.len(), 1, "{told:?}");
    let facts = told[0];
    assert_eq!(
        (&facts["path"], &facts["there"], &facts["racy"]),
        (&json!("/bin/sh"), &json!(false), &json!(true))
    );
    assert_eq!(facts["during"], json!([{"id": id, "tool": "daemon"}]), "{facts}");
    // A person who looks at the call sees what the tool really tried.
    let call = records
        .iter()
        .rfind(|record| record["kind"] == "client-line" && record["payload"].as_str().unwrap().contains("daemon"))
        .unwrap();
    let reference = format!("{}:{}", call["session"].as_str().unwrap(), call["seq"]);
    let shown = stage.run(&["audit", "show", &reference]);
    let shown = text(&shown.stdout);
    assert!(
        shown.contains("seen: system-call execve /bin/sh") && shown.contains("no such file"),
        "{shown}"
    );
}

#[test]
fn connections_and_refused_calls_are_told_and_a_flood_is_counted() {
    let stage = Stage::with_fixture(&[]);
    // The guard of arguments would refuse the path first, and what is told here is what the kernel saw.
    let read_as_prose = "\n[tools.socket.arguments.path]\nrole = \"prose\"\n";
    stage.edit_manifest("fixture", |text| text + read_as_prose);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.call("look", json!({"connect": "169.254.169.254:80"}));
    let refused = gate.call("socket", json!({"path": "/run/docker.sock", "times": 5_000}));
    assert!(said_in(&refused).starts_with("socket: "), "{refused}");
    // The gate is well: it answers at once.
    assert_eq!(said_in(&gate.call("echo", json!({"message": "well"}))), "well");
    assert!(gate.end().success());
    let records = stage.records();
    let connections = told(&records, "connection", "connect");
    assert_eq!(connections[0]["address"], "169.254.169.254:80", "{connections:?}");
    assert_eq!(connections[0]["during"][0]["tool"], "look");
    let sockets = told(&records, "system-call", "socket");
    let times = |facts: &&Value| facts["times"].as_u64().unwrap_or(1);
    let more: u64 = told(&records, "system-call", "more").iter().map(times).sum();
    assert_eq!(sockets.iter().map(times).sum::<u64>() + more, 5_000, "{sockets:?}");
    assert!(sockets.len() < 500, "{} records", sockets.len());
    assert!(
        sockets
            .iter()
            .all(|facts| facts["refused"] == 1 && facts["values"][0] == 1),
        "{sockets:?}"
    );
}

#[test]
fn what_a_server_executes_while_it_is_watched_is_proposed() {
    let stage = Stage::new();
    let script = stage.workspace().join("server.py");
    // Runs `id` before it serves, and looks for a program that is nowhere.
    std::fs::write(
        &script,
        "import subprocess, runpy, sys\nsubprocess.run(['id'], stdout=subprocess.DEVNULL)\n\
         try: subprocess.run(['no-such-program-here'])\nexcept OSError: pass\n\
         import json\nfor line in sys.stdin:\n    m = json.loads(line)\n    if 'id' not in m: continue\n\
         \x20   r = {'initialize': {'protocolVersion': '2025-11-25', 'capabilities': {'tools': {}}, 'serverInfo': {'name': 's', 'version': '1'}},\n\
         \x20        'tools/list': {'tools': [{'name': 't', 'inputSchema': {'type': 'object'}}]}}.get(m['method'], {})\n\
         \x20   print(json.dumps({'jsonrpc': '2.0', 'id': m['id'], 'result': r}), flush=True)\n",
    )
    .unwrap();
    let added = stage.add("watched", &[], &["/usr/bin/python3", script.to_str().unwrap()]);
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    assert!(said.contains("executes  itself, id"), "{said}");
    let manifest = std::fs::read_to_string(stage.manifest("watched")).unwrap();
    assert!(manifest.contains("[programs]\nallow = [\"id\"]"), "{manifest}");
    // And with that list, and no more, it runs.
    let called = stage.run(&["tools", "watched", "--live"]);
    assert!(called.status.success(), "{}", text(&called.stderr));
}
