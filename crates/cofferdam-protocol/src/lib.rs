//! Decodes a line into a JSON-RPC/MCP message and hands the same bytes back; knows which messages a session admits.
//!
//! Pure: bytes, values and a number for the time go in, values come out. No input or output, no clock, no threads, no panics.
//!
//! 1. [`LineBuffer`] cuts a byte stream into [`Frame`]s, without holding a line over the limit.
//! 2. [`decode()`] turns one line into a [`Message`] (or a [`Batch`]), or says with a [`Reason`] why it is none.
//! 3. [`Session::admit`] judges a message by its era, the one table [`METHODS`], its direction and its id.
//!
//! What holds, and tests check:
//!
//! - Bytes in are bytes out: accepted or refused, a line comes back exactly as received, and nothing is ever re-serialised.
//! - One reading: an accepted line means the same to every JSON parser we know. No duplicate key at any depth, however it is
//!   spelled; no half surrogate pairs, NUL, byte order mark or line break in the middle; no number that becomes infinite; nothing
//!   behind the message; no key that a case-folding parser takes for another where the protocol reads it.
//! - Fail closed: what is not known to be admissible is refused, with a named reason.
//! - Bounded: lines by the caller's limit, nesting by [`DEPTH_MAX`], ids by [`ID_BYTES_MAX`], batches by [`BATCH_MESSAGES_MAX`],
//!   open requests by [`SessionLimits`] and [`SERVER_IN_FLIGHT_MAX`], the memory of answered ones by [`SETTLED_MAX`]. Time is linear
//!   in the bytes, whatever they are.
//! - One answer for each request, to the side that asked, and none without a request.
//! - Unknown members are legal and pass.
#![forbid(unsafe_code)]

mod decode;
mod fault;
mod id;
mod keys;
mod landmarks;
mod line;
mod message;
mod method;
mod pending;
mod reason;
mod revision;
mod salvage;
mod sender;
mod session;
mod strict;
mod structure;
mod value;

pub use decode::{BATCH_MESSAGES_MAX, Batch, Decoded, Undecodable, decode};
pub use id::{ID_BYTES_MAX, Id};
pub use line::{CHUNK_BYTES, Frame, LineBuffer};
pub use message::{Message, MessageKind};
pub use method::{METHODS, MethodKind, MethodRow};
pub use pending::{Pending, SETTLED_MAX};
pub use reason::Reason;
pub use revision::{Era, Revision, UnknownRevision};
pub use sender::Sender;
pub use session::{Admitted, Inadmissible, SERVER_IN_FLIGHT_MAX, Session, SessionLimits, TOOL_NAME_BYTES_MAX};
pub use strict::DEPTH_MAX;
pub use value::{NotThisShape, elements, fold, members};
