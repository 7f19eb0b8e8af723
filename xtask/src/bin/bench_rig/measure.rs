//! One run: every subject measured in turn, several rounds over, with spinners on; the best of each number counts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::gate::Gate;
use crate::load::{Passes, Session, Target};
use crate::memory::private_bytes;
use crate::peers;
use crate::report;
use crate::spin::Spinners;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Extent {
    rounds: usize,
    ours: Effort,
    /// Peers are up to three hundred times slower, and some grow slower the longer they run.
    peers: Effort,
}

/// How much is measured of one subject in one round.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// Sessions opened and closed for the start-up time.
    starts: usize,
    /// Sequential calls at each of `PAYLOADS`; none where the size is left out.
    calls: [usize; 3],
    pipelined: usize,
}

const FULL: Extent = Extent {
    rounds: 5,
    ours: Effort {
        starts: 5,
        calls: [20_000, 5_000, 200],
        pipelined: 200_000,
    },
    peers: Effort {
        starts: 2,
        calls: [2_000, 500, 0],
        pipelined: 4_000,
    },
};
const QUICK: Extent = Extent {
    rounds: 3,
    ours: Effort {
        starts: 2,
        calls: [4_000, 1_000, 40],
        pipelined: 40_000,
    },
    peers: Effort {
        starts: 1,
        calls: [500, 100, 0],
        pipelined: 1_000,
    },
};

/// Sizes of a call, in bytes, with their names.
pub(crate) const PAYLOADS: [(&str, usize); 3] = [("200 B", 200), ("10 KB", 10_000), ("1 MB", 1_000_000)];
/// Calls in flight while throughput is measured.
const WINDOW: usize = 64;

/// Round trips of one size, sorted, cut down to what is reported.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoundTrip {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// What one subject reached.
#[derive(Debug, Clone)]
pub(crate) struct Numbers {
    pub(crate) start: Duration,
    /// One for each of `PAYLOADS`; nothing for a size that was left out.
    pub(crate) round_trips: Vec<Option<RoundTrip>>,
    pub(crate) per_second: f64,
    /// After small messages; `None` where the system does not show it to us.
    pub(crate) private_bytes: Option<u64>,
    /// After messages of the largest size that was measured, too.
    pub(crate) private_bytes_after_large: Option<u64>,
}

/// A subject and its best numbers.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    target: Target,
    effort: Effort,
    pub(crate) best: Option<Numbers>,
}

/// Measures and reports. Takes `--gate PROGRAM` (without it the gate is left out), `--peers FILE` (as
/// [`peers::read`] wants it), `--quick` and `--json FILE`.
///
/// # Errors
/// An argument is not understood, a subject fails, or the report cannot be written.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut extent, mut json, mut gate, mut others) = (FULL, None, None, Vec::new());
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => extent = QUICK,
            "--json" => json = Some(PathBuf::from(words.next().context("`--json` needs a file")?)),
            "--gate" => gate = Some(PathBuf::from(words.next().context("`--gate` needs a program")?)),
            "--peers" => others = peers::read(Path::new(words.next().context("`--peers` needs a file")?))?,
            other => bail!("`{other}` is not understood"),
        }
    }
    let own = std::env::current_exe()?.to_string_lossy().into_owned();
    let server = vec![own.clone(), "echo".to_owned()];
    let gate = gate.map(|program| Gate::prepare(&program, &[], &server)).transpose()?;
    let mut subjects = subjects(&own, &server, gate.as_ref(), extent.ours);
    subjects.extend(others.into_iter().map(|(name, target)| Subject {
        name,
        target,
        effort: extent.peers,
        best: None,
    }));

    let spinners = Spinners::start()?;
    for round in 1..=extent.rounds {
        report::progress(&format!("round {round} of {}", extent.rounds))?;
        for subject in &mut subjects {
            let numbers =
                measure(&subject.target, subject.effort).with_context(|| format!("subject `{}`", subject.name))?;
            subject.best = Some(match subject.best.take() {
                Some(best) => best_of(&best, &numbers),
                None => numbers,
            });
        }
    }
    drop(spinners);
    report::write(&subjects, json.as_deref())
}

fn subjects(own: &str, server: &[String], gate: Option<&Gate>, effort: Effort) -> Vec<Subject> {
    let behind = |pump: &str| [&[own.to_owned(), pump.to_owned()], server].concat();
    let subject = |name: &str, command: Vec<String>| Subject {
        name: name.to_owned(),
        target: Target {
            command,
            tool: "echo".to_owned(),
            passes: Passes::Bytes,
        },
        effort,
        best: None,
    };
    let mut all = vec![
        subject(report::BARE, server.to_vec()),
        subject("byte pump", behind("byte-pump")),
        subject(report::PUMP, behind("thread-pump")),
    ];
    all.extend(gate.map(|gate| subject(report::GATE, gate.command())));
    all
}

fn measure(target: &Target, effort: Effort) -> Result<Numbers> {
    let mut start = Duration::MAX;
    for _ in 0..effort.starts {
        let session = Session::open(target)?;
        start = start.min(session.start);
        session.close()?;
    }
    let mut session = Session::open(target)?;
    let (mut round_trips, mut per_second, mut small) = (Vec::new(), 0.0, None);
    for (place, ((_, bytes), calls)) in PAYLOADS.into_iter().zip(effort.calls).enumerate() {
        if calls == 0 {
            round_trips.push(None);
            continue;
        }
        let took = session.sequential(bytes, calls / 10 + 1, calls)?;
        round_trips.push(Some(RoundTrip {
            p50: quantile(&took, 0.5),
            p99: quantile(&took, 0.99),
        }));
        if place == 0 {
            per_second = session.pipelined(bytes, WINDOW, effort.pipelined)?;
            // Beside a second server, as in an IDE: the program's code is one copy for all gates, and counts for none of them alone.
            let neighbour = Session::open(target)?;
            small = private_bytes(session.process()).ok();
            neighbour.close()?;
        }
    }
    let neighbour = Session::open(target)?;
    let large = private_bytes(session.process()).ok();
    neighbour.close()?;
    session.close()?;
    Ok(Numbers {
        start,
        round_trips,
        per_second,
        private_bytes: small,
        private_bytes_after_large: large,
    })
}

/// Each number at its better: noise only ever adds.
fn best_of(one: &Numbers, other: &Numbers) -> Numbers {
    let round_trips = one.round_trips.iter().zip(&other.round_trips);
    Numbers {
        start: one.start.min(other.start),
        round_trips: round_trips
            .map(|(one, other)| {
                one.zip(*other).map(|(a, b)| RoundTrip {
                    p50: a.p50.min(b.p50),
                    p99: a.p99.min(b.p99),
                })
            })
            .collect(),
        per_second: one.per_second.max(other.per_second),
        private_bytes: one.private_bytes.min(other.private_bytes),
        private_bytes_after_large: one.private_bytes_after_large.min(other.private_bytes_after_large),
    }
}

/// The value that a share of `share` does not exceed; `sorted` is in order.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let place = (sorted.len() as f64 * share).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the length"
    )]
    let index = (place as usize).saturating_sub(1);
    sorted.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::quantile;

    #[test]
    fn quantiles_are_values_of_the_sample() {
        let sample: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        assert_eq!(quantile(&sample, 0.5), Duration::from_micros(50));
        assert_eq!(quantile(&sample, 0.99), Duration::from_micros(99));
        assert_eq!(quantile(&sample, 1.0), Duration::from_micros(100));
        assert_eq!(quantile(&sample[..1], 0.5), Duration::from_micros(1));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
