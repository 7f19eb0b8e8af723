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
/// The least that a process in between can be that reads messages; peers are compared with it too.
pub(crate) const PUMP: &str = "thread pump";
/// The subject that the goals are about.
pub(crate) const GATE: &str = "cofferdam run";

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
        .filter_map(|subject| Some((subject.name.as_str(), subject.best.as_ref()?)))
        .collect();
    let of = |name: &str| {
        measured
            .iter()
            .find(|(subject, _)| *subject == name)
            .map(|(_, numbers)| *numbers)
    };
    let bare = of(BARE).context("the bare server was not measured")?;
    let pump = of(PUMP).context("the thread pump was not measured")?;
    let goals = of(GATE).map(|gate| goals(bare, gate)).unwrap_or_default();
    let mut out = std::io::stdout().lock();
    out.write_all(table(&measured, bare, pump).as_bytes())?;
    for goal in &goals {
        out.write_all(goal_line(goal).as_bytes())?;
    }
    if let Some(file) = json {
        let document = serde_json::to_string_pretty(&document(&measured, (bare, pump), &goals))?;
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

type Measured = dyn Fn(&Numbers) -> Option<f64>;

/// A quantity of a subject that is shown as a section of the table; nothing where it was not measured.
struct Quantity {
    title: String,
    of: Box<Measured>,
    /// Times are added to the bare server's; rates are not.
    is_time: bool,
    words: fn(f64) -> String,
}

fn quantities() -> Vec<Quantity> {
    let mut all: Vec<Quantity> = Vec::new();
    for (place, (size, _)) in PAYLOADS.into_iter().enumerate() {
        for (name, p99) in [("p50", false), ("p99", true)] {
            all.push(Quantity {
                title: format!("round trip of {size}, {name}"),
                of: Box::new(move |numbers| round_trip(numbers, place, p99)),
                is_time: true,
                words: in_words,
            });
        }
    }
    all.push(Quantity {
        title: "calls of 200 B a second, 64 in flight".to_owned(),
        of: Box::new(|numbers| Some(numbers.per_second)),
        is_time: false,
        words: |per_second| format!("{per_second:.0}/s"),
    });
    all.push(Quantity {
        title: "start to first answer".to_owned(),
        of: Box::new(|numbers| Some(micros(numbers.start))),
        is_time: true,
        words: in_words,
    });
    all
}

/// One section a quantity, one line a subject: the value, what is added to the bare server's, and the ratio to the bare
/// server and to the thread pump.
fn table(measured: &[(&str, &Numbers)], bare: &Numbers, pump: &Numbers) -> String {
    let mut table = String::new();
    for quantity in quantities() {
        let added = if quantity.is_time { "added" } else { "" };
        table.push_str(&format!(
            "{:<38}{:>12}{added:>12}{:>10}{:>10}\n",
            quantity.title, "", "× bare", "× pump"
        ));
        for (name, numbers) in measured {
            let Some(value) = (quantity.of)(numbers) else { continue };
            let ratio = |to: &Numbers| (quantity.of)(to).map_or_else(String::new, |to| ratio_in_words(value / to));
            let added = match (quantity.of)(bare) {
                Some(bare) if *name != BARE && quantity.is_time => signed(value - bare),
                _ => String::new(),
            };
            table.push_str(&format!(
                "  {name:<36}{:>12}{added:>12}{:>10}{:>10}\n",
                (quantity.words)(value),
                ratio(bare),
                ratio(pump)
            ));
        }
    }
    table.push_str(&format!(
        "{:<38}{:>12}{:>16}\n",
        "private memory", "", "after the largest"
    ));
    for (name, numbers) in measured.iter().filter(|(name, _)| *name != BARE) {
        table.push_str(&format!(
            "  {name:<36}{:>12}{:>17}\n",
            mebibytes(numbers.private_bytes),
            mebibytes(numbers.private_bytes_after_large)
        ));
    }
    table
}

/// `+25.4 µs`.
fn signed(micros: f64) -> String {
    let sign = if micros < 0.0 { "-" } else { "+" };
    format!("{sign}{}", in_words(micros.abs()))
}

/// Microseconds, milliseconds or seconds, whichever is at least one.
fn in_words(micros: f64) -> String {
    if micros < 1e3 {
        format!("{micros:.1} µs")
    } else if micros < 1e6 {
        format!("{:.2} ms", micros / 1e3)
    } else {
        format!("{:.2} s", micros / 1e6)
    }
}

/// About three digits.
fn ratio_in_words(ratio: f64) -> String {
    if ratio >= 100.0 {
        format!("{ratio:.0}")
    } else if ratio >= 0.1 {
        format!("{ratio:.2}")
    } else {
        format!("{ratio:.4}")
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

/// Microseconds; nothing for a size that was not measured.
fn round_trip(numbers: &Numbers, place: usize, p99: bool) -> Option<f64> {
    let trip = numbers.round_trips.get(place)?.as_ref()?;
    Some(micros(if p99 { trip.p99 } else { trip.p50 }))
}

fn goals(bare: &Numbers, gate: &Numbers) -> Vec<Goal> {
    let added = |place, p99| Some(round_trip(gate, place, p99)? - round_trip(bare, place, p99)?);
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

fn document(measured: &[(&str, &Numbers)], (bare, pump): (&Numbers, &Numbers), goals: &[Goal]) -> Value {
    let subject = |(name, numbers): &(&str, &Numbers)| {
        let trips = PAYLOADS.iter().enumerate().map(|(place, (_, bytes))| {
            let compared = |p99| {
                let time = round_trip(numbers, place, p99)?;
                let (bare, pump) = (round_trip(bare, place, p99)?, round_trip(pump, place, p99)?);
                Some(json!({
                    "us": time, "added_us": time - bare, "ratio": time / bare, "ratio_to_thread_pump": time / pump,
                }))
            };
            json!({"bytes": bytes, "p50": compared(false), "p99": compared(true)})
        });
        json!({
            "name": name,
            "round_trips": trips.collect::<Vec<_>>(),
            "calls_per_second": numbers.per_second,
            "calls_per_second_ratio": numbers.per_second / bare.per_second,
            "start_us": micros(numbers.start),
            "start_ratio": micros(numbers.start) / micros(bare.start),
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
    use super::{BARE, Goal, PUMP, table};
    use crate::measure::{Numbers, RoundTrip};
    use std::time::Duration;

    fn numbers(micros: u64) -> Numbers {
        let time = Duration::from_micros(micros);
        let trip = RoundTrip {
            p50: time,
            p99: time * 3,
        };
        Numbers {
            start: time * 1000,
            round_trips: vec![Some(trip), Some(trip), None],
            per_second: 1e6,
            private_bytes: Some(3 << 20),
            private_bytes_after_large: None,
        }
    }

    #[test]
    fn each_subject_is_compared_with_the_bare_server_and_the_pump() {
        let (bare, pump, slow) = (numbers(5), numbers(10), numbers(30));
        let table = table(&[(BARE, &bare), (PUMP, &pump), ("slow", &slow)], &bare, &pump);
        let line = |section: &str, name: &str| {
            let mut lines = table.lines().skip_while(|line| !line.starts_with(section)).skip(1);
            let line = lines.find(|line| line.trim_start().starts_with(name)).unwrap();
            line.split_whitespace()
                .skip(name.split(' ').count())
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(line("round trip of 200 B, p50", "slow"), "30.0 µs +25.0 µs 6.00 3.00");
        assert_eq!(line("round trip of 10 KB, p99", BARE), "15.0 µs 1.00 0.50");
        assert_eq!(line("calls of 200 B", "slow"), "1000000/s 1.00 1.00");
        assert_eq!(line("start to", PUMP), "10.00 ms +5.00 ms 2.00 1.00");
        let ratios = [1250.4, 12.345, 0.5, 0.0123].map(super::ratio_in_words);
        assert_eq!(ratios, ["1250", "12.35", "0.50", "0.0123"]);
        assert_eq!(super::in_words(2_430_000.0), "2.43 s");
        assert_eq!(line("private memory", "slow"), "3.0 MiB not shown to us");
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
