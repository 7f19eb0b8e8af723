//! Detached signatures over the exact meaning of a manifest, for the server of one name.
//!
//! What is signed is the text `cofferdam manifest 1`, the server's name and the manifest's [digest](Manifest::digest), each with a line
//! end. The first line keeps a signature from being taken for one over anything else, ever; the second keeps a signed manifest from being
//! put in the place of another signed one, under a name whose users expect less of it. The digest covers every
//! value of the manifest, the pin of each tool's definition and the digest of the program among them, so these are signed
//! with it; layout and comments are not.

use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding as _};

use crate::diagnostic::{printable, shown};
use crate::key::{KeyError, KeyFault, PublicKey, SigningKey, TrustedKey, decoded, only_line};
use crate::manifest::Manifest;

/// Begins every text that is signed here.
const DOMAIN: &str = "cofferdam manifest 1\n";
/// Explains a signature file to whoever opens it.
const REMARK: &str = "# Signature of a Cofferdam manifest, checked by `cofferdam manifest check`.\n";

/// A signature and the public key it claims to be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    key: PublicKey,
    bytes: [u8; 64],
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// By a key nobody here trusts.
    #[error("the manifest is signed with the key `{key}`, which is not trusted here")]
    UntrustedKey {
        /// The key the signature claims to be of.
        key: PublicKey,
    },
    /// By a trusted key, and not over this manifest under this name.
    #[error("the signature is not one of `{}` over this manifest for a server `{}`", signer(.comment, .file), printable(.name))]
    OtherManifest {
        /// The server's name here.
        name: String,
        /// The comment beside the trusted key.
        comment: String,
        /// The trusted key's file.
        file: PathBuf,
    },
}

impl SignatureError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::UntrustedKey { .. } => {
                "if you know whose key this is and got it from its owner, put it into a `.pub` file in your folder of trusted keys"
            }
            Self::OtherManifest { .. } => {
                "the manifest, its signature or the server's name was changed after signing: compare it with the signed one, or have it signed anew"
            }
        }
    }
}

fn signer(comment: &str, file: &Path) -> String {
    if comment.is_empty() {
        shown(file)
    } else {
        printable(comment)
    }
}

impl Signature {
    /// Reads the content of a signature file: one line `ed25519:KEY SIGNATURE`, both in Base64; empty lines and lines
    /// that begin with `#` are passed over. `file` is named in errors.
    ///
    /// # Errors
    /// When the content is not exactly one such line.
    pub fn parse(content: &[u8], file: &Path) -> Result<Self, KeyError> {
        let (line, text) = only_line(content, file)?;
        let at = |fault| KeyError::at(file, line, fault);
        let (key, signature) = text.split_once(' ').ok_or(at(KeyFault::NotASignature))?;
        let bytes = decoded(signature).map_err(|_fault| at(KeyFault::NotASignature))?;
        Ok(Self {
            key: key.parse().map_err(at)?,
            bytes,
        })
    }

    /// The content of a signature file.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{REMARK}{} {}\n", self.key, Base64::encode_string(&self.bytes))
    }

    /// The key it claims to be of; only [`verify`] knows whether it is.
    #[must_use]
    pub const fn claimed_key(&self) -> &PublicKey {
        &self.key
    }
}

/// Signs the exact meaning of a manifest for the server `name`, as [`parse`](crate::parse) gave it: signed after
/// [`Manifest::resolve`], it would be another one for each home folder.
#[must_use]
pub fn sign(name: &str, manifest: &Manifest, key: &SigningKey) -> Signature {
    Signature {
        key: key.public_key(),
        bytes: key.sign(&signed_text(name, manifest)),
    }
}

/// The trusted key that signed this manifest, as [`parse`](crate::parse) gave it, for the server `name`.
///
/// # Errors
/// When the signature is by none of them, or over something else.
pub fn verify<'t>(
    name: &str,
    manifest: &Manifest,
    signature: &Signature,
    trusted: impl IntoIterator<Item = &'t TrustedKey>,
) -> Result<&'t TrustedKey, SignatureError> {
    let claimed = trusted.into_iter().find(|trusted| *trusted.key() == signature.key);
    let trusted = claimed.ok_or(SignatureError::UntrustedKey { key: signature.key })?;
    if trusted.key().has_signed(&signed_text(name, manifest), &signature.bytes) {
        return Ok(trusted);
    }
    Err(SignatureError::OtherManifest {
        name: name.to_owned(),
        comment: trusted.comment().to_owned(),
        file: trusted.file().to_owned(),
    })
}

/// No name of a server holds a line end ([`can_name_server`](crate::can_name_server)); one that did would be escaped.
fn signed_text(name: &str, manifest: &Manifest) -> Vec<u8> {
    format!("{DOMAIN}{}\n{}\n", name.escape_debug(), manifest.digest()).into_bytes()
}
