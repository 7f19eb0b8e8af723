//! Frame torture: every refusal of the decoder and the session, on both sides, with the session alive afterwards.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Stage, rule_of, said_in};

/// Lines that must never reach the other side, with the rule that stops each.
fn hostile_lines() -> Vec<(&'static str, Vec<u8>)> {
    let line = |text: &str| text.as_bytes().to_vec();
    let call = |arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":901,"method":"tools/call","params":{{"name":"echo","arguments":{arguments}}}}}"#
        )
        .into_bytes()
    };
    vec![
        (
            "protocol/invalid-utf8",
            b"{\"jsonrpc\":\"2.0\",\"id\":901,\"method\":\"ping\",\"x\":\"\xff\"}".to_vec(),
        ),
        (
            "protocol/byte-order-mark",
            b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":901,\"method\":\"ping\"}".to_vec(),
        ),
        ("protocol/lone-surrogate", call(r#"{"message":"\ud800"}"#)),
        ("protocol/nul", call(r#"{"message":"a\u0000b"}"#)),
        (
            "protocol/nul",
            b"{\"jsonrpc\":\"2.0\",\"id\":901,\"method\":\"ping\"\x00}".to_vec(),
        ),
        ("protocol/control-character", call("{\"message\":\"a\x01b\"}")),
        ("protocol/duplicate-key", call(r#"{"message":"a","message":"b"}"#)),
        ("protocol/duplicate-key", call(r#"{"message":"a","m\u0065ssage":"b"}"#)),
        (
            "protocol/duplicate-key",
            line(r#"{"jsonrpc":"2.0","id":901,"method":"ping","method":"tools/call"}"#),
        ),
        (
            "protocol/case-folded-key",
            line(r#"{"jsonrpc":"2.0","id":901,"method":"tools/call","Method":"ping","params":{"name":"echo"}}"#),
        ),
        (
            "protocol/case-folded-key",
            line(r#"{"jsonrpc":"2.0","id":901,"method":"tools/call","params":{"name":"echo","Name":"change"}}"#),
        ),
        (
            "protocol/case-folded-key",
            line(r#"{"jsonrpc":"2.0","id":901,"method":"tools/call","Params":{"name":"echo"}}"#),
        ),
        (
            "protocol/id-not-exact",
            line(r#"{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}"#),
        ),
        (
            "protocol/too-deep",
            call(&format!(r#"{{"message":{}1{}}}"#, "[".repeat(80), "]".repeat(80))),
        ),
        (
            "protocol/trailing-data",
            line(r#"{"jsonrpc":"2.0","id":901,"method":"ping"} {"jsonrpc":"2.0","id":902,"method":"ping"}"#),
        ),
        (
            "protocol/not-json",
            line("{\"jsonrpc\":\"2.0\",\"id\":901,\"method\":ping}"),
        ),
        (
            "protocol/batch-not-allowed",
            line(r#"[{"jsonrpc":"2.0","id":901,"method":"ping"}]"#),
        ),
        (
            "protocol/unknown-method",
            line(r#"{"jsonrpc":"2.0","id":901,"method":"no/such"}"#),
        ),
        (
            "protocol/wrong-direction",
            line(r#"{"jsonrpc":"2.0","id":901,"method":"sampling/createMessage","params":{}}"#),
        ),
    ]
}

fn client_lines_of(stage: &Stage) -> Vec<Value> {
    stage
        .records()
        .into_iter()
        .filter(|record| record["kind"] == "client-line")
        .collect()
}

#[test]
fn hostile_lines_of_a_client_are_refused_answered_and_recorded() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for (rule, mut bytes) in hostile_lines() {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        bytes.push(b'\n');
        gate.send(&bytes);
        let answer = gate.message();
        assert_eq!(rule_of(&answer), rule, "{shown}\nanswered {answer}");
        assert!(
            answer["id"] == json!(901) || answer["id"].is_null(),
            "{shown}\nanswered {answer}"
        );
        assert_eq!(
            said_in(&gate.call("echo", json!({"message": "alive"}))),
            "alive",
            "after {shown}"
        );
    }
    assert!(gate.end().success());
    let refused: Vec<Value> = client_lines_of(&stage)
        .into_iter()
        .filter(|record| record["facts"]["decision"] == "refuse")
        .collect();
    assert_eq!(
        refused.len(),
        hostile_lines().len(),
        "each refusal is recorded with its bytes"
    );
    assert!(
        refused
            .iter()
            .zip(hostile_lines())
            .all(|(record, (rule, _))| record["facts"]["rule"] == rule)
    );
}

#[test]
fn hostile_lines_of_a_server_never_reach_the_client() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    for (rule, mut bytes) in hostile_lines() {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        bytes.push(b'\n');
        // The session takes the last one as what it is from a server: a request the manifest does not let it make.
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let answer = gate.call("raw", json!({"hex": hex, "answer": true}));
        assert_eq!(
            said_in(&answer),
            "printed",
            "the client sees the answer alone, after {rule}: {shown}"
        );
    }
    assert!(
        gate.said()
            .contains("printed something on stdout that is not a message")
    );
    assert!(gate.end().success());
    let dropped = stage
        .records()
        .into_iter()
        .filter(|record| {
            record["kind"] == "server-line" && !matches!(record["facts"]["decision"].as_str(), Some("allow" | "own"))
        })
        .count();
    assert_eq!(dropped, hostile_lines().len());
}

#[test]
fn answers_nobody_asked_for_and_second_answers_are_dropped() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let hex = |text: &str| -> String { text.bytes().chain([b'\n']).map(|byte| format!("{byte:02x}")).collect() };
    gate.call(
        "raw",
        json!({"hex": hex(r#"{"jsonrpc":"2.0","id":777,"result":{}}"#), "answer": true}),
    );
    // The call below answers itself by hand, then its own answer comes as the second one.
    let forged = gate.call("raw", json!({"hex": hex(r#"{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"first"}]}}"#), "answer": true}));
    assert_eq!((&forged["id"], said_in(&forged)), (&json!(3), "first"));
    assert!(gate.is_silent(), "the second answer is not forwarded");
    assert_eq!(said_in(&gate.call("echo", json!({"message": "alive"}))), "alive");
    gate.send_line(r#"{"jsonrpc":"2.0","id":"never-asked","result":{}}"#);
    assert_eq!(said_in(&gate.call("echo", json!({"message": "still"}))), "still");
    assert!(gate.end().success());
    let rules: Vec<String> = stage
        .records()
        .iter()
        .filter_map(|record| record["facts"]["rule"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(
        rules.iter().filter(|rule| *rule == "protocol/unknown-response").count(),
        2,
        "{rules:?}"
    );
    assert_eq!(
        rules
            .iter()
            .filter(|rule| *rule == "protocol/duplicate-response")
            .count(),
        1,
        "{rules:?}"
    );
}

#[test]
fn an_id_in_flight_cannot_be_used_again() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.send_line(r#"{"jsonrpc":"2.0","id":50,"method":"tools/call","params":{"name":"silence","arguments":{}}}"#);
    gate.send_line(
        r#"{"jsonrpc":"2.0","id":50,"method":"tools/call","params":{"name":"echo","arguments":{"message":"x"}}}"#,
    );
    let answer = gate.message();
    assert_eq!(rule_of(&answer), "protocol/id-in-flight");
    assert!(
        answer["id"].is_null(),
        "the first request with this id still waits: {answer}"
    );
    assert_eq!(said_in(&gate.call("echo", json!({"message": "alive"}))), "alive");
}

#[test]
fn a_line_over_the_limit_is_refused_without_being_kept_whole() {
    let stage = Stage::with_fixture(&[]);
    stage.edit_manifest("fixture", |text| set_limit(&text, "message", "\"1MiB\""));
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    let mut line =
        br#"{"jsonrpc":"2.0","id":60,"method":"tools/call","params":{"name":"echo","arguments":{"message":""#.to_vec();
    line.resize(3 * 1024 * 1024, b'x');
    line.push(b'\n');
    gate.send(&line);
    assert_eq!(rule_of(&gate.message()), "protocol/line-too-long");
    assert_eq!(said_in(&gate.call("echo", json!({"message": "alive"}))), "alive");
    assert_eq!(said_in(&gate.call("oversize", json!({"bytes": 2_000_000}))), "printed");
    assert!(gate.end().success());
    let kept: u64 = stage
        .records()
        .iter()
        .filter(|record| record["kind"] == "fragment")
        .map(|record| record["payload_bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(
        kept,
        3 * 1024 * 1024 + 1 + 2_000_001,
        "every byte is in the record, in pieces"
    );
}

/// Puts one line into `[limits]`.
pub(crate) fn set_limit(manifest: &str, key: &str, value: &str) -> String {
    let kept: Vec<&str> = manifest
        .lines()
        .filter(|line| !line.trim_start_matches(['#', ' ']).starts_with(&format!("{key} =")))
        .collect();
    let text = kept.join("\n");
    if text.contains("[limits]") {
        text.replacen("[limits]", &format!("[limits]\n{key} = {value}"), 1)
    } else {
        format!("{text}\n[limits]\n{key} = {value}\n")
    }
}

#[test]
fn batches_pass_whole_in_2025_03_26_or_not_at_all() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-03-26");
    gate.request("tools/list", json!({}));
    let call = |id: u64, tool: &str| json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}});
    gate.send_line(&json!([call(70, "echo"), call(71, "echo")]).to_string());
    let answers = gate.message();
    assert_eq!(answers.as_array().map(Vec::len), Some(2), "{answers}");
    gate.send_line(&json!([call(72, "echo"), call(73, "not-in-the-manifest")]).to_string());
    let refused = [gate.message(), gate.message()];
    assert!(
        refused.iter().any(|answer| rule_of(answer) == "tool/not-in-manifest"),
        "{refused:?}"
    );
    assert!(
        refused.iter().any(|answer| rule_of(answer) == "batch/member-denied"),
        "{refused:?}"
    );
    assert_eq!(said_in(&gate.call("echo", json!({"message": "alive"}))), "alive");
}

#[test]
fn probes_pass_and_a_modern_client_gets_modern_answers() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}, "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"}});
    let discovered = gate.request("server/discover", json!({"_meta": meta}));
    assert_eq!(discovered["result"]["serverInfo"]["name"], "fixture");
    // Never listed by this client: the gate lists by itself before the first call passes.
    let called = gate.request(
        "tools/call",
        json!({"name": "echo", "arguments": {"message": "modern"}, "_meta": meta}),
    );
    assert_eq!(said_in(&called), "modern");
    let refused = gate.request("tools/call", json!({"name": "other", "arguments": {}, "_meta": meta}));
    assert_eq!(
        (rule_of(&refused), &refused["result"]["resultType"]),
        ("tool/not-in-manifest", &json!("complete"))
    );
    // A server-to-client request has no place in this era.
    gate.post(
        "tools/call",
        json!({"name": "ask", "arguments": {"method": "roots/list"}, "_meta": meta}),
    );
    let asked = gate.message();
    let what_the_server_got: Value = serde_json::from_str(said_in(&asked)).unwrap();
    assert_eq!(what_the_server_got["id"], "ask-1");
    assert!(what_the_server_got["error"]["code"].is_i64(), "{asked}");
}

#[test]
fn a_slow_reader_on_one_side_does_not_stop_the_other() {
    let stage = Stage::with_fixture(&[]);
    let mut gate = stage.converse(&["fixture"]);
    gate.initialize("2025-11-25");
    gate.request("tools/list", json!({}));
    // The client does not read while the server writes far more than a pipe holds, and goes on sending.
    let flood = gate.post("tools/call", json!({"name": "flood", "arguments": {"lines": 2_000}}));
    for _ in 0..50 {
        gate.send_line(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#,
        );
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(said_in(&gate.answer(flood)), "flooded");
    assert!(gate.end().success());
}
