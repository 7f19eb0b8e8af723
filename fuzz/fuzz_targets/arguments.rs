//! Arguments: every role's parser takes any text, ends, and gives evidence that is safe to show.
#![no_main]

use std::collections::BTreeMap;

use cofferdam_inspect::{Facts, Guard, NoLinks, SecretValues, is_invisible};
use libfuzzer_sys::fuzz_target;

/// One argument for each role, by names whose role is inferred.
const NAMES: [&str; 11] = [
    "path",
    "glob",
    "url",
    "host",
    "command",
    "args",
    "sql",
    "table_name",
    "issue_id",
    "code",
    "text",
];

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let secret = SecretValues::new([("fuzz", b"a-secret-value".as_slice())]);
    let roots = ["/work".to_owned()];
    for roots in [None, Some(roots.as_slice())] {
        let facts = Facts {
            roots,
            links: &NoLinks,
            hosts: &[],
            secrets: &secret,
        };
        let guard = Guard::new("exec_write", None, &BTreeMap::new());
        for name in NAMES {
            let arguments = serde_json::json!({ name: [text, { name: text }] });
            for finding in guard.check(&arguments, &facts) {
                assert!(
                    !finding
                        .evidence
                        .chars()
                        .any(|one| one.is_control() || is_invisible(one)),
                    "{finding:?}"
                );
                assert!(!finding.evidence.contains("a-secret-value"));
            }
        }
    }
});
