//! The project's own tasks: `cargo xtask TASK`.
#![forbid(unsafe_code)]

mod bench;
mod command;
mod compat;
mod dependencies;
mod detect;
mod docs;
mod evidence;
mod fuzz;
mod kills;
mod servers;
mod steps;
mod tools;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Result;

use crate::workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask TASK

  test [--only STEP]… [--skip STEP]… [--list]   everything that must hold before a change lands
  bench [--quick] [--skip-peers] [--json FILE] [--without-gate] [--only-launchers|--only-record]
                                                speed and memory beside a bare server and other gateways, in release
                                                builds
  compat [--only NAME]… [--protected] [--format text|json] [--keep]
                                                25 servers from the registries, bare and gated, and the pass rate;
                                                the popular ones also after `protect --yes`
  detect [--wrong]                              attacks found and honest tools flagged, per source
  kills [--rounds N]                            kill -9 of the gate, its server, the shipper and whom it ships to, under load,
                                                a thousand rounds each unless told
  fuzz [TARGET]… [--seconds N]                  fuzz targets, 60 seconds each unless told
  docs [--check]                                write the generated documents, or say which are out of date
  servers                                       install the real servers and clients that the tests drive

The target folder is cargo's own (CARGO_TARGET_DIR is respected).
";

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
    let Some((task, rest)) = arguments.split_first() else {
        anyhow::bail!("no task\n\n{USAGE}");
    };
    match task.as_str() {
        "test" => steps::run(&Workspace::find()?, rest),
        "bench" => bench::run(&Workspace::find()?, rest),
        "compat" => compat::run(&Workspace::find()?, rest),
        "detect" => detect::run(&Workspace::find()?, rest),
        "fuzz" => fuzz::run(&Workspace::find()?, rest),
        "docs" => docs::run(&Workspace::find()?, rest),
        "kills" => kills::run(&Workspace::find()?, rest),
        "servers" => servers::install(&Workspace::find()?),
        "help" | "--help" | "-h" => Ok(std::io::stdout().write_all(USAGE.as_bytes())?),
        other => anyhow::bail!("there is no task `{other}`\n\n{USAGE}"),
    }
}
