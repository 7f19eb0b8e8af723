//! Cedar policies of three layers, decided by the built binary before a call reaches the server.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::manifest_sign::{new_key, trust};
use crate::support::{Conversation, Stage, fixture, rule_of, said_in, text, within};

/// A stage with the shipped policies, and the fixture without any grant.
fn sealed() -> Stage {
    let stage = Stage::with_shipped_policies();
    let added = stage.add("fixture", &[], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage
}

fn echo(conversation: &mut Conversation, message: &str) -> serde_json::Value {
    conversation.call("echo", json!({"message": message}))
}

#[test]
fn a_sealed_server_runs_without_a_question_and_the_record_names_the_policy() {
    let stage = sealed();
    let mut conversation = stage.converse(&["fixture"]);
    conversation.initialize("2025-11-25");
    assert_eq!(said_in(&echo(&mut conversation, "hello")), "hello");
    conversation.end();
    let call = stage
        .records()
        .into_iter()
        .find(|record| record["facts"]["tool"] == "echo" && record["facts"]["decision"] == "allow")
        .unwrap();
    let policy = call["facts"]["policy"].as_str().unwrap();
    assert!(policy.starts_with("shipped/default.cedar:"), "{policy}");
}

#[test]
fn a_policy_of_the_user_judges_typed_arguments() {
    let stage = sealed();
    stage.write_policy(
        "mine.cedar",
        r#"// nothing that begins with x
forbid (principal, action == Action::"fixture/echo", resource)
when { context.input has message && context.input.message like "x*" };
"#,
    );
    let mut conversation = stage.converse(&["fixture"]);
    conversation.initialize("2025-11-25");
    assert_eq!(said_in(&echo(&mut conversation, "hello")), "hello");
    let refused = echo(&mut conversation, "xhello");
    assert_eq!(rule_of(&refused), "policy/denied");
    assert!(said_in(&refused).contains("user/mine.cedar:2"), "{}", said_in(&refused));
    let escaped = r#"{"jsonrpc":"2.0","id":"e","method":"tools/call","params":{"name":"echo","arguments":{"m\u0065ssage":"\u0078hello"}}}"#;
    conversation.send_line(escaped);
    assert_eq!(rule_of(&conversation.message()), "policy/denied", "however it is spelt");
}

#[test]
fn policies_that_do_not_fit_start_nothing() {
    for (policy, said) in [
        ("permit(principal, action", "`user/mine.cedar:1`"),
        (
            "permit(principal, action, resource);\nforbid(principal, action == Action::\"fixture/ecko\", resource);",
            "`user/mine.cedar:2`",
        ),
        (
            r#"forbid(principal, action == Action::"fixture/echo", resource) when { context.input.mesage == "x" };"#,
            "`user/mine.cedar:1`",
        ),
    ] {
        let stage = sealed();
        stage.write_policy("mine.cedar", policy);
        let run = stage.run(&["run", "fixture"]);
        assert_eq!(run.status.code(), Some(4), "{policy}");
        assert!(text(&run.stderr).contains(said), "{}", text(&run.stderr));
        assert!(run.stdout.is_empty());
    }
}

#[test]
fn a_misspelt_file_name_silences_no_policy() {
    let stage = sealed();
    stage.write_policy("mine.ceder", "forbid(principal, action, resource);");
    let run = stage.run(&["run", "fixture"]);
    assert_eq!(run.status.code(), Some(4));
    assert!(text(&run.stderr).contains("mine.ceder"), "{}", text(&run.stderr));
}

/// `/etc` of a mount namespace of its own, with a file of the organisation's in it; the machine's stays as it is.
fn with_organisation(stage: &Stage, policy: &str, mode: &str) -> Conversation {
    with_etc(stage, &[("cofferdam/policy/house.cedar", policy)], mode)
}

/// The same with any files, by their paths below `/etc`.
pub(crate) fn with_etc(stage: &Stage, files: &[(&str, &str)], mode: &str) -> Conversation {
    Conversation::with(in_etc(stage, files, mode, &stage.command(&["run", "fixture"])))
}

/// `inner`, where `/etc` has these files.
pub(crate) fn in_etc(stage: &Stage, files: &[(&str, &str)], mode: &str, inner: &Command) -> Command {
    let (etc, given) = (stage.workspace().join("etc"), stage.workspace().join("given"));
    let script = r#"set -e
mount -t tmpfs cofferdam-test "$1"
cp -a /etc/passwd /etc/group /etc/nsswitch.conf "$1"
cp -a /etc/ld.so.cache /etc/alternatives "$1" 2>/dev/null || true
cp -r "$2/." "$1"
find "$1/cofferdam" -type d -exec chmod 755 {} +
find "$1/cofferdam" -type f -exec chmod "$3" {} +
chmod 755 "$1"
mount --bind "$1" /etc
shift 3
exec "$@""#;
    std::fs::create_dir_all(&etc).unwrap();
    for (path, content) in files {
        let path = given.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script, "sh"])
        .arg(&etc)
        .arg(&given)
        .arg(mode);
    within(command, inner)
}

#[test]
fn the_organisation_narrows_and_no_home_redirects_it() {
    let stage = sealed();
    stage.write_policy("mine.cedar", "permit(principal, action, resource);");
    let house = r#"permit(principal, action, resource);
forbid(principal, action == Action::"fixture/echo", resource);"#;
    let mut conversation = with_organisation(&stage, house, "644");
    conversation.initialize("2025-11-25");
    let refused = echo(&mut conversation, "hello");
    assert_eq!(rule_of(&refused), "policy/denied", "{refused}; {}", conversation.said());
    assert!(
        said_in(&refused).contains("organisation/house.cedar:2"),
        "{}",
        said_in(&refused)
    );
}

#[test]
fn an_organisation_policy_that_others_can_write_starts_nothing() {
    let stage = sealed();
    let mut conversation = with_organisation(&stage, "permit(principal, action, resource);", "666");
    assert_eq!(conversation.wait().code(), Some(4));
    let said = conversation.said();
    assert!(said.contains("/etc/cofferdam/policy/house.cedar"), "{said}");
}

#[test]
fn a_project_counts_only_while_its_very_text_is_accepted() {
    let stage = sealed();
    let project = stage.workspace();
    let folder = project.join(".cofferdam/policy");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&folder)
        .unwrap();
    let file = folder.join("project.cedar");
    std::fs::write(
        &file,
        "permit(principal, action, resource);\nforbid(principal, action == Action::\"fixture/echo\", resource);\n",
    )
    .unwrap();
    let says = |project: &Path| {
        let mut command = stage.command(&["run", "fixture"]);
        command.current_dir(project);
        let mut conversation = Conversation::with(command);
        conversation.initialize("2025-11-25");
        rule_of(&echo(&mut conversation, "hello")).to_owned()
    };
    assert_eq!(says(&project), "", "nobody accepted it");
    let accept = |project: &Path| {
        stage
            .command(&["policy", "accept", "--yes"])
            .current_dir(project)
            .output()
            .unwrap()
    };
    let accepted = accept(&project);
    assert!(accepted.status.success(), "{}", text(&accepted.stderr));
    assert_eq!(says(&project), "policy/denied");
    std::fs::write(&file, "permit(principal, action, resource) when { true };\n").unwrap();
    assert_eq!(
        says(&project),
        "",
        "the accepted text is gone, and another widens nothing"
    );
}

#[test]
fn an_explanation_says_what_would_have_allowed_it() {
    let stage = crate::consent::asking();
    let explain = |arguments: &str| {
        let told = stage.run(&["policy", "explain", "fixture", "echo", arguments]);
        assert_eq!(told.status.code(), Some(1), "{}", text(&told.stderr));
        text(&told.stdout)
    };
    let json = |arguments: &str| {
        let told = stage.run(&["--format", "json", "policy", "explain", "fixture", "echo", arguments]);
        serde_json::from_slice::<serde_json::Value>(&told.stdout).unwrap()
    };
    let asked = explain("{}");
    for line in [
        "allowed with: the user's consent, given when it is asked, or a grant that covers it",
        "does not hold: resource.server in ServerClass::\"sealed\"",
    ] {
        assert!(asked.contains(line), "{asked}");
    }
    assert!(!asked.contains("context.consent"), "that it asks is said once: {asked}");
    assert_eq!(
        (&json("{}")["consent"], &json("{}")["takes_grants"]),
        (&json!(1), &json!(true))
    );
    stage.edit_manifest("fixture", |manifest| {
        manifest.replace("consent = \"allow\"", "consent = \"ask\"")
    });
    let each_time = explain("{}");
    assert!(
        each_time.contains("not with: a grant, since the manifest wants this asked every time"),
        "{each_time}"
    );
    stage.write_policy(
        "mine.cedar",
        "forbid (principal, action == Action::\"fixture/echo\", resource)\nwhen { context.input has message && context.input.message like \"x*\" };\n",
    );
    let forbidden = explain(r#"{"message":"xy"}"#);
    assert!(forbidden.contains("no consent and no grant does it"), "{forbidden}");
    assert!(forbidden.contains("forbidden by user/mine.cedar:1"), "{forbidden}");
    stage.write_policy("mine.cedar", "");
    stage.write_policy(
        "default.cedar",
        "permit (principal, action == Action::\"fixture/echo\", resource)\nwhen { context.input has message && context.input.message like \"a*\" && context.consent >= 2 };\n",
    );
    let near = json(r#"{"message":"b"}"#);
    assert_eq!(near["outcome"], "deny");
    assert_eq!(near["in_the_way"]["level"], 2, "{near}");
    let permit = &near["in_the_way"]["layers"][0]["obstacles"][0];
    assert_eq!(permit["permit"], "user/default.cedar:1", "{near}");
    assert_eq!(
        permit["unmet"],
        json!([{"condition": "context.input.message like \"a*\"", "untold": null}])
    );
    stage.edit_manifest("fixture", |manifest| {
        manifest.replace("consent = \"ask\"", "consent = \"deny\"")
    });
    let denied = explain("{}");
    assert!(
        denied.contains("allowed if: the manifest did not deny the tool"),
        "{denied}"
    );
}

#[test]
fn a_signed_project_counts_by_a_trusted_key_and_for_its_very_text_and_name() {
    let stage = sealed();
    let folder = stage.workspace().join(".cofferdam/policy");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&folder)
        .unwrap();
    let file = folder.join("project.cedar");
    let text_of = |what: &str| {
        format!(
            "permit(principal, action, resource);\nforbid(principal, action == Action::\"fixture/{what}\", resource);\n"
        )
    };
    std::fs::write(&file, text_of("echo")).unwrap();
    let line = new_key(&stage, "team.pem");
    let sign = |file: &Path| {
        let key = stage.workspace().join("team.pem");
        let signed = stage.run(&["policy", "sign", file.to_str().unwrap(), "--key", key.to_str().unwrap()]);
        assert!(signed.status.success(), "{}", text(&signed.stderr));
    };
    let says = || {
        let mut command = stage.command(&["run", "fixture"]);
        command.current_dir(stage.workspace());
        let mut conversation = Conversation::with(command);
        conversation.initialize("2025-11-25");
        rule_of(&echo(&mut conversation, "hello")).to_owned()
    };
    sign(&file);
    assert_eq!(says(), "", "nobody trusts the key");
    let trusted = trust(&stage, "team", &line);
    assert_eq!(says(), "policy/denied");
    let signature = folder.join("project.cedar.sig");
    let other = folder.join("other.cedar");
    std::fs::rename(&file, &other).unwrap();
    std::fs::rename(&signature, folder.join("other.cedar.sig")).unwrap();
    assert_eq!(says(), "", "signed under another name");
    std::fs::rename(&other, &file).unwrap();
    std::fs::rename(folder.join("other.cedar.sig"), &signature).unwrap();
    std::fs::write(&file, text_of("echo").replacen("permit(", "permit (", 1)).unwrap();
    assert_eq!(says(), "", "another text");
    sign(&file);
    assert_eq!(says(), "policy/denied");
    for nonsense in ["", "{}", "ed25519:x"] {
        std::fs::write(&signature, nonsense).unwrap();
        assert_eq!(says(), "", "{nonsense}");
    }
    sign(&file);
    std::fs::remove_file(trusted).unwrap();
    assert_eq!(says(), "", "the key is trusted no more");
}

#[test]
fn a_signature_beside_an_organisation_policy_must_be_the_organisations() {
    let stage = sealed();
    let house =
        "permit(principal, action, resource);\nforbid(principal, action == Action::\"fixture/echo\", resource);\n";
    let line = new_key(&stage, "house.pem");
    let file = stage.workspace().join("house.cedar");
    std::fs::write(&file, house).unwrap();
    let key = stage.workspace().join("house.pem");
    let signed = stage.run(&["policy", "sign", file.to_str().unwrap(), "--key", key.to_str().unwrap()]);
    assert!(signed.status.success(), "{}", text(&signed.stderr));
    let signature = std::fs::read_to_string(stage.workspace().join("house.cedar.sig")).unwrap();
    let etc = |text: &str, key: &str| {
        let files = [
            ("cofferdam/policy/house.cedar", text),
            ("cofferdam/policy/house.cedar.sig", signature.as_str()),
            ("cofferdam/keys/house.pub", key),
        ];
        with_etc(&stage, &files, "644")
    };
    let mut conversation = etc(house, &line);
    conversation.initialize("2025-11-25");
    assert_eq!(rule_of(&echo(&mut conversation, "hello")), "policy/denied");
    conversation.end();
    let weaker = house.replace("forbid", "permit");
    let other = new_key(&stage, "other.pem");
    for (text, key) in [(weaker.as_str(), line.as_str()), (house, other.as_str())] {
        let mut conversation = etc(text, key);
        assert_eq!(conversation.wait().code(), Some(4));
        let said = conversation.said();
        assert!(
            said.contains("the signature beside `/etc/cofferdam/policy/house.cedar`"),
            "{said}"
        );
    }
}
