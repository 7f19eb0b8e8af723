//! Cedar behind one function: [`Policies::rule`] says at which level of the ladder a request is permitted.
//!
//! Invariants:
//! - Every layer must allow, so a lower one can only narrow.
//! - Policies are validated strictly against a schema made of the pinned tools before any request is decided; what does not validate does
//!   not load.
//! - An evaluation error denies. (Cedar alone would skip the policy, and a skipped `forbid` lets through.)
//! - What a decision needs not look up per call is decided at load: policies that read nothing of a single call are evaluated once for each
//!   tool and level, and the others are evaluated only where they can apply.

mod error;
mod explain;
mod grant;
mod input;
mod moment;
mod policies;
mod reads;
mod schema;
mod slice;
mod source;
mod unmet;
mod world;

pub use error::PolicyError;
pub use explain::{Explained, InTheWay, LayerSays, Obstacle};
pub use grant::{Grant, GrantCall, GrantPattern, GrantTerms, Seen, Touched, common_folders};
pub use moment::{Moment, Rates};
pub use policies::{Asked, Policies, Ruling, policy_ids};
pub use source::{DEFAULT_POLICIES, Layer, POLICY_FILE_BYTES_MAX, PolicyFile};
pub use unmet::Unmet;
pub use world::{ServerFacts, ToolFacts, World};
