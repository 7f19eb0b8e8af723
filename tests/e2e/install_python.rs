//! Install apart from run for Python: real packages from the index that uv is configured to use.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::json;

use crate::driven::installed;
use crate::support::{Conversation, Stage, said_in, text};

/// The binary, with uv on its path.
pub(crate) fn command(stage: &Stage, arguments: &[&str]) -> Command {
    let uv = PathBuf::from(installed("uv/bin/uv"));
    let mut path = OsString::from(uv.parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut command = stage.command(arguments);
    command.env("PATH", path);
    // Where a company or a test machine has an authority of its own, uv is told by this variable.
    if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
        command.env("SSL_CERT_FILE", file);
    }
    command
}

fn add(stage: &Stage, name: &str, line: &[&str]) -> Output {
    let arguments = [&["add", name, "--yes", "--"], line].concat();
    command(stage, &arguments).output().unwrap()
}

fn store(stage: &Stage) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(stage.home().join("data/store"));
    let mut folders: Vec<PathBuf> = folders
        .map(|all| all.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    folders.sort();
    folders
}

const LINE: [&str; 4] = ["uvx", "mcp-server-time@2026.10.19", "--local-timezone", "Europe/Rome"];

#[test]
fn a_package_of_python_is_installed_once_and_runs_without_its_index() {
    let stage = Stage::new();
    let added = add(&stage, "time", &LINE);
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    assert!(
        said.contains("installed mcp-server-time 2026.10.19 from") && said.contains("network   none"),
        "{said}"
    );
    let manifest = std::fs::read_to_string(stage.manifest("time")).unwrap();
    assert!(
        manifest.contains("registry = \"pypi\"") && manifest.contains("integrity = \"sha256:"),
        "{manifest}"
    );
    // Every connection of the install is on record: to the index, and to where that keeps its files.
    let records = stage.records();
    let opened = records.iter().filter(|record| record["facts"]["event"] == "open");
    let hosts: BTreeSet<&str> = opened.filter_map(|record| record["facts"]["wanted"].as_str()).collect();
    assert!((1..=4).contains(&hosts.len()), "{hosts:?}");

    let mut gate = Conversation::with(command(&stage, &["run", "time"]));
    gate.initialize("2025-11-25");
    let answer = gate.call("get_current_time", json!({"timezone": "Asia/Tokyo"}));
    assert!(said_in(&answer).contains("+09:00"), "{answer}");
    assert!(gate.end().success());

    // The same line a second time is the same folder.
    let again = add(&stage, "again", &LINE);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let folders = store(&stage);
    assert_eq!(folders.len(), 1, "{folders:?}");

    // A changed file in the store does not start.
    let site = std::fs::read_dir(folders[0].join("venv/lib")).unwrap().next().unwrap();
    let file = site.unwrap().path().join("site-packages/mcp_server_time/server.py");
    let code = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{code}\n# changed\n")).unwrap();
    let refused = command(&stage, &["run", "time"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("mcp_server_time/server.py"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn what_has_no_wheel_or_no_index_is_refused_and_leaves_nothing() {
    let stage = Stage::new();
    for (line, why) in [
        // An old package that exists as a source archive alone.
        (&["uvx", "docopt@0.6.2"][..], "wheel"),
        (&["uvx", "mcp-server-time@0.0.1"], "mcp-server-time==0.0.1"),
        (
            &["uvx", "--from", "mcp-server-time==2026.10.19", "no-such-program"],
            "has no program `no-such-program`",
        ),
        (&["uvx", "git+https://host.test/x"], "not a package of an index"),
        (
            &["uvx", "--with", "other", "mcp-server-time"],
            "`uvx --with` is not understood",
        ),
        (
            &["uvx", "--index-url", "https://evil.test/", "mcp-server-time"],
            "is not understood",
        ),
    ] {
        let refused = add(&stage, "server", line);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{line:?}: {said}");
    }
    assert_eq!(store(&stage), Vec::<PathBuf>::new());
    assert!(!stage.manifest("server").exists());
}

#[test]
fn the_working_directory_does_not_choose_the_index() {
    let stage = Stage::new();
    let project = stage.workspace().join("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("uv.toml"), "index-url = \"https://evil.test/simple\"\n").unwrap();
    std::fs::write(
        project.join("pyproject.toml"),
        "[project]\nname = \"x\"\nversion = \"1\"\n[tool.uv]\nindex-url = \"https://evil.test/simple\"\n",
    )
    .unwrap();
    std::fs::write(project.join(".python-version"), "2.7\n").unwrap();
    let mut add = command(
        &stage,
        &["add", "time", "--yes", "--", "uvx", "mcp-server-time@2026.10.19"],
    );
    let added = add.current_dir(&project).output().unwrap();
    let said = text(&added.stderr);
    assert!(added.status.success() && !said.contains("evil.test"), "{said}");
    let records = stage.records();
    assert!(!records.iter().any(|record| record.to_string().contains("evil.test")));
}

#[test]
fn an_index_of_the_user_is_used_and_a_password_in_it_is_not_repeated() {
    let stage = Stage::new();
    let mut add = command(&stage, &["add", "time", "--yes", "--", "uvx", "mcp-server-time"]);
    let refused = add
        .env("UV_DEFAULT_INDEX", "https://somebody:hunter2@index.test/simple")
        .output()
        .unwrap();
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && !said.contains("hunter2"), "{said}");
    assert!(said.contains("index.test"), "{said}");
    assert!(
        !stage
            .records()
            .iter()
            .any(|record| record.to_string().contains("hunter2"))
    );

    let mut add = command(&stage, &["add", "time", "--yes", "--", "uvx", "mcp-server-time"]);
    let refused = add
        .env("UV_DEFAULT_INDEX", "http://index.test/simple")
        .output()
        .unwrap();
    let said = text(&refused.stderr);
    assert!(said.contains("not an `https://` address that can be granted"), "{said}");

    let mut add = command(&stage, &["add", "time", "--yes", "--", "uvx", "mcp-server-time"]);
    let refused = add
        .env("UV_DEFAULT_INDEX", "https://index.test:8443/simple")
        .output()
        .unwrap();
    let said = text(&refused.stderr);
    assert!(!refused.status.success(), "{said}");
    // It was the one that was asked for, and none else.
    let records = stage.records();
    let wanted: BTreeSet<&str> = records
        .iter()
        .filter(|record| record["kind"] == "connection")
        .filter_map(|record| record["facts"]["wanted"].as_str())
        .collect();
    assert_eq!(wanted, BTreeSet::from(["index.test:443", "index.test:8443"]), "{said}");
}
