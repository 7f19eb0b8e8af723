//! `audit verify`: whether the record is what was written, and the first place where it is not.

use std::path::PathBuf;

use cofferdam_audit::{Ended, Fault, Session, SessionVerdict, SessionVerified, verify_session};
use serde_json::{Value, json};

use super::{failure, store};
use crate::cli::args::AuditVerify;
use crate::cli::output::{Output, Style};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;

/// What is verified as one: a session's segments, or a file that was named.
struct Unit {
    /// The session's id, where the store found it.
    session: Option<String>,
    segments: Vec<PathBuf>,
}

/// Verifies sessions and segment files; exit 1 when one is broken.
pub(crate) fn verify(home: &Home, args: &AuditVerify, output: &mut Output) -> Result<Exit, Failure> {
    let units = units(home, &args.what)?;
    let mut exit = if units.is_empty() { Exit::Nothing } else { Exit::Fine };
    for unit in units {
        if !verify_one(home, &unit, output)? {
            exit = Exit::Findings;
        }
    }
    if exit == Exit::Nothing {
        output.say("nothing is recorded yet");
    }
    Ok(exit)
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

fn verdict(unit: &Unit) -> Result<SessionVerdict, Failure> {
    if unit.session.is_some() {
        return verify_session(&unit.segments, &mut |_| {}).map_err(|error| failure(&error));
    }
    // A file that was named is judged alone, whatever stands beside it.
    let path = unit.segments.first().cloned().unwrap_or_default();
    let verdict = cofferdam_audit::verify(&path).map_err(|error| failure(&error))?;
    Ok(match verdict {
        cofferdam_audit::Verdict::Broken(broken) => SessionVerdict::Broken { path, broken },
        cofferdam_audit::Verdict::Verified(verified) => SessionVerdict::Verified(SessionVerified {
            header: verified.header,
            records: verified.records,
            head: verified.head,
            ended: verified.ended,
            lost: Vec::new(),
            wall_clock_went_back_at: verified.wall_clock_went_back_at,
        }),
    })
}

/// As [`verdict`]; a session that went on in another segment while it was read is read again.
fn settled_verdict(home: &Home, unit: &Unit) -> Result<SessionVerdict, Failure> {
    let first = verdict(unit)?;
    let (Some(session), SessionVerdict::Broken { broken, .. }) = (&unit.session, &first) else {
        return Ok(first);
    };
    if broken.what != Fault::SegmentMissing {
        return Ok(first);
    }
    let again = store(home)?.session(session).map_err(|error| failure(&error))?;
    verdict(&Unit {
        session: unit.session.clone(),
        segments: again.segments,
    })
}

fn verify_one(home: &Home, unit: &Unit, output: &mut Output) -> Result<bool, Failure> {
    let verdict = settled_verdict(home, unit)?;
    let (is_intact, words, mut facts) = match &verdict {
        SessionVerdict::Verified(verified) => (true, in_words(verified), facts_of(verified)),
        SessionVerdict::Broken { path, broken } => (
            false,
            format!(
                "broken {broken} (in `{}`)",
                escaped(path.display().to_string().as_bytes())
            ),
            json!({"intact": false, "path": path, "seq": broken.seq, "offset": broken.offset, "what": broken.what.name()}),
        ),
    };
    let path = unit.segments.first();
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
    format!("intact, {} records, {ended}{lost}", verified.records)
}

fn facts_of(verified: &SessionVerified) -> Value {
    let lost: Vec<[u64; 2]> = verified.lost.iter().map(|lost| [lost.first, lost.last]).collect();
    json!({"intact": true, "records": verified.records, "ended": verified.ended.to_string(), "lost": lost})
}
