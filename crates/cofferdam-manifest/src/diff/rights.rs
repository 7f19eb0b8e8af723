//! What one manifest allows and another does not.
//!
//! Lists are compared entry by entry: that one path lies below another says nothing, since a link may lead anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use super::words::{exact, exact_json};
use super::{Accepted, Change, ChangeKind, Detail, Direction, Live, Subject, Weight, diff};
use crate::definitions::Definitions;
use crate::manifest::{Manifest, Tool};

/// Entries of one section that are named; the rest is counted.
const ENTRIES_MAX: usize = 50;

/// Everything that differs between two manifests of one server, the weightiest first: rights, limits, program, tools.
///
/// `definitions` are the accepted and the proposed ones, where both are known: then tools are compared by what they say, else by their pins.
/// Empty exactly when the manifests mean the same.
#[must_use]
pub fn diff_manifests(
    before: &Manifest,
    after: &Manifest,
    definitions: Option<(&Definitions, &Definitions)>,
) -> Vec<Change> {
    let mut rights = Rights::default();
    rights.launch(before, after);
    rights.reach(before, after);
    rights.environment(before, after);
    rights.limits(before, after);
    rights.tools(before, after, definitions.is_some());
    let mut changes = rights.changes;
    if let Some((then, now)) = definitions {
        let told = diff(
            &Accepted { definitions: then },
            &Live {
                definitions: now,
                program: None,
            },
        );
        let is_new = |change: &Change| !matches!(change.kind, ChangeKind::ToolAdded | ChangeKind::ToolRemoved);
        changes.extend(told.into_iter().filter(is_new));
    }
    if changes.is_empty() && before.digest() != after.digest() {
        let summary = "the manifest changed in a way that cannot be shown";
        changes.push(change("manifest", Direction::Changed, summary, Vec::new()));
    }
    changes.sort_by(|one, other| (other.weight, &one.subject).cmp(&(one.weight, &other.subject)));
    changes
}

fn change(section: &str, direction: Direction, summary: &str, details: Vec<Detail>) -> Change {
    Change {
        kind: ChangeKind::Right(direction),
        weight: match direction {
            Direction::Narrowed => Weight::Notable,
            Direction::Widened | Direction::Changed => Weight::Risky,
        },
        subject: Subject::Section(section.to_owned()),
        summary: summary.to_owned(),
        details,
    }
}

#[derive(Default)]
struct Rights {
    changes: Vec<Change>,
}

impl Rights {
    fn launch(&mut self, before: &Manifest, after: &Manifest) {
        let (then, now) = (&before.launch, &after.launch);
        self.value("launch.command", "another command line", &then.command, &now.command);
        let summary = "another working directory";
        self.value("launch.directory", summary, &then.directory, &now.directory);
        self.list("launch.program", &paths(&then.program), &paths(&now.program));
        let summary = "another program is pinned";
        self.value("launch.digest", summary, &then.digest, &now.digest);
        self.value("launch.package", "another package", &then.package, &now.package);
    }

    fn reach(&mut self, before: &Manifest, after: &Manifest) {
        let readable = |manifest: &Manifest| {
            let mut all = paths(&manifest.filesystem.read);
            all.extend(paths(&manifest.filesystem.write));
            all
        };
        self.list("filesystem.read", &readable(before), &readable(after));
        let writable = |manifest: &Manifest| paths(&manifest.filesystem.write);
        self.list("filesystem.write", &writable(before), &writable(after));
        let hosts = |manifest: &Manifest| strings(&manifest.network.allow);
        self.list("network.allow", &hosts(before), &hosts(after));
        let (then, now) = (strings(&before.network.tls), strings(&after.network.tls));
        self.list_turned(
            "network.tls",
            [&then, &now],
            ["speaks TLS on more", "speaks TLS on less"],
        );
        self.list(
            "sockets.allow",
            &paths(&before.sockets.allow),
            &paths(&after.sockets.allow),
        );
        let requests = |manifest: &Manifest| strings(&manifest.client.allow);
        self.list("client.allow", &requests(before), &requests(after));
        let summary = "other handling of instructions in answers";
        self.value("answers", summary, &before.answers, &after.answers);
        self.map("suppress", &before.suppress, &after.suppress, Direction::Narrowed);
        let programs = |manifest: &Manifest| strings(&manifest.programs.allow);
        self.list("programs.allow", &programs(before), &programs(after));
        self.map("secrets", &before.secrets, &after.secrets, Direction::Narrowed);
        // What must hold is a bound: more of it allows less.
        let (then, now) = (strings(&before.isolation.require), strings(&after.isolation.require));
        self.list_turned("isolation.require", [&then, &now], ["demands more", "demands less"]);
        let (then, now) = (strings(&before.filesystem.mask), strings(&after.filesystem.mask));
        self.list_turned("filesystem.mask", [&then, &now], ["hides more", "hides less"]);
        let (then, now) = (strings(&before.isolation.waive), strings(&after.isolation.waive));
        self.compared("isolation.waive", &then, &now, ["gives up more", "gives up less"]);
        let profile = |manifest: &Manifest| strings(manifest.isolation.profile.as_slice());
        let (then, now) = (profile(before), profile(after));
        self.compared("isolation.profile", &then, &now, ["gives up more", "gives up less"]);
        let summary = "another kind of compartment";
        self.value(
            "isolation.backend",
            summary,
            &before.isolation.backend,
            &after.isolation.backend,
        );
        let summary = "another image, engine or runtime";
        self.value(
            "isolation.image",
            summary,
            &before.isolation.image,
            &after.isolation.image,
        );
    }

    fn environment(&mut self, before: &Manifest, after: &Manifest) {
        let passed = |manifest: &Manifest| strings(&manifest.environment.pass);
        self.list("environment.pass", &passed(before), &passed(after));
        let (then, now) = (&before.environment.set, &after.environment.set);
        // Without a variable a program may do something else, not less.
        self.map("environment.set", then, now, Direction::Changed);
    }

    fn limits(&mut self, before: &Manifest, after: &Manifest) {
        let (then, now) = (&before.limits, &after.limits);
        let never = u64::MAX;
        let bound = |value: Option<u32>| value.map_or(never, u64::from);
        for (name, then, now) in [
            ("memory", then.memory_bytes, now.memory_bytes),
            ("processes", then.processes.into(), now.processes.into()),
            ("open_files", then.open_files.into(), now.open_files.into()),
            ("disk", then.disk_bytes, now.disk_bytes),
            ("files", then.files.into(), now.files.into()),
            ("file", then.file_bytes, now.file_bytes),
            ("cpu", bound(then.cpu_percent), bound(now.cpu_percent)),
            ("message", then.message_bytes, now.message_bytes),
            (
                "seconds_per_call",
                then.seconds_per_call.into(),
                now.seconds_per_call.into(),
            ),
            (
                "calls_per_minute",
                then.calls_per_minute.into(),
                now.calls_per_minute.into(),
            ),
            (
                "calls_in_flight",
                then.calls_in_flight.into(),
                now.calls_in_flight.into(),
            ),
            ("idle_minutes", bound(then.idle_minutes), bound(now.idle_minutes)),
            ("record_per_hour", then.record_bytes_per_hour, now.record_bytes_per_hour),
        ] {
            let (direction, summary) = match then.cmp(&now) {
                std::cmp::Ordering::Less => (Direction::Widened, "it may use more"),
                std::cmp::Ordering::Greater => (Direction::Narrowed, "it may use less"),
                std::cmp::Ordering::Equal => continue,
            };
            let said = |value: u64| {
                if value == never {
                    "no bound".to_owned()
                } else {
                    value.to_string()
                }
            };
            let details = vec![Detail::Line(format!("{} → {}", said(then), said(now)))];
            self.changes
                .push(change(&format!("limits.{name}"), direction, summary, details));
        }
    }

    fn tools(&mut self, before: &Manifest, after: &Manifest, are_definitions_known: bool) {
        let names = |manifest: &Manifest| manifest.tools.keys().cloned().collect::<BTreeSet<String>>();
        self.list("tools", &names(before), &names(after));
        for (name, then) in &before.tools {
            if let Some(now) = after.tools.get(name) {
                self.tool(name, then, now, are_definitions_known);
            }
        }
    }

    fn tool(&mut self, name: &str, then: &Tool, now: &Tool, is_definition_known: bool) {
        let mut tell = |direction, summary: &str, details| {
            self.changes.push(Change {
                subject: Subject::Tool(name.to_owned()),
                ..change("", direction, summary, details)
            });
        };
        let step = |then: &dyn ToString, now: &dyn ToString| {
            vec![Detail::Line(format!("{} → {}", then.to_string(), now.to_string()))]
        };
        if then.pin != now.pin && !is_definition_known {
            tell(
                Direction::Changed,
                "another definition is pinned",
                step(&then.pin, &now.pin),
            );
        }
        if then.consent != now.consent {
            let (direction, summary) = if now.consent > then.consent {
                (Direction::Narrowed, "it needs more consent")
            } else {
                (Direction::Widened, "it needs less consent")
            };
            tell(direction, summary, step(&then.consent, &now.consent));
        }
        if then.arguments != now.arguments {
            let details = vec![
                Detail::Line(format!("accepted: {}", json(&then.arguments))),
                Detail::Line(format!("now: {}", json(&now.arguments))),
            ];
            tell(Direction::Changed, "what is known of its arguments changed", details);
        }
    }

    /// A list whose entries are rights.
    fn list(&mut self, section: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) {
        self.compared(section, before, after, ["allows more", "allows less"]);
    }

    /// A list whose entries are bounds.
    fn list_turned(&mut self, section: &str, [before, after]: [&BTreeSet<String>; 2], words: [&str; 2]) {
        let known = self.changes.len();
        self.compared(section, before, after, words);
        for turned in self.changes.iter_mut().skip(known) {
            let direction = match turned.kind {
                ChangeKind::Right(Direction::Widened) => Direction::Narrowed,
                ChangeKind::Right(Direction::Narrowed) => Direction::Widened,
                _ => Direction::Changed,
            };
            let details = std::mem::take(&mut turned.details);
            *turned = change(section, direction, &turned.summary, details);
        }
    }

    fn compared(
        &mut self,
        section: &str,
        before: &BTreeSet<String>,
        after: &BTreeSet<String>,
        [more, less]: [&str; 2],
    ) {
        let (direction, summary) = match (after.is_subset(before), before.is_subset(after)) {
            (true, true) => return,
            (false, true) => (Direction::Widened, more),
            (true, false) => (Direction::Narrowed, less),
            (false, false) => (Direction::Changed, "changed"),
        };
        self.changes
            .push(change(section, direction, summary, entries(after, before)));
    }

    /// Named values; `removed` is what it means when one is gone.
    fn map<T: PartialEq + Serialize>(
        &mut self,
        section: &str,
        before: &BTreeMap<String, T>,
        after: &BTreeMap<String, T>,
        removed: Direction,
    ) {
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for name in names {
            let (then, now) = (before.get(name), after.get(name));
            let (direction, summary) = match (then, now) {
                (None, _) => (Direction::Widened, "was added"),
                (_, None) => (removed, "was removed"),
                (Some(then), Some(now)) if then == now => continue,
                _ => (Direction::Changed, "changed"),
            };
            let line = |when: &str, value: &T| Detail::Line(format!("{when}: {}", json(value)));
            let details = [
                then.map(|value| line("accepted", value)),
                now.map(|value| line("now", value)),
            ];
            let section = format!("{section}.{}", exact(name));
            let details = details.into_iter().flatten().collect();
            self.changes.push(change(&section, direction, summary, details));
        }
    }

    fn value<T: PartialEq + Serialize>(&mut self, section: &str, summary: &str, before: &T, after: &T) {
        if before != after {
            let details = vec![
                Detail::Line(format!("accepted: {}", json(before))),
                Detail::Line(format!("now: {}", json(after))),
            ];
            self.changes.push(change(section, Direction::Changed, summary, details));
        }
    }
}

/// What is only in `after`, then what is only in `before`.
fn entries(after: &BTreeSet<String>, before: &BTreeSet<String>) -> Vec<Detail> {
    let new = after.difference(before).map(|entry| format!("+ {}", exact(entry)));
    let gone = before.difference(after).map(|entry| format!("- {}", exact(entry)));
    let all: Vec<String> = new.chain(gone).collect();
    let mut details: Vec<Detail> = all.iter().take(ENTRIES_MAX).cloned().map(Detail::Line).collect();
    if let Some(more @ 1..) = all.len().checked_sub(ENTRIES_MAX) {
        details.push(Detail::Line(format!("and {more} more")));
    }
    details
}

fn strings<T: ToString>(items: &[T]) -> BTreeSet<String> {
    items.iter().map(ToString::to_string).collect()
}

fn paths(items: &[PathBuf]) -> BTreeSet<String> {
    items.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// A value of a manifest as a person can check it.
fn json<T: Serialize>(value: &T) -> String {
    exact_json(&serde_json::to_string(value).unwrap_or_else(|_| "a value that cannot be shown".to_owned()))
}
