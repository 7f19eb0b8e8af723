//! Ed25519 private keys in PEM: PKCS#8 as RFC 8410 section 7 lays it down, version 1, unencrypted.
//!
//! Such a key has one length and one beginning, so no parser of ASN.1 is needed; any other DER is refused.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use super::KeyFault;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// DER of `PrivateKeyInfo` up to the 32 bytes of the key: sequence of 46 bytes, version 0, the object identifier
/// 1.3.101.112, an octet string of 34 bytes that holds an octet string of 32.
const PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
const DER_BYTES: usize = PREFIX.len() + 32;

/// The text of a private key. It is overwritten when it is dropped, and [`fmt::Debug`] does not show it.
pub struct PrivateKeyPem(Zeroizing<String>);

impl PrivateKeyPem {
    pub(super) fn of(seed: &[u8; 32]) -> Self {
        let mut der = Zeroizing::new([0; DER_BYTES]);
        for (byte, source) in der.iter_mut().zip(PREFIX.iter().chain(seed)) {
            *byte = *source;
        }
        let base64 = Zeroizing::new(Base64::encode_string(&*der));
        // Of its final size from the start: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(BEGIN.len() + base64.len() + END.len() + 3));
        for line in [BEGIN, &base64, END] {
            text.push_str(line);
            text.push('\n');
        }
        Self(text)
    }

    /// The key itself: whoever reads it can sign.
    #[must_use]
    pub fn dangerous_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for PrivateKeyPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKeyPem(..)")
    }
}

/// The 32 secret bytes of a PEM text; on failure the line (0 for the whole) and what is wrong.
pub(super) fn seed(text: &str) -> Result<Zeroizing<[u8; 32]>, (usize, KeyFault)> {
    let lines = text.lines().zip(1..).map(|(text, line)| (line, text.trim()));
    let mut lines = lines.skip_while(|(_, text)| text.is_empty());
    let (first, begin) = lines.next().ok_or((0, KeyFault::Nothing))?;
    check_begin(begin).map_err(|fault| (first, fault))?;
    // The whole text is enough, and no growing text leaves copies behind.
    let mut base64 = Zeroizing::new(String::with_capacity(text.len()));
    let end = lines.by_ref().find(|(_, line)| {
        let is_body = !line.starts_with('-');
        if is_body {
            base64.push_str(line);
        }
        !is_body
    });
    let (last, _) = end.filter(|(_, line)| *line == END).ok_or((0, KeyFault::NoEnd))?;
    if lines.any(|(_, line)| !line.is_empty()) {
        return Err((last + 1, KeyFault::NoEnd));
    }
    key_bytes(&base64).map_err(|fault| (first + 1, fault))
}

fn check_begin(line: &str) -> Result<(), KeyFault> {
    match line {
        BEGIN => Ok(()),
        "-----BEGIN ENCRYPTED PRIVATE KEY-----" => Err(KeyFault::Encrypted),
        _ if line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY") => Err(KeyFault::OtherForm),
        _ => Err(KeyFault::NotPem),
    }
}

fn key_bytes(base64: &str) -> Result<Zeroizing<[u8; 32]>, KeyFault> {
    let der = Zeroizing::new(Base64::decode_vec(base64).map_err(|_cause| KeyFault::NotBase64)?);
    let seed = der
        .strip_prefix(&PREFIX)
        .and_then(|seed| <[u8; 32]>::try_from(seed).ok());
    seed.map(Zeroizing::new).ok_or(KeyFault::NotEd25519)
}
