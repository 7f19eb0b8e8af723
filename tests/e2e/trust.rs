//! What counts as accepted: files that are ours, code that was pinned, folders that are never granted; and what reaches a terminal.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::scripted::Scripted;
use crate::support::{Stage, text};

#[test]
fn a_manifest_that_others_can_write_is_refused() {
    let stage = Stage::new();
    Scripted::add(&stage, "plain", "");
    let path = stage.manifest("plain");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(stage.run(&["manifest", "check", "plain"]).status.code(), Some(4));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let elsewhere = stage.workspace().join("manifest.toml");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    assert_eq!(
        stage.run(&["manifest", "check", "plain"]).status.code(),
        Some(4),
        "a link out of our folder"
    );
}

#[test]
fn a_home_under_a_folder_that_others_can_rename_in_is_refused() {
    let stage = Stage::new();
    let open = stage.workspace().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
    let home = open.join("home");
    let ran = Command::new(env!("CARGO_BIN_EXE_cofferdam"))
        .args(["--home", home.to_str().unwrap(), "manifest", "check"])
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(4), "{}", text(&ran.stderr));
}

#[test]
fn the_sealed_default_never_grants_our_own_folders() {
    let stage = Stage::new();
    Scripted::add(&stage, "plain", "");
    let script = stage.home().join("look.js");
    std::fs::write(stage.home().join("package.json"), "{}").unwrap();
    let manifest = stage.manifest("plain");
    std::fs::write(
        &script,
        format!(
            "console.log(require('fs').readFileSync({:?}, 'utf8'))",
            manifest.to_str().unwrap()
        ),
    )
    .unwrap();
    let ran = stage.run(&["enter", "--", "/usr/bin/node", script.to_str().unwrap()]);
    assert_eq!(ran.status.code(), Some(4), "{}", text(&ran.stdout));
}

/// Python ignores `PYTHONPYCACHEPREFIX` under `-E` and `-I`.
#[test]
fn compiled_code_nobody_accepted_is_not_loaded_whatever_the_launch_line_says() {
    let stage = Stage::new();
    let folder = stage.workspace().join("project");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("pyproject.toml"), "").unwrap();
    std::fs::write(folder.join("helper.py"), "WHO = 'accepted'\n").unwrap();
    let server = Scripted::write(
        &stage,
        "server",
        "\n    import helper\n    if method == \"tools/call\":\n        params = helper.WHO\n",
    );
    std::fs::rename(server, folder.join("server.py")).unwrap();
    let server = folder.join("server.py");
    let added = stage.add("py", &[], &["/usr/bin/python3", "-E", server.to_str().unwrap()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let plant = "import importlib.util, marshal, os, struct, sys\nsource = sys.argv[1] + '/helper.py'\nstat = os.stat(source)\nos.makedirs(sys.argv[1] + '/__pycache__', exist_ok=True)\nopen(importlib.util.cache_from_source(source), 'wb').write(importlib.util.MAGIC_NUMBER + struct.pack('<III', 0, int(stat.st_mtime), stat.st_size) + marshal.dumps(compile(\"WHO = 'planted'\", source, 'exec')))\n";
    assert!(
        Command::new("/usr/bin/python3")
            .args(["-c", plant, folder.to_str().unwrap()])
            .status()
            .unwrap()
            .success()
    );
    let called = stage.run(&["call", "py", "echo", "{}"]);
    assert!(!text(&called.stdout).contains("planted"), "{}", text(&called.stdout));
}

fn has_no_control(shown: &str) -> bool {
    shown
        .chars()
        .all(|character| character == '\n' || !(character.is_control() || character == '\u{202e}'))
}

#[test]
fn what_a_server_says_reaches_a_terminal_escaped() {
    let stage = Stage::new();
    let escapes = Scripted::write(
        &stage,
        "escapes",
        "\n    say({\"jsonrpc\": \"2.0\", \"id\": id, \"error\": {\"code\": -1, \"message\": \"\\x1b]0;owned\\x07\\x9b2J\\u202e\\nhelp: run this\"}})\n    continue\n",
    );
    let added = stage.add("escapes", &[], &["/usr/bin/python3", escapes.to_str().unwrap()]);
    let said = text(&added.stderr);
    assert!(has_no_control(&said) && !said.contains("\nhelp: run this"), "{said:?}");
    Scripted::add(
        &stage,
        "image",
        "\n    if method == \"tools/call\":\n        sys.stdout.write(json.dumps({\"jsonrpc\": \"2.0\", \"id\": id, \"result\": {\"content\": [{\"type\": \"image\", \"data\": \"\\x9b2J\\u202e\"}]}}, ensure_ascii=False) + \"\\n\")\n        sys.stdout.flush()\n        continue\n",
    );
    let called = stage.run(&["call", "image", "echo", "{}"]);
    assert!(has_no_control(&text(&called.stdout)), "{:?}", text(&called.stdout));
}
