//! Another version of a server's package: installed beside, shown, switched to and back, and the store pruned of what serves nobody.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::registries::Company;
use crate::support::{Stage, text};

const OLD: &str = "@modelcontextprotocol/server-memory@2026.7.4";
const NEW: &str = "2026.8.31";

/// A stage with the older version as `memory`.
fn with_old() -> Stage {
    let stage = Stage::new();
    let added = stage.add("memory", &[], &["npx", "-y", OLD]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage
}

/// Updates to the newer version, as shown.
fn update(stage: &Stage) -> String {
    let shown = stage.run(&["manifest", "update", "memory", "--to", NEW]);
    let said = text(&shown.stderr);
    assert_eq!(shown.status.code(), Some(3), "{said}");
    let digest = said
        .lines()
        .find_map(|line| line.strip_prefix("digest "))
        .unwrap()
        .to_owned();
    let done = stage.run(&[
        "manifest", "update", "memory", "--to", NEW, "--yes", "--digest", &digest,
    ]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    said
}

fn version(stage: &Stage) -> String {
    version_of(stage, "memory")
}

fn version_of(stage: &Stage, name: &str) -> String {
    let manifest = std::fs::read_to_string(stage.manifest(name)).unwrap();
    let line = manifest.lines().find(|line| line.starts_with("version = ")).unwrap();
    line.trim_start_matches("version = ").trim_matches('"').to_owned()
}

fn answers(stage: &Stage) {
    let mut gate = stage.converse(&["memory"]);
    gate.initialize("2025-11-25");
    let answer = gate.call("read_graph", json!({}));
    assert!(answer.get("result").is_some(), "{answer}");
    assert!(gate.end().success());
}

fn store(stage: &Stage) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(stage.home().join("data/store")).unwrap();
    let mut folders: Vec<PathBuf> = folders
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

#[test]
fn an_update_is_shown_then_switched_to_and_back_and_nothing_needed_is_pruned() {
    let stage = with_old();
    stage.edit_manifest("memory", |manifest| format!("# mine\n{manifest}"));
    let said = update(&stage);
    for expected in ["2026.7.4 → 2026.8.31", "code  ", " files, "] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    let manifest = std::fs::read_to_string(stage.manifest("memory")).unwrap();
    assert!(manifest.starts_with("# mine\n"), "a person's words stay: {manifest}");
    assert_eq!(version(&stage), NEW);
    answers(&stage);
    let again = stage.run(&["manifest", "update", "memory", "--to", NEW]);
    assert_eq!(again.status.code(), Some(3), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("already"), "{}", text(&again.stderr));

    // Both are needed: one counts, one can be gone back to.
    assert_eq!(stage.run(&["install", "prune", "--yes"]).status.code(), Some(3));
    assert_eq!(store(&stage).len(), 2);
    for expected in ["2026.7.4", NEW] {
        let back = stage.run(&["manifest", "rollback", "memory", "--yes"]);
        assert!(back.status.success(), "{}", text(&back.stderr));
        assert_eq!(version(&stage), expected);
        answers(&stage);
    }

    // What was changed in the store is said at the start, and installed anew by the same line.
    let file = store(&stage)
        .into_iter()
        .find(|path| path.to_string_lossy().contains(NEW))
        .unwrap();
    let file = file.join("node_modules/@modelcontextprotocol/server-memory/dist/index.js");
    let code = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{code}// changed\n")).unwrap();
    let refused = stage.run(&["run", "memory"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(
        said.contains("dist/index.js") && said.contains("manifest update memory --to 2026.8.31"),
        "{said}"
    );
    let mended = stage.run(&["manifest", "update", "memory", "--to", NEW]);
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        code,
        "{}",
        text(&mended.stderr)
    );
    answers(&stage);
}

#[test]
fn what_a_running_server_consists_of_is_not_pruned() {
    let stage = with_old();
    let mut gate = stage.converse(&["memory"]);
    gate.initialize("2025-11-25");
    std::fs::remove_dir_all(stage.manifest("memory").parent().unwrap()).unwrap();
    let kept = stage.run(&["install", "prune", "--yes"]);
    assert_eq!(kept.status.code(), Some(3), "{}", text(&kept.stderr));
    assert!(gate.call("read_graph", json!({})).get("result").is_some());
    assert!(gate.end().success());
    let dry = stage.run(&["install", "prune", "--dry-run"]);
    assert!(text(&dry.stdout).contains("for nobody"), "{}", text(&dry.stdout));
    assert_eq!(store(&stage).len(), 1);
    let removed = stage.run(&["install", "prune", "--yes"]);
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    assert_eq!(store(&stage), Vec::<PathBuf>::new());
}

#[test]
fn a_kill_at_any_moment_leaves_a_server_that_starts() {
    let stage = with_old();
    update(&stage);
    // Something that serves nobody, for each prune.
    let surplus = stage.home().join("data/store/npm-surplus-1.0.0-0123");
    for millisecond in (0..60).step_by(3) {
        for arguments in [
            &["manifest", "rollback", "memory", "--yes"][..],
            &["install", "prune", "--yes"],
        ] {
            for inner in 0..40 {
                let folder = surplus.join(format!("node_modules/{inner}"));
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join("index.js"), "x").unwrap();
            }
            let mut command = stage.command(arguments);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(millisecond));
            child.kill().unwrap();
            child.wait().unwrap();
            let checked = stage.run(&["manifest", "check", "memory"]);
            assert!(checked.status.success(), "{}", text(&checked.stderr));
        }
    }
    let pruned = stage.run(&["install", "prune", "--yes"]);
    assert!(matches!(pruned.status.code(), Some(0 | 3)), "{}", text(&pruned.stderr));
    assert_eq!(store(&stage).len(), 2, "{:?}", store(&stage));
    answers(&stage);
}

#[test]
fn a_kill_during_an_update_leaves_the_old_or_the_new_and_it_whole() {
    let company = Company::with_token();
    let stage = &company.stage;
    let added = stage.add("ours", &[], &["npx", "-y", "@ours/server@1.0.0"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let update = ["manifest", "update", "ours", "--to", "1.1.0"];
    let began = Instant::now();
    let shown = text(&stage.run(&update).stderr);
    let whole = began.elapsed();
    let digest = shown.lines().find_map(|line| line.strip_prefix("digest ")).unwrap();
    let update = [&update[..], &["--yes", "--digest", digest]].concat();
    let (mut old, mut new) = (0, 0);
    for round in 0..ROUNDS {
        let mut command = stage.command(&update);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(moment(round, whole));
        child.kill().unwrap();
        child.wait().unwrap();
        let checked = stage.run(&["manifest", "check", "ours"]);
        assert!(checked.status.success(), "round {round}: {}", text(&checked.stderr));
        if version_of(stage, "ours") == "1.0.0" {
            old += 1;
            continue;
        }
        assert_eq!(version_of(stage, "ours"), "1.1.0");
        new += 1;
        let back = stage.run(&["manifest", "rollback", "ours", "--yes"]);
        assert!(back.status.success(), "{}", text(&back.stderr));
    }
    assert!(old > 0, "{old} {new}: none of the {ROUNDS} came before the end");
    crate::registries::answers(stage);
    let done = stage.run(&update);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(version_of(stage, "ours"), "1.1.0");
    crate::registries::answers(stage);
    // Nothing of the killed ones stays in the store.
    let pruned = stage.run(&["install", "prune", "--yes"]);
    assert!(matches!(pruned.status.code(), Some(0 | 3)), "{}", text(&pruned.stderr));
    assert_eq!(store(stage).len(), 2, "{:?}", store(stage));
}

const ROUNDS: u32 = 12;

/// Somewhere in the twelfth of an update that this round is for; the last come after its usual end.
fn moment(round: u32, whole: Duration) -> Duration {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), round) % 1_000;
    let thousandths = u64::from(round) * 1_000 + random;
    let whole = u64::try_from(whole.as_micros()).unwrap();
    Duration::from_micros(whole * thousandths / (u64::from(ROUNDS) * 1_000 - 1_500))
}

#[test]
fn a_manifest_nobody_can_read_keeps_everything() {
    let stage = with_old();
    let broken = stage.home().join("config/servers/other");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("manifest.toml"), "[launch\n").unwrap();
    let refused = stage.run(&["install", "prune", "--yes"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("nothing was removed"),
        "{}",
        text(&refused.stderr)
    );
    assert_eq!(store(&stage).len(), 1);
}

#[test]
fn what_was_not_installed_from_a_registry_is_not_updated() {
    let stage = Stage::with_fixture(&[]);
    let refused = stage.run(&["manifest", "update", "fixture"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    let refused = stage.run(&["manifest", "rollback", "fixture", "--yes"]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    let listed: Value = json!(text(&stage.run(&["install", "list"]).stderr));
    assert!(listed.to_string().contains("nothing is installed"), "{listed}");
}
