//! What a person meets: exit codes, errors with a way out, refusals before anything runs.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::support::{Stage, fixture, text};

#[test]
fn exit_codes_are_as_documented() {
    let stage = Stage::with_fixture(&[]);
    assert_eq!(stage.run(&["manifest", "check"]).status.code(), Some(0));
    assert_eq!(stage.run(&["call", "fixture", "no-such-tool"]).status.code(), Some(1));
    assert_eq!(stage.run(&["no-such-verb"]).status.code(), Some(2));
    assert_eq!(
        stage.run(&["call", "fixture", "echo", "{not json"]).status.code(),
        Some(2)
    );
    assert_eq!(Stage::new().run(&["audit", "verify"]).status.code(), Some(3));
    assert_eq!(stage.run(&["run", "no-such-server"]).status.code(), Some(4));
    assert_eq!(
        stage
            .run(&["call", "fixture", "echo", r#"{"message":"hello"}"#])
            .status
            .code(),
        Some(0)
    );
}

#[test]
fn an_error_names_the_input_and_the_way_out() {
    let stage = Stage::with_fixture(&[]);
    let unknown = text(&stage.run(&["run", "githob"]).stderr);
    assert_eq!(
        unknown,
        "error: there is no server `githob`\nhelp: `cofferdam add githob -- COMMAND…` makes one\n"
    );
    let again = text(&stage.add("fixture", &[], &[&fixture()]).stderr);
    assert!(
        again.contains("there is a server `fixture` already") && again.contains("--replace"),
        "{again}"
    );
    let launcher = text(&stage.add("github", &[], &["poetry", "run", "mcp-server-git"]).stderr);
    assert!(launcher.contains("poetry") && launcher.contains("help:"), "{launcher}");
    let path = text(&stage.add("../up", &[], &[&fixture()]).stderr);
    assert!(path.contains("`../up` cannot name a server"), "{path}");
}

#[test]
fn nothing_is_written_without_a_yes() {
    let stage = Stage::new();
    let asked = stage.run(&["add", "fixture", "--", &fixture()]);
    assert_eq!(asked.status.code(), Some(3), "{}", text(&asked.stderr));
    assert!(!stage.manifest("fixture").exists());
}

#[test]
fn a_manifest_that_does_not_check_starts_nothing() {
    let stage = Stage::with_fixture(&[]);
    stage.edit_manifest("fixture", |manifest| format!("{manifest}\n[filesystm]\nread = []\n"));
    let refused = stage.run(&["run", "fixture"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        said.contains("manifest.toml:")
            && said.contains("filesystm")
            && said.contains('^')
            && said.contains("filesystem"),
        "{said}"
    );
    let sessions = stage
        .records()
        .into_iter()
        .filter(|record| record["kind"] == "open")
        .count();
    assert_eq!(sessions, 1, "only `add` ran anything");
}

#[test]
fn what_this_version_cannot_enforce_is_refused_not_ignored() {
    let stage = Stage::with_fixture(&[]);
    stage.edit_manifest("fixture", |manifest| {
        manifest + "\n[secrets.TOKEN]\nsource = \"keyring:x\"\nttl = \"10m\"\ndeliver = \"fd\"\n"
    });
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(5), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("`secrets`"), "{}", text(&refused.stderr));
}

#[test]
fn our_own_folders_can_never_be_granted() {
    let stage = Stage::with_fixture(&[]);
    for root in [stage.home(), stage.home().join("state")] {
        let granted = stage.add("greedy", &["--read", root.to_str().unwrap()], &[&fixture()]);
        assert_eq!(granted.status.code(), Some(4), "{}", text(&granted.stderr));
    }
    stage.edit_manifest("fixture", |manifest| {
        manifest.replacen("read = []", &format!("read = [\"{}\"]", stage.home().display()), 1)
    });
    assert_eq!(stage.run(&["run", "fixture"]).status.code(), Some(4));
}

#[test]
fn a_home_that_others_can_read_or_a_repository_can_supply_is_refused() {
    let stage = Stage::with_fixture(&[]);
    std::fs::set_permissions(stage.home(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let readable = stage.run(&["manifest", "check"]);
    assert!(
        text(&readable.stderr).contains("is not yours alone"),
        "{}",
        text(&readable.stderr)
    );
    std::fs::set_permissions(stage.home(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let inside = stage
        .command(&["manifest", "check"])
        .current_dir(stage.home().parent().unwrap())
        .output()
        .unwrap();
    assert!(
        text(&inside.stderr).contains("inside the working directory"),
        "{}",
        text(&inside.stderr)
    );
}

#[test]
fn a_program_that_changed_does_not_start() {
    let stage = Stage::new();
    let program = stage.workspace().join("server");
    std::fs::copy(fixture(), &program).unwrap();
    assert!(stage.add("mine", &[], &[program.to_str().unwrap()]).status.success());
    assert_eq!(
        stage.run(&["call", "mine", "echo", r#"{"message":"x"}"#]).status.code(),
        Some(0)
    );
    let mut bytes = std::fs::read(&program).unwrap();
    bytes.push(0);
    std::fs::write(&program, bytes).unwrap();
    let refused = stage.run(&["run", "mine"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        text(&refused.stderr).contains("is not the one that was accepted") && text(&refused.stderr).contains("server"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn definitions_that_were_tampered_with_are_refused() {
    let stage = Stage::with_fixture(&[]);
    let path = stage.manifest("fixture").with_file_name("definitions.json");
    let definitions = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, definitions.replace("Says it again.", "Says it again!")).unwrap();
    let refused = stage.run(&["run", "fixture"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(
        text(&refused.stderr).contains("definitions"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn tools_shows_how_the_live_list_stands() {
    let stage = Stage::with_fixture(&[]);
    let accepted = stage.run(&["--format", "json", "tools", "fixture"]);
    let list: Value = serde_json::from_slice(&accepted.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 15);
    let echo = list
        .as_array()
        .unwrap()
        .iter()
        .find(|tool| tool["name"] == "echo")
        .unwrap();
    assert!(
        echo["roles"].as_object().is_some_and(|roles| !roles.is_empty()),
        "{echo}"
    );
    let live = stage.run(&["tools", "fixture", "--live"]);
    assert_eq!(live.status.code(), Some(0), "{}", text(&live.stderr));
    assert!(
        text(&live.stdout).contains("echo  same, consent allow"),
        "{}",
        text(&live.stdout)
    );
}

#[test]
fn completions_and_rules_are_data() {
    let stage = Stage::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&stage.run(&["completions", shell]).stdout).contains("cofferdam"));
    }
    let rules = text(&stage.run(&["rules"]).stdout);
    for id in [
        "protocol/duplicate-key",
        "argument/schema",
        "tool/changed",
        "limit/seconds-per-call",
    ] {
        assert!(
            rules.lines().any(|line| line.starts_with(id)),
            "{id} is missing in\n{rules}"
        );
    }
}
