//! The `cofferdam` binary.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    cofferdam::main()
}
