//! What policies see beside the message: what a call would touch, what the session has seen, what was measured on the compartment, and the
//! two things a server does by itself: it connects, and it is given secrets.

use serde_json::{Value, json};

use crate::egress::{Scene, Server, execute};
use crate::scripted::Scripted;
use crate::support::{Conversation, Stage, fixture, rule_of, said_in, text};

/// Tools whose arguments have a role each.
const TOOLS: &str = r#"
    text = {"type": "string"}
    def tool(name, argument):
        return {"name": name, "description": "Does it.", "inputSchema": {"type": "object", "properties": {argument: text}}}
    if method == "tools/list":
        result = {"tools": [tool("read_file", "path"), tool("fetch", "url"), tool("shell", "command"), tool("ask", "sql"),
            tool("read_notes", "n"), tool("list_issues", "n"), tool("send_message", "n")]}
        say({"jsonrpc": "2.0", "id": id, "result": result})
        continue
"#;

/// A stage whose server may write in the workspace and reach a host.
fn stage() -> Stage {
    let stage = Stage::new();
    let script = Scripted::write(&stage, "all", TOOLS);
    let workspace = stage.workspace().join("files");
    std::fs::create_dir(&workspace).unwrap();
    let rights = [
        "--write",
        workspace.to_str().unwrap(),
        "--network",
        "mail.example.com:443",
    ];
    let added = stage.add("all", &rights, &["/usr/bin/python3", script.to_str().unwrap(), "quiet"]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage
}

fn forbidding(stage: &Stage, condition: &str) -> Conversation {
    let policy = format!("forbid (principal, action in Action::\"call\", resource) when {{ {condition} }};\n");
    stage.write_policy("mine.cedar", &policy);
    let mut gate = stage.converse(&["all"]);
    gate.initialize("2025-11-25");
    gate
}

#[test]
fn policies_judge_what_a_call_would_touch() {
    let stage = stage();
    let workspace = stage.workspace().join("files");
    let root = workspace.to_str().unwrap();
    std::os::unix::fs::symlink("/etc", workspace.join("out")).unwrap();
    let inside = json!({"path": format!("{root}/secret/./b.txt")});
    let through_link = json!({"path": format!("{root}/out/hostname")});
    let fetch = json!({"url": "https://api.EXAMPLE.com/x"});
    let private = json!({"url": "http://192.168.1.7/"});
    let folder = format!("context.folders.contains(\"{root}/secret\")");
    let path = format!("context.paths.contains(\"{root}/secret/b.txt\")");
    for (condition, tool, denied, passes) in [
        (folder.as_str(), "read_file", &inside, &through_link),
        (&path, "read_file", &inside, &through_link),
        ("context.outsideRoots", "read_file", &through_link, &inside),
        (
            "context.hosts.contains(\"api.example.com\")",
            "fetch",
            &fetch,
            &json!({"url": "https://example.org"}),
        ),
        (
            "!([\"example.org\"].containsAll(context.hosts))",
            "fetch",
            &fetch,
            &json!({"url": "https://example.org"}),
        ),
        (
            "context.programs.contains(\"git\")",
            "shell",
            &json!({"command": "ls && echo $(/usr/bin/git log)"}),
            &json!({"command": "ls -l git"}),
        ),
        (
            "context.sql.containsAny([\"write\", \"schema\"])",
            "ask",
            &json!({"sql": "with x as (select 1) delete from t"}),
            &json!({"sql": "select 1"}),
        ),
    ] {
        let mut gate = forbidding(&stage, condition);
        assert_eq!(rule_of(&gate.call(tool, passes.clone())), "", "{condition} {passes}");
        let refused = gate.call(tool, denied.clone());
        assert_eq!(rule_of(&refused), "policy/denied", "{condition} {denied}");
    }
    // A finding blocks a private host already; as a fact it is there for a server whose finding somebody suppressed.
    let explained = |arguments: &Value| {
        stage.write_policy(
            "mine.cedar",
            "forbid (principal, action in Action::\"call\", resource) when { context.privateNetwork };\n",
        );
        let told = stage.run(&[
            "--format",
            "json",
            "policy",
            "explain",
            "all",
            "fetch",
            &arguments.to_string(),
        ]);
        serde_json::from_slice::<Value>(&told.stdout).unwrap()
    };
    assert_eq!(
        (&explained(&private)["outcome"], &explained(&fetch)["outcome"]),
        (&json!("deny"), &json!("allow"))
    );
    assert_eq!(explained(&private)["facts"]["privateNetwork"], "true");
}

#[test]
fn what_nobody_can_tell_of_a_call_denies_it_where_a_policy_reads_it() {
    let stage = stage();
    let hidden = json!({"command": "f() { ls; }; f"});
    let mut gate = forbidding(&stage, "context.programs.contains(\"rm\")");
    assert_eq!(rule_of(&gate.call("shell", hidden.clone())), "policy/error");
    assert_eq!(rule_of(&gate.call("shell", json!({"command": "ls"}))), "");
    drop(gate);
    let mut gate = forbidding(&stage, "context.bytes > 100000");
    assert_eq!(rule_of(&gate.call("shell", hidden)), "", "no policy reads the programs");
}

#[test]
fn policies_see_which_labels_a_session_has_and_what_the_tool_brings() {
    let stage = stage();
    let mut gate = forbidding(
        &stage,
        "context.toolLabels.contains(\"sends\") && context.labels.contains(\"private\")",
    );
    for (tool, rule) in [
        ("send_message", ""),
        ("list_issues", ""),
        ("send_message", ""),
        ("read_notes", ""),
        ("send_message", "policy/denied"),
        ("list_issues", ""),
    ] {
        assert_eq!(rule_of(&gate.call(tool, json!({}))), rule, "{tool}");
    }
}

#[test]
fn policies_see_how_much_there_was_of_late() {
    let stage = stage();
    let rules = |gate: &mut Conversation, calls: &[(&str, Value)]| -> Vec<String> {
        let rules = calls.iter().map(|(tool, arguments)| gate.call(tool, arguments.clone()));
        rules.map(|answer| rule_of(&answer).to_owned()).collect()
    };
    let (notes, issues) = (("read_notes", json!({})), ("list_issues", json!({})));
    let mut gate = forbidding(
        &stage,
        "context.toolCallsLastMinute > 1 && context.toolCallsLastHour > 1",
    );
    let told = rules(
        &mut gate,
        &[notes.clone(), issues.clone(), notes.clone(), issues.clone()],
    );
    assert_eq!(told, ["", "", "policy/denied", "policy/denied"], "each tool by itself");
    drop(gate);
    let mut gate = forbidding(&stage, "context.callsLastHour > 2");
    let told = rules(&mut gate, &[notes.clone(), issues.clone(), notes.clone()]);
    assert_eq!(told, ["", "", "policy/denied"]);
    drop(gate);
    let refused = ("read_file", json!({"path": "/etc/shadow"}));
    let mut gate = forbidding(&stage, "context.refusedLastMinute >= 2");
    let told = rules(&mut gate, &[refused.clone(), notes.clone(), refused, notes.clone()]);
    assert_eq!((told[1].as_str(), told[3].as_str()), ("", "policy/denied"), "{told:?}");
    drop(gate);
    let mut gate = forbidding(&stage, "context.bytesSent > 20000");
    let much = ("list_issues", json!({"n": "x".repeat(20_000)}));
    let told = rules(&mut gate, &[much, notes]);
    assert_eq!(told, ["", "policy/denied"], "what was sent before counts");
}

#[test]
fn policies_see_the_compartment_as_it_was_measured() {
    let stage = Stage::with_fixture(&[]);
    let says = |policy: &str| {
        stage.write_policy("mine.cedar", policy);
        let mut gate = stage.converse(&["fixture"]);
        gate.initialize("2025-11-25");
        rule_of(&gate.call("echo", json!({"message": "x"}))).to_owned()
    };
    let sealed = "forbid (principal, action in Action::\"call\", resource) unless { context.tier == \"sealed\" };\n";
    let walls = "forbid (principal, action, resource) unless { context.enforced.containsAll([\"seccomp\", \"no-user-namespaces\"]) };\n";
    assert_eq!((says(sealed), says(walls)), (String::new(), String::new()));
    let explained = stage.run(&["--format", "json", "policy", "explain", "fixture", "echo"]);
    let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
    assert_eq!(explained["outcome"], "allow", "{explained}");
    stage.edit_manifest("fixture", |manifest| {
        manifest.replace("[isolation]\n", "[isolation]\nprofile = \"browser\"\n")
    });
    assert_eq!(
        (says(sealed), says(walls)),
        ("policy/denied".to_owned(), "policy/denied".to_owned())
    );
    let explained = stage.run(&["policy", "explain", "fixture", "echo"]);
    assert!(
        text(&explained.stdout).starts_with("deny"),
        "{}",
        text(&explained.stdout)
    );
}

#[test]
fn a_connection_that_the_policies_do_not_permit_is_not_made() {
    let scene = Scene::new();
    let server = Server::start(&scene.site, false);
    let port = server.port;
    let (api, other) = (format!("api.test:{port}"), format!("other.test:{port}"));
    scene.stage.write_policy(
        "mine.cedar",
        r#"forbid (principal, action == Action::"egress", resource) when { resource.host like "api.*" };
forbid (principal, action == Action::"egress", resource) when { context.labels.contains("private") };
"#,
    );
    let options = ["--read", scene.site.to_str().unwrap(), "--execute", "/usr/bin/curl"];
    let mut gate = scene.run_with(&[api, other, format!("127.0.0.1:{port}")], &[], &options, &[&fixture()]);
    let curl = |gate: &mut Conversation, host: &str| {
        execute(gate, &["/usr/bin/curl", "-sS", &format!("http://{host}:{port}/hello")])
    };
    let refused = curl(&mut gate, "api.test");
    assert!(!refused.contains("hello from outside"), "{refused}");
    let passed = curl(&mut gate, "other.test");
    assert!(
        passed.contains("hello from outside"),
        "{passed} {:?}",
        scene.connections()
    );
    assert!(gate.end().success());
    let connections = scene.connections();
    let refusals: Vec<&Value> = connections.iter().filter(|facts| facts["event"] == "refused").collect();
    assert_eq!(refusals.len(), 1, "{connections:?}");
    assert_eq!(refusals[0]["rule"], "egress/policy");
    assert!(
        refusals[0]["why"].as_str().unwrap().contains("user/mine.cedar:1"),
        "{}",
        refusals[0]
    );
}

#[test]
fn a_server_is_not_given_a_secret_that_the_policies_keep_from_it() {
    let stage = Stage::new();
    let added = stage.add("fixture", &["--secret", "FIXTURE_TOKEN"], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let run = |policy: &str| {
        stage.write_policy("mine.cedar", policy);
        let mut command = stage.command(&["run", "fixture"]);
        command.env("FIXTURE_TOKEN", "value-of-the-token");
        Conversation::with(command)
    };
    let mut refused =
        run("forbid (principal, action == Action::\"injectSecret\", resource == Secret::\"fixture/FIXTURE_TOKEN\");\n");
    assert_eq!(refused.wait().code(), Some(1));
    let said = refused.said();
    assert!(
        said.contains("`FIXTURE_TOKEN`") && said.contains("user/mine.cedar:1"),
        "{said}"
    );
    assert!(!said.contains("value-of-the-token"));
    let records = stage.records();
    assert!(
        records
            .iter()
            .any(|record| record["facts"].to_string().contains("must not be given the secret")),
        "{records:?}"
    );
    let mut passed = run(
        "forbid (principal, action == Action::\"injectSecret\", resource) unless { resource.name == \"FIXTURE_TOKEN\" && context.tier == \"sealed\" };\n",
    );
    passed.initialize("2025-11-25");
    assert_eq!(said_in(&passed.call("echo", json!({"message": "x"}))), "x");
}
