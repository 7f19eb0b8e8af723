//! The report: a table for people, JSON for programs, and each goal of DESIGN section 10 as met or missed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::measure::{Numbers, PAYLOADS, Subject};

/// The subject that everything is compared with.
pub(crate) const BARE: &str = "bare server";
/// The subject that the goals are about.
pub(crate) const GATE: &str = "cofferdam run";

const CELL_WIDTH: usize = 30;
const MIB: f64 = 1024.0 * 1024.0;

/// A goal: what, the most (or least) allowed, the unit, and what was reached.
struct Goal {
    what: &'static str,
    bound: f64,
    at_least: bool,
    unit: &'static str,
    reached: Option<f64>,
}

impl Goal {
    fn is_met(&self) -> Option<bool> {
        self.reached.map(|reached| {
            if self.at_least {
                reached >= self.bound
            } else {
                reached <= self.bound
            }
        })
    }
}

/// Prints the table and the goals on stdout, and writes `json` where asked.
///
/// # Errors
/// stdout or the file cannot be written.
pub(crate) fn write(subjects: &[Subject], json: Option<&Path>) -> Result<()> {
    let measured: Vec<(&str, &Numbers)> = subjects
        .iter()
        .filter_map(|subject| Some((subject.name, subject.best.as_ref()?)))
        .collect();
    let of = |name: &str| {
        measured
            .iter()
            .find(|(subject, _)| *subject == name)
            .map(|(_, numbers)| *numbers)
    };
    let bare = of(BARE).context("the bare server was not measured")?;
    let goals = of(GATE).map(|gate| goals(bare, gate)).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    out.write_all(table(&measured, bare).as_bytes())?;
    for goal in &goals {
        out.write_all(goal_line(goal).as_bytes())?;
    }
    if let Some(file) = json {
        let document = serde_json::to_string_pretty(&document(&measured, bare, &goals))?;
        fs::write(file, document + "\n").with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    Ok(())
}

/// One line on stderr while the run goes on.
///
/// # Errors
/// stderr is closed.
pub(crate) fn progress(line: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "bench: {line}")?)
}

fn table(measured: &[(&str, &Numbers)], bare: &Numbers) -> String {
    let row = |title: &str, cell: &dyn Fn(&Numbers) -> String| {
        let cells: String = measured
            .iter()
            .map(|(_, numbers)| format!("{:>CELL_WIDTH$}", cell(numbers)))
            .collect();
        format!("{title:<22}{cells}\n")
    };
    let heads: String = measured
        .iter()
        .map(|(name, _)| format!("{name:>CELL_WIDTH$}"))
        .collect();
    let mut table = format!("{:<22}{heads}\n", "");
    for (place, (name, _)) in PAYLOADS.iter().enumerate() {
        for (quantile, pick) in [("p50", false), ("p99", true)] {
            let time = |numbers: &Numbers| round_trip(numbers, place, pick);
            let cell = |numbers: &Numbers| compared(time(numbers), time(bare));
            table.push_str(&row(&format!("{name}, {quantile}"), &cell));
        }
    }
    let per_second = |numbers: &Numbers| {
        format!(
            "{:.0}/s ({:.2}×)",
            numbers.per_second,
            numbers.per_second / bare.per_second
        )
    };
    table.push_str(&row("200 B, 64 in flight", &per_second));
    table.push_str(&row("start to first answer", &|numbers| {
        compared(micros(numbers.start), micros(bare.start))
    }));
    table.push_str(&row("private memory", &|numbers| mebibytes(numbers.private_bytes)));
    table.push_str(&row("the same after 1 MB", &|numbers| {
        mebibytes(numbers.private_bytes_after_large)
    }));
    table
}

/// `30.1 µs (+25.4 µs, 6.4×)`; the bare server is compared with nothing.
fn compared(time: f64, bare: f64) -> String {
    if (time - bare).abs() < f64::EPSILON {
        return in_words(time);
    }
    let sign = if time < bare { "-" } else { "+" };
    format!(
        "{} ({sign}{}, {:.1}×)",
        in_words(time),
        in_words((time - bare).abs()),
        time / bare
    )
}

/// Microseconds, or milliseconds from one on.
fn in_words(micros: f64) -> String {
    if micros < 1000.0 {
        format!("{micros:.1} µs")
    } else {
        format!("{:.2} ms", micros / 1000.0)
    }
}

fn mebibytes(bytes: Option<u64>) -> String {
    match bytes {
        Some(0) => "–".to_owned(),
        Some(bytes) => format!("{:.1} MiB", as_mebibytes(bytes)),
        None => "not shown to us".to_owned(),
    }
}

fn as_mebibytes(bytes: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    let bytes = bytes as f64;
    bytes / MIB
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// Microseconds; 0 for a size that was not measured.
fn round_trip(numbers: &Numbers, place: usize, p99: bool) -> f64 {
    let trip = numbers.round_trips.get(place);
    trip.map_or(0.0, |trip| micros(if p99 { trip.p99 } else { trip.p50 }))
}

fn goals(bare: &Numbers, gate: &Numbers) -> Vec<Goal> {
    let added = |place, p99| Some(round_trip(gate, place, p99) - round_trip(bare, place, p99));
    let at_most = |what, bound, unit, reached| Goal {
        what,
        bound,
        at_least: false,
        unit,
        reached,
    };
    vec![
        at_most("added to a 200 B round trip, p50", 25.0, "µs", added(0, false)),
        at_most("added to a 200 B round trip, p99", 100.0, "µs", added(0, true)),
        at_most("added to a 10 KB round trip, p50", 60.0, "µs", added(1, false)),
        at_most("added to a 1 MB round trip, p50", 10_000.0, "µs", added(2, false)),
        Goal {
            what: "calls a second, one session, 64 in flight",
            bound: 100_000.0,
            at_least: true,
            unit: "/s",
            reached: Some(gate.per_second),
        },
        at_most(
            "private memory of the gate and its PID 1, beside a second one",
            10.0,
            "MiB",
            gate.private_bytes.map(as_mebibytes),
        ),
    ]
}

fn goal_line(goal: &Goal) -> String {
    let verdict = match goal.is_met() {
        Some(true) => "met",
        Some(false) => "missed",
        None => "unknown",
    };
    let bound = if goal.at_least { "at least" } else { "at most" };
    let reached = goal.reached.map_or_else(
        || "not measured".to_owned(),
        |reached| format!("{reached:.1} {}", goal.unit),
    );
    format!(
        "{verdict:<8} {}: {reached} (goal: {bound} {} {})\n",
        goal.what, goal.bound, goal.unit
    )
}

fn document(measured: &[(&str, &Numbers)], bare: &Numbers, goals: &[Goal]) -> Value {
    let subject = |(name, numbers): &(&str, &Numbers)| {
        let trips = PAYLOADS.iter().enumerate().map(|(place, (_, bytes))| {
            let compared = |p99| {
                let (time, without) = (round_trip(numbers, place, p99), round_trip(bare, place, p99));
                json!({"us": time, "added_us": time - without, "ratio": time / without})
            };
            json!({"bytes": bytes, "p50": compared(false), "p99": compared(true)})
        });
        json!({
            "name": name,
            "round_trips": trips.collect::<Vec<_>>(),
            "calls_per_second": numbers.per_second,
            "start_us": micros(numbers.start),
            "private_bytes": numbers.private_bytes,
            "private_bytes_after_large": numbers.private_bytes_after_large,
        })
    };
    let goal = |goal: &Goal| {
        json!({
            "what": goal.what, "bound": goal.bound, "at_least": goal.at_least, "unit": goal.unit,
            "reached": goal.reached, "met": goal.is_met(),
        })
    };
    json!({
        "subjects": measured.iter().map(subject).collect::<Vec<_>>(),
        "goals": goals.iter().map(goal).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Goal, compared};

    #[test]
    fn times_are_compared_with_the_bare_server() {
        assert_eq!(compared(5.0, 5.0), "5.0 µs");
        assert_eq!(compared(30.0, 5.0), "30.0 µs (+25.0 µs, 6.0×)");
        assert_eq!(compared(2500.0, 1250.0), "2.50 ms (+1.25 ms, 2.0×)");
        assert_eq!(compared(4.0, 5.0), "4.0 µs (-1.0 µs, 0.8×)");
    }

    #[test]
    fn a_goal_is_met_at_its_bound_and_unknown_unmeasured() {
        let mut goal = Goal {
            what: "x",
            bound: 10.0,
            at_least: false,
            unit: "µs",
            reached: Some(10.0),
        };
        assert_eq!(goal.is_met(), Some(true));
        goal.reached = Some(10.1);
        assert_eq!(goal.is_met(), Some(false));
        goal.at_least = true;
        assert_eq!(goal.is_met(), Some(true));
        goal.reached = None;
        assert_eq!(goal.is_met(), None);
    }
}
