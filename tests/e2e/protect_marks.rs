//! What a client substitutes in a launch line: looked up where it can be, left alone where only the client knows it.

use serde_json::{Value, json};

use crate::support::{Stage, fixture, said_in, text};

/// Protects one file of a client's and gives the outcomes by entry.
fn protect(stage: &Stage, client: &str, file: &std::path::Path, variables: &[(&str, &str)]) -> Vec<Value> {
    let file = file.to_str().unwrap();
    let mut command = stage.command(&[
        "--format", "json", "protect", "--yes", "--client", client, "--config", file,
    ]);
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let outcomes: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", text(&output.stdout), text(&output.stderr)));
    let mut outcomes = outcomes.as_array().unwrap().clone();
    outcomes.sort_by_key(|one| one["entry"].to_string());
    outcomes
}

#[test]
fn the_projects_folder_and_files_of_variables_are_looked_up() {
    let stage = Stage::new();
    let project = stage.workspace();
    std::fs::create_dir(project.join(".vscode")).unwrap();
    std::fs::write(
        project.join(".env.servers"),
        "# mine\nexport FROM_FILE='in a file'\nFILE_TOKEN=ghp_0123456789abcdefghij0123456789abcdef\n",
    )
    .unwrap();
    // A repository that names the user's own secrets as its variables.
    let credentials = stage.home().join("credentials");
    std::fs::write(&credentials, "aws_secret_access_key=of-the-user\n").unwrap();
    std::os::unix::fs::symlink(&credentials, project.join("link.env")).unwrap();
    let file = project.join(".vscode/mcp.json");
    let content = json!({"servers": {
        "a": {
            "command": fixture(), "args": ["--log=${workspaceFolder}", "${NO_SUCH_VARIABLE:-fallback}", "${env:SET_HERE}"],
            "envFile": "${workspaceFolder}/.env.servers", "env": {"KEY": "${input:key}"},
        },
        "b": {"command": fixture(), "args": ["${input:folder}"]},
        "c": {"command": fixture(), "args": ["--key", "${env:API_TOKEN}"]},
        "d": {"command": fixture(), "envFile": "no-such-file"},
        "e": {"command": fixture(), "envFile": credentials},
        "f": {"command": fixture(), "envFile": "link.env"},
    }})
    .to_string();
    std::fs::write(&file, &content).unwrap();
    let outcomes = protect(
        &stage,
        "vscode",
        &file,
        &[("SET_HERE", "set"), ("API_TOKEN", "some-long-value")],
    );
    let states: Vec<&Value> = outcomes.iter().map(|one| &one["state"]).collect();
    assert!(states[0] == "protected" && states[1..] == ["failed"; 5], "{outcomes:?}");
    let why = |at: usize| outcomes[at]["why"].as_str().unwrap().to_owned();
    assert!(why(1).contains("`${input:folder}`"), "{}", why(1));
    assert!(
        why(2).contains("stands for a secret") && !why(2).contains("some-long"),
        "{}",
        why(2)
    );
    assert!(why(3).contains("no-such-file"), "{}", why(3));
    for foreign in [4, 5] {
        assert!(why(foreign).contains("outside of the project"), "{}", why(foreign));
    }

    let manifest = std::fs::read_to_string(stage.manifest("a")).unwrap();
    for expected in [
        format!("--log={}", project.display()),
        "fallback".to_owned(),
        "[secrets.FILE_TOKEN]".to_owned(),
        "[secrets.KEY]".to_owned(),
        "FROM_FILE".to_owned(),
    ] {
        assert!(manifest.contains(&expected), "{expected}: {manifest}");
    }
    assert!(
        !manifest.contains("ghp_") && !manifest.contains("in a file"),
        "{manifest}"
    );
    let rewritten: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let entry = &rewritten["servers"]["a"];
    assert_eq!(entry["env"]["KEY"], "${input:key}", "it stays the client's to put in");
    assert_eq!(entry["envFile"], "${workspaceFolder}/.env.servers");

    let mut run = stage.command(&["run", "a"]);
    run.env("KEY", "k-1")
        .env("FROM_FILE", "in a file")
        .env("FILE_TOKEN", "t-1");
    let mut gate = crate::support::Conversation::with(run);
    gate.initialize("2025-11-25");
    assert!(said_in(&gate.call("look", json!({}))).contains("FROM_FILE=in a file"));
    assert!(gate.end().success());
}

#[test]
fn what_a_client_does_not_substitute_is_text() {
    let stage = Stage::new();
    let file = stage.workspace().join("claude_desktop_config.json");
    let content = json!({"mcpServers": {"a": {"command": fixture(), "args": ["${HOME}", "$5"]}}});
    std::fs::write(&file, content.to_string()).unwrap();
    let outcomes = protect(&stage, "claude-desktop", &file, &[]);
    assert_eq!(outcomes[0]["state"], "protected", "{outcomes:?}");
    let manifest = std::fs::read_to_string(stage.manifest("a")).unwrap();
    assert!(manifest.contains("\"${HOME}\", \"$5\""), "{manifest}");
}

#[test]
fn what_a_server_keeps_where_a_variable_says_works_afterwards() {
    let stage = Stage::new();
    let kept = stage.workspace().join("notes");
    std::fs::create_dir(&kept).unwrap();
    let file = stage.workspace().join("claude_desktop_config.json");
    let memory = kept.join("memory.jsonl");
    let content = json!({"mcpServers": {"a": {"command": fixture(), "env": {"MEMORY_FILE_PATH": memory}}}});
    std::fs::write(&file, content.to_string()).unwrap();
    let outcomes = protect(&stage, "claude-desktop", &file, &[]);
    assert_eq!(outcomes[0]["state"], "protected", "{outcomes:?}");
    let mut run = stage.command(&["run", "a"]);
    run.env("MEMORY_FILE_PATH", &memory);
    let mut gate = crate::support::Conversation::with(run);
    gate.initialize("2025-11-25");
    let said = said_in(&gate.call("look", json!({"write": memory}))).to_owned();
    assert!(gate.end().success());
    assert!(memory.exists(), "{said}");
}
