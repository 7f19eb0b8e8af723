//! `audit`: the record, read and kept by people and programs. One file a verb.

pub(crate) mod args;
mod ask;
mod compress;
mod export;
mod groups;
mod hold;
mod known;
mod line;
mod parquet;
mod prove;
mod prune;
mod query;
mod question;
mod ship;
mod show;
mod tail;
mod timeline;
mod timer;
mod verify;
mod when;

pub(super) use when::parse as parse_time;

use cofferdam_audit::{AuditError, Store};

use args::AuditVerb;

use super::output::Output;
use crate::failure::{Exit, Failure};
use crate::home::Home;

/// No session is pruned before its last record is so old.
const FLOOR_DAYS: u64 = 90;
/// Bytes of a payload that a list shows.
const SHOWN_PAYLOAD_BYTES: usize = 160;

/// Runs one of the verbs.
pub(crate) fn run(home: &Home, verb: AuditVerb, output: &mut Output) -> Result<Exit, Failure> {
    match verb {
        AuditVerb::Tail(args) => tail::tail(home, &args, output),
        AuditVerb::Show(args) => show::show(home, &args, output),
        AuditVerb::Verify(args) => verify::verify(home, &args, output),
        AuditVerb::Query(args) => query::query(home, &args, output),
        AuditVerb::Export(args) => export::export(home, &args, output),
        AuditVerb::Prove(args) => prove::prove(home, &args, output),
        AuditVerb::Prune(args) => prune::prune(home, &args, output),
        AuditVerb::Hold(verb) => hold::hold(home, &verb, output),
        AuditVerb::Compress(args) => compress::compress(home, &args, output),
        AuditVerb::Ship(args) => ship::ship(home, &args, output),
    }
}

pub(super) fn store(home: &Home) -> Result<Store, Failure> {
    if !home.audit().exists() {
        return Err(Failure::new(Exit::Nothing, "nothing is recorded yet"));
    }
    Store::open(&home.audit()).map_err(|error| failure(&error))
}

pub(super) fn failure(error: &AuditError) -> Failure {
    let failure = Failure::misconfigured(error.to_string());
    match error.help() {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// A segment that cannot be read hides no other, and is not passed over in silence.
pub(super) fn warn<'a>(problems: impl Iterator<Item = &'a AuditError>, output: &mut Output) {
    for problem in problems {
        output.say(&format!("warning: {problem}"));
    }
}
