//! How protected servers did lately: their last run, what they were refused, what waits for consent.

use std::collections::BTreeMap;

use cofferdam_audit::{SessionState, Store};
use serde_json::{Value, json};

use crate::approvals::wall_time;
use crate::cli::waiting;
use crate::home::Home;
use crate::refusals::{Cause, causes};

/// Refusals of a server that are shown; `audit query` has all.
const SHOWN_MAX: usize = 3;

/// What is known of all servers.
#[derive(Debug, Default)]
pub(super) struct Lately {
    runs: BTreeMap<String, Run>,
    waiting: BTreeMap<String, usize>,
}

/// A server's last run.
#[derive(Debug, Clone)]
struct Run {
    began_ns: u64,
    state: SessionState,
    session: String,
}

/// What is known of one server.
#[derive(Debug)]
pub(super) struct Recent {
    run: Option<Run>,
    /// Newest first.
    refused: Vec<Cause>,
    waiting: usize,
}

impl Lately {
    /// What cannot be read is left out: a list of servers is no place to fail for it, and `audit` says what is wrong.
    pub(super) fn read(home: &Home) -> Self {
        let mut lately = Self::default();
        let sessions = Store::open(&home.audit()).and_then(|store| store.sessions());
        for session in sessions.map(|found| found.items).unwrap_or_default() {
            // Newest first.
            lately.runs.entry(session.header.server.clone()).or_insert(Run {
                began_ns: session.header.wall_ns,
                state: session.state,
                session: session.header.session,
            });
        }
        for server in waiting(home).unwrap_or_default() {
            let count = lately.waiting.entry(server).or_default();
            *count = count.saturating_add(1);
        }
        lately
    }

    pub(super) fn of(&self, home: &Home, server: &str) -> Recent {
        Recent {
            run: self.runs.get(server).cloned(),
            refused: causes(home, server).into_iter().rev().collect(),
            waiting: self.waiting.get(server).copied().unwrap_or_default(),
        }
    }
}

impl Recent {
    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![match &self.run {
            None => "it did not run yet".to_owned(),
            Some(run) => {
                let how = match run.state {
                    SessionState::Live => "running since",
                    SessionState::Closed => "last started",
                    SessionState::Unclosed => "last started, and cut off,",
                };
                format!(
                    "{how} {} (`cofferdam audit show {}`)",
                    time(run.began_ns),
                    short(&run.session)
                )
            }
        }];
        for cause in self.refused.iter().take(SHOWN_MAX) {
            let times = match cause.times {
                1 => String::new(),
                times => format!(", in {times} sessions"),
            };
            lines.push(format!("was refused {}{times} (record {})", cause.what, cause.record));
            lines.extend(
                cause
                    .line
                    .iter()
                    .map(|line| format!("  if that is what it is for: `{line}`")),
            );
        }
        if let Some(more @ 1..) = self.refused.len().checked_sub(SHOWN_MAX) {
            lines.push(format!("and {more} more causes of refusals"));
        }
        if self.waiting > 0 {
            lines.push(format!(
                "{} waiting for your consent: `cofferdam approvals`",
                self.waiting
            ));
        }
        lines
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let run = self.run.as_ref().map(
            |run| json!({"began_ns": run.began_ns, "session": run.session, "live": run.state == SessionState::Live}),
        );
        json!({"last_run": run, "refused": self.refused, "waiting": self.waiting})
    }
}

fn short(session: &str) -> &str {
    session.get(..8).unwrap_or(session)
}

/// In UTC.
fn time(began_ns: u64) -> String {
    wall_time(i64::try_from(began_ns / 1_000_000_000).unwrap_or(i64::MAX))
}
