//! What a manifest asks for that this version does not enforce yet, so that `run` refuses instead of ignoring it.

use crate::manifest::Manifest;

/// A part of a manifest this version understands but does not enforce.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYet {
    /// The key, such as `network.allow`.
    pub section: String,
    /// What is missing, for people.
    pub why: &'static str,
}

impl Manifest {
    /// Everything in this manifest that this version does not enforce; empty means all of it is.
    #[must_use]
    pub fn not_yet(&self) -> Vec<NotYet> {
        let mut list = Vec::new();
        let mut add = |missing: bool, section: &str, why| {
            if missing {
                list.push(NotYet {
                    section: section.to_owned(),
                    why,
                });
            }
        };
        add(
            self.secrets.values().any(|secret| !secret.is_environment()),
            "secrets",
            "secrets are delivered from the client's environment as variables only so far",
        );
        list
    }
}
