//! What `add` makes of servers that are harmless and awkward, as real ones are.

use crate::scripted::Scripted;
use crate::support::{Stage, text};

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
