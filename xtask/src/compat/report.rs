//! What is printed: a line for each server, and the pass rate.

use serde_json::{Value, json};

use super::floor::Floor;
use super::server::Server;
use super::trial::{Outcome, Shown};

/// One server and how it did.
#[derive(Debug)]
pub(super) struct Tried<'a> {
    pub(super) server: &'a Server,
    pub(super) outcome: Outcome,
}

impl Tried<'_> {
    pub(super) fn passed(&self) -> bool {
        matches!(self.outcome, Outcome::Passed(_))
    }

    /// `passed  git  2026.10.19  12 tools, 2 calls`, or `failed …` with the reason.
    pub(super) fn line(&self) -> String {
        let (verdict, words) = match &self.outcome {
            Outcome::Passed(shown) => ("passed", in_words(shown)),
            Outcome::Failed(reason) => ("failed", reason.clone()),
        };
        let Server { name, version, .. } = self.server;
        format!("{verdict}  {name:<20} {version:<11} {words}")
    }

    fn json(&self) -> Value {
        let Server {
            name, package, version, ..
        } = self.server;
        match &self.outcome {
            Outcome::Passed(shown) => json!({
                "name": name, "package": package, "version": version, "passed": true,
                "tools": shown.tools, "calls": shown.calls, "calls_answered_with_an_error": shown.errors, "held_back": shown.held_back,
            }),
            Outcome::Failed(reason) => json!({
                "name": name, "package": package, "version": version, "passed": false, "reason": reason,
            }),
        }
    }
}

fn in_words(shown: &Shown) -> String {
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let mut words = format!("{}, {}", plural(shown.tools, "tool"), plural(shown.calls, "call"));
    if shown.held_back > 0 {
        words.push_str(&format!(
            " ({} held back until a person consents or grants)",
            shown.held_back
        ));
    }
    if shown.errors > 0 {
        words.push_str(&format!(" ({} answered with the server's own error)", shown.errors));
    }
    words
}

/// All that were tried.
#[derive(Debug, Default)]
pub(super) struct Report<'a> {
    pub(super) tried: Vec<Tried<'a>>,
}

impl Report<'_> {
    /// Those of the floor that were tried and do not pass.
    pub(super) fn fallen(&self, floor: &Floor) -> Vec<&str> {
        self.names(|tried| !tried.passed() && floor.holds(&tried.server.name))
    }

    /// Those that pass and are not in the floor yet.
    fn risen(&self, floor: &Floor) -> Vec<&str> {
        self.names(|tried| tried.passed() && !floor.holds(&tried.server.name))
    }

    fn names(&self, wanted: impl Fn(&Tried<'_>) -> bool) -> Vec<&str> {
        let chosen = self.tried.iter().filter(|tried| wanted(tried));
        chosen.map(|tried| tried.server.name.as_str()).collect()
    }

    /// `24 of 25 servers pass (96 %); …`.
    pub(super) fn summary(&self, floor: &Floor) -> String {
        let (passed, all) = (self.names(|tried| tried.passed()).len(), self.tried.len());
        let share = (passed * 100).checked_div(all).unwrap_or_default();
        let mut summary = format!(
            "{passed} of {all} servers pass ({share} %); {} are in the floor",
            floor.names().len()
        );
        let risen = self.risen(floor);
        if !risen.is_empty() {
            summary.push_str(&format!(
                "\nadd to tests/servers/compat/floor.txt: {}",
                risen.join(", ")
            ));
        }
        summary
    }

    /// The same for programs.
    pub(super) fn json(&self, floor: &Floor) -> Value {
        json!({
            "servers": self.tried.iter().map(Tried::json).collect::<Vec<_>>(),
            "passed": self.names(|tried| tried.passed()).len(),
            "tried": self.tried.len(),
            "floor": floor.names(),
            "fallen": self.fallen(floor),
            "risen": self.risen(floor),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::floor::Floor;
    use super::super::server::Server;
    use super::{Outcome, Report, Shown, Tried};

    fn passed() -> Outcome {
        Outcome::Passed(Shown {
            tools: 1,
            calls: 2,
            errors: 1,
            held_back: 0,
        })
    }

    #[test]
    fn the_floor_falls_and_rises_by_name() {
        let descriptions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/servers/compat");
        let servers = Server::all(&descriptions).unwrap();
        let of = |name: &str| servers.iter().find(|server| server.name == name).unwrap();
        let tried = |name: &str, outcome: Outcome| Tried {
            server: of(name),
            outcome,
        };
        let report = Report {
            tried: vec![
                tried("git", Outcome::Failed("`add`: error: x".into())),
                tried("memory", passed()),
                tried("time", Outcome::Failed("gated: y".into())),
                tried("fetch", passed()),
            ],
        };
        let floor = Floor::of(&["git", "fetch"]);
        assert_eq!(report.fallen(&floor), ["git"]);
        assert_eq!(
            report.summary(&floor),
            "2 of 4 servers pass (50 %); 2 are in the floor\nadd to tests/servers/compat/floor.txt: memory"
        );
        let json = report.json(&floor);
        assert_eq!((&json["passed"], &json["fallen"][0]), (&2.into(), &"git".into()));
        let line = report.tried[1].line();
        assert!(
            line.starts_with("passed  memory")
                && line.ends_with("1 tool, 2 calls (1 answered with the server's own error)"),
            "{line}"
        );
    }
}
