//! MCP Inspector's command line, bare and gated, in each of its eras: the same output and the same exit code.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::consent::{id, question};
use crate::driven::{add_suite, installed, newer_node, suite_server, through_the_gate};
use crate::support::{Stage, fixture, text};

/// Arguments of Inspector, and its exit code.
type Call = (&'static [&'static str], i32);

/// What is asked in every era.
const CALLS: &[Call] = &[
    (&["--method", "tools/list"], 0),
    // What Inspector says of a tool that failed.
    (&["--method", "tools/call", "--tool-name", "test_error_handling"], 5),
];
/// What is asked in the modern era alone: every call starts Inspector and the server, which takes seconds.
const MORE_CALLS: &[Call] = &[
    (
        &["--method", "tools/call", "--tool-name", "test_multiple_content_types"],
        0,
    ),
    (&["--method", "resources/read", "--uri", "test://static-binary"], 0),
    (
        &[
            "--method",
            "prompts/get",
            "--prompt-name",
            "test_prompt_with_arguments",
            "--prompt-args",
            "arg1=a b",
            "arg2=ü",
        ],
        0,
    ),
];

/// What Inspector printed, and its exit code.
fn inspector(stage: &Stage, server: &[String], era: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let (command, rest) = server.split_first().unwrap();
    let config = stage.workspace().join("inspector.json");
    let servers = json!({"mcpServers": {"server": {"type": "stdio", "command": command, "args": rest}}});
    std::fs::write(&config, servers.to_string()).unwrap();
    let launcher = "clients/node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js";
    let mut inspector = Command::new(newer_node());
    inspector
        .arg(installed(launcher))
        .args(["--cli", "--format", "json", "--server", "server", "--protocol-era", era]);
    inspector.arg("--config").arg(&config).args(arguments);
    // Its own files and its keychain stay away from the user's.
    inspector
        .env("HOME", stage.workspace())
        .env("MCP_INSPECTOR_SECRET_STORE", "memory");
    let output = inspector.current_dir("/").stdin(Stdio::null()).output().unwrap();
    let said = text(&output.stdout);
    assert!(
        said.len() > 50 || !text(&output.stderr).is_empty(),
        "nothing was said: {said}"
    );
    (said, output.status.code())
}

fn is_the_same_in(era: &str, calls: &[Call]) {
    let stage = Stage::new();
    add_suite(&stage);
    let gate = through_the_gate(&stage, "suite");
    for (arguments, code) in calls {
        let bare = inspector(&stage, &suite_server(), era, arguments);
        assert_eq!(bare.1, Some(*code), "{arguments:?}: {}", bare.0);
        let gated = inspector(&stage, &gate, era, arguments);
        assert_eq!(bare, gated, "{arguments:?}");
    }
    assert!(stage.verify().iter().all(|verdict| verdict["intact"] == true));
}

#[test]
fn in_the_legacy_era() {
    is_the_same_in("legacy", CALLS);
}

#[test]
fn in_the_modern_era() {
    is_the_same_in("modern", &[CALLS, MORE_CALLS].concat());
}

#[test]
fn with_a_probe_first() {
    is_the_same_in("auto", CALLS);
}

/// Inspector's command line shows no forms: its call waits, and passes once somebody allows it at a terminal.
#[test]
fn a_call_that_asks_waits_for_a_person_and_passes() {
    let stage = Stage::with_shipped_policies();
    let workspace = stage.workspace();
    let added = stage.add("fixture", &["--write", workspace.to_str().unwrap()], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let gate = through_the_gate(&stage, "fixture");
    let call = [
        "--method",
        "tools/call",
        "--tool-name",
        "echo",
        "--tool-arg",
        "message=hello",
    ];
    for (answer, said) in [("allow", "hello"), ("deny", "refused by cofferdam")] {
        let (printed, _) = std::thread::scope(|scope| {
            let printed = scope.spawn(|| inspector(&stage, &gate, "legacy", &call));
            let asked = question(&stage, &[]);
            let answered = stage.run(&["approvals", answer, id(&asked)]);
            assert!(answered.status.success(), "{}", text(&answered.stderr));
            printed.join().unwrap()
        });
        assert!(printed.contains(said), "{answer}: {printed}");
    }
}
