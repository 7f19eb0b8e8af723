//! Manifests: what parses is written out and parses to the same meaning; what does not says why, inside the text.
#![no_main]

use cofferdam_manifest::{parse, tool_digest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match parse(text, "manifest.toml") {
        Ok(manifest) => {
            let written = manifest.to_toml();
            let read = parse(&written, "manifest.toml")
                .unwrap_or_else(|error| panic!("what we wrote does not parse:\n{error}\n{written}"));
            assert_eq!(read, manifest, "writing changed the meaning:\n{written}");
            assert_eq!(read.digest(), manifest.digest());
            assert_eq!(read.to_toml(), written, "writing is not stable");
            assert!(manifest.not_yet().iter().all(|not_yet| !not_yet.section.is_empty()));
        }
        Err(error) => {
            assert!(!error.diagnostics().is_empty());
            assert!(!error.to_string().trim().is_empty());
        }
    }
    // The same bytes as a tool's definition: the digest must not depend on how it is spelled.
    if let Ok(digest) = tool_digest(text) {
        let value: serde_json::Value = serde_json::from_str(text).expect("a definition is JSON");
        let respelled = serde_json::to_string_pretty(&value).expect("a value can be written");
        assert_eq!(
            tool_digest(&respelled).ok(),
            Some(digest),
            "the digest depends on spelling"
        );
    }
});
