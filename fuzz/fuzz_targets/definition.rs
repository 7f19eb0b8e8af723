//! Definitions: whatever the bytes, inspection ends, never panics, says the same twice, and never calls unread bytes clean.
#![no_main]

use cofferdam_inspect::{inspect_definition, show_safely};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let findings = inspect_definition(text);
    assert_eq!(findings, inspect_definition(text));
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        assert!(findings.iter().any(|finding| finding.blocks_by_default()), "unread and clean");
    }
    for finding in &findings {
        assert_eq!(finding.evidence, show_safely(&finding.evidence), "evidence is not safe to show");
    }
    // The same bytes as one description.
    let wrapped = serde_json::json!({"name": "x", "description": text}).to_string();
    let _ = inspect_definition(&wrapped);
});
