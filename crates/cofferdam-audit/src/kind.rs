//! What a record is about: one byte each, stable for ever.

use std::fmt;

/// What one record is about. The code of a kind never changes and is never used again; a
/// reader meets codes of later versions as [`Kind::Other`] and can still verify them.
///
/// `docs/audit-format.md` section 5 is the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The session began. Always the first record of a session; only the log writes it.
    Open,
    /// The session ended in order, with its cause. Nothing follows; only the log writes it.
    Close,
    /// The session goes on in the next segment. Nothing follows in this one; only the log writes
    /// it.
    Continued,
    /// The session goes on after a failure of the disk, in this segment. What the one before
    /// it held last may be lost; only the log writes it.
    Resumed,
    /// A line as received from the client.
    ClientLine,
    /// A line as received on the server's stdout.
    ServerLine,
    /// Bytes as received on the server's stderr.
    ServerStderr,
    /// A line the gate sent to the client that is not, byte for byte, one it received.
    GateToClient,
    /// A line the gate sent to the server that is not, byte for byte, one it received.
    GateToServer,
    /// A part of something longer than one record holds.
    Fragment,
    /// A decision about an earlier record.
    Decision,
    /// An answer of a person, or of who stands in for one, to a question of the gate.
    Approval,
    /// A secret was leased, renewed or revoked.
    Lease,
    /// The server connected somewhere, or tried to.
    Connection,
    /// A system call of the server that was denied or is worth a record.
    SystemCall,
    /// What the compartment enforced, as measured.
    Enforcement,
    /// A process started, ended or was ended.
    Lifecycle,
    /// Anything else the gate has to say.
    Notice,
    /// A code this version does not name. It can be read, never written.
    Other(u8),
}

/// Every kind that has a name, with its code and the name people see.
const KINDS: [(Kind, u8, &str); 18] = [
    (Kind::Open, 1, "open"),
    (Kind::Close, 2, "close"),
    (Kind::Continued, 3, "continued"),
    (Kind::Resumed, 6, "resumed"),
    (Kind::ClientLine, 16, "client-line"),
    (Kind::ServerLine, 17, "server-line"),
    (Kind::ServerStderr, 18, "server-stderr"),
    (Kind::GateToClient, 19, "gate-to-client"),
    (Kind::GateToServer, 20, "gate-to-server"),
    (Kind::Fragment, 21, "fragment"),
    (Kind::Decision, 32, "decision"),
    (Kind::Approval, 33, "approval"),
    (Kind::Lease, 34, "lease"),
    (Kind::Connection, 35, "connection"),
    (Kind::SystemCall, 36, "system-call"),
    (Kind::Enforcement, 37, "enforcement"),
    (Kind::Lifecycle, 48, "lifecycle"),
    (Kind::Notice, 49, "notice"),
];

impl Kind {
    /// The byte that stands in the file.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Close => 2,
            Self::Continued => 3,
            Self::Resumed => 6,
            Self::ClientLine => 16,
            Self::ServerLine => 17,
            Self::ServerStderr => 18,
            Self::GateToClient => 19,
            Self::GateToServer => 20,
            Self::Fragment => 21,
            Self::Decision => 32,
            Self::Approval => 33,
            Self::Lease => 34,
            Self::Connection => 35,
            Self::SystemCall => 36,
            Self::Enforcement => 37,
            Self::Lifecycle => 48,
            Self::Notice => 49,
            Self::Other(code) => code,
        }
    }

    /// The kind with this code; [`Kind::Other`] for one that has no name here.
    #[must_use]
    pub fn from_code(code: u8) -> Self {
        KINDS
            .iter()
            .find(|(_, known, _)| *known == code)
            .map_or(Self::Other(code), |(kind, _, _)| *kind)
    }

    /// Whether the server causes records of this kind, so that its quota may refuse them.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        matches!(
            self,
            Self::ServerLine | Self::ServerStderr | Self::Fragment | Self::Connection | Self::SystemCall
        )
    }

    /// Whether a caller of the log may write it: the log itself writes what begins and ends.
    pub(crate) const fn is_callers(self) -> bool {
        !matches!(
            self,
            Self::Open | Self::Close | Self::Continued | Self::Resumed | Self::Other(_)
        )
    }

    /// Whether nothing may follow in the same segment.
    pub(crate) const fn ends_segment(self) -> bool {
        matches!(self, Self::Close | Self::Continued)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match KINDS.iter().find(|(kind, _, _)| kind == self) {
            Some((_, _, name)) => f.write_str(name),
            None => write!(f, "kind-{}", self.code()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_names_are_what_the_table_says() {
        for (kind, code, name) in KINDS {
            assert_eq!(kind.code(), code);
            assert_eq!(Kind::from_code(code), kind);
            assert_eq!(kind.to_string(), name);
        }
        assert_eq!(Kind::from_code(200), Kind::Other(200));
        assert_eq!(Kind::Other(200).code(), 200);
        assert_eq!(Kind::Other(200).to_string(), "kind-200");
    }

    #[test]
    fn the_document_lists_every_kind_with_its_code() {
        let document = include_str!("../../../docs/audit-format.md");
        for (_, code, name) in KINDS {
            let row = format!("| {code} | `{name}` |");
            assert!(document.contains(&row), "no row `{row}` in docs/audit-format.md");
        }
    }
}
