//! Why policies cannot be used. Nothing is decided by policies that have such an error: the gate does not start with them.

/// What is wrong with a set of policies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A policy is no Cedar.
    #[error("`{place}`: {cause}")]
    Syntax {
        /// `file:line`.
        place: String,
        /// Cedar's own words.
        cause: String,
    },
    /// A policy does not fit the schema made of the server's tools.
    #[error("`{place}`, for server `{server}`: {cause}")]
    Invalid {
        /// `file:line`.
        place: String,
        /// The server whose tools it does not fit.
        server: String,
        /// Cedar's own words.
        cause: String,
    },
    /// A policy cannot be evaluated.
    #[error("`{place}`, for server `{server}`: it cannot be evaluated: {cause}")]
    Unevaluable {
        /// `file:line`.
        place: String,
        /// The server.
        server: String,
        /// Cedar's own words.
        cause: String,
    },
    /// More than is read.
    #[error("`{place}`: {what}")]
    TooMuch {
        /// The file.
        place: String,
        /// What there is too much of.
        what: String,
    },
    /// The tools of a server give no schema.
    #[error("the tools of server `{server}` give no policy schema: {cause}")]
    NoSchema {
        /// The server.
        server: String,
        /// Cedar's own words.
        cause: String,
    },
}
