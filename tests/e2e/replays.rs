//! Published holes, replayed against the very packages that have them: bare they work, in a throw-away namespace; gated they find nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::driven::installed;
use crate::support::{Stage, rule_of, said_in, text};

/// The program of a vulnerable server.
fn vulnerable(package: &str, script: &str) -> String {
    installed(&format!("vulnerable/node_modules/{package}/{script}"))
}

/// One call of a server without a gate: as root of a user namespace that ends with it, without network.
fn bare_call(command: &[&str], variables: &[(&str, &str)], tool: &str, arguments: &Value) -> Value {
    let mut server = Command::new("unshare");
    server
        .args(["--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child"])
        .args(command);
    server
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut server = server.spawn().unwrap();
    let mut stdin = server.stdin.take().unwrap();
    let hello =
        json!({"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
    for message in [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}),
    ] {
        writeln!(stdin, "{message}").unwrap();
    }
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut messages = lines
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let answer = messages.find(|message| message["id"] == 2);
    // Ours, by its own handle; what it forked off ends with it.
    server.kill().unwrap();
    server.wait().unwrap();
    answer.unwrap_or_else(|| panic!("{tool} was not answered"))
}

/// The same call through the gate.
fn gated_call(stage: &Stage, tool: &str, arguments: &Value) -> Value {
    let mut gate = stage.converse(&["vulnerable"]);
    gate.initialize("2024-11-05");
    let answer = gate.call(tool, arguments.clone());
    gate.end();
    answer
}

fn add(stage: &Stage, options: &[&str], command: &[&str]) {
    let added = stage.add("vulnerable", options, command);
    assert!(added.status.success(), "{}", text(&added.stderr));
}

/// A folder that is allowed, its namesake with a secret, and a link from the one into the other.
fn allowed_and_private(stage: &Stage) -> (String, String) {
    let (allowed, private) = (stage.workspace().join("data"), stage.workspace().join("data_private"));
    for folder in [&allowed, &private] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(allowed.join("note"), "open to all").unwrap();
    std::fs::write(private.join("note"), "hunter2").unwrap();
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    (word(&allowed), word(&private))
}

#[test]
fn filesystem_2025_3_28_takes_a_namesake_for_the_allowed_folder() {
    let stage = Stage::new();
    let (allowed, private) = allowed_and_private(&stage);
    let server = vulnerable("@modelcontextprotocol/server-filesystem", "dist/index.js");
    let command = ["node", &server, &allowed];
    let attack = json!({"path": format!("{private}/note")});
    let bare = bare_call(&command, &[], "read_file", &attack);
    assert_eq!(
        said_in(&bare).trim(),
        "hunter2",
        "CVE-2025-53110 is not in this package"
    );
    add(&stage, &["--read", &allowed], &command);
    let gated = gated_call(&stage, "read_file", &attack);
    assert!(
        !gated.to_string().contains("hunter2") && gated["result"]["isError"] == true,
        "{gated}"
    );
    let fair = gated_call(&stage, "read_file", &json!({"path": format!("{allowed}/note")}));
    assert_eq!(said_in(&fair).trim(), "open to all");
}

#[test]
fn filesystem_2025_3_28_follows_a_link_out() {
    let stage = Stage::new();
    let (allowed, private) = allowed_and_private(&stage);
    // The link leads to a namesake of the allowed folder, which is what CVE-2025-53109 rests on.
    std::os::unix::fs::symlink(format!("{private}/note"), format!("{allowed}/link")).unwrap();
    let server = vulnerable("@modelcontextprotocol/server-filesystem", "dist/index.js");
    let command = ["node", &server, &allowed];
    let attack = json!({"path": format!("{allowed}/link")});
    let bare = bare_call(&command, &[], "read_file", &attack);
    assert_eq!(
        said_in(&bare).trim(),
        "hunter2",
        "CVE-2025-53109 is not in this package"
    );
    add(&stage, &["--write", &allowed], &command);
    let gated = gated_call(&stage, "read_file", &attack);
    assert!(
        !gated.to_string().contains("hunter2") && gated["result"]["isError"] == true,
        "{gated}"
    );
}

#[test]
fn figma_0_6_0_puts_a_file_key_into_a_shell_line() {
    let stage = Stage::new();
    let folder = stage.workspace().join("granted");
    std::fs::create_dir(&folder).unwrap();
    let (bare_mark, gated_mark) = (folder.join("bare"), folder.join("gated"));
    let server = vulnerable("figma-developer-mcp", "dist/cli.js");
    let command = ["node", &server, "--stdio"];
    let attack = |mark: &Path| json!({"fileKey": format!("x$(touch {})", mark.display())});
    bare_call(
        &command,
        &[("FIGMA_API_KEY", "0000")],
        "get_figma_data",
        &attack(&bare_mark),
    );
    assert!(bare_mark.exists(), "CVE-2025-53967 is not in this package");
    let options = ["--write", folder.to_str().unwrap(), "--env", "FIGMA_API_KEY=0000"];
    add(&stage, &options, &command);
    // The guard of arguments would refuse it first, and what is proved here is the wall behind it.
    let read_as_prose = "\n[tools.get_figma_data.arguments.fileKey]\nrole = \"prose\"\n";
    stage.edit_manifest("vulnerable", |text| text + read_as_prose);
    gated_call(&stage, "get_figma_data", &attack(&gated_mark));
    assert!(!gated_mark.exists(), "the injected command ran");
    // Not even where it may write did it get anywhere: it found no shell, and that is on record.
    let records = stage.records();
    let sought = |record: &&Value| record["facts"]["path"] == "/bin/sh" && record["facts"]["there"] == false;
    assert!(records.iter().any(|record| sought(&record)), "no trace of the shell");
}

/// A repository with one change that is not committed.
fn repository(folder: &Path) -> String {
    std::fs::create_dir(folder).unwrap();
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args([
            "-C",
            folder.to_str().unwrap(),
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t.test",
        ]);
        let done = git.args(words).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
    };
    git(&["init", "--quiet"]);
    std::fs::write(folder.join("file"), "one\n").unwrap();
    git(&["add", "file"]);
    git(&["commit", "--quiet", "-m", "one"]);
    std::fs::write(folder.join("file"), "two\n").unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn git_2025_7_1_reads_a_ref_as_an_option_and_writes_where_it_says() {
    let stage = Stage::new();
    let (bare_repository, gated_repository) = (
        repository(&stage.workspace().join("bare")),
        repository(&stage.workspace().join("gated")),
    );
    let outside = |name: &str| stage.workspace().join(name);
    let server = installed("vulnerable-python/bin/mcp-server-git");
    let attack = |repository: &str, file: &Path| json!({"repo_path": repository, "target": format!("--output={}", file.display())});
    bare_call(
        &[&server],
        &[],
        "git_diff",
        &attack(&bare_repository, &outside("taken-bare")),
    );
    assert!(outside("taken-bare").exists(), "CVE-2025-68144 is not in this package");

    add(&stage, &["--read", &gated_repository, "--execute", "git"], &[&server]);
    let refused = gated_call(&stage, "git_diff", &attack(&gated_repository, &outside("taken-gated")));
    assert_eq!(rule_of(&refused), "argument/option-injection", "{refused}");
    // Without the guard there is still the wall.
    let read_as_prose = "\n[tools.git_diff.arguments.target]\nrole = \"prose\"\n";
    stage.edit_manifest("vulnerable", |text| text + read_as_prose);
    let walled = gated_call(&stage, "git_diff", &attack(&gated_repository, &outside("taken-gated")));
    assert!(!outside("taken-gated").exists(), "{walled}");
    let fair = gated_call(
        &stage,
        "git_diff",
        &json!({"repo_path": gated_repository, "target": "HEAD"}),
    );
    assert!(said_in(&fair).contains("+two"), "{fair}");
}

#[test]
fn git_2025_7_1_makes_a_repository_of_any_folder() {
    let stage = Stage::new();
    let folder = |name: &str| {
        let folder = stage.workspace().join(name).join(".ssh");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let (bare, gated) = (folder("bare"), folder("gated"));
    let server = installed("vulnerable-python/bin/mcp-server-git");
    bare_call(&[&server], &[], "git_init", &json!({"repo_path": bare}));
    assert!(bare.join(".git").exists(), "CVE-2025-68143 is not in this package");

    add(&stage, &["--execute", "git"], &[&server]);
    let refused = gated_call(&stage, "git_init", &json!({"repo_path": gated}));
    assert_eq!(rule_of(&refused), "argument/sensitive-path", "{refused}");
    let read_as_prose = "\n[tools.git_init.arguments.repo_path]\nrole = \"prose\"\n";
    stage.edit_manifest("vulnerable", |text| text + read_as_prose);
    let walled = gated_call(&stage, "git_init", &json!({"repo_path": gated}));
    assert!(!gated.join(".git").exists(), "{walled}");
}

#[test]
fn sqlite_2025_4_25_writes_a_copy_of_its_database_anywhere() {
    let stage = Stage::new();
    let folder = stage.workspace().join("data");
    std::fs::create_dir(&folder).unwrap();
    let place = |name: &str| stage.workspace().join(name);
    let server = installed("vulnerable-python/bin/mcp-server-sqlite");
    let line = |name: &str| {
        let database = folder.join(name).to_str().unwrap().to_owned();
        [server.clone(), "--db-path".to_owned(), database]
    };
    let attack = |copy: &Path| json!({"query": format!("VACUUM INTO '{}'", copy.display())});
    let bare = line("bare.db");
    let bare: Vec<&str> = bare.iter().map(String::as_str).collect();
    let answer = bare_call(&bare, &[], "write_query", &attack(&place("taken-bare")));
    assert!(
        place("taken-bare").exists(),
        "the hole is not in this package: {answer}"
    );

    let gated = line("gated.db");
    let gated: Vec<&str> = gated.iter().map(String::as_str).collect();
    // What it may write, the database and its journal, it may write.
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    add(&stage, &["--write", folder.to_str().unwrap()], &gated);
    let refused = gated_call(&stage, "write_query", &attack(&place("taken-gated")));
    assert!(rule_of(&refused).starts_with("argument/sql"), "{refused}");
    let read_as_prose = "\n[tools.write_query.arguments.query]\nrole = \"prose\"\n";
    stage.edit_manifest("vulnerable", |text| text + read_as_prose);
    let walled = gated_call(&stage, "write_query", &attack(&place("taken-gated")));
    assert!(!place("taken-gated").exists(), "{walled}");
    let made = gated_call(&stage, "create_table", &json!({"query": "CREATE TABLE t (a INTEGER)"}));
    assert!(said_in(&made).contains("created"), "{made}");
    // The published one: an identifier that is none.
    let injected = gated_call(
        &stage,
        "describe_table",
        &json!({"table_name": "t); ATTACH '/x' AS y; --"}),
    );
    assert!(rule_of(&injected).starts_with("argument/"), "{injected}");
}
