//! `protect`, `unprotect` and `status`: the servers that clients have, sealed in place, put back, and listed.

mod config_file;
mod discover;
mod journal;
mod known;
mod lately;
mod outcome;
mod places;
pub(crate) mod seal;
mod wishes;

use std::path::Path;

use cofferdam_inspect::show_safely;
use cofferdam_scan::{Entry, LaunchLine, Server, entries, restore};

use crate::cli::args::{Configurations, Protect, Status, Unprotect};
use crate::cli::output::Output;
use crate::cli::person::proven;
use crate::compartment::given_up;
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use config_file::ConfigText;
use discover::Found;
use journal::{Journal, Left, OpenJournal};
use lately::Lately;
use outcome::{Outcome, State};
pub(crate) use places::Scope;
use seal::Wanted;

/// Seals what is found.
pub(crate) fn protect(home: &Home, args: &Protect, output: &mut Output) -> Result<Exit, Failure> {
    let files = files(home, &args.which)?;
    if !args.leave.is_empty() {
        leave(home, &files, &args.leave)?;
    }
    let journal = Journal::read(home)?;
    let can_ask = !args.yes && !args.dry_run;
    let (mut outcomes, mut wanted) = (Vec::new(), Vec::new());
    for found in &files {
        match read(found) {
            Ok((_, all)) => {
                for entry in all {
                    match standing(&journal, found, &entry) {
                        Standing::Bare(line) => {
                            let mut ask = |question: &str| can_ask.then(|| output.asked(question)).flatten();
                            wanted.push(Wanted::new(home, found, (entry, line), &mut ask));
                        }
                        Standing::Settled(outcome) => outcomes.push(outcome),
                    }
                }
            }
            Err(failure) => outcomes.push(Outcome::of_file(found, &failure)),
        }
    }
    if args.dry_run {
        outcomes.extend(wanted.iter().map(Wanted::intended));
    } else {
        outcomes.extend(seal::all(home, wanted, args, output)?);
    }
    outcome::print(&outcomes, output)?;
    if outcomes.iter().any(|outcome| outcome.state == State::Protected) {
        output.say("restart the clients that are running: they still have the servers they started");
    }
    Ok(outcome::exit(&outcomes))
}

/// Puts entries back as they were.
pub(crate) fn unprotect(home: &Home, args: &Unprotect, output: &mut Output) -> Result<Exit, Failure> {
    proven(home, "taking servers out of their compartments", output)?;
    let mut journal = OpenJournal::open(home)?;
    let files = files(home, &args.which)?;
    let chosen = journal.journal().rewritten.iter().filter(|one| {
        let is_named = args.names.is_empty() || args.names.contains(&one.server) || args.names.contains(one.name());
        let is_any = args.which.client.is_none() && args.which.config.is_none();
        is_named && (is_any || files.iter().any(|found| found.path == one.file))
    });
    let chosen: Vec<journal::Rewritten> = chosen.cloned().collect();
    let mut outcomes = Vec::new();
    for one in chosen {
        let outcome = put_back(&one).and_then(|state| {
            journal.forget(&one.file, &one.path)?;
            Ok(state)
        });
        outcomes.push(Outcome::of_rewritten(&one, outcome));
    }
    outcome::print(&outcomes, output)?;
    Ok(outcome::exit(&outcomes))
}

fn put_back(one: &journal::Rewritten) -> Result<State, Failure> {
    let found = discover::named(&one.file, Some(&one.client))?;
    let config = ConfigText::read(&one.file)?;
    let all = entries(&config.text, &found.shape).map_err(|fault| unreadable(&one.file, &fault))?;
    let is_ours = all
        .iter()
        .find(|entry| entry.path == one.path)
        .is_some_and(|entry| matches!(&entry.server, Server::Stdio(line) if line.protected_as() == Some(&one.server)));
    if !is_ours {
        // Removed, replaced, or put back by hand: nothing of ours is left.
        return Ok(State::Gone);
    }
    let restored = restore(&config.text, &found.shape, &one.path, &one.undo).map_err(|fault| {
        Failure::misconfigured(format!(
            "`{}` in `{}` cannot be put back: {fault}",
            show_safely(one.name()),
            one.file.display()
        ))
        .help("put it back by hand, or restore what was written and run `cofferdam unprotect` again")
    })?;
    config.replace(&restored)?;
    Ok(State::Restored)
}

/// Lists every server of every client.
pub(crate) fn status(home: &Home, args: &Status, output: &mut Output) -> Result<Exit, Failure> {
    let journal = Journal::read(home)?;
    let lately = Lately::read(home);
    let mut outcomes = Vec::new();
    for found in files(home, &args.which)? {
        match read(&found) {
            Ok((_, all)) => outcomes.extend(all.iter().map(|entry| match standing(&journal, &found, entry) {
                Standing::Bare(_) => Outcome::of_entry(&found, entry, State::Bare),
                Standing::Settled(outcome) => checked(home, outcome, &lately),
            })),
            Err(failure) => outcomes.push(Outcome::of_file(&found, &failure)),
        }
    }
    outcome::print(&outcomes, output)?;
    Ok(outcome::exit(&outcomes))
}

/// A protected entry whose server would not start is not fine.
fn checked(home: &Home, outcome: Outcome, lately: &Lately) -> Outcome {
    let Some(server) = outcome.server.clone().filter(|_| outcome.state == State::Already) else {
        return outcome;
    };
    let outcome = outcome.lately(lately.of(home, &server));
    match Contract::load(home, &server) {
        Ok(contract) => outcome.accepted(&contract).giving_up(given_up(&contract.manifest)),
        Err(failure) => outcome.failed(&failure),
    }
}

/// How an entry stands before anything is done.
enum Standing {
    /// The client starts it by itself.
    Bare(LaunchLine),
    /// There is nothing to do about it.
    Settled(Outcome),
}

fn standing(journal: &Journal, found: &Found, entry: &Entry) -> Standing {
    let settled = |state| Standing::Settled(Outcome::of_entry(found, entry, state));
    match &entry.server {
        Server::Remote { .. } => settled(State::Remote),
        Server::Unclear { why } => Standing::Settled(Outcome::of_entry(found, entry, State::Unclear).because(why)),
        Server::Stdio(line) => match line.protected_as() {
            Some(server) => {
                let known = journal.find(&found.path, &entry.path).is_some();
                let outcome = Outcome::of_entry(found, entry, State::Already).served_by(server);
                Standing::Settled(if known {
                    outcome
                } else {
                    outcome.because("it was written by hand, so `unprotect` cannot put it back")
                })
            }
            None => match journal.reason(&found.path, &entry.path) {
                Some(reason) => Standing::Settled(Outcome::of_entry(found, entry, State::Left).because(reason)),
                None => Standing::Bare(line.clone()),
            },
        },
    }
}

/// Remembers which servers a person wants left as they are.
fn leave(home: &Home, files: &[Found], asked: &[String]) -> Result<(), Failure> {
    let mut journal = OpenJournal::open(home)?;
    for words in asked {
        let (name, reason) = words
            .split_once('=')
            .filter(|(name, reason)| !name.is_empty() && !reason.trim().is_empty())
            .ok_or_else(|| {
                Failure::usage(format!("`--leave {}` gives no reason", show_safely(words)))
                    .help("write `--leave NAME=REASON`: whoever reads the list later wants to know why")
            })?;
        let mut is_found = false;
        for found in files {
            let Ok((_, all)) = read(found) else { continue };
            for entry in all.into_iter().filter(|entry| entry.name == name) {
                is_found = true;
                journal.leave(Left {
                    file: found.path.clone(),
                    path: entry.path,
                    reason: reason.trim().to_owned(),
                })?;
            }
        }
        if !is_found {
            return Err(Failure::usage(format!(
                "no client has a server `{}`",
                show_safely(name)
            )));
        }
    }
    Ok(())
}

fn files(home: &Home, which: &Configurations) -> Result<Vec<Found>, Failure> {
    let client = which.client.as_deref();
    if let Some(path) = &which.config {
        return Ok(vec![discover::named(path, client)?]);
    }
    let here = std::env::current_dir()
        .map_err(|cause| Failure::misconfigured(format!("cannot find the working directory: {cause}")))?;
    let mut found = discover::find(&home.user_home, &here);
    if let Some(id) = client {
        let wanted = discover::by_id(id)?;
        found.retain(|one| one.client.id == wanted.id);
    }
    Ok(found)
}

fn read(found: &Found) -> Result<(ConfigText, Vec<Entry>), Failure> {
    let config = ConfigText::read(&found.path)?;
    let all = entries(&config.text, &found.shape).map_err(|fault| unreadable(&found.path, &fault))?;
    Ok((config, all))
}

fn unreadable(path: &Path, fault: &cofferdam_scan::DocumentFault) -> Failure {
    Failure::misconfigured(format!("`{}` cannot be read: {fault}", path.display()))
        .help("mend it in the client or an editor; nothing was changed")
}
