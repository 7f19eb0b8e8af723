//! Grants: consents for more than one call. What each covers, that it covers nothing more, and when it is over.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::consent::{id, question};
use crate::scripted::Scripted;
use crate::support::{Conversation, Stage, said_in, text};

/// Tools whose arguments have a role each, and one that has none.
const TOOLS: &str = r#"
    text = {"type": "string"}
    def tool(name, *arguments):
        properties = {argument: text for argument in arguments}
        return {"name": name, "description": "Does it.", "inputSchema": {"type": "object", "properties": properties}}
    if method == "tools/list":
        result = {"tools": [tool("read_file", "path", "into"), tool("write_file", "path"), tool("fetch", "url"), tool("shell", "command", "cwd"),
            tool("read_notes", "n"), tool("list_issues", "n"), tool("send_message", "n")]}
        say({"jsonrpc": "2.0", "id": id, "result": result})
        continue
"#;
/// Everything asks, and a grant is enough.
const ASKS: &str =
    "permit(principal, action, resource) unless { action in Action::\"call\" && context.consent < 1 };\n";

struct Scene {
    stage: Stage,
    files: PathBuf,
    gate: Conversation,
    /// Questions that were answered.
    known: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let stage = Stage::new();
        let script = Scripted::write(&stage, "all", TOOLS);
        let files = stage.workspace().join("files");
        for folder in ["a/deep", "ab", "b"] {
            std::fs::create_dir_all(files.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink("../b", files.join("a/out")).unwrap();
        let rights = ["--write", files.to_str().unwrap(), "--network", "mail.example.com:443"];
        let added = stage.add("all", &rights, &["/usr/bin/python3", script.to_str().unwrap(), "quiet"]);
        assert!(added.status.success(), "{}", text(&added.stderr));
        stage.write_policy("default.cedar", ASKS);
        let gate = talk(&stage);
        Self {
            stage,
            files,
            gate,
            known: Vec::new(),
        }
    }

    fn path(&self, below: &str) -> String {
        self.files.join(below).to_str().unwrap().to_owned()
    }

    /// The question that this call raises; the call waits behind it.
    fn asked(&mut self, tool: &str, arguments: &Value) -> (u64, Value) {
        let call = self
            .gate
            .post("tools/call", json!({"name": tool, "arguments": arguments}));
        let known: Vec<&str> = self.known.iter().map(String::as_str).collect();
        let asked = question(&self.stage, &known);
        assert_eq!((&asked["tool"], &asked["arguments"]), (&json!(tool), arguments));
        self.known.push(id(&asked).to_owned());
        (call, asked)
    }

    /// This call asks, and is allowed for once.
    fn asks(&mut self, tool: &str, arguments: Value) {
        let (call, asked) = self.asked(tool, &arguments);
        let allowed = self.stage.run(&["approvals", "allow", id(&asked)]);
        assert_eq!(allowed.status.code(), Some(0), "{tool} {arguments}");
        assert!(said_in(&self.gate.answer(call)).contains(tool));
    }

    /// This call passes without a question.
    fn passes(&mut self, tool: &str, arguments: Value) {
        let answer = self.gate.call(tool, arguments.clone());
        assert!(said_in(&answer).contains(tool), "{tool} {arguments}: {answer}");
    }

    /// This call is allowed with a grant; its id.
    fn grants(&mut self, tool: &str, arguments: &Value, options: &[&str]) -> String {
        let (call, asked) = self.asked(tool, arguments);
        let allow = [&["approvals", "allow", id(&asked)], options].concat();
        let allowed = self.stage.run(&allow);
        assert!(
            allowed.status.success(),
            "{}{}",
            text(&allowed.stdout),
            text(&allowed.stderr)
        );
        assert!(said_in(&self.gate.answer(call)).contains(tool));
        id(&asked).to_owned()
    }

    fn again(&mut self) {
        self.gate.hang_up();
        self.gate.wait();
        self.gate = talk(&self.stage);
    }

    fn listed(&self) -> Vec<Value> {
        let listed = self.stage.run(&["--format", "json", "approvals", "grants"]);
        serde_json::from_slice(&listed.stdout).unwrap()
    }

    fn store(&self) -> PathBuf {
        self.stage.home().join("state/grants")
    }
}

fn talk(stage: &Stage) -> Conversation {
    let mut gate = stage.converse(&["all"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    gate
}

#[test]
fn a_folder_is_granted_as_the_kernel_finds_it_and_nothing_beside_it() {
    let mut scene = Scene::new();
    let (call, asked) = scene.asked("read_file", &json!({"path": scene.path("a/x.txt")}));
    let offered = [scene.path("a"), scene.path("")].map(|folder| folder.trim_end_matches('/').to_owned());
    assert_eq!(asked["offer"]["folders"], json!(offered));
    let allow = |folder: &str| {
        let done = scene
            .stage
            .run(&["approvals", "allow", id(&asked), "--for", "path", "--within", folder]);
        (done.status.code().unwrap(), text(&done.stderr))
    };
    for elsewhere in [
        "/",
        "/etc",
        &scene.path("b"),
        &format!("{}/", scene.path("a")),
        &scene.path("a/../b"),
    ] {
        let (code, said) = allow(elsewhere);
        assert_eq!(code, 1, "{elsewhere}: {said}");
        assert!(said.contains(&offered[0]), "it says what can be allowed: {said}");
    }
    assert_eq!(allow(&offered[0]).0, 0);
    assert!(said_in(&scene.gate.answer(call)).contains("read_file"));
    for inside in ["a/y.txt", "a/deep/z", "a"] {
        scene.passes("read_file", json!({"path": scene.path(inside)}));
    }
    let inside = scene.path("a/x.txt");
    for (tool, arguments) in [
        ("read_file", json!({"path": scene.path("ab/x")})),
        ("read_file", json!({"path": scene.path("a/out/x")})),
        ("read_file", json!({"path": inside, "into": "/tmp/elsewhere"})),
        ("read_file", json!({})),
        ("write_file", json!({"path": inside})),
    ] {
        scene.asks(tool, arguments);
    }
}

#[test]
fn a_host_is_granted_in_every_spelling_and_no_other() {
    let mut scene = Scene::new();
    let granted = scene.grants(
        "fetch",
        &json!({"url": "https://Mail.Example.com/x"}),
        &["--for", "host"],
    );
    for same in ["https://mail.example.com/", "http://x@MAIL.example.com:8080/y"] {
        scene.passes("fetch", json!({"url": same}));
    }
    for other in [
        "https://mail.example.com.evil.test/",
        "https://example.com/",
        "https://evil.test/mail.example.com",
    ] {
        scene.asks("fetch", json!({"url": other}));
    }
    let listed = scene.listed();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["id"], &listed[0]["used"]), (&json!(granted), &json!(2)));
    let told = scene.stage.run(&["approvals", "grants"]);
    assert!(
        text(&told.stdout).contains("goes to mail.example.com alone, until "),
        "{}",
        text(&told.stdout)
    );
}

#[test]
fn no_folder_and_no_host_is_offered_for_what_can_touch_anything() {
    let mut scene = Scene::new();
    for (tool, arguments) in [
        ("shell", json!({"command": "ls", "cwd": scene.path("a")})),
        ("send_message", json!({"n": "x"})),
    ] {
        let (_, asked) = scene.asked(tool, &arguments);
        assert_eq!(
            (&asked["offer"]["folders"], &asked["offer"]["hosts"]),
            (&json!([]), &json!([])),
            "{tool}"
        );
        for scope in ["path", "host"] {
            let refused = scene.stage.run(&["approvals", "allow", id(&asked), "--for", scope]);
            assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
        }
    }
}

#[test]
fn what_a_session_was_tainted_with_since_is_asked_about_anew() {
    let mut scene = Scene::new();
    scene.grants("send_message", &json!({"n": "1"}), &["--for", "tool"]);
    scene.passes("send_message", json!({"n": "2"}));
    scene.grants("read_notes", &json!({"n": "1"}), &["--for", "tool"]);
    scene.asks("send_message", json!({"n": "3"}));
    scene.passes("read_notes", json!({"n": "2"}));
}

#[test]
fn a_session_ends_its_own_grants_and_another_manifest_ends_all() {
    let mut scene = Scene::new();
    let folder = json!({"path": scene.path("a/x")});
    let kept = scene.grants("read_file", &folder, &["--for", "path", "--minutes", "480"]);
    let exact = scene.grants("read_notes", &json!({"n": "1"}), &["--for", "call"]);
    scene.grants("list_issues", &json!({"n": "1"}), &["--for", "tool"]);
    scene.again();
    scene.passes("read_file", json!({"path": scene.path("a/y")}));
    scene.passes("read_notes", json!({"n": "1"}));
    scene.asks("read_notes", json!({"n": "2"}));
    scene.asks("list_issues", json!({"n": "1"}));
    let mut ids: Vec<Value> = scene.listed().iter().map(|one| one["id"].clone()).collect();
    ids.sort_by_key(ToString::to_string);
    let mut expected = [json!(kept), json!(exact)];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(ids, expected);
    // The gate that took it has it on record, though another one gave it.
    let records = scene.stage.records();
    let taken = |record: &&Value| record["kind"] == "approval" && record["facts"]["stored"] == true;
    assert_eq!(records.iter().filter(taken).count(), 2, "once for each");
    // Other policies: it is worth nothing under them, and comes back with those it was given under.
    scene
        .stage
        .write_policy("default.cedar", &format!("{ASKS}// changed\n"));
    scene.again();
    scene.asks("read_file", json!({"path": scene.path("a/y")}));
    scene.stage.write_policy("default.cedar", ASKS);
    // Another manifest: it is over.
    scene
        .stage
        .edit_manifest("all", |manifest| format!("# changed\n{manifest}"));
    scene.again();
    scene.passes("read_file", json!({"path": scene.path("a/y")}));
    scene.stage.edit_manifest("all", |manifest| {
        manifest.replace("[limits]", "[limits]\nidle_minutes = 7")
    });
    scene.passes("read_file", json!({"path": scene.path("a/z")}));
    scene.gate.hang_up();
    scene.gate.wait();
    assert_eq!(scene.listed(), Vec::<Value>::new(), "nothing is listed that is over");
    scene.gate = talk(&scene.stage);
    scene.asks("read_file", json!({"path": scene.path("a/y")}));
    assert_eq!(std::fs::read_dir(scene.store()).unwrap().count(), 0);
}

#[test]
fn a_grant_is_taken_back_from_every_gate_and_from_the_store() {
    let mut scene = Scene::new();
    let mut other = talk(&scene.stage);
    let granted = scene.grants("read_file", &json!({"path": scene.path("a/x")}), &["--for", "path"]);
    let second = json!({"path": scene.path("a/second")});
    assert!(
        said_in(&other.call("read_file", second.clone())).contains("second"),
        "another gate takes it at once"
    );
    let revoked = scene.stage.run(&["approvals", "grants", "--revoke", &granted]);
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    assert!(scene.listed().is_empty());
    scene.asks("read_file", second);
    let again = scene.stage.run(&["approvals", "grants", "--revoke", &granted]);
    assert_eq!(again.status.code(), Some(3), "{}", text(&again.stderr));
    // Without a gate, too.
    let granted = scene.grants("read_file", &json!({"path": scene.path("a/x")}), &["--for", "path"]);
    scene.gate.hang_up();
    scene.gate.wait();
    drop(other);
    let revoked = scene.stage.run(&["approvals", "grants", "--revoke", &granted]);
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    assert_eq!(std::fs::read_dir(scene.store()).unwrap().count(), 0);
}

#[test]
fn a_grant_is_a_linked_template_that_is_explained() {
    let mut scene = Scene::new();
    let granted = scene.grants("read_file", &json!({"path": scene.path("a/x")}), &["--for", "path"]);
    let file = scene.store().join(format!("{granted}.json"));
    let file: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let link = &file["policies"]["templateLinks"][0];
    assert_eq!(
        link["values"]["?resource"]["__entity"],
        json!({"type": "Tool", "id": "all/read_file"})
    );
    let explain = |path: String| {
        let arguments = json!({"path": path}).to_string();
        let told = scene
            .stage
            .run(&["--format", "json", "policy", "explain", "all", "read_file", &arguments]);
        serde_json::from_slice::<Value>(&told.stdout).unwrap()
    };
    let covered = explain(scene.path("a/other"));
    assert_eq!(covered["grants"][0]["id"], json!(granted), "{covered}");
    assert_eq!(covered["grants"][0]["covers"], json!(true), "{covered}");
    let not = explain(scene.path("b/other"));
    assert_eq!(not["grants"][0]["covers"], json!(false));
    let unmet = not["grants"][0]["unmet"][0]["condition"].as_str().unwrap();
    assert_eq!(unmet, format!("context.within.contains({:?})", scene.path("a")));
    let told = scene.stage.run(&[
        "policy",
        "explain",
        "all",
        "read_file",
        &json!({"path": scene.path("a/x")}).to_string(),
    ]);
    let told = text(&told.stdout);
    assert!(told.contains(&format!("grant {granted} covers it")), "{told}");
}

#[test]
fn what_is_written_into_the_store_by_hand_gives_nothing_that_its_terms_do_not_say() {
    let mut scene = Scene::new();
    let granted = scene.grants("read_file", &json!({"path": scene.path("a/x")}), &["--for", "path"]);
    let path = scene.store().join(format!("{granted}.json"));
    let file = std::fs::read_to_string(&path).unwrap();
    let parsed: Value = serde_json::from_str(&file).unwrap();
    let mut wider = parsed.clone();
    wider["policies"]["templates"]
        .as_object_mut()
        .unwrap()
        .values_mut()
        .for_each(|template| template["conditions"] = json!([]));
    let statement = parsed["statement"].as_str().unwrap();
    let (_, terms) = statement.split_once('\n').unwrap();
    let until = serde_json::from_str::<Value>(terms).unwrap()[10]["until"].clone();
    let later = |by: i64| {
        let longer = format!("\"until\":{}", until.as_i64().unwrap() + by);
        let mut file = parsed.clone();
        file["statement"] = json!(statement.replace(&format!("\"until\":{until}"), &longer));
        file
    };
    let mut other_folder = parsed.clone();
    other_folder["statement"] = json!(statement.replace(&scene.path("a"), &scene.path("b")));
    let inside = json!({"path": scene.path("a/y")});
    for (what, text) in [
        ("wider policies", wider.to_string()),
        ("another time", later(60).to_string()),
        ("longer than a day", later(9 * 3_600).to_string()),
        ("ended", later(-4_000).to_string()),
        ("another folder", other_folder.to_string()),
        ("half written", file.chars().take(file.len() / 2).collect()),
        ("nothing", String::new()),
        ("more than is read", format!("{file}{}", " ".repeat(70_000))),
    ] {
        std::fs::write(&path, text).unwrap();
        scene.again();
        let arguments = json!({"path": scene.path("a/y"), "into": what});
        scene.asks("read_file", arguments);
        assert!(scene.listed().is_empty(), "{what}");
    }
    std::fs::write(&path, &file).unwrap();
    scene.again();
    scene.passes("read_file", inside.clone());
    // Under another name, as a link, or for others to write, it is none.
    std::fs::rename(&path, scene.store().join("abcd.json")).unwrap();
    scene.again();
    scene.asks("read_file", json!({"path": scene.path("a/y1")}));
    std::os::unix::fs::symlink("abcd.json", &path).unwrap();
    scene.again();
    scene.asks("read_file", json!({"path": scene.path("a/y2")}));
}
