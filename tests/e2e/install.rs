//! Install apart from run: real packages from the registry that npm is configured to use.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Stage, said_in, text};

/// The one folder of the store, with a package of this name in it.
fn installed(stage: &Stage, name: &str) -> PathBuf {
    let store = stage.home().join("data/store");
    let mut folders: Vec<PathBuf> = std::fs::read_dir(store)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let package = folders[0].join("node_modules").join(name);
    assert!(package.is_dir(), "{}", package.display());
    package
}

#[test]
fn a_package_is_installed_once_and_runs_without_its_registry() {
    let stage = Stage::new();
    let folder = stage.workspace().join("files");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("hello"), "hello from a granted folder").unwrap();
    let name = "@modelcontextprotocol/server-filesystem";
    let spec = format!("{name}@2026.8.31");
    let line = ["npx", "-y", &spec, folder.to_str().unwrap()];
    let added = stage.add("files", &["--read", folder.to_str().unwrap()], &line);
    let said = text(&added.stderr);
    assert!(added.status.success(), "{said}");
    assert!(
        said.contains(&format!("installed {name} 2026.8.31")) && said.contains("network   none"),
        "{said}"
    );
    let manifest = std::fs::read_to_string(stage.manifest("files")).unwrap();
    assert!(
        manifest.contains("[launch.package]") && manifest.contains("integrity = \"sha512-"),
        "{manifest}"
    );

    // Every connection of the install is on record, and each went to one host.
    let records = stage.records();
    let of_install: Vec<&Value> = records
        .iter()
        .filter(|record| record["kind"] == "connection" && record["facts"]["event"].is_string())
        .collect();
    let wanted = |record: &&Value| record["facts"]["wanted"].as_str().map(str::to_owned);
    let hosts: std::collections::BTreeSet<String> = of_install.iter().filter_map(wanted).collect();
    assert_eq!(hosts.len(), 1, "{of_install:?}");
    assert!(
        of_install.iter().all(|record| record["facts"]["event"] != "refused"),
        "{of_install:?}"
    );

    let mut gate = stage.converse(&["files"]);
    gate.initialize("2025-11-25");
    let read = gate.call("read_text_file", json!({"path": folder.join("hello")}));
    assert_eq!(said_in(&read), "hello from a granted folder", "{read}");
    assert!(gate.end().success());

    // The same line a second time is the same folder.
    let again = stage.add("again", &["--read", folder.to_str().unwrap()], &line);
    assert!(again.status.success(), "{}", text(&again.stderr));
    let package = installed(&stage, name);

    // A changed file in the store does not start.
    let file = package.join("dist/index.js");
    let code = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{code}\n// changed\n")).unwrap();
    let refused = stage.run(&["run", "files"]);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("dist/index.js"),
        "{}",
        text(&refused.stderr)
    );

    // Nor is it taken for what would be installed anew.
    let mended = stage.add("files", &["--replace", "--read", folder.to_str().unwrap()], &line);
    assert!(mended.status.success(), "{}", text(&mended.stderr));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), code);
}

#[test]
fn what_the_registry_does_not_have_in_time_is_refused_and_leaves_nothing() {
    let stage = Stage::new();
    for (line, why) in [
        (
            &["npx", "@modelcontextprotocol/server-filesystem@0.0.0-none"][..],
            "48 hours",
        ),
        (
            &["npx", "-y", "github:somebody/something"],
            "not a package of a registry",
        ),
        (&["npx", "-y", "./somewhere"], "not a package of a registry"),
    ] {
        let refused = stage.add("server", &[], line);
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{line:?}: {said}");
    }
    let store = stage.home().join("data/store");
    let left = std::fs::read_dir(store).map_or(0, Iterator::count);
    assert_eq!(left, 0);
    assert!(!stage.manifest("server").exists());
}

#[test]
fn the_working_directory_does_not_choose_the_registry() {
    let stage = Stage::new();
    let project = stage.workspace().join("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(
        project.join(".npmrc"),
        "registry=https://evil.test/\nignore-scripts=false\n",
    )
    .unwrap();
    let mut add = stage.command(&[
        "add",
        "files",
        "--yes",
        "--",
        "npx",
        "-y",
        "@modelcontextprotocol/server-filesystem@2026.8.31",
        "/usr/share/doc",
    ]);
    let added = add.current_dir(&project).output().unwrap();
    let said = text(&added.stderr);
    assert!(added.status.success() && !said.contains("evil.test"), "{said}");
    assert!(
        !stage
            .records()
            .iter()
            .any(|record| record.to_string().contains("evil.test"))
    );
}

#[test]
fn nobody_is_granted_to_write_into_the_store() {
    let stage = Stage::with_fixture(&[]);
    let store = stage.home().join("data/store");
    std::fs::create_dir_all(&store).unwrap();
    for folder in [store.clone(), stage.home().join("data"), stage.home()] {
        let refused = stage.add(
            "greedy",
            &["--write", folder.to_str().unwrap()],
            &[&crate::support::fixture()],
        );
        assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    }
    stage.edit_manifest("fixture", |manifest| {
        manifest.replacen("write = []", &format!("write = [\"{}\"]", store.display()), 1)
    });
    assert_eq!(stage.run(&["run", "fixture"]).status.code(), Some(4));
}
