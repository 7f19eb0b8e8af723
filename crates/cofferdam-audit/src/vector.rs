//! The test vector of `docs/audit-format.md` is what the log writes (tests only).

use crate::failing::{FailingFile, HandClock, log};
use crate::group::Entry;
use crate::kind::Kind;
use crate::log::Durability;
use std::fmt::Write as _;
use std::sync::Arc;

#[test]
fn the_document_shows_what_the_log_writes() {
    let (file, clock) = (Arc::new(FailingFile::default()), HandClock::at(1_000_000_000));
    let log = log(&file, Durability::Synced, clock.clone()).unwrap();
    let mut heads = vec![("open", log.head().unwrap())];
    clock.set(1_000_250_000);
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;
    let large = "a".repeat(4096);
    for (kind, facts, payload) in [
        (Kind::ClientLine, r#"{"decision":"allow"}"#, call),
        (Kind::ServerLine, "", r#"{"jsonrpc":"2.0","id":7,"result":{}}"#),
        (Kind::ServerStderr, "", &large),
        (Kind::ServerStderr, "", &large),
    ] {
        let payload = payload.as_bytes();
        drop(
            log.append_one((), |(), group| group.add(Entry { kind, facts, payload }))
                .unwrap(),
        );
        heads.push(("", log.head().unwrap()));
    }
    clock.set(1_002_000_000);
    heads.push(("close", log.close(r#"{"cause":"client gone"}"#).unwrap()));
    let mut block = String::from("```hex\n");
    let bytes = file.bytes();
    let begins = bytes.windows(4096).position(|run| run == large.as_bytes()).unwrap();
    let (before, rest) = bytes.split_at(begins);
    for part in [before, &rest[4096..]] {
        for line in part.chunks(32) {
            for byte in line {
                write!(block, "{byte:02x}").unwrap();
            }
            block.push('\n');
        }
        if part == before {
            block.push_str("61*4096\n");
        }
    }
    block.push_str("```\n\nThe chain values after its records:\n\n");
    for (_, head) in heads {
        writeln!(block, "    {}  {}", head.seq, head.hash).unwrap();
    }
    let document = include_str!("../../../docs/audit-format.md");
    let (_, vector) = document.split_once("<!-- vector -->\n").unwrap();
    assert!(
        vector.trim() == block.trim(),
        "docs/audit-format.md must end with:\n{block}"
    );
}
