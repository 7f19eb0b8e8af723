//! Payloads that the gate itself cannot read back: sealed with a data key of each segment, which is
//! wrapped to recipients. The caller brings the cryptography; the format says which it is.

use std::fmt::Debug;

/// Bytes that sealing adds to a payload: its authentication tag.
pub(crate) const SEAL_BYTES: usize = 16;
/// The payload encoding of a sealed payload.
pub(crate) const SEALED: u8 = 4;

/// Makes a data key for each segment.
pub trait Sealing: Debug + Send + Sync {
    /// A new data key, and the same wrapped to the recipients.
    ///
    /// # Errors
    /// Why there is none, in words.
    fn begin(&self) -> Result<Box<dyn Seal>, String>;
}

/// The data key of one segment. Gone with it.
pub trait Seal: Debug + Send {
    /// What the segment's header says: for whom, and the wrapped key.
    fn wrapped(&self) -> Wrapped;

    /// Appends the sealed payload, which is exactly 16 bytes longer, and says whether it could.
    /// `seq` makes the nonce: it is never used twice with one key. `front` is bound to it.
    fn seal(&self, seq: u64, front: &[u8], payload: &[u8], sealed: &mut Vec<u8>) -> bool;
}

/// How the payloads of a segment can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// The recipients, one a line: age public keys.
    pub recipients: String,
    /// The 32 bytes of the data key as an age file for these recipients.
    pub key: Vec<u8>,
}
