//! What is wrong with a key or signature file, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{COMMENT_CHARACTERS_MAX, KEY_FILE_BYTES_MAX};
use crate::diagnostic::shown;

/// A key or signature file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyError {
    /// The file as the caller named it.
    pub file: PathBuf,
    /// Line, from 1; 0 when it is the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub fault: KeyFault,
}

/// What is wrong with a key or signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Larger than [`KEY_FILE_BYTES_MAX`].
    #[error("the file has {bytes} bytes, more than {KEY_FILE_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("not text: invalid UTF-8")]
    NotUtf8,
    /// Nothing but empty lines and remarks.
    #[error("there is nothing in it")]
    Nothing,
    /// More than one line that counts.
    #[error("a second line: one file holds one key or one signature")]
    SecondLine,
    /// Not `ed25519:` and Base64.
    #[error("not a public key")]
    NotAPublicKey,
    /// Not `ed25519:KEY SIGNATURE`.
    #[error("not a signature")]
    NotASignature,
    /// A private key where a public one belongs.
    #[error("a private key where a public one belongs")]
    PrivateKey,
    /// Not padded Base64 in its one spelling.
    #[error("not Base64")]
    NotBase64,
    /// Base64 of another length.
    #[error("{found} bytes where {wanted} belong")]
    OtherLength {
        /// What is there.
        found: usize,
        /// What belongs there.
        wanted: usize,
    },
    /// No point of the curve, or one of small order.
    #[error("not a key that a signature could be believed of")]
    Weak,
    /// A character that cannot be seen.
    #[error("an invisible character")]
    Invisible,
    /// A comment of more than 200 characters.
    #[error("the comment has more than {COMMENT_CHARACTERS_MAX} characters")]
    LongComment,
    /// No `-----BEGIN PRIVATE KEY-----`.
    #[error("not a private key in PEM")]
    NotPem,
    /// A private key that needs a passphrase.
    #[error("the private key is encrypted")]
    Encrypted,
    /// A private key in another wrapping than PKCS#8.
    #[error("the private key is not in the PKCS#8 form")]
    OtherForm,
    /// PKCS#8, but not a plain Ed25519 key.
    #[error("not a plain Ed25519 key")]
    NotEd25519,
    /// No end line, or more text after it.
    #[error("the PEM block does not end as it should")]
    NoEnd,
}

impl KeyError {
    pub(crate) fn at(file: &Path, line: usize, fault: KeyFault) -> Self {
        Self {
            file: file.to_owned(),
            line,
            fault,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        self.fault.help()
    }
}

impl KeyFault {
    /// What to do about it.
    #[must_use]
    pub fn help(self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::NotUtf8 | Self::Nothing => "is this the right file?",
            Self::SecondLine => "put each key into a file of its own",
            Self::NotASignature => {
                "a signature is one line, `ed25519:` and the signer's public key, a space, and the signature in Base64; sign the manifest anew"
            }
            Self::NotAPublicKey | Self::NotBase64 | Self::OtherLength { .. } => {
                "a public key is one line: `ed25519:`, its 32 bytes in padded Base64, a space and a comment"
            }
            Self::PrivateKey => "take it out of this folder, and replace the key if anyone else could read it",
            Self::Weak => "ask its owner for the key again; this one was never made by a key generator",
            Self::Invisible => "type the line anew",
            Self::LongComment => "say in fewer words whose key it is",
            Self::Encrypted => {
                "`openssl pkey -in FILE -out PLAIN` asks for the passphrase and writes the plain key; keep that file mode 0600"
            }
            Self::NotPem | Self::OtherForm | Self::NotEd25519 | Self::NoEnd => {
                "`openssl genpkey -algorithm ed25519 -out FILE` makes a key that can be read here"
            }
        }
    }
}

impl std::error::Error for KeyError {}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "`{}`: {}", shown(&self.file), self.fault),
            line => write!(f, "`{}`, line {line}: {}", shown(&self.file), self.fault),
        }
    }
}
