//! The proof types at work: the right order compiles, every other order does not.
//!
//! Decided, recorded, forwarded:
//! ```
//! use cofferdam::proof::{Outlet, Permitted, Recorded};
//! fn forward(outlet: &Outlet, recorded: Recorded<Permitted>) {
//!     drop(outlet.forward(&[recorded], 0));
//! }
//! ```
//! Permitted and not recorded:
//! ```compile_fail,E0308
//! use cofferdam::proof::{Outlet, Permitted, Recorded};
//! fn forward(outlet: &Outlet, recorded: Permitted) {
//!     drop(outlet.forward(&[recorded], 0));
//! }
//! ```
//! Recorded and not decided:
//! ```compile_fail,E0277
//! use cofferdam::proof::{Outlet, Message, Recorded};
//! fn forward(outlet: &Outlet, recorded: Recorded<Message>) {
//!     drop(outlet.forward(&[recorded], 0));
//! }
//! ```
//! A denial is recorded too, and does not pass:
//! ```compile_fail,E0277
//! use cofferdam::proof::{Outlet, Denied, Recorded};
//! fn forward(outlet: &Outlet, recorded: Recorded<Denied>) {
//!     drop(outlet.forward(&[recorded], 0));
//! }
//! ```
//! Bytes that nobody judged:
//! ```compile_fail,E0277
//! use cofferdam::proof::{Outlet, Recorded};
//! fn forward(outlet: &Outlet, recorded: Recorded<Vec<u8>>) {
//!     drop(outlet.forward(&[recorded], 0));
//! }
//! ```
//! A permit of one's own making:
//! ```compile_fail,E0451
//! use cofferdam::proof::Permitted;
//! let forged = Permitted { received: b"{}".to_vec(), sent: None, facts: String::new() };
//! ```
//! A type of one's own that claims to be passable:
//! ```compile_fail,E0277
//! struct Smuggled;
//! impl cofferdam::proof::Passable for Smuggled {
//!     fn line(&self) -> &[u8] {
//!         b"{}"
//!     }
//! }
//! ```
//! One message recorded and another one sent in its place (the record's own proofs stand in `cofferdam_audit`):
//! ```compile_fail,E0599
//! use cofferdam::proof::{Permitted, Recorded};
//! fn swap(recorded: Recorded<Permitted>, other: Permitted) -> Recorded<Permitted> {
//!     recorded.map(|_recorded| other)
//! }
//! ```

pub use cofferdam_audit::Recorded;
pub use cofferdam_policy::{Denied, Permitted};
pub use cofferdam_protocol::Message;

pub use crate::gate::{Outlet, Passable};
