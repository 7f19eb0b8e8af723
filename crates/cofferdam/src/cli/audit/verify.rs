//! `audit verify`: whether the record is what was written, and the first place where it is not.

use std::collections::HashSet;
use std::path::PathBuf;

use cofferdam_audit::{Ended, Fault, Session, SessionVerdict, SessionVerified, verify_session};
use serde_json::{Value, json};

use super::args::AuditVerify;
use super::known::{Known, Reach, short};
use super::prove::check_file;
use super::{failure, store};
use crate::cli::output::{Output, Style};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::settings::Settings;

/// What is verified as one: a session's segments, or a file that was named.
struct Unit {
    /// The session's id, where the store found it.
    session: Option<String>,
    segments: Vec<PathBuf>,
}

/// Most sessions that are listed as not witnessed yet.
const UNWITNESSED_SHOWN_MAX: usize = 10;

/// Verifies sessions and segment files, and holds them against the ledger; exit 1 when one is not what was written.
pub(crate) fn verify(home: &Home, args: &AuditVerify, output: &mut Output) -> Result<Exit, Failure> {
    if let Some(path) = &args.proof {
        return check_file(path, args.key.as_deref(), output);
    }
    // The ledger first: a session that goes on meanwhile then has more records than the ledger knows, and not fewer.
    let settings = Settings::load(home)?;
    let publish = args.witness.clone().or(settings.publish);
    let mut known = Known::load(home, publish.as_deref());
    let units = units(home, &args.what)?;
    let is_empty = units.is_empty() && known.problems.is_empty();
    let mut is_intact = true;
    let mut window = Vec::new();
    let mut present = HashSet::new();
    for unit in units {
        present.extend(unit.session.clone());
        is_intact &= verify_one(home, &unit, &known, output, &mut window)?;
    }
    if args.what.is_empty() {
        known.judge_missing(&present);
    }
    if args.what.is_empty() || !known.problems.is_empty() {
        print_ledger(&known, &window, output)?;
    }
    if is_empty && present.is_empty() && known.problems.is_empty() {
        output.say("nothing is recorded yet");
        return Ok(Exit::Nothing);
    }
    Ok(if is_intact && known.problems.is_empty() {
        Exit::Fine
    } else {
        Exit::Findings
    })
}

/// What the ledger says beside the sessions, and what no witness covers yet.
fn print_ledger(known: &Known, window: &[String], output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.line(&known.facts().to_string());
    }
    output.line(&known.in_words())?;
    for problem in &known.problems {
        let words = output.styled(Style::Red, &problem.words);
        output.line(&format!("{}: {words}", problem.what))?;
    }
    for remark in &known.remarks {
        output.line(&format!("note: {remark}"))?;
    }
    match known.witnessed {
        None => output
            .line("witness: none, so whoever can write these files can rewrite all of them (docs/threat-model.md)"),
        Some(size) => {
            output.line(&format!("witness: {size} entries of the ledger are published"))?;
            for line in window.iter().take(UNWITNESSED_SHOWN_MAX) {
                output.line(&format!("  not witnessed yet: {line}"))?;
            }
            let more = window.len().saturating_sub(UNWITNESSED_SHOWN_MAX);
            if more > 0 {
                output.line(&format!("  and of {more} more sessions"))?;
            }
            Ok(())
        }
    }
}

fn units(home: &Home, what: &[String]) -> Result<Vec<Unit>, Failure> {
    let (files, names): (Vec<&String>, Vec<&String>) = what
        .iter()
        .partition(|what| what.contains('/') || what.ends_with(".cfa"));
    let mut units: Vec<Unit> = files
        .into_iter()
        .map(|file| Unit {
            session: None,
            segments: vec![PathBuf::from(file)],
        })
        .collect();
    if !units.is_empty() && names.is_empty() {
        return Ok(units);
    }
    let found = store(home)?.sessions().map_err(|error| failure(&error))?;
    // A segment whose header cannot even be read is a finding, never left out.
    if let Some(problem) = found.problems.first() {
        return Err(Failure::new(
            Exit::Findings,
            format!("a segment cannot be read, so the record is not intact: {problem}"),
        ));
    }
    let is_wanted = |name: &&String, session: &Session| {
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
    units.extend(wanted.map(|session| Unit {
        session: Some(session.header.session),
        segments: session.segments,
    }));
    Ok(units)
}

/// The verdict, and the first record that is not the one the ledger knows.
fn verdict(unit: &Unit, known: &Known) -> Result<(SessionVerdict, Option<u64>), Failure> {
    if let Some(session) = &unit.session {
        let mut contradicted = None;
        let verdict = verify_session(&unit.segments, &mut |record| {
            if contradicted.is_none() && known.contradicts(session, record) {
                contradicted = Some(record.seq);
            }
        });
        return Ok((verdict.map_err(|error| failure(&error))?, contradicted));
    }
    // A file that was named is judged alone, whatever stands beside it.
    let path = unit.segments.first().cloned().unwrap_or_default();
    let verdict = cofferdam_audit::verify(&path).map_err(|error| failure(&error))?;
    let verdict = match verdict {
        cofferdam_audit::Verdict::Broken(broken) => SessionVerdict::Broken { path, broken },
        cofferdam_audit::Verdict::Verified(verified) => SessionVerdict::Verified(Box::new(SessionVerified {
            header: verified.header,
            records: verified.records,
            head: verified.head,
            ended: verified.ended,
            lost: Vec::new(),
            wall_clock_went_back_at: verified.wall_clock_went_back_at,
        })),
    };
    Ok((verdict, None))
}

/// As [`verdict`]; a session that went on in another segment while it was read is read again.
fn settled_verdict(home: &Home, unit: &Unit, known: &Known) -> Result<(SessionVerdict, Option<u64>), Failure> {
    let first = verdict(unit, known)?;
    let (Some(session), SessionVerdict::Broken { broken, .. }) = (&unit.session, &first.0) else {
        return Ok(first);
    };
    if broken.what != Fault::SegmentMissing {
        return Ok(first);
    }
    let again = store(home)?.session(session).map_err(|error| failure(&error))?;
    let unit = Unit {
        session: unit.session.clone(),
        segments: again.segments,
    };
    verdict(&unit, known)
}

fn verify_one(
    home: &Home,
    unit: &Unit,
    known: &Known,
    output: &mut Output,
    window: &mut Vec<String>,
) -> Result<bool, Failure> {
    let (verdict, contradicted) = settled_verdict(home, unit, known)?;
    let (is_intact, words, mut facts) = judge(unit, &verdict, contradicted, known);
    let path = unit.segments.first();
    if let (Some(session), SessionVerdict::Verified(verified)) = (&unit.session, &verdict) {
        let reach = known.reach(session);
        window.extend(unwitnessed(session, verified, reach));
        if let Some(members) = facts.as_object_mut() {
            members.insert("in_ledger".to_owned(), json!(reach.in_tree));
            members.insert("witnessed".to_owned(), json!(reach.witnessed));
        }
    }
    if output.is_json() {
        if let Some(members) = facts.as_object_mut() {
            members.entry("path").or_insert(json!(path));
            members.insert("session".to_owned(), json!(unit.session));
            members.insert("segments".to_owned(), json!(unit.segments.len()));
        }
        output.line(&facts.to_string())?;
    } else {
        let word = output.styled(if is_intact { Style::Green } else { Style::Red }, &words);
        let name = path.map(|path| path.display().to_string()).unwrap_or_default();
        output.line(&format!("{}: {word}", escaped(name.as_bytes())))?;
    }
    Ok(is_intact)
}

fn judge(unit: &Unit, verdict: &SessionVerdict, contradicted: Option<u64>, known: &Known) -> (bool, String, Value) {
    let is_pruned = unit.session.as_ref().is_some_and(|session| known.is_pruned(session));
    match verdict {
        SessionVerdict::Broken { broken, .. } if is_pruned && broken.what == Fault::SegmentMissing => left_over(),
        SessionVerdict::Broken { path, broken } => (
            false,
            format!(
                "broken {broken} (in `{}`)",
                escaped(path.display().to_string().as_bytes())
            ),
            json!({"intact": false, "path": path, "seq": broken.seq, "offset": broken.offset, "what": broken.what.name()}),
        ),
        SessionVerdict::Verified(verified) => {
            if let Some(seq) = contradicted {
                let words = format!("rewritten: record {seq} is not the one that the ledger knows");
                return (false, words, json!({"intact": false, "seq": seq, "what": "rewritten"}));
            }
            let missing = unit
                .session
                .as_ref()
                .and_then(|session| known.missing_from(session, verified));
            match missing {
                Some(_) if is_pruned => left_over(),
                Some(problem) => {
                    let seq = verified.head.map_or(0, |head| head.seq.saturating_add(1));
                    let facts = json!({"intact": false, "seq": seq, "what": problem.what, "words": problem.words});
                    (false, problem.words, facts)
                }
                None => (true, in_words(verified), facts_of(verified)),
            }
        }
    }
}

/// The beginning of a session that was pruned, whose removal was interrupted.
fn left_over() -> (bool, String, Value) {
    let words = "intact as far as it is there: it was pruned, and the next `audit prune` removes the rest".to_owned();
    (true, words, json!({"intact": true, "pruned": true}))
}

/// The records of a session that no published checkpoint covers; nothing when all are.
fn unwitnessed(session: &str, verified: &SessionVerified, reach: Reach) -> Option<String> {
    let last = verified.head?.seq;
    let first = reach.witnessed.map_or(0, |seq| seq.saturating_add(1));
    (first <= last).then(|| format!("session {}, records {first} to {last}", short(session)))
}

fn in_words(verified: &SessionVerified) -> String {
    let last = verified.head.map_or(0, |head| head.seq);
    let ended = match verified.ended {
        Ended::Closed => "closed".to_owned(),
        Ended::Unclosed => format!("unclosed: what came after record {last} cannot be proven"),
        Ended::Torn { .. } => format!("torn: cut within the record after {last}"),
        Ended::Continued => "continued in another segment".to_owned(),
    };
    let lost: String = verified
        .lost
        .iter()
        .map(|lost| {
            format!(
                "; records {} to {} were lost when the disk failed",
                lost.first, lost.last
            )
        })
        .collect();
    let clock = verified
        .wall_clock_went_back_at
        .map_or_else(String::new, |seq| format!("; the wall clock went back at record {seq}"));
    format!("intact, {} records, {ended}{lost}{clock}", verified.records)
}

fn facts_of(verified: &SessionVerified) -> Value {
    let lost: Vec<[u64; 2]> = verified.lost.iter().map(|lost| [lost.first, lost.last]).collect();
    json!({"intact": true, "records": verified.records, "ended": verified.ended.to_string(), "lost": lost, "wall_clock_went_back_at": verified.wall_clock_went_back_at})
}
