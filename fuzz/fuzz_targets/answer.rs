//! Answers: redaction keeps JSON valid, leaves no secret behind, and touches nothing else.
#![no_main]

use cofferdam_inspect::{SecretValues, inspect_answer, inspect_elicitation, redact_secrets};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "n0t\\for\"you/42";

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let secrets = SecretValues::new([("fuzz", SECRET.as_bytes())]);
    let _ = inspect_elicitation(text);
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else {
        return;
    };
    let _ = inspect_answer(text);
    let spliced = serde_json::json!([value, format!("{text}{SECRET}{text}")]).to_string();
    for line in [text, spliced.as_str()] {
        let redaction = redact_secrets(line.as_bytes(), &secrets);
        let out = redaction.apply(line.as_bytes()).expect("replacements fit");
        let out = String::from_utf8(out).expect("redaction keeps UTF-8");
        let read: serde_json::Value = serde_json::from_str(&out).expect("redaction keeps JSON valid");
        assert!(!holds(&read), "the secret is left in {out}");
        if redaction.is_none() {
            assert_eq!(out, line);
        }
    }
});

fn holds(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains(SECRET),
        serde_json::Value::Array(all) => all.iter().any(holds),
        serde_json::Value::Object(all) => all.iter().any(|(key, value)| key.contains(SECRET) || holds(value)),
        _ => false,
    }
}
