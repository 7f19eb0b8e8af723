//! Appends a record, hands the value back, and proves afterwards that nothing was changed.
//!
//! [`Log::append_one`] takes a value, writes its entry, and gives the value back as
//! [`Recorded`]: the only way to obtain one, so a function that takes a `Recorded<T>` can
//! only be called with something that is in the record. When an entry cannot be written the
//! value comes back as [`Unrecorded`], with which nothing passes.
//!
//! One segment file per session, one writer each, hash-chained. `docs/audit-format.md`
//! specifies the bytes; [`verify()`] checks them from that document alone, and [`Store`] finds
//! sessions and records.
//!
//! This crate knows nothing about the messages it records: facts are JSON text its caller
//! wrote, payloads are bytes as they were received.
#![forbid(unsafe_code)]

mod chain;
mod clock;
mod error;
#[cfg(test)]
mod failing;
#[cfg(test)]
mod faults;
mod file;
mod folder;
mod follow;
mod group;
mod header;
mod kind;
mod log;
mod opening;
mod packed;
mod quota;
mod reader;
mod record;
mod repeat;
mod seal;
mod segment;
mod session;
mod skim;
mod source;
mod store;
mod succession;
#[cfg(test)]
mod succession_tests;
mod sync;
mod tail;
#[cfg(test)]
mod vector;
mod veil;
mod verify;

pub use chain::{Digest, Head};
pub use clock::{Clock, SystemClock};
pub use error::AuditError;
pub use follow::Follow;
pub use group::{Entry, Group, Recorded, Unrecorded};
pub use header::{HEADER_BYTES_MAX, Header};
pub use kind::Kind;
pub use log::{CLOSE_FACTS_BYTES_MAX, Durability, Heads, Log, Options};
pub use opening::Opening;
pub use packed::{PackedSegment, pack, remove_segment};
pub use quota::{Pressure, Quota};
pub use reader::{Payloads, Position, Reader};
pub use record::{FACTS_BYTES_MAX, PAYLOAD_BYTES_MAX, Record, Repeats};
pub use repeat::Reference;
pub use seal::{Seal, Sealing, Wrapped};
pub use session::{Lost, Session, SessionState, SessionVerdict, SessionVerified, verify_session};
pub use skim::{Skim, Skimmed};
pub use source::Source;
pub use store::{Found, Located, Store};
pub use succession::Rotation;
pub use veil::Veiling;
pub use verify::{Broken, Ended, Fault, Verdict, Verified, verify};
