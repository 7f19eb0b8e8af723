//! SHA-256 digests as they are written in manifests, and the digest of a tool's whole definition.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::canonical;

/// The largest tool definition that is pinned, in bytes; a larger one is refused, not truncated.
pub const TOOL_DEFINITION_BYTES_MAX: usize = 1024 * 1024;

const PREFIX: &str = "sha256:";

/// A SHA-256 digest, written `sha256:` and 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is written `sha256:` and 64 lowercase hexadecimal digits")]
pub struct DigestError;

/// Why a tool's definition has no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ToolDefinitionError {
    /// Larger than [`TOOL_DEFINITION_BYTES_MAX`].
    #[error("the tool definition has {bytes} bytes, more than {TOOL_DEFINITION_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not JSON, or JSON that two parsers could read differently.
    #[error("the tool definition is not strict JSON: {0}")]
    NotStrictJson(String),
    /// A definition is an object.
    #[error("the tool definition is not a JSON object")]
    NotAnObject,
}

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits, without the `sha256:` in front.
    #[must_use]
    pub fn to_hex(self) -> String {
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 15] {
                hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
            }
        }
        hex
    }

    pub(crate) fn from_hex(hex: &str) -> Result<Self, DigestError> {
        if hex.len() != 64 {
            return Err(DigestError);
        }
        let mut bytes = [0_u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let [high, low] = pair else { return Err(DigestError) };
            *byte = (nibble(*high)? << 4) | nibble(*low)?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        Self::from_hex(text.strip_prefix(PREFIX).ok_or(DigestError)?)
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

/// The digest of a tool's whole definition: SHA-256 over its RFC 8785 canonical form.
///
/// Takes the raw JSON object as the server listed it, unknown members included, so that nothing a model or a client
/// could read is outside the pin. Member order, white space and escapes do not matter; everything else does. Two rules
/// go beyond RFC 8785: duplicate members are refused, and an integer that no double holds exactly is digested with its
/// own digits, because parsers that keep such integers (Python's does) would see two definitions where one pin stood.
///
/// # Errors
/// When the text is too large, is not strict JSON, or is not an object.
pub fn tool_digest(definition: &str) -> Result<Digest, ToolDefinitionError> {
    if definition.len() > TOOL_DEFINITION_BYTES_MAX {
        return Err(ToolDefinitionError::TooLarge {
            bytes: definition.len(),
        });
    }
    let canonical = canonical::canonical(definition).map_err(ToolDefinitionError::NotStrictJson)?;
    if !canonical.starts_with('{') {
        return Err(ToolDefinitionError::NotAnObject);
    }
    Ok(Digest::of(canonical.as_bytes()))
}
