//! The bench rig: what `cargo xtask bench` runs in a release build. It is the server, the two baselines and the client.
//!
//! `measure` compares the subjects in one run; `echo`, `byte-pump`, `thread-pump` and `spin` are the parts it starts. `egress` measures
//! connections, and starts `meter`.
#![forbid(unsafe_code)]

mod echo;
mod egress;
mod gate;
mod load;
mod measure;
mod memory;
mod peers;
mod pump;
mod report;
mod spin;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match perform(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr leaves nobody to tell; the exit code still does.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(arguments: &[String]) -> Result<()> {
    let Some((part, rest)) = arguments.split_first() else {
        bail!("this program belongs to `cargo xtask bench`");
    };
    match part.as_str() {
        "echo" => echo::serve(),
        "byte-pump" => pump::pump(rest, pump::Unit::Bytes),
        "thread-pump" => pump::pump(rest, pump::Unit::Messages),
        "spin" => spin::spin(rest),
        "measure" => measure::run(rest),
        "meter" => egress::serve(),
        "egress" => egress::run(rest),
        other => bail!("there is no part `{other}`"),
    }
}
