//! Payloads of the record sealed to age recipients, so that neither the gate nor this user's account can read them back.

use std::fmt;
use std::path::Path;
use std::str::FromStr as _;

use age::x25519::{Identity, Recipient};
use chacha20poly1305::aead::{AeadInPlace as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use cofferdam_audit::{Header, Record, Seal, Sealing, Wrapped};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::own_files::read_own_file;

const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// The longest file of identities that is read, in bytes.
const IDENTITIES_BYTES_MAX: usize = 64 * 1024;

/// Who can open payloads: age X25519 public keys.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Recipients(Vec<Recipient>);

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(ToString::to_string)).finish()
    }
}

impl Recipients {
    /// Reads `age1…` keys; `None` when there are none.
    ///
    /// # Errors
    /// One that is not in its form.
    pub(crate) fn parse(keys: &[String]) -> Result<Option<Self>, Failure> {
        let mut recipients = Vec::new();
        for key in keys {
            let recipient = Recipient::from_str(key.trim())
                .map_err(|cause| Failure::misconfigured(format!("`{key}` is not an age recipient: {cause}")))?;
            if !recipients.contains(&recipient) {
                recipients.push(recipient);
            }
        }
        Ok((!recipients.is_empty()).then_some(Self(recipients)))
    }
}

impl Sealing for Recipients {
    fn begin(&self) -> Result<Box<dyn Seal>, String> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(key.as_mut()).map_err(|error| format!("the kernel gives no random bytes: {error}"))?;
        let recipients = self.0.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(recipients).map_err(|error| error.to_string())?;
        let mut wrapped = Vec::new();
        let mut writer = encryptor.wrap_output(&mut wrapped).map_err(|error| error.to_string())?;
        std::io::Write::write_all(&mut writer, key.as_ref())
            .and_then(|()| writer.finish().map(drop))
            .map_err(|error| error.to_string())?;
        let names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        Ok(Box::new(DataKey {
            cipher: ChaCha20Poly1305::new(Key::from_slice(key.as_ref())),
            wrapped: Wrapped {
                recipients: names.join("\n"),
                key: wrapped,
            },
        }))
    }
}

/// The data key of one segment; the cipher wipes it when it goes.
struct DataKey {
    cipher: ChaCha20Poly1305,
    wrapped: Wrapped,
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").finish_non_exhaustive()
    }
}

impl Seal for DataKey {
    fn wrapped(&self) -> Wrapped {
        self.wrapped.clone()
    }

    fn seal(&self, seq: u64, front: &[u8], payload: &[u8], sealed: &mut Vec<u8>) -> bool {
        let begins = sealed.len();
        sealed.extend_from_slice(payload);
        let (_, bytes) = sealed.split_at_mut(begins);
        match self.cipher.encrypt_in_place_detached(&nonce(seq), front, bytes) {
            Ok(tag) => {
                sealed.extend_from_slice(&tag);
                true
            }
            Err(_) => {
                // Nothing of the payload may stay in the clear.
                sealed.truncate(begins);
                false
            }
        }
    }
}

/// Four zeros and the record's number: numbers are never used twice under one key.
fn nonce(seq: u64) -> Nonce {
    let mut nonce = Nonce::default();
    let (_, number) = nonce.split_at_mut(4);
    number.copy_from_slice(&seq.to_le_bytes());
    nonce
}

/// Keys that open payloads.
pub(crate) struct Identities(Vec<Identity>);

impl Identities {
    /// Reads `AGE-SECRET-KEY-1…` lines; `#` begins a comment.
    ///
    /// # Errors
    /// The file is not the user's alone, or a line is no identity.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = Zeroizing::new(read_own_file(path, IDENTITIES_BYTES_MAX)?);
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let identities: Result<Vec<Identity>, Failure> = lines
            .map(|line| {
                Identity::from_str(line).map_err(|cause| {
                    Failure::misconfigured(format!(
                        "a line of `{}` is not an age identity: {cause}",
                        path.display()
                    ))
                })
            })
            .collect();
        Ok(Self(identities?))
    }

    /// The data key of a segment.
    ///
    /// # Errors
    /// Why none of these opens it.
    pub(crate) fn open(&self, header: &Header) -> Result<Opener, Failure> {
        let refused = |why: String| Failure::misconfigured(format!("the payloads cannot be opened: {why}"));
        let Some(wrapped) = &header.sealed else {
            return Ok(Opener(None));
        };
        let decryptor = age::Decryptor::new(wrapped.key.as_slice()).map_err(|error| refused(error.to_string()))?;
        let identities = self.0.iter().map(|identity| identity as &dyn age::Identity);
        let mut reader = decryptor.decrypt(identities).map_err(|error| {
            refused(error.to_string()).help(format!("it is sealed to {}", wrapped.recipients.replace('\n', ", ")))
        })?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        std::io::Read::read_exact(&mut reader, key.as_mut()).map_err(|error| refused(error.to_string()))?;
        Ok(Opener(Some(ChaCha20Poly1305::new(Key::from_slice(key.as_ref())))))
    }
}

/// Opens the payloads of one segment.
pub(crate) struct Opener(Option<ChaCha20Poly1305>);

impl Opener {
    /// Puts the payload as it came in the place of the sealed one. The record must have been read whole.
    ///
    /// # Errors
    /// It is not what was sealed.
    pub(crate) fn open(&self, record: &mut Record) -> Result<(), Failure> {
        let (Some(cipher), true) = (&self.0, record.sealed) else {
            return Ok(());
        };
        let refused = || Failure::misconfigured(format!("the payload of record {} does not open", record.seq));
        let length = record.payload.len().checked_sub(TAG_BYTES).ok_or_else(refused)?;
        // A payload that is stored in an earlier record is bound to that one.
        let (seq, front) = match &record.repeats {
            Some(repeats) => (repeats.reference.seq, repeats.front.clone()),
            None => (record.seq, record.front()),
        };
        let (body, tag) = record.payload.split_at(length);
        let (mut body, tag) = (body.to_vec(), *Tag::from_slice(tag));
        cipher
            .decrypt_in_place_detached(&nonce(seq), &front, &mut body, &tag)
            .map_err(|_cause| refused())?;
        record.payload = body;
        record.payload_bytes = u64::try_from(length).unwrap_or(u64::MAX);
        record.sealed = false;
        Ok(())
    }
}
