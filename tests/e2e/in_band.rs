//! Consent in band: a client that shows forms is asked by its own protocol, legacy and modern, and its answer is worth level 2.

use serde_json::{Value, json};

use crate::driven::{Client, add_suite, through_the_gate, transcript};
use crate::support::{Conversation, STUCK, Stage, fixture, rule_of, said_in, text};

/// The fixture, whose every call asks.
fn asking(consent: &str) -> Stage {
    let stage = Stage::new();
    let added = stage.add("fixture", &[], &[&fixture()]);
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage.edit_manifest("fixture", |manifest| {
        manifest.replace("consent = \"allow\"", &format!("consent = \"{consent}\""))
    });
    stage
}

/// A server that speaks both eras as the SDKs hold it to, whose every call asks.
fn asking_suite() -> Stage {
    let stage = Stage::new();
    add_suite(&stage);
    stage.edit_manifest("suite", |manifest| {
        manifest.replace("consent = \"allow\"", "consent = \"ask\"")
    });
    stage
}

/// What its `test_simple_text` says.
const SIMPLE_TEXT: &str = "This is a simple text response for testing.";

/// A legacy client that shows forms.
fn legacy(stage: &Stage, revision: &str, capabilities: &Value) -> Conversation {
    let mut conversation = stage.converse(&["fixture"]);
    conversation.request(
        "initialize",
        json!({"protocolVersion": revision, "capabilities": capabilities, "clientInfo": {"name": "forms", "version": "1"}}),
    );
    conversation.send_line(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    conversation.request("tools/list", json!({}));
    conversation
}

fn post(conversation: &mut Conversation, message: &str) -> u64 {
    conversation.post("tools/call", json!({"name": "echo", "arguments": {"message": message}}))
}

/// The gate's question.
fn asked(conversation: &mut Conversation) -> Value {
    let asked = conversation.message();
    assert_eq!(asked["method"], "elicitation/create", "{asked}");
    asked
}

fn reply(conversation: &mut Conversation, asked: &Value, result: &Value) {
    conversation.send_line(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string());
}

fn open(stage: &Stage) -> Vec<Value> {
    let listed = stage.run(&["--format", "json", "approvals", "list"]);
    serde_json::from_slice(&listed.stdout).unwrap()
}

#[test]
fn a_legacy_client_that_shows_forms_is_asked_one_question_at_a_time() {
    for revision in ["2025-06-18", "2025-11-25"] {
        let stage = asking("ask");
        let mut conversation = legacy(&stage, revision, &json!({"elicitation": {}}));
        let (first, second) = (post(&mut conversation, "a\u{202e}b"), post(&mut conversation, "other"));
        let question = asked(&mut conversation);
        let shown = question["params"]["message"].as_str().unwrap();
        assert!(
            shown.contains("message = \"a\\u{202e}b\"") && !shown.contains("cofferdam approvals"),
            "{shown}"
        );
        let form = &question["params"]["requestedSchema"]["properties"]["consent"];
        assert_eq!((&form["enum"], form.get("default")), (&json!(["allow", "deny"]), None));
        assert!(conversation.is_silent(), "the other question waits");
        reply(
            &mut conversation,
            &question,
            &json!({"action": "accept", "content": {"consent": "allow"}}),
        );
        let (mut results, mut questions) = (Vec::new(), Vec::new());
        while results.is_empty() || questions.is_empty() {
            let message = conversation.message();
            if message["method"].is_string() {
                &mut questions
            } else {
                &mut results
            }
            .push(message);
        }
        assert_eq!((&results[0]["id"], said_in(&results[0])), (&json!(first), "a\u{202e}b"));
        reply(&mut conversation, &questions[0], &json!({"action": "decline"}));
        assert_eq!(rule_of(&conversation.answer(second)), "consent/denied");
        reply(
            &mut conversation,
            &questions[0],
            &json!({"action": "accept", "content": {"consent": "allow"}}),
        );
        assert_eq!(
            conversation.request("ping", json!({}))["result"],
            json!({}),
            "a second answer is none"
        );
        conversation.end();
        let records = stage.records();
        let consented = records
            .iter()
            .find(|record| record["facts"]["consent"]["level"] == 2)
            .unwrap();
        assert_eq!(consented["facts"]["consent"]["who"], "the client, in band");
    }
}

#[test]
fn who_cannot_be_asked_in_band_is_not() {
    for (revision, capabilities) in [
        ("2025-03-26", json!({"elicitation": {}})),
        ("2025-11-25", json!({"elicitation": {"url": {}}})),
        ("2025-11-25", json!({})),
    ] {
        let stage = asking("ask");
        let mut conversation = legacy(&stage, revision, &capabilities);
        post(&mut conversation, "x");
        assert!(conversation.is_silent(), "{revision} {capabilities}");
        assert_eq!(open(&stage).len(), 1);
    }
}

#[test]
fn what_was_put_off_or_answered_elsewhere_is_taken_back() {
    let stage = asking("ask");
    let mut conversation = legacy(&stage, "2025-11-25", &json!({"elicitation": {"form": {}}}));
    let call = post(&mut conversation, "x");
    let question = asked(&mut conversation);
    for nothing in [
        json!({"action": "cancel"}),
        json!({"action": "accept"}),
        json!({"action": "accept", "content": {"consent": "Allow"}}),
    ] {
        reply(&mut conversation, &question, &nothing);
        assert!(conversation.is_silent(), "{nothing} is no yes");
    }
    let open = open(&stage);
    assert!(
        stage
            .run(&["approvals", "allow", open[0]["id"].as_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(said_in(&conversation.answer(call)), "x");
    let call = post(&mut conversation, "y");
    let question = asked(&mut conversation);
    let listed = self::open(&stage);
    assert!(
        stage
            .run(&["approvals", "deny", listed[0]["id"].as_str().unwrap()])
            .status
            .success()
    );
    let (mut is_refused, mut is_taken_back) = (false, false);
    while !(is_refused && is_taken_back) {
        let message = conversation.message();
        is_refused |= message["id"] == json!(call) && rule_of(&message) == "consent/denied";
        is_taken_back |=
            message["method"] == "notifications/cancelled" && message["params"]["requestId"] == question["id"];
    }
}

/// `_meta` of a modern request of a client with these capabilities.
fn modern(capabilities: &Value) -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
        "io.modelcontextprotocol/clientInfo": {"name": "modern", "version": "1"},
    })
}

fn modern_call(message: &str) -> Value {
    json!({"name": "echo", "arguments": {"message": message}, "_meta": modern(&json!({"elicitation": {"form": {}}}))})
}

/// The call again with an answer to what `required` asked.
fn again(message: &str, required: &Value, answer: &Value) -> Value {
    let mut params = modern_call(message);
    params["requestState"] = required["result"]["requestState"].clone();
    params["inputResponses"] = json!({"dev.cofferdam/consent": answer});
    params
}

fn yes() -> Value {
    json!({"action": "accept", "content": {"consent": "allow"}})
}

fn required(conversation: &mut Conversation, message: &str) -> Value {
    let required = conversation.request("tools/call", modern_call(message));
    assert_eq!(required["result"]["resultType"], "input_required", "{required}");
    required
}

#[test]
fn a_modern_client_is_asked_by_input_required_and_the_server_sees_none_of_it() {
    let stage = asking("ask");
    let mut conversation = stage.converse(&["fixture"]);
    let asked = required(&mut conversation, "hello");
    let request = &asked["result"]["inputRequests"]["dev.cofferdam/consent"];
    assert_eq!(request["method"], "elicitation/create");
    assert!(
        request["params"]["message"]
            .as_str()
            .unwrap()
            .contains("message = \"hello\"")
    );
    let passed = conversation.request("tools/call", again("hello", &asked, &yes()));
    assert_eq!(said_in(&passed), "hello", "{passed}");
    let used = conversation.request("tools/call", again("hello", &asked, &yes()));
    assert_eq!(
        used["result"]["resultType"], "input_required",
        "an answer is used once: {used}"
    );
    let denied = conversation.request("tools/call", again("hello", &used, &json!({"action": "decline"})));
    assert_eq!(rule_of(&denied), "consent/denied");
    conversation.end();
    let records = stage.records();
    let sent: Vec<&Value> = records
        .iter()
        .filter(|record| record["facts"]["redacted"] == true)
        .collect();
    assert_eq!(sent.len(), 1);
    let whole = stage.run(&[
        "audit",
        "show",
        "--full",
        &format!("{}:{}", sent[0]["session"].as_str().unwrap(), sent[0]["seq"]),
    ]);
    let whole = text(&whole.stdout);
    assert!(
        whole.contains("hello") && !whole.contains("cofferdam1.") && !whole.contains("inputResponses"),
        "{whole}"
    );
}

#[test]
fn a_state_is_for_the_call_it_was_made_for_and_for_no_byte_more() {
    let stage = asking("ask");
    let mut conversation = stage.converse(&["fixture"]);
    let asked = required(&mut conversation, "hello");
    let other = conversation.request("tools/call", again("hellp", &asked, &yes()));
    assert_eq!(rule_of(&other), "consent/forged");
    let mut with_more = again("hello", &asked, &yes());
    with_more["arguments"]["more"] = json!(1);
    let with_more = conversation.request("tools/call", with_more);
    assert!(!rule_of(&with_more).is_empty());
    let state = asked["result"]["requestState"].as_str().unwrap().to_owned();
    for at in [11, 30, state.len() - 1] {
        let mut changed = state.clone().into_bytes();
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        let mut params = again("hello", &asked, &yes());
        params["requestState"] = json!(String::from_utf8(changed).unwrap());
        assert_eq!(
            rule_of(&conversation.request("tools/call", params)),
            "consent/forged",
            "at {at}"
        );
    }
    for nonsense in ["cofferdam1.", "cofferdam1.zz", "cofferdam1.é"] {
        let mut params = again("hello", &asked, &yes());
        params["requestState"] = json!(nonsense);
        assert_eq!(
            rule_of(&conversation.request("tools/call", params)),
            "consent/forged",
            "{nonsense}"
        );
    }
    let put_off = conversation.request("tools/call", again("hello", &asked, &json!({"action": "cancel"})));
    assert_eq!(rule_of(&put_off), "consent/pending");
    // A state of another session, whose gate had another key.
    let mut second = stage.converse(&["fixture"]);
    required(&mut second, "hello");
    let foreign = second.request("tools/call", again("hello", &asked, &yes()));
    assert_eq!(rule_of(&foreign), "consent/forged");
    let passed = conversation.request("tools/call", again("hello", &asked, &yes()));
    assert_eq!(said_in(&passed), "hello", "the question is still open: {passed}");
}

#[test]
fn in_band_is_level_two_and_no_more() {
    let stage = asking("person");
    let mut conversation = stage.converse(&["fixture"]);
    let refused = conversation.request("tools/call", modern_call("x"));
    assert_eq!(rule_of(&refused), "consent/unreachable");
    let mut conversation = legacy(&stage, "2025-11-25", &json!({"elicitation": {}}));
    let refused = conversation.call("echo", json!({"message": "x"}));
    assert_eq!(rule_of(&refused), "consent/unreachable");
}

#[test]
fn a_client_with_a_progress_token_hears_that_its_call_waits() {
    let stage = asking("ask");
    let mut conversation = legacy(&stage, "2025-11-25", &json!({}));
    let params = json!({"name": "echo", "arguments": {"message": "x"}, "_meta": {"progressToken": "t\u{e9}"}});
    let call = conversation.post("tools/call", params);
    let (first, second) = (conversation.message(), conversation.message());
    for told in [&first, &second] {
        assert_eq!(told["method"], "notifications/progress");
        assert_eq!(told["params"]["progressToken"], "t\u{e9}");
    }
    assert!(first["params"]["progress"].as_f64() < second["params"]["progress"].as_f64());
    assert!(
        stage
            .run(&["approvals", "allow", open(&stage)[0]["id"].as_str().unwrap()])
            .status
            .success()
    );
    assert_eq!(said_in(&conversation.answer(call)), "x");
}

/// The real SDKs, each in the eras it speaks, with a user who says yes.
#[test]
fn real_clients_ask_their_users() {
    for client in [
        Client::TypeScript1,
        Client::TypeScript2("legacy"),
        Client::TypeScript2("2026-07-28"),
        Client::Python("legacy"),
        Client::Python("2026-07-28"),
    ] {
        let stage = asking_suite();
        let shown = transcript(
            client,
            "consent.json",
            &stage.workspace(),
            &through_the_gate(&stage, "suite"),
        );
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let answers = shown["steps"].as_array().unwrap();
        for at in [1, 2] {
            assert_eq!(
                answers[at]["result"]["content"][0]["text"], SIMPLE_TEXT,
                "{client:?}: {shown}"
            );
        }
        let questions = shown["events"]["elicitation/create"].as_array().unwrap();
        assert_eq!(questions.len(), 2, "{client:?}: {shown}");
    }
}

/// Those whose user shows no forms wait until somebody answers elsewhere.
#[test]
fn real_clients_that_show_no_forms_wait() {
    for client in [
        Client::TypeScript1,
        Client::TypeScript2("2026-07-28"),
        Client::Python("2026-07-28"),
    ] {
        let stage = asking_suite();
        let line = through_the_gate(&stage, "suite");
        let shown = std::thread::scope(|scope| {
            let running = scope.spawn(|| transcript(client, "silent.json", &stage.workspace(), &line));
            let began = std::time::Instant::now();
            loop {
                let listed = stage.run(&["--format", "json", "approvals", "list"]);
                let open: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
                if let Some(one) = open.first() {
                    assert!(
                        stage
                            .run(&["approvals", "allow", one["id"].as_str().unwrap()])
                            .status
                            .success()
                    );
                    break running.join().unwrap();
                }
                assert!(began.elapsed() < STUCK, "nothing asks");
            }
        });
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            shown["steps"][1]["result"]["content"][0]["text"], SIMPLE_TEXT,
            "{client:?}: {shown}"
        );
    }
}
