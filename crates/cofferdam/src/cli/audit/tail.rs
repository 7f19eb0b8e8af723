//! `audit tail`: the newest records, and those that come.

use std::time::Duration;

use cofferdam_audit::{Follow, Located};

use super::args::AuditTail;
use super::line::print;
use super::{SHOWN_PAYLOAD_BYTES, failure, store, warn};
use crate::cli::output::Output;
use crate::failure::{Exit, Failure};
use crate::home::Home;

/// How often a followed record is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

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
