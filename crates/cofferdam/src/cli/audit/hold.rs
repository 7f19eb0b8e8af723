//! `audit hold`: sessions that must not be pruned, with who and why, stated in the ledger.

use std::time::{Duration, Instant};

use cofferdam_audit::{Clock as _, Session, SystemClock};
use cofferdam_ledger::{Contents, Entry, Integrated, Ledger, LedgerError, What};
use serde_json::{Value, json};

use super::args::{HoldAdd, HoldRemove, HoldVerb};
use super::known::short;
use super::when;
use crate::cli::output::Output;
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::settings::Settings;
use crate::witness::publish_grown;

/// How long a statement waits for another process to leave the ledger's lock.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// The longest reason, in bytes.
const WHY_BYTES_MAX: usize = 4 * 1024;

/// A hold that is in force.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    pub(super) id: String,
    /// The beginning of a session's id; every session without it.
    session: Option<String>,
    /// A server's name; every server without it.
    server: Option<String>,
    who: String,
    why: String,
    wall_ns: u64,
}

impl Hold {
    fn from_entry(entry: &Entry) -> Option<Self> {
        let about = entry.about.as_ref()?;
        let text = |name: &str| about.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            id: text("id")?,
            session: text("session"),
            server: text("server"),
            who: text("who").unwrap_or_default(),
            why: text("why").unwrap_or_default(),
            wall_ns: entry.wall_ns,
        })
    }

    /// Whether it holds this session.
    pub(super) fn covers(&self, session: &Session) -> bool {
        let is_session = self
            .session
            .as_ref()
            .is_none_or(|id| session.header.session.starts_with(id.as_str()));
        let is_server = self.server.as_ref().is_none_or(|name| session.header.server == *name);
        is_session && is_server
    }

    fn what(&self) -> String {
        match (&self.session, &self.server) {
            (None, None) => "everything".to_owned(),
            (Some(session), None) => format!("session {session}"),
            (None, Some(server)) => format!("server `{server}`"),
            (Some(session), Some(server)) => format!("session {session} of server `{server}`"),
        }
    }
}

/// The holds in force: what was held and not released since. One that cannot be read holds everything.
pub(super) fn in_force(contents: &Contents) -> Vec<Hold> {
    let mut holds: Vec<Hold> = Vec::new();
    for entry in contents.entries.iter().chain(&contents.waiting) {
        match entry.what {
            What::Hold => holds.push(Hold::from_entry(entry).unwrap_or_else(|| Hold {
                id: "unreadable".to_owned(),
                session: None,
                server: None,
                who: String::new(),
                why: "a hold in the ledger that this version cannot read".to_owned(),
                wall_ns: entry.wall_ns,
            })),
            What::Release => {
                let released = entry
                    .about
                    .as_ref()
                    .and_then(|about| about.get("id"))
                    .and_then(Value::as_str);
                holds.retain(|hold| Some(hold.id.as_str()) != released);
            }
            What::Open | What::Head | What::Close | What::Pruned => {}
        }
    }
    // An entry can be in the tree twice.
    holds.sort_by(|one, other| (one.wall_ns, &one.id).cmp(&(other.wall_ns, &other.id)));
    holds.dedup_by(|one, other| one.id == other.id);
    holds
}

/// Adds, lists or removes holds.
pub(crate) fn hold(home: &Home, verb: &HoldVerb, output: &mut Output) -> Result<Exit, Failure> {
    match verb {
        HoldVerb::Add(args) => add(home, args, output),
        HoldVerb::List => list(home, output),
        HoldVerb::Remove(args) => remove(home, args, output),
    }
}

fn add(home: &Home, args: &HoldAdd, output: &mut Output) -> Result<Exit, Failure> {
    let id = crate::random::hex(4)
        .map_err(|error| Failure::not_enforced(format!("the kernel gives no random bytes: {error}")))?;
    let why = checked_why(&args.why)?;
    if let Some(session) = &args.session
        && (session.is_empty() || !session.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(Failure::usage(format!(
            "`{session}` is not the beginning of a session's id"
        )));
    }
    let about = json!({"id": id, "session": args.session, "server": args.server, "who": home.user_name, "why": why});
    state(home, vec![statement(What::Hold, about)])?;
    if output.is_json() {
        output.line(&json!({"hold": id}).to_string())?;
    } else {
        output.line(&format!("hold {id} is in the ledger"))?;
    }
    Ok(Exit::Fine)
}

fn list(home: &Home, output: &mut Output) -> Result<Exit, Failure> {
    let holds = in_force(&read(home)?);
    for hold in &holds {
        if output.is_json() {
            let line = json!({
                "hold": hold.id, "session": hold.session, "server": hold.server, "who": hold.who, "why": hold.why,
                "time_ns": hold.wall_ns,
            });
            output.line(&line.to_string())?;
        } else {
            let [what, who, why] = [&hold.what(), &hold.who, &hold.why].map(|text| escaped(text.as_bytes()));
            output.line(&format!(
                "{} {} {what}, by {who}: {why}",
                hold.id,
                when::written(hold.wall_ns)
            ))?;
        }
    }
    if holds.is_empty() {
        output.say("nothing is held");
        return Ok(Exit::Nothing);
    }
    Ok(Exit::Fine)
}

fn remove(home: &Home, args: &HoldRemove, output: &mut Output) -> Result<Exit, Failure> {
    let why = checked_why(&args.why)?;
    if !in_force(&read(home)?).iter().any(|hold| hold.id == args.id) {
        return Err(Failure::usage(format!("there is no hold `{}`", args.id)).help("`audit hold list` shows them"));
    }
    let about = json!({"id": args.id, "who": home.user_name, "why": why});
    state(home, vec![statement(What::Release, about)])?;
    output.say(&format!(
        "hold {} is released, and the ledger says by whom and why",
        args.id
    ));
    Ok(Exit::Fine)
}

fn checked_why(why: &str) -> Result<&str, Failure> {
    if why.trim().is_empty() || why.len() > WHY_BYTES_MAX {
        return Err(Failure::usage("a hold needs a reason, and one of at most 4 KiB"));
    }
    Ok(why)
}

fn statement(what: What, about: Value) -> Entry {
    Entry {
        what,
        session: String::new(),
        server: String::new(),
        seq: 0,
        hash: String::new(),
        wall_ns: SystemClock.now().0,
        about: Some(about),
    }
}

/// The ledger, proven. What is not cannot be built on.
pub(super) fn read(home: &Home) -> Result<Contents, Failure> {
    Ledger::at(&home.ledger())
        .read()
        .map_err(|error| Failure::new(Exit::Findings, error.to_string()).help("`audit verify` names what is wrong"))
}

/// Puts statements into the ledger's tree, now: what is built on them needs them signed and on the disk.
pub(super) fn state(home: &Home, entries: Vec<Entry>) -> Result<(), Failure> {
    let settings = Settings::load(home)?;
    let ledger = Ledger::at(&home.ledger());
    let not_stated =
        |error: &dyn std::fmt::Display| Failure::not_enforced(format!("it cannot be put into the ledger: {error}"));
    Home::make(&home.audit())?;
    for entry in &entries {
        ledger.submit(entry).map_err(|error| not_stated(&error))?;
    }
    let began = Instant::now();
    loop {
        let integrated = ledger.integrate();
        if let Ok(Integrated::Grown(checkpoint)) = &integrated {
            publish_grown(&home.ledger(), settings.publish.as_deref(), checkpoint);
        }
        if matches!(integrated, Ok(Integrated::Busy)) {
            if began.elapsed() < LOCK_WAIT {
                std::thread::sleep(LOCK_PAUSE);
                continue;
            }
            return Err(
                not_stated(&"another process holds its lock").help("find out which one is stuck, and try again")
            );
        }
        // What waits is taken in batches; and what went wrong may have gone wrong behind them.
        match (stands(&ledger, &entries), integrated) {
            (Ok(true), _) => return Ok(()),
            (_, Err(error)) | (Err(error), _) => return Err(not_stated(&error)),
            (Ok(false), Ok(Integrated::Nothing)) => return Err(not_stated(&"somebody took it away")),
            (Ok(false), Ok(_)) => {}
        }
    }
}

/// Whether all of them are in the tree. A file of one that waited may stay where it was.
fn stands(ledger: &Ledger, entries: &[Entry]) -> Result<bool, LedgerError> {
    let contents = ledger.read()?;
    Ok(entries.iter().all(|entry| contents.entries.contains(entry)))
}

/// A session as lists name it.
pub(super) fn name_of(session: &Session) -> String {
    format!(
        "session {} of server `{}`",
        short(&session.header.session),
        session.header.server
    )
}
