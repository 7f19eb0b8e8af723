//! Consent out of band: what asks waits, `approvals` answers, and nothing else passes by the answer than what was asked for.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Conversation, STUCK, Stage, fixture, rule_of, said_in, text};

/// The shipped policies and the fixture with a writable folder, whose tools therefore ask.
pub(crate) fn asking() -> Stage {
    let stage = Stage::with_shipped_policies();
    let workspace = stage.workspace();
    let added = stage.add("fixture", &["--write", workspace.to_str().unwrap()], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage
}

pub(crate) fn talk(stage: &Stage) -> Conversation {
    let mut conversation = stage.converse(&["fixture"]);
    conversation.initialize("2025-11-25");
    conversation.request("tools/list", json!({}));
    conversation
}

pub(crate) fn post(conversation: &mut Conversation, message: &str) -> u64 {
    conversation.post("tools/call", json!({"name": "echo", "arguments": {"message": message}}))
}

fn list(stage: &Stage) -> Vec<Value> {
    let listed = stage.run(&["--format", "json", "approvals", "list"]);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    serde_json::from_slice(&listed.stdout).unwrap()
}

/// Waits until something asks, other than what `known` names.
pub(crate) fn question(stage: &Stage, known: &[&str]) -> Value {
    let began = Instant::now();
    loop {
        let new = list(stage)
            .into_iter()
            .find(|one| !known.contains(&one["id"].as_str().unwrap()));
        if let Some(new) = new {
            return new;
        }
        assert!(began.elapsed() < STUCK, "nothing asks");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn id(question: &Value) -> &str {
    question["id"].as_str().unwrap()
}

fn code(stage: &Stage, arguments: &[&str]) -> i32 {
    stage.run(&[&["approvals"], arguments].concat()).status.code().unwrap()
}

fn socket(stage: &Stage) -> PathBuf {
    let entries = std::fs::read_dir(stage.home().join("state/run")).unwrap();
    entries.map(|entry| entry.unwrap().path()).next().unwrap()
}

/// Calls of `echo` that went out to the server.
fn echoes_sent(stage: &Stage) -> usize {
    let is_sent = |record: &Value| {
        record["facts"]["decision"] == "allow"
            && record["facts"]["tool"] == "echo"
            && record["facts"]["method"] == "tools/call"
    };
    stage
        .records()
        .iter()
        .filter(|record| is_sent(record) && record["kind"] != "server-line")
        .count()
}

#[test]
fn a_call_waits_alone_and_passes_once_it_is_allowed() {
    let stage = asking();
    let mut conversation = talk(&stage);
    let call = post(&mut conversation, "hello \u{202e}");
    let asked = question(&stage, &[]);
    for (key, expected) in [
        ("server", json!("fixture")),
        ("tool", json!("echo")),
        ("arguments", json!({"message": "hello \u{202e}"})),
    ] {
        assert_eq!(asked[key], expected);
    }
    assert!(asked["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(asked["expires"].as_str().unwrap().ends_with('Z'));
    assert_eq!(
        conversation.request("ping", json!({}))["result"],
        json!({}),
        "others flow"
    );
    let shown = stage.run(&["approvals", "list"]);
    assert!(
        text(&shown.stdout).contains("message = \"hello \\u{202e}\""),
        "{}",
        text(&shown.stdout)
    );
    assert_eq!(code(&stage, &["allow", id(&asked)]), 0);
    assert_eq!(said_in(&conversation.answer(call)), "hello \u{202e}");
    assert_eq!(code(&stage, &["allow", id(&asked)]), 3, "an answer is used once");
    let again = post(&mut conversation, "hello \u{202e}");
    let second = question(&stage, &[id(&asked)]);
    assert_ne!(id(&second), id(&asked));
    assert_eq!(second["digest"], asked["digest"]);
    assert_eq!(code(&stage, &["deny", id(&second)]), 0);
    assert_eq!(rule_of(&conversation.answer(again)), "consent/denied");
    conversation.end();
    let records = stage.records();
    let kinds: Vec<&str> = records.iter().filter_map(|record| record["kind"].as_str()).collect();
    assert!(kinds.contains(&"approval"), "{kinds:?}");
    let allowed = records
        .iter()
        .find(|record| record["facts"]["consent"]["level"] == 2)
        .unwrap();
    assert_eq!(allowed["kind"], "decision");
    assert_eq!(echoes_sent(&stage), 1);
    let told = stage.run(&["audit", "show", asked["record"].as_str().unwrap()]);
    let told = text(&told.stdout);
    let parts = [
        "waits for consent (level 2)".to_owned(),
        format!("approval of question {} by ", id(&asked)),
        ", consent of ".to_owned(),
        "server ← ".to_owned(),
    ];
    let places: Vec<_> = parts.iter().map(|part| told.find(part)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{told}");
}

#[test]
fn in_continuous_integration_nobody_is_asked_and_no_variable_leaves_it() {
    let stage = asking();
    // Even where the policies would ask there.
    stage.write_policy("default.cedar", "permit(principal, action, resource) when { context.consent >= 2 };\npermit(principal, action in [Action::\"list\", Action::\"releaseResult\"], resource);\n");
    let refused = |variable: &str| {
        let mut command = stage.command(&["run", "fixture"]);
        command.env("CI", variable);
        let mut conversation = Conversation::with(command);
        conversation.initialize("2025-11-25");
        conversation.request("tools/list", json!({}));
        let call = post(&mut conversation, "x");
        let mut rule = String::new();
        if variable == "true" || stage.home().join("config/cofferdam.toml").exists() {
            rule = rule_of(&conversation.answer(call)).to_owned();
            assert!(list(&stage).is_empty());
        } else {
            question(&stage, &[]);
        }
        conversation.end();
        rule
    };
    assert_eq!(refused("true"), "consent/unreachable");
    assert_eq!(refused("false"), "", "it is asked");
    std::fs::write(stage.home().join("config/cofferdam.toml"), "[profile]\nci = true\n").unwrap();
    assert_eq!(refused("false"), "consent/unreachable");
    assert_eq!(refused(""), "consent/unreachable");
    assert_eq!(echoes_sent(&stage), 0);
}

#[test]
fn a_denial_holds_for_the_session_and_for_that_call_alone() {
    let stage = asking();
    let mut conversation = talk(&stage);
    let call = post(&mut conversation, "x");
    let asked = question(&stage, &[]);
    assert_eq!(code(&stage, &["deny", id(&asked)]), 0);
    assert_eq!(rule_of(&conversation.answer(call)), "consent/denied");
    let again = post(&mut conversation, "x");
    assert_eq!(
        rule_of(&conversation.answer(again)),
        "consent/denied",
        "nobody is asked twice"
    );
    let other = post(&mut conversation, "y");
    assert_eq!(code(&stage, &["allow", id(&question(&stage, &[]))]), 0);
    assert_eq!(said_in(&conversation.answer(other)), "y");
}

#[test]
fn three_denials_in_a_minute_lock_the_tool() {
    let stage = asking();
    let mut conversation = talk(&stage);
    for message in ["1", "2", "3"] {
        let call = post(&mut conversation, message);
        assert_eq!(code(&stage, &["deny", id(&question(&stage, &[]))]), 0);
        assert_eq!(rule_of(&conversation.answer(call)), "consent/denied");
    }
    let call = post(&mut conversation, "4");
    assert_eq!(rule_of(&conversation.answer(call)), "consent/locked");
    let other = conversation.post("tools/call", json!({"name": "look", "arguments": {}}));
    assert_eq!(
        code(&stage, &["allow", id(&question(&stage, &[]))]),
        0,
        "another tool is not locked"
    );
    conversation.answer(other);
}

#[test]
fn a_storm_of_questions_that_nobody_answers_locks_the_tool() {
    let stage = asking();
    std::fs::write(
        stage.home().join("config/cofferdam.toml"),
        "[approvals]\nexpires_seconds = 5\n",
    )
    .unwrap();
    let mut conversation = talk(&stage);
    let storm: Vec<u64> = (0..10)
        .map(|call| post(&mut conversation, &format!("{call}")))
        .collect();
    for call in storm {
        assert_eq!(rule_of(&conversation.answer(call)), "consent/expired");
    }
    let began = Instant::now();
    loop {
        let call = post(&mut conversation, &format!("after {:?}", began.elapsed()));
        // The last of them may expire a moment after its answer.
        if rule_of(&conversation.answer(call)) == "consent/locked" {
            break;
        }
        assert!(began.elapsed() < STUCK, "never locked");
    }
    conversation.end();
    let records = stage.records();
    let is_finding = |record: &&Value| record["kind"] == "notice" && record["facts"]["rule"] == "consent/locked";
    assert_eq!(records.iter().filter(is_finding).count(), 1, "it is on record once");
    assert_eq!(echoes_sent(&stage), 0);
}

#[test]
fn an_approval_that_is_kept_is_for_no_call_with_one_byte_changed() {
    let stage = asking();
    let mut conversation = talk(&stage);
    let line = |id: &str, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","method":"tools/call","params":{{"name":"echo","arguments":{arguments}}}}}"#
        )
    };
    let approved = r#"{"message":"pay 100"}"#;
    conversation.send_line(&line("a", approved));
    let asked = question(&stage, &[]);
    conversation.send_line(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#);
    conversation.request("ping", json!({}));
    assert_eq!(code(&stage, &["allow", id(&asked)]), 0);
    let mut known = vec![id(&asked).to_owned()];
    let replays = [
        r#"{"message":"pay 900"}"#,
        r#"{"message":"pay 100 "}"#,
        r#"{"message": "pay 100"}"#,
        r#"{"message":"p\u0061y 100"}"#,
        r#"{"Message":"pay 100"}"#,
    ];
    for (at, replay) in replays.into_iter().enumerate() {
        conversation.send_line(&line(&format!("b{at}"), replay));
        if replay.contains("Message") {
            assert_eq!(rule_of(&conversation.message()), "argument/schema");
            continue;
        }
        let known_now: Vec<&str> = known.iter().map(String::as_str).collect();
        let new = question(&stage, &known_now);
        assert_ne!(new["digest"], asked["digest"], "{replay}");
        known.push(id(&new).to_owned());
    }
    conversation.send_line(&line("c", approved));
    let passed = conversation.message();
    assert_eq!((&passed["id"], said_in(&passed)), (&json!("c"), "pay 100"), "{passed}");
    conversation.end();
    assert_eq!(echoes_sent(&stage), 1);
}

#[test]
fn a_grant_spares_questions_until_it_is_revoked() {
    let stage = asking();
    let mut conversation = talk(&stage);
    let call = post(&mut conversation, "a");
    let asked = question(&stage, &[]);
    assert_eq!(
        code(&stage, &["allow", id(&asked), "--for", "tool", "--minutes", "481"]),
        1,
        "a working day at most"
    );
    assert_eq!(code(&stage, &["allow", id(&asked), "--for", "tool"]), 0);
    assert_eq!(said_in(&conversation.answer(call)), "a");
    let other = post(&mut conversation, "b");
    assert_eq!(said_in(&conversation.answer(other)), "b");
    let listed = stage.run(&["--format", "json", "approvals", "grants"]);
    let grants: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&grants[0]["tool"], &grants[0]["used"]), (&json!("echo"), &json!(1)));
    assert_eq!(
        code(&stage, &["grants", "--revoke", grants[0]["id"].as_str().unwrap()]),
        0
    );
    post(&mut conversation, "c");
    question(&stage, &[]);
}

#[test]
fn what_needs_a_person_is_refused_while_nobody_can_prove_to_be_one() {
    let stage = asking();
    stage.edit_manifest("fixture", |manifest| {
        manifest.replace("consent = \"allow\"", "consent = \"person\"")
    });
    let mut conversation = talk(&stage);
    let call = post(&mut conversation, "x");
    assert_eq!(rule_of(&conversation.answer(call)), "consent/unreachable");
    assert!(list(&stage).is_empty());
    conversation.end();
    assert_eq!(echoes_sent(&stage), 0);
}

/// Says one line to a gate's socket.
fn say(socket: &PathBuf, request: &Value) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("{request}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).unwrap();
    serde_json::from_str(&reply).unwrap()
}

#[test]
fn an_approval_is_for_the_call_that_was_shown() {
    let stage = asking();
    let mut conversation = talk(&stage);
    post(&mut conversation, "a");
    let first = question(&stage, &[]);
    post(&mut conversation, "b");
    let second = question(&stage, &[id(&first)]);
    assert_ne!(first["digest"], second["digest"], "one byte makes another call");
    let socket = socket(&stage);
    let crossed = json!({"do": "allow", "id": second["id"], "digest": first["digest"], "scope": "once", "minutes": 1});
    assert!(say(&socket, &crossed)["refused"].is_string());
    for nonsense in [json!({"do": "allow"}), json!({"do": "list", "x": 1}), json!(7)] {
        assert!(say(&socket, &nonsense)["refused"].is_string(), "{nonsense}");
    }
    assert!(conversation.is_silent());
    conversation.end();
    assert_eq!(echoes_sent(&stage), 0);
}

#[test]
fn who_answers_twice_at_once_lets_one_call_pass() {
    let stage = asking();
    let mut conversation = talk(&stage);
    let calls = [
        post(&mut conversation, "same"),
        post(&mut conversation, "same"),
        post(&mut conversation, "same"),
    ];
    let asked = question(&stage, &[]);
    let began = Instant::now();
    while list(&stage)[0]["identical"] != 3 {
        assert!(began.elapsed() < STUCK, "identical calls wait behind one question");
    }
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| code(&stage, &["allow", id(&asked)])))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 1, "{codes:?}");
    assert_eq!(said_in(&conversation.answer(calls[0])), "same");
    assert!(conversation.is_silent());
    assert_eq!(list(&stage).len(), 1, "the others ask again");
    conversation.end();
    assert_eq!(echoes_sent(&stage), 1);
}

#[test]
fn an_answer_at_the_moment_the_question_expires_counts_whole_or_not_at_all() {
    let stage = asking();
    std::fs::write(
        stage.home().join("config/cofferdam.toml"),
        "[approvals]\nexpires_seconds = 5\n",
    )
    .unwrap();
    let mut conversation = talk(&stage);
    let mut passed = 0;
    // Answered well before its end, around it, and well behind it.
    for late in [0, 4_700, 4_900, 5_000, 5_100, 8_000] {
        let began = Instant::now();
        let call = post(&mut conversation, &format!("{late}"));
        let asked = question(&stage, &[]);
        std::thread::sleep(Duration::from_millis(late).saturating_sub(began.elapsed()));
        let allowed = code(&stage, &["allow", id(&asked)]) == 0;
        let answer = conversation.answer(call);
        let is_through = said_in(&answer) == format!("{late}");
        assert_eq!(is_through, allowed, "{late}: {answer}");
        if !allowed {
            assert_eq!(rule_of(&answer), "consent/expired");
        }
        passed += usize::from(is_through);
        assert_eq!(code(&stage, &["allow", id(&asked)]), 3, "nothing is left of it");
    }
    assert!((1..6).contains(&passed), "both happen: {passed}");
    conversation.end();
    assert_eq!(echoes_sent(&stage), passed);
}

#[test]
fn what_the_client_gave_up_does_not_pass() {
    let stage = asking();
    let mut conversation = talk(&stage);
    let call = post(&mut conversation, "x");
    let asked = question(&stage, &[]);
    conversation.send_line(
        &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": call}}).to_string(),
    );
    conversation.request("ping", json!({}));
    assert_eq!(code(&stage, &["allow", id(&asked)]), 0);
    assert!(conversation.is_silent());
    let again = post(&mut conversation, "x");
    assert_eq!(
        said_in(&conversation.answer(again)),
        "x",
        "the answer was kept for the same call"
    );
    let third = post(&mut conversation, "x");
    question(&stage, &[]);
    assert!(conversation.is_silent(), "{third} asks: the answer is used up");
    conversation.end();
    assert_eq!(echoes_sent(&stage), 1);
}

#[test]
fn a_client_that_would_give_up_is_told_to_come_again() {
    let stage = asking();
    let mut conversation = talk(&stage);
    let call = post(&mut conversation, "x");
    let asked = question(&stage, &[]);
    // The gate says so after 45 seconds; the answers of this conversation are waited for in pieces.
    std::thread::sleep(Duration::from_secs(40));
    let told = conversation.answer(call);
    assert_eq!(rule_of(&told), "consent/pending");
    assert!(said_in(&told).contains(id(&asked)), "{}", said_in(&told));
    assert!(!said_in(&told).contains("cofferdam approvals"), "no command in band");
    assert_eq!(code(&stage, &["allow", id(&asked)]), 0);
    let again = post(&mut conversation, "x");
    assert_eq!(said_in(&conversation.answer(again)), "x");
}

#[test]
fn a_gate_that_is_killed_leaves_no_question() {
    let stage = asking();
    let mut conversation = talk(&stage);
    post(&mut conversation, "x");
    let asked = question(&stage, &[]);
    let socket = socket(&stage);
    conversation.child.kill().unwrap();
    conversation.wait();
    assert!(socket.exists(), "nobody could remove it");
    assert!(list(&stage).is_empty());
    assert!(!socket.exists());
    assert_eq!(code(&stage, &["allow", id(&asked)]), 3);
}

#[test]
fn an_orderly_end_removes_the_socket_and_answers_who_waits() {
    let stage = asking();
    let mut conversation = talk(&stage);
    let call = post(&mut conversation, "x");
    question(&stage, &[]);
    let socket = socket(&stage);
    conversation.hang_up();
    assert_eq!(rule_of(&conversation.answer(call)), "session/ended");
    conversation.wait();
    assert!(!socket.exists());
}

#[test]
fn no_compartment_reaches_the_socket() {
    let stage = asking();
    let mut conversation = talk(&stage);
    post(&mut conversation, "x");
    let asked = question(&stage, &[]);
    let socket = socket(&stage);
    // The same uid in namespaces of its own, as a process of a compartment has them, even with the socket in sight.
    let script = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ns.sendall(sys.argv[2].encode()+b'\\n')\nprint(s.makefile().readline())";
    let request =
        json!({"do": "allow", "id": asked["id"], "digest": asked["digest"], "scope": "once", "minutes": 1}).to_string();
    for namespaces in [
        &["--pid", "--fork"][..],
        &["--user", "--map-root-user"],
        &["--user", "--map-root-user", "--pid", "--fork"],
    ] {
        let spoken = Command::new("unshare")
            .args(namespaces)
            .args(["python3", "-c", script, socket.to_str().unwrap(), &request])
            .output()
            .unwrap();
        assert!(
            text(&spoken.stdout).contains("outside every compartment"),
            "{namespaces:?}: {}{}",
            text(&spoken.stdout),
            text(&spoken.stderr)
        );
    }
    assert_eq!(list(&stage).len(), 1);
    // Inside a real one it is not even there.
    let look = stage.run(&["enter", "fixture", "--", "/bin/ls", socket.to_str().unwrap()]);
    assert!(!look.status.success());
    assert!(text(&look.stderr).contains("No such file"), "{}", text(&look.stderr));
}
