//! Decides about one message: allow, ask or deny. Fails closed.
//!
//! Invariants:
//! - [`Permitted`] can be made only here, for both directions, and owns the message: nobody can permit one message and send another.
//! - Pure: no files, no clock, no async runtime. What is known about the world comes in as a [`Context`].
//! - What no rule allows is denied; a finding of severity high or above denies.
//!
//! Organisation, user and project policies in Cedar are not here yet: today the manifest and the findings decide.
#![forbid(unsafe_code)]

mod basis;
mod context;
mod decision;
mod engine;
mod level;
mod rule;

pub use basis::{Basis, shortened};
pub use context::{Context, Standing};
pub use decision::{Decision, Denied, Permitted, Unapproved, batch_facts, decide, decide_batch};
pub use engine::{
    Asked, DEFAULT_POLICIES, Explained, Layer, LayerSays, Moment, POLICY_FILE_BYTES_MAX, Policies, PolicyError,
    PolicyFile, Ruling, ServerFacts, ToolFacts, World,
};
pub use level::Level;
pub use rule::{POLICY_RULES, PolicyRule};
