//! Cofferdam: each MCP server sealed in a compartment, one gate on its pipes.
//!
//! The library is the application's inside; its one public function is [`main`], and [`proof`] shows what its types make impossible.
#![forbid(unsafe_code)]

mod approvals;
mod cli;
mod client;
mod compartment;
mod contract;
mod demo;
mod disk;
mod egress;
mod failure;
mod gate;
mod home;
mod image;
mod install;
mod keys;
mod mend;
mod notification;
mod own_files;
mod policy;
pub mod proof;
mod proposal;
mod protect;
mod proven;
mod random;
mod refusals;
mod rules;
mod sealing;
mod session;
mod settings;
mod shipping;
mod unseen;
mod veil;
mod witness;

use std::process::ExitCode;

/// The whole program: the launcher of a compartment, or the command line.
///
/// To be called first thing in `main`, before any thread exists.
#[must_use]
pub fn main() -> ExitCode {
    match cofferdam_sandbox::run_if_launcher() {
        Some(exit) => exit,
        None => cli::main(),
    }
}
