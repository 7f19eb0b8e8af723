//! Segments on a real filesystem: created, found, tampered with, killed while written.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;
mod create;
mod kill;
mod packed;
mod python;
mod references;
mod repeats;
mod store;
mod tamper;
