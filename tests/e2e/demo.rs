//! `demo` tells its story: every attack succeeds bare and fails behind the gate, and the record is intact.

use crate::support::{Stage, text};

#[test]
fn nine_attacks_succeed_bare_and_fail_behind_the_gate() {
    let stage = Stage::new();
    let demo = stage.run(&["demo"]);
    let story = text(&demo.stdout);
    assert_eq!(demo.status.code(), Some(0), "{story}\n{}", text(&demo.stderr));
    assert_eq!(story.matches("bare   succeeds").count(), 9, "{story}");
    assert_eq!(story.matches("gated  fails").count(), 9, "{story}");
    assert!(story.contains("intact"), "{story}");
}
