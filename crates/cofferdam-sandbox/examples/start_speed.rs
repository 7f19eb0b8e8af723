//! Measures what a compartment adds to the start of a program: `start_speed [ROUNDS]`. Bare, here, and, where
//! it is installed, in `bwrap` with every namespace, taken in turn so that the machine treats them alike.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cofferdam_sandbox::{Plan, Prepared, launch, run_if_launcher};

const PROGRAM: &str = "/usr/bin/true";
const ROUNDS: usize = 200;
/// What a gate does between preparing a compartment and having its record open takes about as long.
const MEANWHILE: Duration = Duration::from_millis(3);
const BWRAP: &str = "--unshare-all --die-with-parent --new-session --clearenv --cap-drop ALL --ro-bind /usr /usr \
    --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp";

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

fn measure() -> Result<(), Box<dyn Error>> {
    let rounds = env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let has_bwrap = Path::new("/usr/bin/bwrap").exists();
    let (mut bare, mut launched, mut ended, mut bwrap) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut prepared_launched, mut prepared_ended) = (Vec::new(), Vec::new());
    let mut plan = Plan::sealed(PROGRAM);
    plan.require.clear();
    for _ in 0..rounds {
        bare.push(of_command(&mut Command::new(PROGRAM))?);
        let start = Instant::now();
        let compartment = launch(&plan)?;
        launched.push(start.elapsed());
        compartment.wait();
        drop(compartment);
        ended.push(start.elapsed());
        let prepared = Prepared::new(&plan.limits)?;
        thread::sleep(MEANWHILE);
        let start = Instant::now();
        let compartment = prepared.launch(&plan, None)?;
        prepared_launched.push(start.elapsed());
        compartment.wait();
        drop(compartment);
        prepared_ended.push(start.elapsed());
        if has_bwrap {
            let arguments = BWRAP.split_whitespace().chain([PROGRAM]);
            bwrap.push(of_command(Command::new("bwrap").args(arguments))?);
        }
    }
    let mut out = io::stdout();
    writeln!(out, "{rounds} rounds, milliseconds      median     p10     min")?;
    for (name, times) in [
        ("bare", &mut bare),
        ("launch", &mut launched),
        ("launch to end", &mut ended),
        ("launch, prepared", &mut prepared_launched),
        ("launch to end, prepared", &mut prepared_ended),
        ("bwrap", &mut bwrap),
    ] {
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, milliseconds);
        writeln!(out, "{name:>28} {:11.2} {:7.2} {:7.2}", at(50), at(10), at(0))?;
    }
    Ok(())
}

fn of_command(command: &mut Command) -> io::Result<Duration> {
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    Ok(start.elapsed())
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
