//! Measures what a compartment adds to the start of a program: `start_speed [ROUNDS] [--gate COFFERDAM]`. Bare, here,
//! and in what else is installed, taken in turn so that the machine treats them alike.

mod others;

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam_sandbox::{Plan, Prepared, launch, run_if_launcher};

const PROGRAM: &str = "/usr/bin/true";
const ROUNDS: usize = 200;
/// What a gate does between preparing a compartment and having its record open takes about as long.
const MEANWHILE: Duration = Duration::from_millis(3);
/// Only every so many rounds what takes a hundred times as long is started.
const SLOW_EVERY: usize = 20;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Starts of one kind.
struct Row {
    name: String,
    times: Vec<Duration>,
}

impl Row {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            times: Vec::new(),
        }
    }
}

fn main() -> ExitCode {
    if let Some(code) = run_if_launcher() {
        return code;
    }
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unseen = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome<()> {
    let (mut rounds, mut gate) = (ROUNDS, None);
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--gate" => gate = words.next(),
            number => rounds = number.parse()?,
        }
    }
    let mut bare = Row::new("bare, to its end");
    let mut cold = [
        Row::new("compartment, to the program"),
        Row::new("compartment, to its end"),
    ];
    let mut prepared = [
        Row::new("prepared compartment, to the program"),
        Row::new("prepared compartment, to its end"),
    ];
    let mut others = others::look(PROGRAM, gate.as_deref())?;
    for round in 0..rounds {
        bare.times.push(of_command(&mut Command::new(PROGRAM))?);
        launched(&mut cold, false)?;
        launched(&mut prepared, true)?;
        for other in others
            .present
            .iter_mut()
            .filter(|other| !other.is_slow || round % SLOW_EVERY == 0)
        {
            let taken = of_command(&mut other.command())?;
            other.row.times.push(taken);
        }
    }
    let rows = others.present.iter_mut().map(|other| &mut other.row);
    let own = [&mut bare].into_iter().chain(&mut cold).chain(&mut prepared);
    report(rounds, own.chain(rows), &others.absent)
}

/// Starts a compartment, and notes when its program runs and when all of it has ended.
fn launched([to_program, to_end]: &mut [Row; 2], is_prepared: bool) -> Outcome<()> {
    let mut plan = Plan::sealed(PROGRAM);
    plan.require.clear();
    let prepared = is_prepared.then(|| Prepared::new(&plan)).transpose()?;
    if is_prepared {
        thread::sleep(MEANWHILE);
    }
    let start = Instant::now();
    let compartment = match prepared {
        Some(prepared) => prepared.launch(&plan, None)?,
        None => launch(&plan)?,
    };
    to_program.times.push(start.elapsed());
    compartment.wait();
    drop(compartment);
    to_end.times.push(start.elapsed());
    Ok(())
}

fn report<'r>(rounds: usize, rows: impl Iterator<Item = &'r mut Row>, absent: &[String]) -> Outcome<()> {
    let mut out = io::stdout();
    writeln!(out, "start of {PROGRAM}, {rounds} rounds, milliseconds")?;
    writeln!(out, "{:>40} {:>9} {:>7} {:>7}", "", "median", "p10", "min")?;
    for row in rows {
        row.times.sort_unstable();
        let at = |share: usize| row.times.get(row.times.len() * share / 100).map_or(0.0, milliseconds);
        writeln!(out, "{:>40} {:9.2} {:7.2} {:7.2}", row.name, at(50), at(10), at(0))?;
    }
    for why in absent {
        writeln!(out, "not measured: {why}")?;
    }
    Ok(())
}

fn of_command(command: &mut Command) -> io::Result<Duration> {
    let start = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(start.elapsed())
    } else {
        Err(io::Error::other(format!("{command:?} ended with {status}")))
    }
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
