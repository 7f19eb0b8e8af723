//! Which methods exist, who sends them, and in which revisions: one table.
//!
//! From the unions `ClientRequest`, `ServerRequest`, `ClientNotification` and `ServerNotification` of each revision's published schema.

use crate::reason::Reason;
use crate::revision::{Era, Revision};
use crate::sender::Sender;

/// The extension for long-running calls in 2026-07-28 and later.
pub(crate) const TASKS_EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Whether a method's messages carry an `id` and are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MethodKind {
    /// With `id`, answered once.
    Request,
    /// Without `id`, never answered.
    Notification,
}

/// One method, from one or both sides, in some revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodRow {
    /// Its name.
    pub method: &'static str,
    /// Who may send it.
    pub senders: &'static [Sender],
    /// Request or notification.
    pub kind: MethodKind,
    /// The revisions that know it so.
    pub revisions: &'static [Revision],
    /// The extension that must be declared for it.
    pub extension: Option<&'static str>,
}

const CLIENT: &[Sender] = &[Sender::Client];
const SERVER: &[Sender] = &[Sender::Server];
const BOTH: &[Sender] = &[Sender::Client, Sender::Server];

const ALL: &[Revision] = Revision::ALL;
const LEGACY: &[Revision] = &[
    Revision::V2024_11_05,
    Revision::V2025_03_26,
    Revision::V2025_06_18,
    Revision::V2025_11_25,
];
const MODERN: &[Revision] = &[Revision::V2026_07_28];
const FROM_2025_06_18: &[Revision] = &[Revision::V2025_06_18, Revision::V2025_11_25];
const ONLY_2025_11_25: &[Revision] = &[Revision::V2025_11_25];

const fn request(method: &'static str, senders: &'static [Sender], revisions: &'static [Revision]) -> MethodRow {
    MethodRow {
        method,
        senders,
        kind: MethodKind::Request,
        revisions,
        extension: None,
    }
}

const fn notification(method: &'static str, senders: &'static [Sender], revisions: &'static [Revision]) -> MethodRow {
    MethodRow {
        method,
        senders,
        kind: MethodKind::Notification,
        revisions,
        extension: None,
    }
}

const fn of_tasks(row: MethodRow) -> MethodRow {
    MethodRow {
        extension: Some(TASKS_EXTENSION),
        ..row
    }
}

/// Every method of every revision this crate knows. A method stands in several rows where revisions differ about it.
pub const METHODS: &[MethodRow] = &[
    // the hot ones first
    request("tools/call", CLIENT, ALL),
    request("tools/list", CLIENT, ALL),
    notification("notifications/progress", BOTH, LEGACY),
    notification("notifications/progress", SERVER, MODERN),
    notification("notifications/message", SERVER, ALL),
    // life cycle
    request("initialize", CLIENT, LEGACY),
    notification("notifications/initialized", CLIENT, LEGACY),
    request("ping", BOTH, LEGACY),
    request("server/discover", CLIENT, MODERN),
    request("subscriptions/listen", CLIENT, MODERN),
    notification("notifications/subscriptions/acknowledged", SERVER, MODERN),
    notification("notifications/cancelled", BOTH, ALL),
    // what servers offer
    request("resources/list", CLIENT, ALL),
    request("resources/templates/list", CLIENT, ALL),
    request("resources/read", CLIENT, ALL),
    request("resources/subscribe", CLIENT, LEGACY),
    request("resources/unsubscribe", CLIENT, LEGACY),
    request("prompts/list", CLIENT, ALL),
    request("prompts/get", CLIENT, ALL),
    request("completion/complete", CLIENT, ALL),
    request("logging/setLevel", CLIENT, LEGACY),
    notification("notifications/tools/list_changed", SERVER, ALL),
    notification("notifications/prompts/list_changed", SERVER, ALL),
    notification("notifications/resources/list_changed", SERVER, ALL),
    notification("notifications/resources/updated", SERVER, ALL),
    // what clients offer
    request("sampling/createMessage", SERVER, LEGACY),
    request("roots/list", SERVER, LEGACY),
    request("elicitation/create", SERVER, FROM_2025_06_18),
    notification("notifications/roots/list_changed", CLIENT, LEGACY),
    notification("notifications/elicitation/complete", SERVER, ONLY_2025_11_25),
    // tasks: core and both ways in 2025-11-25, an extension later
    request("tasks/get", BOTH, ONLY_2025_11_25),
    request("tasks/list", BOTH, ONLY_2025_11_25),
    request("tasks/result", BOTH, ONLY_2025_11_25),
    request("tasks/cancel", BOTH, ONLY_2025_11_25),
    notification("notifications/tasks/status", BOTH, ONLY_2025_11_25),
    of_tasks(request("tasks/get", CLIENT, MODERN)),
    of_tasks(request("tasks/update", CLIENT, MODERN)),
    of_tasks(request("tasks/cancel", CLIENT, MODERN)),
    of_tasks(notification("notifications/tasks", SERVER, MODERN)),
];

/// What is asked of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    pub(crate) sender: Sender,
    pub(crate) kind: MethodKind,
    /// Whether the tasks extension was declared, for rows that need it.
    pub(crate) has_tasks: bool,
}

/// Whether `era` knows this method from this side.
pub(crate) fn check(question: Question<'_>, era: Era) -> Result<(), Reason> {
    let mut refusal = Reason::UnknownMethod;
    for row in METHODS.iter().filter(|row| row.method == question.method) {
        let is_known = row.revisions.iter().any(|revision| era.includes(*revision));
        if !is_known || (row.extension.is_some() && !question.has_tasks) {
            continue;
        }
        match (row.senders.contains(&question.sender), row.kind == question.kind) {
            (true, true) => return Ok(()),
            (true, false) => refusal = Reason::WrongKind,
            (false, _) if refusal == Reason::UnknownMethod => refusal = Reason::WrongDirection,
            (false, _) => {}
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::{METHODS, MethodKind, Question, check};
    use crate::reason::Reason;
    use crate::revision::{Era, Revision};
    use crate::sender::Sender;

    fn union_size(sender: Sender, kind: MethodKind, revision: Revision) -> usize {
        let rows = METHODS.iter().filter(|row| row.extension.is_none() && row.kind == kind);
        rows.filter(|row| row.senders.contains(&sender) && row.revisions.contains(&revision))
            .count()
    }

    #[test]
    fn the_table_has_as_many_requests_as_the_published_schemas() {
        for (revision, from_client, from_server) in [
            (Revision::V2024_11_05, 13, 3),
            (Revision::V2025_03_26, 13, 3),
            (Revision::V2025_06_18, 13, 4),
            (Revision::V2025_11_25, 17, 8),
            (Revision::V2026_07_28, 10, 0),
        ] {
            assert_eq!(
                union_size(Sender::Client, MethodKind::Request, revision),
                from_client,
                "{revision}"
            );
            assert_eq!(
                union_size(Sender::Server, MethodKind::Request, revision),
                from_server,
                "{revision}"
            );
        }
    }

    #[test]
    fn no_two_rows_overlap() {
        for (index, row) in METHODS.iter().enumerate() {
            for other in &METHODS[index + 1..] {
                let is_same =
                    row.method == other.method && row.senders.iter().any(|sender| other.senders.contains(sender));
                let overlaps = row.revisions.iter().any(|revision| other.revisions.contains(revision));
                assert!(!(is_same && overlaps), "{}", row.method);
            }
        }
    }

    fn ask(method: &str, sender: Sender, kind: MethodKind, era: Era) -> Result<(), Reason> {
        check(
            Question {
                method,
                sender,
                kind,
                has_tasks: false,
            },
            era,
        )
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let (request, notification) = (MethodKind::Request, MethodKind::Notification);
        let modern = Era::Modern(None);
        let legacy = Era::Legacy(Some(Revision::V2025_06_18));
        assert_eq!(ask("tools/call", Sender::Client, request, modern), Ok(()));
        assert_eq!(
            ask("tools/call", Sender::Client, notification, modern),
            Err(Reason::WrongKind)
        );
        assert_eq!(
            ask("tools/call", Sender::Server, request, legacy),
            Err(Reason::WrongDirection)
        );
        assert_eq!(
            ask("sampling/createMessage", Sender::Server, request, modern),
            Err(Reason::UnknownMethod)
        );
        assert_eq!(
            ask("sampling/createMessage", Sender::Client, request, legacy),
            Err(Reason::WrongDirection)
        );
        assert_eq!(ask("ping", Sender::Client, request, modern), Err(Reason::UnknownMethod));
        assert_eq!(
            ask("notifications/progress", Sender::Client, notification, modern),
            Err(Reason::WrongDirection)
        );
        assert_eq!(
            ask("notifications/progress", Sender::Client, notification, legacy),
            Ok(())
        );
        assert_eq!(
            ask("notifications/initialized", Sender::Client, request, legacy),
            Err(Reason::WrongKind)
        );
        assert_eq!(
            ask("Tools/call", Sender::Client, request, legacy),
            Err(Reason::UnknownMethod)
        );
    }

    #[test]
    fn elicitation_is_known_from_2025_06_18_on() {
        for (revision, is_known) in [
            (Revision::V2025_03_26, false),
            (Revision::V2025_06_18, true),
            (Revision::V2025_11_25, true),
        ] {
            let asked = ask(
                "elicitation/create",
                Sender::Server,
                MethodKind::Request,
                Era::Legacy(Some(revision)),
            );
            assert_eq!(asked.is_ok(), is_known, "{revision}");
        }
    }

    #[test]
    fn an_extension_must_be_declared() {
        let question = Question {
            method: "tasks/update",
            sender: Sender::Client,
            kind: MethodKind::Request,
            has_tasks: false,
        };
        assert_eq!(check(question, Era::Modern(None)), Err(Reason::UnknownMethod));
        assert_eq!(
            check(
                Question {
                    has_tasks: true,
                    ..question
                },
                Era::Modern(None)
            ),
            Ok(())
        );
        assert_eq!(
            check(
                Question {
                    method: "tasks/list",
                    has_tasks: true,
                    ..question
                },
                Era::Modern(None)
            ),
            Err(Reason::UnknownMethod)
        );
        assert_eq!(
            ask("tasks/list", Sender::Server, MethodKind::Request, Era::Legacy(None)),
            Ok(())
        );
    }
}
