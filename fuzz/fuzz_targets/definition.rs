//! Definitions: whatever the bytes, inspection ends, never panics, says the same twice, and never calls unread bytes clean.
#![no_main]

use cofferdam_inspect::{inspect_definition, is_invisible};
use libfuzzer_sys::fuzz_target;

/// A quoted value is 120 characters, each of which may be written out as `\u{10ffff}`; words of the rule stand around it.
const EVIDENCE_BYTES_MAX: usize = 2_000;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let findings = inspect_definition(text);
    assert_eq!(findings, inspect_definition(text));
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        assert!(findings.iter().any(|finding| finding.blocks_by_default()), "unread and clean");
    }
    for finding in &findings {
        let evidence = &finding.evidence;
        assert!(!evidence.chars().any(|one| one.is_control() || is_invisible(one)), "not safe to show: {evidence:?}");
        assert!(evidence.len() <= EVIDENCE_BYTES_MAX, "evidence grows with the text: {evidence:?}");
    }
    // The same bytes as one description.
    let wrapped = serde_json::json!({"name": "x", "description": text}).to_string();
    let _ = inspect_definition(&wrapped);
});
