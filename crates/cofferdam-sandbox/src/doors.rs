//! The sockets by which a compartment reaches the network: opened inside, held outside.

use std::os::fd::OwnedFd;

/// The port on which names are asked for, by datagram and by stream (RFC 1035 section 4.2).
pub const NAMES_PORT: u16 = 53;
/// Most ports that can be opened: their sockets travel beside one message.
pub const PORTS_MAX: usize = 128;

/// Sockets in the network namespace of a compartment, non-blocking. Every address is local there, so what
/// the program connects to, whatever its address, is accepted here, and `getsockname` of an accepted
/// connection says where the program wanted to go. Nothing else answers inside: whoever holds these decides
/// alone what becomes of a connection.
///
/// They are bound to every address of both protocols; an IPv4 address appears mapped into IPv6 where the
/// kernel has both.
#[derive(Debug)]
pub struct Doors {
    /// Accept connections: one for each port of [`crate::Plan::ports`], in that order.
    pub listeners: Vec<OwnedFd>,
    /// Receives and answers questions for names.
    pub name_datagrams: OwnedFd,
    /// Accepts connections that ask for names.
    pub name_streams: OwnedFd,
}
