//! Starts what a plan says and stands in for it: `drive PLAN.json [ENFORCED.json]`. Its stdin, stdout and
//! stderr are the program's, its exit code is the program's (128 and the signal for an end by signal, 125
//! for a refused start). The tests drive compartments with it, as root and as an ordinary user.

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use cofferdam_sandbox::{Compartment, Ended, Observer, Plan, launch, launch_observed, run_if_launcher};

const REFUSED: u8 = 125;

fn main() -> ExitCode {
    if let Some(code) = run_if_launcher() {
        return code;
    }
    match drive() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _unseen = writeln!(io::stderr(), "{error}");
            ExitCode::from(REFUSED)
        }
    }
}

fn drive() -> Result<u8, Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let plan: Plan = serde_json::from_slice(&fs::read(arguments.next().ok_or("no plan")?)?)?;
    if let Ok(count) = env::var("DRIVE_AT_ONCE") {
        return many_at_once(&plan, count.parse()?);
    }
    let mut compartment = match env::var_os("DRIVE_OBSERVED") {
        Some(path) => launch_observed(&plan, into_file(File::create(path)?))?,
        None => launch(&plan)?,
    };
    if env::var_os("DRIVE_HANDLE").is_some() {
        return handle(&mut compartment);
    }
    if let Some(path) = arguments.next() {
        fs::write(path, serde_json::to_vec_pretty(compartment.enforced())?)?;
    }
    let pump = |from: Option<File>, mut to: Box<dyn io::Write + Send>| {
        thread::spawn(move || {
            let mut from = from;
            from.as_mut()
                .map(|from| io::copy(from, &mut to).and_then(|_| to.flush()))
        })
    };
    if let Some(mut stdin) = compartment.stdin.take() {
        // Ends with this process when the program never reads.
        thread::spawn(move || io::copy(&mut io::stdin(), &mut stdin));
    }
    let pumps = [
        pump(compartment.stdout.take(), Box::new(io::stdout())),
        pump(compartment.stderr.take(), Box::new(io::stderr())),
    ];
    let ended = compartment.wait();
    for pump in pumps {
        // What could not be written is missed by the reader.
        let _unwritten = pump.join();
    }
    if compartment.ran_out_of_memory() {
        writeln!(io::stderr(), "ran out of memory")?;
    }
    Ok(match ended {
        Ended::Exited(code) => u8::try_from(code)?,
        Ended::Signaled(signal) => 128 + u8::try_from(signal)?,
        Ended::Killed => 137,
    })
}

/// Writes each observation as a line of JSON.
fn into_file(mut file: File) -> Observer {
    Box::new(move |observation| {
        let line = serde_json::to_string(&observation).unwrap_or_default();
        // What is missing there fails the test that reads it.
        let _unwritten = writeln!(file, "{line}");
    })
}

/// Starts so many of a plan from as many threads, holds them all, and ends them.
fn many_at_once(plan: &Plan, count: usize) -> Result<u8, Box<dyn Error>> {
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let plan = plan.clone();
            thread::spawn(move || launch(&plan))
        })
        .collect();
    let mut started = Vec::new();
    for thread in threads {
        started.push(thread.join().map_err(|_panic| "a thread ended early")??);
    }
    let mut well = 0;
    for mut compartment in started {
        drop(compartment.stdin.take());
        well += usize::from(compartment.wait() == Ended::Exited(0));
    }
    writeln!(io::stdout(), "{well} ended well")?;
    Ok(u8::from(well != count))
}

/// Asks a program that ignores it to end, ends it, and awaits that from several threads at once.
fn handle(compartment: &mut Compartment) -> Result<u8, Box<dyn Error>> {
    let mut first_word = [0];
    let mut stdout = compartment.stdout.take().ok_or("no stdout")?;
    stdout.read_exact(&mut first_word)?;
    compartment.terminate();
    let is_alive = compartment.wait_timeout(Duration::from_millis(100)).is_none();
    let compartment = &*compartment;
    let ends: Vec<_> = thread::scope(|scope| {
        let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| compartment.wait())).collect();
        compartment.kill();
        waiters.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let alike = ends.iter().filter(|end| matches!(end, Ok(Ended::Killed))).count();
    let word = if is_alive { "alive" } else { "ended" };
    writeln!(io::stdout(), "{word} after SIGTERM, then Killed for {alike} waiters")?;
    Ok(0)
}
