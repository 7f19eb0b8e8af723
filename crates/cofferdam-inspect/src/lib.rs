//! Names what is suspicious in one message ([`Finding`]), and says what must not leave ([`Redaction`]).
//!
//! Invariants:
//! - Pure: no files, no clock, no network, no async runtime; a message and a schema go in, values come out.
//! - Nothing here decides. A finding is an observation with a severity; `cofferdam-policy` turns observations into a decision.
//! - Evidence is shown safely: bounded in length, control and invisible characters escaped, secret values never quoted.
#![forbid(unsafe_code)]

mod answer;
mod argument;
mod definition;
mod finding;
mod flow;
mod guard;
mod intent;
mod lexicon;
mod listing;
mod redaction;
mod reference;
mod role;
mod rule;
mod sarif;
mod secret;
mod shadow;
mod suppression;
mod text;

pub use answer::{OutputSchema, Release, inspect_answer, inspect_elicitation, redact_secrets};
pub use argument::{ArgumentSchema, SchemaUnusable};
pub use definition::inspect_definition;
pub use finding::{Confidence, Finding, Severity, is_invisible, show_safely};
pub use flow::{Brought, Flow, Labels, Reach, Shared};
pub use guard::{ArgumentFacts, Facts, FactsUnknown, Guard, Links, NoLinks};
pub use intent::unreadable_line;
pub use listing::{ListUnreadable, ListedTool, hide_tools, listed_tools};
pub use redaction::Redaction;
pub use role::infer_role;
pub use rule::{Rule, rules};
pub use sarif::{Located, sarif};
pub use secret::{SecretValues, token_kind};
pub use shadow::look_alikes;
pub use suppression::{SUPPRESSION_DAYS_MAX, suppress, suppression_fault};
