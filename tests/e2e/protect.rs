//! Clients' configurations: sealed in place, talked through, put back to the byte, and never lost.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Conversation, Stage, fixture, said_in, text};

/// A configuration file of the test's own.
struct Config<'a> {
    stage: &'a Stage,
    path: PathBuf,
    options: Vec<String>,
}

impl<'a> Config<'a> {
    fn new(stage: &'a Stage, client: &str, name: &str, content: &str) -> Self {
        let path = stage.workspace().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let options = ["--client", client, "--config", path.to_str().unwrap()].map(str::to_owned);
        Self {
            stage,
            path,
            options: options.to_vec(),
        }
    }

    fn run(&self, verb: &[&str]) -> Output {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        self.stage.run(&[&["--format", "json"], verb, &options[..]].concat())
    }

    /// The outcomes of a verb, by entry.
    fn outcomes(&self, verb: &[&str]) -> Vec<Value> {
        let output = self.run(verb);
        let outcomes: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}{}", text(&output.stdout), text(&output.stderr)));
        outcomes.as_array().unwrap().clone()
    }

    fn state(&self, verb: &[&str]) -> Vec<String> {
        let outcomes = self.outcomes(verb);
        let states = outcomes.iter().map(|one| one["state"].as_str().unwrap().to_owned());
        states.collect()
    }

    fn content(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap()
    }
}

/// Starts what a rewritten entry says and calls `echo` through it.
fn speak(stage: &Stage, words: &[String]) {
    let separate = words.iter().position(|word| word == "run").unwrap();
    assert!(
        words[0].starts_with('/') && words[0].ends_with("/cofferdam"),
        "{words:?}"
    );
    let rest: Vec<&str> = words[separate + 1..].iter().map(String::as_str).collect();
    let mut gate = stage.converse(&rest);
    gate.initialize("2025-11-25");
    assert_eq!(said_in(&gate.call("echo", json!({"message": "sealed"}))), "sealed");
    assert!(gate.end().success());
}

fn words(entry: &Value) -> Vec<String> {
    let list = |value: &Value| -> Vec<String> {
        let words = value.as_array().into_iter().flatten();
        words.map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    match &entry["command"] {
        Value::String(program) => [vec![program.clone()], list(&entry["args"])].concat(),
        array => list(array),
    }
}

#[test]
fn there_and_back_for_a_client_with_comments() {
    let stage = Stage::new();
    let content = format!(
        "{{\n  // mine\n  \"theme\": \"dark\",\n  \"mcpServers\": {{\n    \"my files\": {{ \"command\": \"{}\", /* so */ \"disabled\": false, }},\n    \"far\": {{\"url\": \"https://example.com\"}},\n  }},\n}}\n",
        fixture()
    );
    let config = Config::new(&stage, "cursor", ".cursor/mcp.json", &content);
    assert_eq!(
        config.state(&["status"]),
        ["remote", "not-protected"]
            .map(str::to_owned)
            .iter()
            .rev()
            .cloned()
            .collect::<Vec<_>>()
    );
    assert_eq!(
        config.state(&["protect", "--dry-run"]),
        ["remote", "would-be-protected"]
    );
    assert_eq!(config.content(), content, "a dry run changes nothing");

    let outcomes = config.outcomes(&["protect", "--yes"]);
    let sealed = outcomes.iter().find(|one| one["entry"] == "my files").unwrap();
    assert_eq!(sealed["state"], "protected", "{sealed}");
    assert_eq!(sealed["server"], "my-files");
    let rewritten = config.content();
    assert!(
        rewritten.contains("// mine") && rewritten.contains("/* so */ \"disabled\": false, }"),
        "{rewritten}"
    );
    let home = stage.home();
    let expected = format!("\"args\": [\"--home\", \"{}\", \"run\", \"my-files\"]", home.display());
    assert!(rewritten.contains(&expected), "{rewritten}");
    speak(
        &stage,
        &[
            env!("CARGO_BIN_EXE_cofferdam").to_owned(),
            "run".to_owned(),
            "my-files".to_owned(),
        ],
    );

    assert!(config.state(&["status"]).contains(&"already-protected".to_owned()));
    assert!(
        config
            .state(&["protect", "--yes"])
            .contains(&"already-protected".to_owned())
    );
    assert_eq!(config.content(), rewritten, "protecting twice changes nothing");
    assert_eq!(config.state(&["unprotect"]), ["restored"]);
    assert_eq!(config.content(), content);
}

#[test]
fn toml_yaml_and_lists_of_words() {
    let program = fixture();
    let stage = Stage::new();
    for (client, name, content) in [
        (
            "codex",
            ".codex/config.toml",
            format!("model = \"x\" # keep\n\n[mcp_servers.one]\ncommand = '{program}'\nstartup_timeout_sec = 20\n"),
        ),
        (
            "goose",
            "goose/config.yaml",
            format!(
                "GOOSE_MODEL: x # keep\nextensions:\n  one:\n    args: []\n    cmd: {program}\n    enabled: true\n    type: stdio\n"
            ),
        ),
        (
            "continue",
            ".continue/config.yaml",
            format!("name: x\nmcpServers:\n  - name: one\n    command: {program} # so\n"),
        ),
        (
            "opencode",
            "opencode.json",
            format!(
                "{{\"mcp\": {{\"one\": {{\"type\": \"local\", \"command\": [\"{program}\"], \"enabled\": true}}}}}}\n"
            ),
        ),
        (
            "zed",
            ".zed/settings.json",
            format!(
                "{{\"context_servers\": {{\"one\": {{\"source\": \"custom\", \"command\": \"{program}\", \"args\": [], \"env\": {{}}}}}}}}"
            ),
        ),
    ] {
        let config = Config::new(&stage, client, name, &content);
        assert_eq!(config.state(&["protect", "--yes"]), ["protected"], "{client}");
        let rewritten = config.content();
        assert!(
            rewritten.contains("run") && !rewritten.contains(&program),
            "{rewritten}"
        );
        assert_eq!(config.state(&["unprotect"]), ["restored"], "{client}");
        assert_eq!(config.content(), content, "{client}");
    }
}

#[test]
fn what_the_client_starts_then_is_the_gate_with_its_variables() {
    let stage = Stage::new();
    let content = json!({"mcpServers": {"one": {
        "command": fixture(), "args": [], "env": {"PLAIN": "visible", "SERVICE_TOKEN": "ghp_0123456789abcdefghij0123456789abcdef"},
    }}});
    let config = Config::new(
        &stage,
        "claude-desktop",
        "claude_desktop_config.json",
        &content.to_string(),
    );
    let output = config.run(&["protect", "--yes"]);
    let shown = text(&output.stdout) + &text(&output.stderr);
    assert!(
        shown.contains("SERVICE_TOKEN") && !shown.contains("ghp_0123"),
        "{shown}"
    );
    let manifest = std::fs::read_to_string(stage.manifest("one")).unwrap();
    assert!(
        manifest.contains("[secrets.SERVICE_TOKEN]") && !manifest.contains("ghp_"),
        "{manifest}"
    );

    let now: Value = serde_json::from_str(&config.content()).unwrap();
    let entry = &now["mcpServers"]["one"];
    assert_eq!(
        entry["env"], content["mcpServers"]["one"]["env"],
        "the client's own values stay the client's"
    );
    let words = words(entry);
    let mut command = std::process::Command::new(&words[0]);
    command
        .args(&words[1..])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PLAIN", "visible")
        .env("SERVICE_TOKEN", "ghp_9")
        .current_dir("/");
    let mut gate = Conversation::with(command);
    gate.initialize("2025-11-25");
    let answer = gate.call("look", json!({}));
    let said = said_in(&answer);
    assert!(
        said.contains("PLAIN=visible") && said.contains("SERVICE_TOKEN=ghp_9"),
        "{said}"
    );
    assert!(gate.end().success());
}

#[test]
fn one_launch_line_in_three_clients_is_one_server() {
    let stage = Stage::new();
    let entry = format!(
        "{{\"one\": {{\"command\": \"{}\"}}, \"two\": {{\"command\": \"{}\"}}}}",
        fixture(),
        fixture()
    );
    let first = Config::new(&stage, "cursor", "a/mcp.json", &format!("{{\"mcpServers\": {entry}}}"));
    let outcomes = first.outcomes(&["protect", "--yes"]);
    assert!(outcomes.iter().all(|one| one["server"] == "one"), "{outcomes:?}");
    assert_eq!(
        std::fs::read_dir(stage.home().join("config/servers"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count(),
        1
    );
}

#[test]
fn what_cannot_be_sealed_is_left_as_it_was_with_a_reason() {
    let stage = Stage::new();
    let content = json!({"servers": {
        "asks": {"command": "${workspaceFolder}/server"},
        "dies": {"command": "/bin/false"},
        "gone": {"command": "/no/such/program"},
        "file": {"command": fixture(), "envFile": ".env"},
        "odd": {"command": 7},
    }})
    .to_string();
    let config = Config::new(&stage, "vscode", ".vscode/mcp.json", &content);
    let output = config.run(&["protect", "--yes"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap();
    for outcome in outcomes.as_array().unwrap() {
        let expected = if outcome["entry"] == "odd" { "unclear" } else { "failed" };
        assert_eq!(outcome["state"], expected, "{outcome}");
        assert!(!outcome["why"].as_str().unwrap().is_empty(), "{outcome}");
    }
    assert_eq!(config.content(), content);
    assert!(!stage.manifest("dies").exists());
}

#[test]
fn later_edits_survive_and_an_edited_launch_line_is_not_overwritten() {
    let stage = Stage::new();
    let content = format!(
        "{{\n  \"mcpServers\": {{\n    \"one\": {{\"command\": \"{}\", \"args\": []}}\n  }}\n}}\n",
        fixture()
    );
    let config = Config::new(&stage, "cursor", "mcp.json", &content);
    assert_eq!(config.state(&["protect", "--yes"]), ["protected"]);
    let edited = config.content().replace(
        "\"one\": {",
        "\"new\": {\"url\": \"https://example.com\"},\n    \"one\": {\"timeout\": 9, ",
    );
    std::fs::write(&config.path, &edited).unwrap();
    assert_eq!(config.state(&["unprotect"]), ["restored"]);
    assert_eq!(
        config.content(),
        content.replace(
            "\"one\": {",
            "\"new\": {\"url\": \"https://example.com\"},\n    \"one\": {\"timeout\": 9, "
        )
    );

    assert!(config.state(&["protect", "--yes"]).contains(&"protected".to_owned()));
    let touched = config.content().replace("\"run\", \"one\"", "\"run\", \"one\" , \"x\"");
    std::fs::write(&config.path, &touched).unwrap();
    let outcomes = config.outcomes(&["unprotect"]);
    assert_eq!(outcomes[0]["state"], "failed", "{outcomes:?}");
    assert_eq!(config.content(), touched);
}

#[test]
fn files_that_are_not_ours_to_change_stay_as_they_are() {
    let stage = Stage::new();
    let entry = format!("{{\"mcpServers\": {{\"one\": {{\"command\": \"{}\"}}}}}}", fixture());
    let refused = |config: &Config<'_>, expected: &str| {
        let before = config.content();
        let outcomes = config.outcomes(&["protect", "--yes"]);
        assert_eq!(outcomes[0]["state"], "failed", "{outcomes:?}");
        assert!(outcomes[0]["why"].as_str().unwrap().contains(expected), "{outcomes:?}");
        assert_eq!(config.content(), before);
    };
    let broken = Config::new(&stage, "cursor", "broken/mcp.json", "{\n  \"mcpServers\": {\n");
    refused(&broken, "line 2");
    let twice = Config::new(
        &stage,
        "cursor",
        "twice/mcp.json",
        "{\"mcpServers\": {}, \"mcpServers\": {}}",
    );
    refused(&twice, "stands twice");
    let linked = Config::new(&stage, "cursor", "hard/mcp.json", &entry);
    std::fs::hard_link(&linked.path, linked.path.with_extension("other")).unwrap();
    refused(&linked, "hard links");
    let foreign = Config::new(&stage, "cursor", "foreign/mcp.json", &entry);
    std::os::unix::fs::chown(&foreign.path, Some(65_000), None).unwrap();
    refused(&foreign, "belongs to user 65000");
    let locked = Config::new(&stage, "cursor", "locked/mcp.json", &entry);
    std::fs::set_permissions(&locked.path, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    refused(&locked, "permission denied");
}

#[test]
fn a_link_stays_a_link_and_its_file_keeps_its_mode() {
    let stage = Stage::new();
    let entry = format!("{{\"mcpServers\": {{\"one\": {{\"command\": \"{}\"}}}}}}", fixture());
    let real = Config::new(&stage, "cursor", "dotfiles/mcp.json", &entry);
    std::fs::set_permissions(&real.path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let link = stage.workspace().join("mcp.json");
    std::os::unix::fs::symlink(&real.path, &link).unwrap();
    let through = Config {
        stage: &stage,
        path: link.clone(),
        options: ["--client", "cursor", "--config", link.to_str().unwrap()]
            .map(str::to_owned)
            .to_vec(),
    };
    assert_eq!(through.state(&["protect", "--yes"]), ["protected"]);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(real.content().contains("\"run\""));
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&real.path).unwrap().permissions()) & 0o777,
        0o640
    );
    assert_eq!(through.state(&["unprotect"]), ["restored"]);
    assert_eq!(real.content(), entry);
    let beside: Vec<_> = std::fs::read_dir(real.path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(beside, ["mcp.json"], "no draft is left");
}

#[test]
fn a_server_that_a_person_wants_bare_is_remembered_with_a_reason() {
    let stage = Stage::new();
    let entry = format!("{{\"mcpServers\": {{\"one\": {{\"command\": \"{}\"}}}}}}", fixture());
    let config = Config::new(&stage, "cursor", "mcp.json", &entry);
    let outcomes = config.outcomes(&["protect", "--yes", "--leave", "one=needs the graphics card"]);
    assert_eq!(outcomes[0]["state"], "left-alone");
    assert_eq!(outcomes[0]["why"], "needs the graphics card");
    assert_eq!(config.content(), entry);
    assert_eq!(
        config.run(&["protect", "--yes", "--leave", "one"]).status.code(),
        Some(2)
    );
}

/// kill -9 at many moments: the file is always the old one or the new one, and `unprotect` always knows the way back.
#[test]
fn a_kill_at_any_moment_loses_nothing() {
    let stage = Stage::new();
    let content = format!("{{\"mcpServers\": {{\"one\": {{\"command\": \"{}\"}}}}}}", fixture());
    let config = Config::new(&stage, "cursor", "mcp.json", &content);
    let options: Vec<&str> = config.options.iter().map(String::as_str).collect();
    // How long the whole takes differs by machine and load: the kills reach from its beginning to its end.
    let began = std::time::Instant::now();
    assert_eq!(config.state(&["protect", "--yes"]), ["protected"]);
    let whole = began.elapsed();
    assert_eq!(config.state(&["unprotect"]), ["restored"]);
    let (mut old, mut new) = (0, 0);
    for round in 0..24_u32 {
        let mut child = stage
            .command(&[&["protect", "--yes"], &options[..]].concat())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(whole * round / 16);
        let _ = child.kill();
        child.wait().unwrap();
        let now = config.content();
        if now == content {
            old += 1;
        } else {
            new += 1;
            assert!(now.contains("\"run\", \"one"), "{now}");
            assert_eq!(config.state(&["unprotect"]), ["restored"], "round {round}");
            assert_eq!(config.content(), content);
        }
    }
    assert!(
        old > 0 && new > 0,
        "{old} rounds were too early, {new} too late: none proves anything"
    );
    assert_eq!(
        config.state(&["protect", "--yes"]),
        ["protected"],
        "drafts and journals of the killed are no hindrance"
    );
}

#[test]
fn the_users_own_clients_are_found_where_their_passwd_entry_says() {
    let stage = Stage::new();
    let user_home = stage.workspace().join("user");
    let content = format!("{{\"mcpServers\": {{\"one\": {{\"command\": \"{}\"}}}}}}", fixture());
    for file in [
        ".cursor/mcp.json",
        ".codeium/windsurf/mcp_config.json",
        ".config/Claude/claude_desktop_config.json",
    ] {
        let path = user_home.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &content).unwrap();
    }
    let passwd = stage.workspace().join("passwd");
    std::fs::write(&passwd, format!("root:x:0:0:root:{}:/bin/sh\n", user_home.display())).unwrap();
    let line = format!(
        "mount --bind '{}' /etc/passwd && exec '{}' --home '{}' --format json status",
        passwd.display(),
        env!("CARGO_BIN_EXE_cofferdam"),
        stage.home().display()
    );
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", &line])
        .env_remove("CI")
        .current_dir("/")
        .output()
        .unwrap();
    let outcomes: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    let clients: Vec<&str> = outcomes
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["client"].as_str().unwrap())
        .collect();
    assert_eq!(clients, ["claude-desktop", "cursor", "windsurf"]);
    assert!(Path::new("/root").exists(), "the real home was not touched");
}
