//! `audit tail|show|verify`: the record, read by people and programs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cofferdam_audit::{Ended, Follow, Kind, Located, Payloads, Reader, Record, SessionState, Store, Verdict};
use serde_json::{Value, json};

use super::args::{AuditShow, AuditTail, AuditVerify};
use super::output::{Output, Style};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;

/// Bytes of a payload that a list shows.
const SHOWN_PAYLOAD_BYTES: usize = 160;
/// How often a followed record is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

fn store(home: &Home) -> Result<Store, Failure> {
    if !home.audit().exists() {
        return Err(Failure::new(Exit::Nothing, "nothing is recorded yet"));
    }
    Store::open(&home.audit()).map_err(|error| failure(&error))
}

fn failure(error: &cofferdam_audit::AuditError) -> Failure {
    let failure = Failure::misconfigured(error.to_string());
    match error.help() {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// The newest records, oldest of them first.
pub(crate) fn tail(home: &Home, args: &AuditTail, output: &mut Output) -> Result<Exit, Failure> {
    let store = store(home)?;
    let is_wanted = |located: &Located| args.name.as_ref().is_none_or(|name| *name == located.server);
    // Followed from before the tail is read, so that nothing falls between the two.
    let (follow, problems) = store.follow(SHOWN_PAYLOAD_BYTES).map_err(|error| failure(&error))?;
    let count = if args.name.is_some() { usize::MAX } else { args.lines };
    let found = store
        .tail(count, SHOWN_PAYLOAD_BYTES)
        .map_err(|error| failure(&error))?;
    warn(problems.iter().chain(&found.problems), output);
    let wanted: Vec<&Located> = found.items.iter().filter(|located| is_wanted(located)).collect();
    for located in wanted.iter().skip(wanted.len().saturating_sub(args.lines)) {
        print(&located.session, &located.server, &located.record, false, output)?;
    }
    if args.follow {
        follow_on(follow, is_wanted, output)?;
    }
    Ok(if wanted.is_empty() { Exit::Nothing } else { Exit::Fine })
}

/// Prints what comes, until the process is ended.
fn follow_on(mut follow: Follow, is_wanted: impl Fn(&Located) -> bool, output: &mut Output) -> Result<(), Failure> {
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        let found = follow.poll().map_err(|error| failure(&error))?;
        warn(found.problems.iter(), output);
        for located in found.items.iter().filter(|located| is_wanted(located)) {
            print(&located.session, &located.server, &located.record, false, output)?;
        }
    }
}

/// A segment that cannot be read hides no other, and is not passed over in silence.
fn warn<'a>(problems: impl Iterator<Item = &'a cofferdam_audit::AuditError>, output: &mut Output) {
    for problem in problems {
        output.say(&format!("warning: {problem}"));
    }
}

/// One session or one record. What is shown is verified on the way.
pub(crate) fn show(home: &Home, args: &AuditShow, output: &mut Output) -> Result<Exit, Failure> {
    let store = store(home)?;
    if let Some(reference) = args.reference.as_ref().filter(|reference| reference.contains(':')) {
        let located = store.record(reference).map_err(|error| failure(&error))?;
        print(&located.session, &located.server, &located.record, true, output)?;
        seen_during(&store, &located, output)?;
        return Ok(Exit::Fine);
    }
    let session = match &args.reference {
        Some(id) => store.session(id).map_err(|error| failure(&error))?,
        None => {
            let newest = store
                .sessions()
                .map_err(|error| failure(&error))?
                .items
                .into_iter()
                .next();
            newest.ok_or_else(|| Failure::new(Exit::Nothing, "nothing is recorded yet"))?
        }
    };
    let kept = if args.full {
        Payloads::Whole
    } else {
        Payloads::First(SHOWN_PAYLOAD_BYTES)
    };
    let mut reader = Reader::open(&session.path)
        .map_err(|error| failure(&error))?
        .keeping(kept);
    while let Some(record) = reader.next_record().map_err(|error| failure(&error))? {
        print(
            &session.header.session,
            &session.header.server,
            &record,
            args.full,
            output,
        )?;
    }
    if !output.is_json() {
        let state = match session.state {
            SessionState::Live => "still running",
            SessionState::Closed => "closed",
            SessionState::Unclosed => "ended without a close record: killed, or cut",
        };
        output.say(&format!("session {}: {state}", session.header.session));
    }
    Ok(Exit::Fine)
}

/// What the server was seen doing while this call was in flight, if it is one.
fn seen_during(store: &Store, located: &Located, output: &mut Output) -> Result<(), Failure> {
    let call: Value = serde_json::from_slice(&located.record.payload).unwrap_or_default();
    let is_call = located.record.kind == Kind::ClientLine && call.get("method").is_some_and(|it| it == "tools/call");
    let Some(id) = call.get("id").filter(|_| is_call) else {
        return Ok(());
    };
    let session = store.session(&located.session).map_err(|error| failure(&error))?;
    let mut reader = Reader::open(&session.path)
        .map_err(|error| failure(&error))?
        .keeping(Payloads::Whole);
    while let Some(record) = reader.next_record().map_err(|error| failure(&error))? {
        if record.seq <= located.record.seq {
            continue;
        }
        let facts: Value = serde_json::from_str(&record.facts).unwrap_or_default();
        let during = facts
            .get("during")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        match record.kind {
            Kind::SystemCall | Kind::Connection if during.iter().any(|call| call.get("id") == Some(id)) => {
                print(&located.session, &located.server, &record, true, output)?;
            }
            // The id may be used again from here on.
            Kind::ClientLine if is_request(&record.payload, id) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a line is a request with this id.
fn is_request(line: &[u8], id: &Value) -> bool {
    let message: Value = serde_json::from_slice(line).unwrap_or_default();
    message.get("method").is_some() && message.get("id") == Some(id)
}

/// One record, one line; whole, the facts and payload on lines of their own.
fn print(session: &str, server: &str, record: &Record, is_whole: bool, output: &mut Output) -> Result<(), Failure> {
    let short = session.get(..8).unwrap_or(session);
    let facts: Value = serde_json::from_str(&record.facts).unwrap_or(Value::Null);
    let payload = String::from_utf8_lossy(&record.payload);
    if output.is_json() {
        let line = json!({
            "session": session, "server": server, "seq": record.seq, "kind": record.kind.to_string(), "time_ns": record.wall_ns,
            "facts": facts, "payload": payload, "payload_bytes": record.payload_bytes, "payload_is_whole": record.has_whole_payload(),
            "hash": record.hash.to_string(),
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
    }
    for line in payload.lines() {
        output.line(&format!("  {}", output.styled(Style::Dim, &escaped(line.as_bytes()))))?;
    }
    if !record.has_whole_payload() {
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

/// Verifies segments; exit 1 when one is broken.
pub(crate) fn verify(home: &Home, args: &AuditVerify, output: &mut Output) -> Result<Exit, Failure> {
    let segments = segments(home, &args.what)?;
    let mut exit = if segments.is_empty() { Exit::Nothing } else { Exit::Fine };
    for path in segments {
        if !verify_one(&path, output)? {
            exit = Exit::Findings;
        }
    }
    if exit == Exit::Nothing {
        output.say("nothing is recorded yet");
    }
    Ok(exit)
}

fn segments(home: &Home, what: &[String]) -> Result<Vec<PathBuf>, Failure> {
    let (files, names): (Vec<&String>, Vec<&String>) = what
        .iter()
        .partition(|what| what.contains('/') || what.ends_with(".cfa"));
    let mut paths: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
    if !paths.is_empty() && names.is_empty() {
        return Ok(paths);
    }
    let found = store(home)?.sessions().map_err(|error| failure(&error))?;
    // A segment whose header cannot even be read is a finding, never left out.
    if let Some(problem) = found.problems.first() {
        return Err(Failure::new(
            Exit::Findings,
            format!("a segment cannot be read, so the record is not intact: {problem}"),
        ));
    }
    let is_wanted = |name: &&String, session: &cofferdam_audit::Session| {
        session.header.server == **name || session.header.session.starts_with(name.as_str())
    };
    for name in &names {
        if !found.items.iter().any(|session| is_wanted(name, session)) {
            return Err(Failure::usage(format!(
                "there is no session or server `{name}` in the record"
            )));
        }
    }
    let wanted = found
        .items
        .into_iter()
        .filter(|session| names.is_empty() || names.iter().any(|name| is_wanted(name, session)));
    paths.extend(wanted.map(|session| session.path));
    Ok(paths)
}

fn verify_one(path: &Path, output: &mut Output) -> Result<bool, Failure> {
    let verdict = cofferdam_audit::verify(path).map_err(|error| failure(&error))?;
    let (is_intact, words, facts) = match &verdict {
        Verdict::Verified(verified) => {
            let ended = match verified.ended {
                Ended::Closed => "closed".to_owned(),
                Ended::Unclosed => format!(
                    "unclosed: what came after record {} cannot be proven",
                    verified.records.saturating_sub(1)
                ),
                Ended::Torn { .. } => format!(
                    "torn: cut within the record after {}",
                    verified.records.saturating_sub(1)
                ),
                other => other.to_string(),
            };
            (
                true,
                format!("intact, {} records, {ended}", verified.records),
                json!({"intact": true, "records": verified.records, "ended": verified.ended.to_string()}),
            )
        }
        Verdict::Broken(broken) => (
            false,
            format!("broken {broken}"),
            json!({"intact": false, "seq": broken.seq, "offset": broken.offset, "what": broken.what.name()}),
        ),
    };
    if output.is_json() {
        let mut facts = facts;
        if let Some(members) = facts.as_object_mut() {
            members.insert("path".to_owned(), json!(path));
        }
        output.line(&facts.to_string())?;
    } else {
        let word = output.styled(if is_intact { Style::Green } else { Style::Red }, &words);
        output.line(&format!("{}: {word}", path.display()))?;
    }
    Ok(is_intact)
}
