//! `audit query`: the records that answer a question, or how many there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use cofferdam_audit::{Follow, Header, Session, Skimmed};
use serde_json::{Value, json};

use super::args::AuditQuery;
use super::ask::ask;
use super::groups::Groups;
use super::question::{Question, Word, facts_of};
use super::{failure, store, warn, when};
use crate::cli::output::{Output, Style};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;

/// Bytes of a payload that a row shows, unless all are asked for.
const SHOWN_PAYLOAD_BYTES: usize = 120;
/// How often a followed record is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// One record of the answer, in the order of time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    wall_ns: u64,
    session: String,
    seq: u64,
    server: String,
    principal: String,
    kind: String,
    facts: String,
    payload: Vec<u8>,
    payload_bytes: usize,
}

/// Answers a question; exit 3 when nothing does.
pub(crate) fn query(home: &Home, args: &AuditQuery, output: &mut Output) -> Result<Exit, Failure> {
    let store = store(home)?;
    let question = Question::new(&args.which)?;
    // From before the answer on, so that nothing falls between the two.
    let follow = if args.follow {
        // Text is looked for in whole payloads.
        let is_whole = args.which.text.is_some();
        let followed = if is_whole { usize::MAX } else { payload_limit(args) };
        let (follow, problems) = store.follow(followed).map_err(|error| failure(&error))?;
        warn(problems.iter(), output);
        Some(follow)
    } else {
        None
    };
    let found = store.sessions().map_err(|error| failure(&error))?;
    warn(found.problems.iter(), output);
    let mut sessions = found.items;
    sessions.reverse();
    sessions.retain(|session| question.may_be_in(session));
    let exit = if args.count || !args.group_by.is_empty() {
        count((args, &question), &sessions, output)?
    } else {
        print_header(output)?;
        rows((args, &question), &sessions, output)?
    };
    if let Some(follow) = follow {
        follow_on(follow, (args, &question), output)?;
    }
    Ok(exit)
}

fn payload_limit(args: &AuditQuery) -> usize {
    if args.full { usize::MAX } else { SHOWN_PAYLOAD_BYTES }
}

fn row(header: &Header, record: &Skimmed<'_>, payload_bytes: usize) -> Row {
    let shown = if record.sealed {
        0
    } else {
        record.payload.len().min(payload_bytes)
    };
    Row {
        wall_ns: record.wall_ns,
        session: header.session.clone(),
        seq: record.seq,
        server: header.server.clone(),
        principal: header.principal.clone(),
        kind: record.kind.to_string(),
        facts: String::from_utf8_lossy(record.facts).into_owned(),
        payload: record.payload.split_at(shown).0.to_vec(),
        payload_bytes: record.payload.len(),
    }
}

/// The newest rows, oldest of them first.
fn rows(
    (args, question): (&AuditQuery, &Question<'_>),
    sessions: &[Session],
    output: &mut Output,
) -> Result<Exit, Failure> {
    let (limit, kept_bytes) = (args.limit, payload_limit(args));
    type Newest = BinaryHeap<Reverse<Row>>;
    let gathered = ask(
        sessions,
        output,
        |record| question.is_answered_by(record),
        |found: &mut (Newest, usize), header, record| {
            let (newest, matched) = found;
            *matched += 1;
            let is_older = newest
                .peek()
                .is_some_and(|Reverse(oldest)| record.wall_ns < oldest.wall_ns);
            if newest.len() < limit || !is_older {
                newest.push(Reverse(row(header, record, kept_bytes)));
            }
            if newest.len() > limit {
                newest.pop();
            }
            Ok(())
        },
    )?;
    let (mut newest, mut matched) = (Newest::new(), 0);
    for (some, count) in gathered {
        matched += count;
        newest.extend(some);
        while newest.len() > limit {
            newest.pop();
        }
    }
    let shown = newest.len();
    for Reverse(row) in newest.into_sorted_vec().iter().rev() {
        print(row, output)?;
    }
    if matched > shown {
        output.say(&format!(
            "the newest {shown} of {matched} records; --limit shows more, --count and --group-by count them all"
        ));
    }
    Ok(if matched == 0 { Exit::Nothing } else { Exit::Fine })
}

fn count(
    (args, question): (&AuditQuery, &Question<'_>),
    sessions: &[Session],
    output: &mut Output,
) -> Result<Exit, Failure> {
    let by = &args.group_by;
    let gathered = ask(
        sessions,
        output,
        |record| question.is_answered_by(record),
        |groups: &mut Groups, header, record| groups.count(by, header, record),
    )?;
    let mut all = Groups::default();
    gathered.into_iter().try_for_each(|groups| all.add(groups))?;
    let total = all.total;
    let groups = all.into_words(by);
    let names: Vec<String> = by.iter().map(|by| by.name().to_owned()).collect();
    if output.is_csv() {
        output.line(&csv(&[names.clone(), vec!["count".to_owned()]].concat()))?;
    }
    for (key, count) in &groups {
        let line = if output.is_csv() {
            csv(&[key.clone(), vec![count.to_string()]].concat())
        } else if output.is_json() {
            let mut members: serde_json::Map<String, Value> = names
                .iter()
                .cloned()
                .zip(key.iter().map(|value| json!(value)))
                .collect();
            members.insert("count".to_owned(), json!(count));
            Value::Object(members).to_string()
        } else {
            format!("{count:>10}  {}", escaped(key.join("  ").as_bytes()))
                .trim_end()
                .to_owned()
        };
        output.line(&line)?;
    }
    Ok(if total == 0 { Exit::Nothing } else { Exit::Fine })
}

fn print_header(output: &mut Output) -> Result<(), Failure> {
    if output.is_csv() {
        output.line("time,session,seq,server,principal,kind,decision,rule,method,tool,payload_bytes,payload")?;
    }
    Ok(())
}

fn print(row: &Row, output: &mut Output) -> Result<(), Failure> {
    let facts = facts_of(row.facts.as_bytes());
    let payload = String::from_utf8_lossy(&row.payload);
    let word = |value: &Option<Word<'_>>| value.as_deref().unwrap_or_default().to_owned();
    let [decision, rule, method, tool] = [&facts.decision, &facts.rule, &facts.method, &facts.tool].map(word);
    let time = when::written(row.wall_ns);
    if output.is_csv() {
        let (seq, bytes) = (row.seq.to_string(), row.payload_bytes.to_string());
        let (session, server, principal, kind) = (
            row.session.clone(),
            row.server.clone(),
            row.principal.clone(),
            row.kind.clone(),
        );
        let values = [
            time,
            session,
            seq,
            server,
            principal,
            kind,
            decision,
            rule,
            method,
            tool,
            bytes,
            payload.trim_end().to_owned(),
        ];
        return output.line(&csv(&values));
    }
    if output.is_json() {
        let facts: Value = serde_json::from_str(&row.facts).unwrap_or(Value::Null);
        let line = json!({
            "time": time, "time_ns": row.wall_ns, "session": row.session, "seq": row.seq, "server": row.server, "principal": row.principal,
            "kind": row.kind, "facts": facts, "payload": payload, "payload_bytes": row.payload_bytes,
        });
        return output.line(&line.to_string());
    }
    let style = match decision.as_str() {
        "allow" => Style::Green,
        "deny" | "refuse" => Style::Red,
        _ => Style::Dim,
    };
    let shown = output.styled(style, &decision);
    let about = [method, tool, rule].join(" ");
    let reference = format!("{}:{}", row.session.get(..8).unwrap_or(&row.session), row.seq);
    let head = format!(
        "{time} {reference} {} {} {shown} {}",
        row.server,
        row.kind,
        escaped(about.trim().as_bytes())
    );
    output.line(head.trim_end())?;
    let text = payload.trim_end();
    if !text.is_empty() {
        let more = if row.payload_bytes > row.payload.len() {
            " …"
        } else {
            ""
        };
        let text = output.styled(Style::Dim, &escaped(text.as_bytes()));
        output.line(&format!("  {text}{more}"))?;
    }
    Ok(())
}

/// One line of comma-separated values (RFC 4180). What a spreadsheet would take for a formula is quoted with an apostrophe.
fn csv(values: &[String]) -> String {
    let quoted = values.iter().map(|value| {
        let formula = value.starts_with(['=', '+', '-', '@', '\t', '\r']) && value.len() > 1;
        let value = if formula { format!("'{value}") } else { value.clone() };
        if value.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value
        }
    });
    quoted.collect::<Vec<_>>().join(",")
}

/// Prints what comes and answers, until the process is ended.
fn follow_on(
    mut follow: Follow,
    (args, question): (&AuditQuery, &Question<'_>),
    output: &mut Output,
) -> Result<(), Failure> {
    loop {
        std::thread::sleep(FOLLOW_EVERY);
        let found = follow.poll().map_err(|error| failure(&error))?;
        warn(found.problems.iter(), output);
        for located in &found.items {
            let record = &located.record;
            let skimmed = Skimmed {
                seq: record.seq,
                kind: record.kind,
                wall_ns: record.wall_ns,
                facts: record.facts.as_bytes(),
                payload: &record.payload,
                sealed: record.sealed,
            };
            if question.is_of(&located.header) && question.is_answered_by(&skimmed) {
                print(&row(&located.header, &skimmed, payload_limit(args)), output)?;
            }
        }
    }
}
