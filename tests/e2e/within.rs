//! `[tools.X.arguments.Y] within`: a path argument stays in its roots, however it is written.

use serde_json::json;

use crate::support::{Stage, rule_of};

#[test]
fn a_path_stays_in_its_roots() {
    let stage = Stage::with_fixture(&[]);
    let root = stage.workspace().join("notes");
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(stage.workspace().join("notes-secret")).unwrap();
    std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
    let root = root.to_str().unwrap();
    stage.edit_manifest("fixture", |text| {
        format!("{text}\n[tools.echo.arguments.message]\nwithin = [{root:?}]\n")
    });
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for (path, rule) in [
        (format!("{root}/a.txt"), ""),
        (format!("{root}/deep/b.txt"), ""),
        (format!("file://{root}/a.txt"), ""),
        (format!("{root}-secret/a.txt"), "argument/path-outside-roots"),
        (format!("{root}/../notes-secret/a"), "argument/path-outside-roots"),
        (format!("{root}/out/hostname"), "argument/path-outside-roots"),
        ("/etc/hostname".to_owned(), "argument/path-outside-roots"),
        ("a.txt".to_owned(), "argument/path-outside-roots"),
        ("~/a.txt".to_owned(), "argument/path-outside-roots"),
    ] {
        assert_eq!(rule_of(&gate.call("echo", json!({"message": path}))), rule, "{path}");
    }
}
