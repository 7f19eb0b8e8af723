//! `manifest allow`: one more right, shown, written, and then there.

use serde_json::json;

use crate::support::{Stage, said_in, text};

#[test]
fn a_folder_is_readable_and_then_writable_once_a_person_allowed_it() {
    let stage = Stage::with_fixture(&[]);
    let folder = stage.workspace().join("notes");
    std::fs::create_dir(&folder).unwrap();
    let note = folder.join("note");
    std::fs::write(&note, "of the person").unwrap();
    let read = || {
        let mut gate = stage.converse(&["fixture"]);
        gate.initialize("2025-11-25");
        let answer = gate.call("look", json!({"read": note}));
        let said = said_in(&answer).to_owned();
        assert!(gate.end().success());
        said
    };
    assert!(!read().contains("of the person"));
    let folder = folder.to_str().unwrap();
    let manifest = || std::fs::read_to_string(stage.manifest("fixture")).unwrap();
    let before = manifest();

    // Nobody said yes.
    let asked = stage.run(&["manifest", "allow", "fixture", "path", folder]);
    assert_eq!(asked.status.code(), Some(3), "{}", text(&asked.stderr));
    assert!(text(&asked.stderr).contains(folder), "{}", text(&asked.stderr));
    assert_eq!(manifest(), before);

    let allowed = stage.run(&["manifest", "allow", "fixture", "path", folder, "--yes"]);
    let said = text(&allowed.stderr);
    assert!(allowed.status.success(), "{said}");
    assert!(
        said.contains("[filesystem] read") && said.contains("next start"),
        "{said}"
    );
    assert!(read().contains("of the person"));

    let again = stage.run(&["manifest", "allow", "fixture", "path", folder, "--yes"]);
    assert_eq!(again.status.code(), Some(4));
    assert!(
        text(&again.stderr).contains("has it already"),
        "{}",
        text(&again.stderr)
    );

    let written = stage.run(&["manifest", "allow", "fixture", "path", folder, "--write", "--yes"]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    assert!(stage.run(&["manifest", "check", "fixture"]).status.success());
}

#[test]
fn what_can_never_be_granted_is_not_allowed_either() {
    let stage = Stage::with_fixture(&[]);
    let before = std::fs::read_to_string(stage.manifest("fixture")).unwrap();
    let home = stage.home();
    for (kind, value) in [
        ("path", home.to_str().unwrap()),
        ("path", "/proc/self"),
        ("path", "/nowhere/at/all"),
        ("host", "no-port.example"),
        ("host", "evil.example:0"),
        ("variable", "A=B"),
        ("program", "no-such-program-anywhere"),
    ] {
        let refused = stage.run(&["manifest", "allow", "fixture", kind, value, "--yes"]);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && !said.is_empty(), "{kind} {value}: {said}");
        let after = std::fs::read_to_string(stage.manifest("fixture")).unwrap();
        assert_eq!(after, before, "{kind} {value}");
    }
    // Its own program is pinned, and what is pinned it cannot change.
    let program = crate::support::fixture();
    let folder = std::path::Path::new(&program).parent().unwrap().to_str().unwrap();
    let refused = stage.run(&["manifest", "allow", "fixture", "path", folder, "--write", "--yes"]);
    assert!(!refused.status.success(), "{}", text(&refused.stderr));
}
