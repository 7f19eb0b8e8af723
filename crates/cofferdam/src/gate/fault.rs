//! What ends a session, or the server's process in it.

use cofferdam_audit::AuditError;
use cofferdam_protocol::Sender;

use super::outlet::OutletClosed;

/// What ends a session from inside.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The record refused for good: nothing may pass.
    Unrecorded(AuditError),
    /// The client does not read any more.
    ClientGone(OutletClosed),
    /// The server does not read any more.
    ServerGone(OutletClosed),
    /// The kernel gives no random bytes, so no unguessable id can be made.
    NoRandomness(getrandom::Error),
    /// A thread of the gate panicked: a fault of ours.
    Panicked,
}

/// What the threads tell the one that ends the session.
#[derive(Debug)]
pub(crate) enum Event {
    /// The client closed its end.
    ClientClosed,
    /// The server's process of this number closed its stdout.
    ServerClosed(u64),
    /// The server's process of this number does not read any more, and another could take its place.
    ServerDeaf(u64),
    /// We were asked to stop.
    Signal(i32),
    /// Nothing was said for longer than the manifest's `idle_minutes`.
    Idle,
    /// Something on the line failed.
    Fault(Fault),
}

impl Fault {
    /// `to` does not read any more.
    pub(super) fn gone(to: Sender, closed: OutletClosed) -> Self {
        match to {
            Sender::Client => Self::ClientGone(closed),
            Sender::Server => Self::ServerGone(closed),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unrecorded(error) => write!(f, "{error}"),
            Self::ClientGone(OutletClosed::Gone(cause)) => {
                write!(f, "the client does not read any more: {cause}")
            }
            Self::ServerGone(OutletClosed::Gone(cause)) => {
                write!(f, "the server does not read any more: {cause}")
            }
            Self::ClientGone(OutletClosed::Overflow) => f.write_str("the client makes us write more than it reads"),
            Self::ServerGone(OutletClosed::Overflow) => f.write_str("the server makes us write more than it reads"),
            Self::Panicked => f.write_str("a thread of the gate panicked"),
            Self::NoRandomness(error) => write!(f, "the kernel gives no random bytes: {error}"),
        }
    }
}
