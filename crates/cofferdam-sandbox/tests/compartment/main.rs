//! Compartments from outside: what a program inside sees and can do, how it ends, and which runtimes work.
//! Everything runs as root and as an ordinary user; probes run inside compartments only.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;
mod browser;
mod confined;
mod doors;
mod escapes;
mod files;
mod landlocked;
mod lifetime;
mod masks;
mod network;
mod observed;
mod prepared;
mod private;
mod programs;
mod runtimes;
