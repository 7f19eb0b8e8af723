//! One record as people and programs see it.

use std::borrow::Cow;

use cofferdam_audit::Record;
use serde_json::{Value, json};

use crate::cli::output::{Output, Style};
use crate::failure::Failure;
use crate::gate::escaped;
use crate::mend::line_for;

/// One record, one line; whole, the facts and payload on lines of their own.
pub(super) fn print(
    session: &str,
    server: &str,
    record: &Record,
    is_whole: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    let short = session.get(..8).unwrap_or(session);
    let facts: Value = serde_json::from_str(&record.facts).unwrap_or(Value::Null);
    // Sealed bytes say nothing to anybody.
    let payload = if record.sealed {
        Cow::Borrowed("")
    } else {
        String::from_utf8_lossy(&record.payload)
    };
    if output.is_json() {
        let line = json!({
            "session": session, "server": server, "seq": record.seq, "kind": record.kind.to_string(), "time_ns": record.wall_ns,
            "facts": facts, "payload": payload, "payload_bytes": record.payload_bytes, "payload_is_whole": record.has_whole_payload() && !record.sealed, "sealed": record.sealed, "veiled": record.veiled,
            "hash": record.hash.to_string(), "line_to_allow": line_for(server, record.kind, &facts),
        });
        return output.line(&line.to_string());
    }
    let decision = facts.get("decision").and_then(Value::as_str).unwrap_or_default();
    let style = match decision {
        "allow" => Style::Green,
        "deny" | "refuse" => Style::Red,
        _ => Style::Dim,
    };
    let word = output.styled(style, decision);
    let about: Vec<&str> = ["rule", "method", "tool", "cause", "call", "path", "address"]
        .iter()
        .filter_map(|key| facts.get(*key))
        .filter_map(Value::as_str)
        .collect();
    let time = time_of_day(record.wall_ns);
    let head = format!(
        "{time} {short}:{} {server} {} {word} {}",
        record.seq,
        record.kind,
        escaped(about.join(" ").as_bytes())
    );
    output.line(head.trim_end())?;
    if is_whole {
        output.line(&format!("  {}", escaped(record.facts.as_bytes())))?;
        if let Some(line) = line_for(server, record.kind, &facts) {
            output.line(&format!("  if that is what it is for: `{line}`"))?;
        }
    }
    for line in payload.lines() {
        output.line(&format!("  {}", output.styled(Style::Dim, &escaped(line.as_bytes()))))?;
    }
    if record.sealed {
        output.line(&format!(
            "  sealed, {} bytes; `audit show --identity FILE` opens it",
            record.payload_bytes
        ))?;
    } else if !record.has_whole_payload() {
        output.line(&format!("  … {} bytes", record.payload_bytes))?;
    }
    Ok(())
}

/// `HH:MM:SS.mmm`, UTC.
fn time_of_day(wall_ns: u64) -> String {
    let millis = wall_ns / 1_000_000;
    let (seconds, millis) = (millis / 1000 % 86_400, millis % 1000);
    format!(
        "{:02}:{:02}:{:02}.{millis:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}
