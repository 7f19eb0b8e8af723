//! What `add` makes of servers that are harmless and awkward, as real ones are.

use serde_json::json;

use crate::scripted::Scripted;
use crate::support::{Stage, said_in, text};

/// As mcp-atlassian: the order of a set, which Python draws anew at each start, stands in the definition.
const UNORDERED: &str = r#"
    if method == "tools/list":
        tags = list({f"tag-{n}" for n in range(12)})
        say({"jsonrpc": "2.0", "id": id, "result": {"tools": [ECHO | {"_meta": {"tags": tags}}]}})
        continue
"#;

#[test]
fn what_python_orders_anew_at_each_start_is_still_what_was_accepted() {
    let stage = Stage::new();
    Scripted::add(&stage, "unordered", UNORDERED);
    for _start in 0..3 {
        let live = stage.run(&["tools", "unordered", "--live"]);
        assert_eq!(
            live.status.code(),
            Some(0),
            "{}{}",
            text(&live.stdout),
            text(&live.stderr)
        );
    }
    let seed = |name: &str| {
        let manifest = std::fs::read_to_string(stage.manifest(name)).unwrap();
        let line = manifest.lines().find(|line| line.contains("PYTHONHASHSEED"));
        line.unwrap().to_owned()
    };
    Scripted::add(&stage, "another", UNORDERED);
    assert_ne!(
        seed("unordered"),
        seed("another"),
        "one seed for all can be known to everybody"
    );
}

/// A server in the manner of server-postgres: it offers METHOD and has to reach something to list it.
const UNREACHABLE: &str = r#"
    if method == "initialize":
        capabilities = {"tools": {}, "prompts": {}, "resources": {}}
        say({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": params["protocolVersion"], "capabilities": capabilities, "serverInfo": {"name": "far", "version": "1"}}})
        continue
    if method in LISTS:
        say({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": "connect \u001b[31mrefused"}})
        continue
"#;

#[test]
fn prompts_and_resources_that_cannot_be_listed_are_said_and_no_obstacle() {
    let stage = Stage::new();
    let script = UNREACHABLE.replace("LISTS", r#"("prompts/list", "resources/list")"#);
    let path = Scripted::write(&stage, "far", &script);
    let added = stage.add("far", &[], &["/usr/bin/python3", path.to_str().unwrap()]);
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    for list in ["prompts/list", "resources/list"] {
        assert!(
            said.contains(&format!("`{list}` was answered with error -32603: connect ")),
            "{said}"
        );
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let mut gate = stage.converse(&["far"]);
    gate.initialize("2025-11-25");
    assert!(said_in(&gate.call("echo", json!({"message": "x"}))).contains("echo"));
}

#[test]
fn tools_that_cannot_be_listed_are_an_obstacle() {
    let stage = Stage::new();
    let path = Scripted::write(&stage, "mute", &UNREACHABLE.replace("LISTS", r#"("tools/list",)"#));
    let added = stage.add("mute", &[], &["/usr/bin/python3", path.to_str().unwrap()]);
    assert_eq!(added.status.code(), Some(4), "{}", text(&added.stderr));
    assert!(!stage.manifest("mute").exists());
}
