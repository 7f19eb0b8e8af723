//! Values of a manifest's secrets never stand in the record: not as they are, not encoded, in no direction and not in facts.

use serde_json::{Value, json};

use crate::support::{Conversation, Stage, fixture, text};

const VALUE: &str = "s3cr3t/\"token\"+42";
/// As JSON, base64 (also with two bytes in front) and hexadecimal digits write it.
const FORMS: [&str; 5] = [
    VALUE,
    "s3cr3t/\\\"token\\\"+42",
    "czNjcjN0LyJ0b2tlbiIrND",
    "zM2NyM3QvInRva2VuIis0M",
    "7333637233742f22746f6b656e222b3432",
];

fn stage() -> Stage {
    let stage = Stage::new();
    let added = stage.add(
        "fixture",
        &["--secret", "FIXTURE_TOKEN", "--execute", "/bin/sh"],
        &[&fixture()],
    );
    assert!(added.status.success(), "{}", text(&added.stderr));
    stage
}

fn converse(stage: &Stage) -> Conversation {
    let mut command = stage.command(&["run", "fixture"]);
    command.env("FIXTURE_TOKEN", VALUE);
    let mut gate = Conversation::with(command);
    gate.initialize("2025-11-25");
    gate
}

/// Every file of the record, as it lies on the disk.
fn stored(stage: &Stage) -> Vec<u8> {
    let folder = stage.home().join("state/audit/fixture");
    std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

fn digests(records: &[Value]) -> Vec<String> {
    let all = json!(records).to_string();
    let pieces = all.split("[secret FIXTURE_TOKEN hmac-sha256:").skip(1);
    // What is shown of a payload may end within the digest.
    pieces.map(|rest| rest.chars().take(16).collect()).collect()
}

#[test]
fn no_secret_value_stands_in_the_record() {
    let stage = stage();
    let mut gate = converse(&stage);
    // The server says it by itself: in an answer, on stderr, and as noise on stdout.
    for to in ["", " > /proc/$PPID/fd/2", " > /proc/$PPID/fd/1"] {
        let script = format!("echo \"token=$FIXTURE_TOKEN\"{to}");
        gate.call("execute", json!({"words": ["/bin/sh", "-c", script]}));
    }
    for form in FORMS {
        gate.call("echo", json!({"message": format!("x{form}y")}));
        gate.call("stderr", json!({"text": format!("token={form}")}));
        // No such tool: the name is in the facts of a refusal.
        gate.call(&format!("a{form}"), json!({}));
    }
    gate.send_line(&format!("no message: {VALUE}"));
    // Refused, and the refusal repeats the id.
    gate.send_line(&json!({"jsonrpc": "2.0", "id": VALUE, "method": "no/such"}).to_string());
    gate.request("ping", json!({}));
    assert!(gate.end().success());
    let stored = stored(&stage);
    for form in FORMS {
        let found = stored.windows(form.len()).any(|window| window == form.as_bytes());
        assert!(!found, "{form} stands in the record");
    }
    let records = stage.records();
    let digests = digests(&records);
    assert!(
        digests.len() > 20 && digests.iter().all(|digest| *digest == digests[0]),
        "{digests:?}"
    );
    for kind in ["client-line", "server-line", "server-stderr", "gate-to-client"] {
        let veiled = |record: &&Value| record["kind"] == kind && record["veiled"] == true;
        assert!(records.iter().any(|record| veiled(&record)), "no veiled {kind}");
    }
    let in_facts = |record: &&Value| {
        record["facts"]["tool"]
            .as_str()
            .is_some_and(|tool| tool.contains("[secret "))
    };
    assert!(
        records.iter().any(|record| in_facts(&record)),
        "a name in facts is veiled and still readable"
    );
    assert!(stage.verify().iter().all(|verdict| verdict["intact"] == true));
}

#[test]
fn one_value_has_one_digest_in_all_sessions_of_a_user_and_another_elsewhere() {
    let stage = stage();
    let digest_of_a_session = || {
        let mut gate = converse(&stage);
        gate.call("echo", json!({"message": VALUE}));
        assert!(gate.end().success());
        let all = digests(&stage.records());
        all.last().unwrap().clone()
    };
    assert_eq!(digest_of_a_session(), digest_of_a_session());
    let here = digest_of_a_session();
    let other = self::stage();
    let mut gate = converse(&other);
    gate.call("echo", json!({"message": VALUE}));
    assert!(gate.end().success());
    assert_ne!(digests(&other.records())[0], here);
}
