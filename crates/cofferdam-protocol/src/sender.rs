//! Who wrote a line.

/// The side that wrote a line or sends a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sender {
    /// The MCP client.
    Client,
    /// The MCP server.
    Server,
}

impl Sender {
    /// The side it writes to.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
