//! `audit prune`: sessions whose time is over, removed whole, with a signed entry of the ledger for each.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cofferdam_audit::{Clock as _, Session, SessionState, SessionVerdict, SystemClock, remove_segment, verify_session};
use cofferdam_ledger::{Contents, Entry, What};
use cofferdam_manifest::bytes_in_words;
use cofferdam_ship::Delivered;
use serde_json::json;

use super::args::AuditPrune;
use super::compress::{self, pack_resting};
use super::hold::{self, Hold, name_of};
use super::{FLOOR_DAYS, failure, store, warn};
use crate::cli::output::{Output, Style};
use crate::disk;
use crate::failure::{Exit, Failure, file_failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::settings::{Settings, SinkSettings};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Segments that were not written to for so long are compressed on the way.
const RESTING: Duration = DAY;

/// What becomes of one session.
enum Fate {
    /// Its time is not over.
    Young,
    Live,
    Held(Hold),
    /// This sink does not have all of it.
    Unshipped(String),
    /// It is not what was written: it stays, as evidence.
    Broken(String),
    /// It goes: the entry that says so. `None` where the ledger says so already.
    Goes(Option<Box<Entry>>),
}

/// Removes what is old enough and not held; exit 3 when there was nothing, 1 when something broken was left.
pub(crate) fn prune(home: &Home, args: &AuditPrune, output: &mut Output) -> Result<Exit, Failure> {
    if args.install_timer {
        return super::timer::install(home, output);
    }
    if args.older_than < FLOOR_DAYS {
        return Err(
            Failure::usage(format!("`--older-than {}` is below the floor", args.older_than))
                .help(format!("records are kept for {FLOOR_DAYS} days at least")),
        );
    }
    let settings = Settings::load(home)?;
    if let Some(warning) = disk::warning(&home.audit(), settings.warn_below) {
        output.say(&warning);
    }
    let store = store(home)?;
    if !args.dry_run {
        let packed = pack_resting(&store, RESTING)?;
        warn(packed.problems.iter(), output);
        if packed.segments > 0 {
            output.say(&compress::in_words(&packed));
        }
    }
    let contents = hold::read(home)?;
    let sinks = if args.unshipped {
        Vec::new()
    } else {
        delivered(home, &settings)?
    };
    let found = store.sessions().map_err(|error| failure(&error))?;
    warn(found.problems.iter(), output);
    let holds = hold::in_force(&contents);
    let age = DAY.saturating_mul(u32::try_from(args.older_than).unwrap_or(u32::MAX));
    let cutoff = crate::cli::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
    let (going, is_broken) = told(home, found.items, ((&contents, &holds), (cutoff, &sinks)), output)?;
    if !args.dry_run {
        // Signed and on the disk before the first file goes.
        let entries: Vec<Entry> = going
            .iter()
            .filter_map(|(_, entry)| entry.as_deref().cloned())
            .collect();
        if !entries.is_empty() {
            hold::state(home, entries)?;
        }
    }
    for (session, _) in &going {
        if !args.dry_run {
            remove(session)?;
        }
        print(session, args.dry_run, output)?;
    }
    Ok(match (is_broken, going.is_empty()) {
        (true, _) => Exit::Findings,
        (false, true) => {
            output.say(&format!(
                "nothing to prune: no session older than {} days may go",
                args.older_than
            ));
            Exit::Nothing
        }
        (false, false) => Exit::Fine,
    })
}

/// A session that goes, and the entry that will say so.
type Going = (Session, Option<Box<Entry>>);
/// The ledger and its holds, and what is not pruned: what is younger, and what these sinks do not have.
type Keeping<'a> = ((&'a Contents, &'a [Hold]), (SystemTime, &'a [(String, Delivered)]));

/// What goes, and whether something broken stays; what stays of the old ones is said.
fn told(
    home: &Home,
    sessions: Vec<Session>,
    keeping: Keeping<'_>,
    output: &mut Output,
) -> Result<(Vec<Going>, bool), Failure> {
    let (mut going, mut is_broken) = (Vec::new(), false);
    for session in sessions {
        match fate(home, &session, keeping)? {
            Fate::Young | Fate::Live => {}
            Fate::Held(hold) => output.say(&format!("{} is held by {}", name_of(&session), hold.id)),
            Fate::Unshipped(sink) => output.say(&format!(
                "{} stays: the sink `{sink}` does not have all of it (`audit ship`, or --unshipped)",
                name_of(&session)
            )),
            Fate::Broken(why) => {
                is_broken = true;
                let words = format!("{} stays: {}", name_of(&session), escaped(why.as_bytes()));
                output.say(&output.styled(Style::Red, &words));
            }
            Fate::Goes(entry) => going.push((session, entry)),
        }
    }
    Ok((going, is_broken))
}

fn fate(home: &Home, session: &Session, ((contents, holds), (cutoff, sinks)): Keeping<'_>) -> Result<Fate, Failure> {
    if session.state == SessionState::Live {
        return Ok(Fate::Live);
    }
    if newest(session, contents)? >= cutoff {
        return Ok(Fate::Young);
    }
    if let Some(hold) = holds.iter().find(|hold| hold.covers(session)) {
        return Ok(Fate::Held(hold.clone()));
    }
    let id = &session.header.session;
    // It was proven before that was said and signed: what is left of it now need not be whole.
    let mut signed = contents.entries.iter().filter(|entry| entry.session == *id);
    if signed.any(|entry| entry.what == What::Pruned) {
        return Ok(Fate::Goes(None));
    }
    let mut last_wall_ns = session.header.wall_ns;
    let verdict = verify_session(&session.segments, &mut |record| {
        last_wall_ns = last_wall_ns.max(record.wall_ns)
    });
    let verified = match verdict.map_err(|error| failure(&error))? {
        SessionVerdict::Verified(verified) => verified,
        SessionVerdict::Broken { broken, .. } => return Ok(Fate::Broken(format!("broken {broken}"))),
    };
    if time(last_wall_ns) >= cutoff {
        return Ok(Fate::Young);
    }
    let last = verified.head.map(|head| head.seq);
    let stated = contents.entries.iter().chain(&contents.waiting);
    let mut of_session = stated.filter(|entry| entry.session == *id);
    if let Some(entry) = of_session.find(|entry| entry.what != What::Pruned && Some(entry.seq) > last) {
        return Ok(Fate::Broken(format!("cut: the ledger knows record {}", entry.seq)));
    }
    let lacks = |(_, delivered): &&(String, Delivered)| last.is_some_and(|last| !delivered.has(id, last));
    if let Some((sink, _)) = sinks.iter().find(lacks) {
        return Ok(Fate::Unshipped(sink.clone()));
    }
    Ok(Fate::Goes(Some(Box::new(Entry {
        what: What::Pruned,
        session: id.clone(),
        server: session.header.server.clone(),
        seq: last.unwrap_or_default(),
        hash: verified.head.map(|head| head.hash.to_string()).unwrap_or_default(),
        wall_ns: SystemClock.now().0,
        about: Some(json!({
            "who": home.user_name, "records": verified.records, "bytes": session.bytes, "segments": session.segments.len(),
            "first_wall_ns": session.header.wall_ns, "last_wall_ns": last_wall_ns,
        })),
    }))))
}

/// What each sink of the settings has.
fn delivered(home: &Home, settings: &Settings) -> Result<Vec<(String, Delivered)>, Failure> {
    let of_sink = |sink: &SinkSettings| {
        let delivered = Delivered::read(&home.shipping(), &sink.name).map_err(|cause| {
            Failure::misconfigured(format!("cannot tell what the sink `{}` has: {cause}", sink.name))
                .help("`audit prune --unshipped` does not ask")
        });
        delivered.map(|delivered| (sink.name.clone(), delivered))
    };
    settings.sinks.iter().map(of_sink).collect()
}

/// The youngest thing known about a session: its header, its files, and what the ledger heard of it.
fn newest(session: &Session, contents: &Contents) -> Result<SystemTime, Failure> {
    let mut newest = time(session.header.wall_ns);
    for path in &session.segments {
        let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
        newest = newest.max(modified.map_err(|cause| file_failure("look at", path, &cause))?);
    }
    let stated = contents
        .entries
        .iter()
        .chain(&contents.waiting)
        .filter(|entry| entry.session == session.header.session && entry.what != What::Pruned)
        .map(|entry| time(entry.wall_ns));
    Ok(stated.fold(newest, SystemTime::max))
}

fn time(wall_ns: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(wall_ns)
}

/// The last segment first: what a kill leaves is the beginning of a session that the ledger says was pruned.
fn remove(session: &Session) -> Result<(), Failure> {
    for path in session.segments.iter().rev() {
        remove_segment(path).map_err(|error| failure(&error))?;
    }
    let folder = session
        .segments
        .first()
        .and_then(|path| path.parent())
        .unwrap_or_else(|| Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| file_failure("sync", folder, &cause))
}

fn print(session: &Session, is_rehearsal: bool, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let line = json!({
            "session": session.header.session, "server": session.header.server, "bytes": session.bytes,
            "segments": session.segments.len(), "time_ns": session.header.wall_ns, "pruned": !is_rehearsal,
        });
        return output.line(&line.to_string());
    }
    let word = if is_rehearsal { "would prune" } else { "pruned" };
    let began = super::when::written(session.header.wall_ns);
    output.line(&format!(
        "{word} {}, {began}, {}",
        name_of(session),
        bytes_in_words(session.bytes)
    ))
}
