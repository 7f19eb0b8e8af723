//! The fixture server driven by every client in every mode, bare and gated: the same results with everything in play that
//! the protocol has, in both eras.

use serde_json::Value;

use crate::driven::{Client, add_suite, assert_same, suite_server, through_the_gate, transcript};
use crate::support::Stage;

/// How often each thing must have happened at least, or the run proves nothing.
const LEGACY: &[(&str, usize)] = &[
    ("elicitation/create", 5),
    ("sampling/createMessage", 3),
    ("roots/list", 1),
    ("cancelled by the server", 1),
    ("notifications/message", 3),
    ("notifications/elicitation/complete", 1),
    ("notifications/resources/updated", 1),
    ("notifications/resources/list_changed", 1),
    ("notifications/prompts/list_changed", 1),
    ("notifications/tools/list_changed", 1),
];
const MODERN: &[(&str, usize)] = &[
    ("elicitation/create", 13),
    ("sampling/createMessage", 5),
    ("roots/list", 4),
    ("notifications/message", 3),
    ("notifications/resources/updated", 1),
    ("notifications/prompts/list_changed", 1),
    ("notifications/tools/list_changed", 1),
];
/// What the Python client has besides, in the modern era: the tasks extension.
const TASKS: &[(&str, usize)] = &[("task", 2), ("tasks/get", 7), ("tasks/update", 1), ("tasks/cancel", 1)];

fn is_the_same_with(client: Client, expected: &[(&str, usize)]) {
    let stage = Stage::new();
    let bare = transcript(client, "suite.json", &stage.workspace(), &suite_server());
    let seen: Value = serde_json::from_str(&bare).unwrap();
    for (event, count) in expected {
        let found = seen["events"][event].as_array().map_or(0, Vec::len);
        assert!(found >= *count, "{found} of `{event}` in {}", seen["events"]);
    }
    let steps = seen["steps"].as_array().unwrap();
    assert!(
        steps.iter().any(|step| step["cancelled"] == true),
        "nothing was cancelled"
    );
    let full = steps
        .iter()
        .any(|step| step["progress"].as_array().is_some_and(|seen| seen.len() > 1));
    assert!(full, "no progress was reported");

    add_suite(&stage);
    let gated = transcript(
        client,
        "suite.json",
        &stage.workspace(),
        &through_the_gate(&stage, "suite"),
    );
    assert_same(client, &bare, &gated);
    let records = stage.records();
    let decided = |decision: &str| {
        records
            .iter()
            .filter(|record| record["facts"]["decision"] == decision)
            .count()
    };
    assert!(decided("allow") > 80, "{} lines were allowed", decided("allow"));
    assert_eq!(decided("deny"), 0);
    assert!(stage.verify().iter().all(|verdict| verdict["intact"] == true));
}

#[test]
fn the_python_client_in_the_legacy_era() {
    is_the_same_with(Client::Python("legacy"), LEGACY);
}

#[test]
fn the_python_client_that_probes_first() {
    is_the_same_with(Client::Python("auto"), &[MODERN, TASKS].concat());
}

#[test]
fn the_python_client_pinned_to_the_modern_era() {
    is_the_same_with(Client::Python("2026-07-28"), &[MODERN, TASKS].concat());
}

#[test]
fn the_typescript_client() {
    is_the_same_with(Client::TypeScript1, LEGACY);
}

#[test]
fn the_newer_typescript_client_in_the_legacy_era() {
    is_the_same_with(Client::TypeScript2("legacy"), LEGACY);
}

#[test]
fn the_newer_typescript_client_that_probes_first() {
    is_the_same_with(Client::TypeScript2("auto"), MODERN);
}

#[test]
fn the_newer_typescript_client_pinned_to_the_modern_era() {
    is_the_same_with(Client::TypeScript2("2026-07-28"), MODERN);
}
