//! Cofferdam: each MCP server sealed in a compartment, one gate on its pipes.
#![forbid(unsafe_code)]

mod cli;
mod client;
mod compartment;
mod contract;
mod demo;
mod failure;
mod gate;
mod home;
mod random;
mod rules;
mod session;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else, before any thread: this process may be the launcher of a compartment.
    match cofferdam_sandbox::run_if_launcher() {
        Some(exit) => exit,
        None => cli::main(),
    }
}
