//! Decides about one message: allow, ask or deny. Fails closed.
//!
//! Invariants:
//! - [`Permitted`] can be made only here, for both directions, and owns the message: nobody can permit one message and send another.
//! - Pure: no files, no clock, no async runtime. What is known about the world comes in as a [`Context`].
//! - What no rule allows is denied; a finding of severity high or above denies.
//! - The manifest, the findings and the policies of every layer must all let it pass; what asks for consent waits in an [`Unapproved`].
#![forbid(unsafe_code)]

mod asked;
mod basis;
mod context;
mod decision;
mod engine;
mod facts;
mod level;
mod rule;
mod unapproved;

pub use basis::{Basis, ConsentFact, shortened};
pub use context::{Context, Standing};
pub use decision::{
    Decision, Denied, Permitted, batch_facts, decide, decide_batch, denied_by_gate, ruled, ruled_alone,
};
pub use engine::{
    Asked, DEFAULT_POLICIES, Explained, Grant, GrantCall, GrantPattern, GrantTerms, InTheWay, Layer, LayerSays, Moment,
    Obstacle, POLICY_FILE_BYTES_MAX, Policies, PolicyError, PolicyFile, Rates, Ruling, Seen, ServerFacts, ToolFacts,
    Touched, Unmet, World, common_folders, policy_ids,
};
pub use facts::{CallFacts, Measured, Tier};
pub use level::Level;
pub use rule::{
    CONSENT_DENIED, CONSENT_EXPIRED, CONSENT_FORGED, CONSENT_LOCKED, CONSENT_PENDING, CONSENT_UNREACHABLE,
    POLICY_RULES, PolicyRule,
};
pub use unapproved::Unapproved;
