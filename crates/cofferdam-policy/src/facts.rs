//! What Rust computes for policies: about one call, and about the compartment that the server runs in.

use cofferdam_inspect::{ArgumentFacts, FactsUnknown};

/// What is known about one call, or one connection, beside the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFacts {
    /// What the arguments would touch; why nobody can tell, where nobody can.
    pub arguments: Result<ArgumentFacts, FactsUnknown>,
    /// What was brought into the session before: `untrusted`, `private`.
    pub labels: Vec<&'static str>,
    /// What the tool brings, and whether it can send: `untrusted`, `private`, `sends`.
    pub tool_labels: Vec<&'static str>,
}

/// What was measured on the compartment that the server runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// Every feature that was found on it, by name.
    pub enforced: Vec<String>,
    /// How much of a compartment that makes.
    pub tier: Tier,
}

/// How much of a compartment the server runs in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tier {
    /// Everything was found that is required where nobody waives anything.
    Sealed,
    /// Something of it was not found.
    #[default]
    Waived,
    /// It has no namespaces: Landlock and the system-call filter alone stand around the server.
    Landlocked,
}

impl Measured {
    /// The tier, as policies see it.
    #[must_use]
    pub const fn tier(&self) -> &'static str {
        match self.tier {
            Tier::Sealed => "sealed",
            Tier::Waived => "waived",
            Tier::Landlocked => "landlocked",
        }
    }
}
