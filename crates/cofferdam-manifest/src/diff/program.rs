//! What changed in the program's files.

use std::path::PathBuf;

use super::{Change, ChangeKind, Detail, Subject, Weight};
use crate::diagnostic::{printable, shown};
use crate::pins::ProgramChanged;

/// Paths named for one change; the rest is counted.
const PATHS_MAX: usize = 20;

/// Another program can do anything its compartment allows, so each of these is risky.
pub(super) fn compare(changed: &ProgramChanged) -> Vec<Change> {
    let change = |kind, summary, details| Change {
        kind,
        weight: Weight::Risky,
        subject: Subject::Program,
        summary,
        details,
    };
    let lists = [
        (ChangeKind::ProgramChanged, "changed", &changed.changed),
        (ChangeKind::ProgramAdded, "were added", &changed.added),
        (ChangeKind::ProgramRemoved, "are gone", &changed.removed),
    ];
    let mut changes: Vec<Change> = lists
        .into_iter()
        .filter(|(_, _, paths)| !paths.is_empty())
        .map(|(kind, what, paths)| {
            change(
                kind,
                format!("files of the program that {what}: {}", paths.len()),
                named(paths),
            )
        })
        .collect();
    let summary = |cause: &dyn std::fmt::Display| printable(&format!("the program could not be compared: {cause}"));
    match &changed.unread {
        Some(cause) => changes.push(change(ChangeKind::ProgramUnread, summary(cause), Vec::new())),
        // `ProgramPins::check` gives no such value, but it can be made, and it says that the program changed.
        None if changes.is_empty() => {
            let cause = "it changed, and nothing says how";
            changes.push(change(ChangeKind::ProgramUnread, summary(&cause), Vec::new()));
        }
        None => {}
    }
    changes
}

fn named(paths: &[PathBuf]) -> Vec<Detail> {
    let mut details: Vec<Detail> = paths
        .iter()
        .take(PATHS_MAX)
        .map(|path| Detail::Line(shown(path)))
        .collect();
    if let Some(more @ 1..) = paths.len().checked_sub(PATHS_MAX) {
        details.push(Detail::Line(format!("and {more} more")));
    }
    details
}
