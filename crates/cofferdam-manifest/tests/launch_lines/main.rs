//! Launch lines on real layouts: which program is meant, what it consists of, and what is refused.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod granted;
mod machine;
mod python;
mod refused;
