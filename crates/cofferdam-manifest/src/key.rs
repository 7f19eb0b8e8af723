//! Ed25519 keys (RFC 8032) as files: the private one that signs, the public ones a user or an organisation trusts.
//!
//! This module reads no file: bytes come in, values go out, and errors name the file the caller names.

mod fault;
mod pem;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::{Signer as _, VerifyingKey};
use zeroize::Zeroize as _;

use crate::diagnostic::is_invisible;
pub use fault::{KeyError, KeyFault};
pub use pem::PrivateKeyPem;

/// The largest key or signature file that is read, in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 4096;
/// Characters of the comment beside a public key.
const COMMENT_CHARACTERS_MAX: usize = 200;
/// What a public key's text begins with.
const ALGORITHM: &str = "ed25519:";

/// A public key, written `ed25519:` and its 32 bytes in Base64 (RFC 4648 section 4, padded).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A public key that somebody trusts, and the file that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    key: PublicKey,
    comment: String,
    file: PathBuf,
}

/// A private key. Its memory is overwritten when it is dropped, and [`fmt::Debug`] shows the public half only.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl PublicKey {
    /// The 32 bytes (RFC 8032 section 5.1.5).
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this key's over `text`. Refuses what RFC 8032 leaves open: a point of small order on
    /// either side, with which one signature could fit many texts.
    #[must_use]
    pub fn has_signed(&self, text: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(text, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", Base64::encode_string(&self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl FromStr for PublicKey {
    type Err = KeyFault;

    fn from_str(text: &str) -> Result<Self, KeyFault> {
        let bytes = decoded::<32>(text.strip_prefix(ALGORITHM).ok_or(KeyFault::NotAPublicKey)?)?;
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(KeyFault::Weak),
        }
    }
}

/// Base64 of exactly `N` bytes, in its one spelling.
pub(crate) fn decoded<const N: usize>(text: &str) -> Result<[u8; N], KeyFault> {
    let bytes = Base64::decode_vec(text).map_err(|_cause| KeyFault::NotBase64)?;
    let found = bytes.len();
    <[u8; N]>::try_from(bytes).map_err(|_bytes| KeyFault::OtherLength { found, wanted: N })
}

impl TrustedKey {
    /// Reads one public key from the content of a `.pub` file: a line `ed25519:BASE64 comment`; empty lines and lines
    /// that begin with `#` are passed over.
    ///
    /// `file` is where the content was read. Give its canonical path (links resolved): a key that lies in a project's
    /// folder must not count for that project, see [`judge`](crate::judge).
    ///
    /// # Errors
    /// When the content is not exactly one such line, or the key is one that no signature could be believed of.
    pub fn parse(content: &[u8], file: &Path) -> Result<Self, KeyError> {
        let (line, text) = only_line(content, file)?;
        let (key, comment) = text.split_once(' ').unwrap_or((text, ""));
        let comment = comment.trim();
        if comment.chars().count() > COMMENT_CHARACTERS_MAX {
            return Err(KeyError::at(file, line, KeyFault::LongComment));
        }
        Ok(Self {
            key: key.parse().map_err(|fault| KeyError::at(file, line, fault))?,
            comment: comment.to_owned(),
            file: file.to_owned(),
        })
    }

    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Whose it is, as whoever put it there wrote; may be empty, and has no invisible character.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The file it was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// The one line of a key or signature file that is neither empty nor a remark, with its number from 1.
pub(crate) fn only_line<'c>(content: &'c [u8], file: &Path) -> Result<(usize, &'c str), KeyError> {
    let lines = key_text(content, file)?.lines().zip(1..);
    let mut lines = lines.filter(|(text, _)| !text.trim().is_empty() && !text.starts_with('#'));
    let (text, line) = lines.next().ok_or(KeyError::at(file, 0, KeyFault::Nothing))?;
    if text.starts_with("-----BEGIN ") {
        let is_private = text.contains("PRIVATE KEY");
        let fault = if is_private {
            KeyFault::PrivateKey
        } else {
            KeyFault::NotAPublicKey
        };
        return Err(KeyError::at(file, line, fault));
    }
    if text.chars().any(is_invisible) {
        return Err(KeyError::at(file, line, KeyFault::Invisible));
    }
    match lines.next() {
        Some((_, second)) => Err(KeyError::at(file, second, KeyFault::SecondLine)),
        None => Ok((line, text.trim())),
    }
}

fn key_text<'c>(content: &'c [u8], file: &Path) -> Result<&'c str, KeyError> {
    if content.len() > KEY_FILE_BYTES_MAX {
        return Err(KeyError::at(file, 0, KeyFault::TooLarge { bytes: content.len() }));
    }
    std::str::from_utf8(content).map_err(|cause| {
        let valid = content.get(..cause.valid_up_to()).unwrap_or_default();
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        KeyError::at(file, line, KeyFault::NotUtf8)
    })
}

impl SigningKey {
    /// A new key from 32 bytes of the system's randomness, which are overwritten.
    ///
    /// `None` when all bytes are the same: then nobody drew them.
    #[must_use]
    pub fn generate(random: &mut [u8; 32]) -> Option<Self> {
        let is_drawn = random.iter().any(|byte| Some(byte) != random.first());
        let key = is_drawn.then(|| Self(ed25519_dalek::SigningKey::from_bytes(random)));
        random.zeroize();
        key
    }

    /// Reads an unencrypted PKCS#8 private key in PEM (RFC 8410), as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// When the content is anything else. No error repeats any of it.
    pub fn from_pem(content: &[u8], file: &Path) -> Result<Self, KeyError> {
        let seed = pem::seed(key_text(content, file)?).map_err(|(line, fault)| KeyError::at(file, line, fault))?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// The key as [`SigningKey::from_pem`] reads it: write it into a file of mode 0600.
    #[must_use]
    pub fn to_pem(&self) -> PrivateKeyPem {
        PrivateKeyPem::of(self.0.as_bytes())
    }

    /// The public half, to hand out.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// A signature over `text`, which says by its first words what it is: the same key signs manifests and approvals.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> [u8; 64] {
        self.0.sign(text).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("public_key", &self.public_key())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{PublicKey, SigningKey};

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let digits: Vec<u8> = hex
            .chars()
            .filter_map(|digit| u8::try_from(digit.to_digit(16)?).ok())
            .collect();
        let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        bytes.try_into().unwrap()
    }

    /// RFC 8032 section 7.1, tests 1 to 3: secret key, public key, message, signature.
    #[test]
    fn the_vectors_of_rfc_8032() {
        for (secret, public, message, signature) in [
            (
                "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                &[][..],
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
            ),
            (
                "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
                "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
                &[0x72],
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
            ),
            (
                "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                &[0xaf, 0x82],
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
            ),
        ] {
            let key = SigningKey::generate(&mut bytes(secret)).unwrap();
            assert_eq!(key.public_key(), PublicKey(bytes(public)));
            assert_eq!(key.sign(message), bytes(signature));
            assert!(key.public_key().has_signed(message, &bytes(signature)));
            assert!(!key.public_key().has_signed(b"another", &bytes(signature)));
        }
    }

    /// The same signature with the group's order added to `S` (RFC 8032 section 5.1.7 demands the smaller one).
    #[test]
    fn a_signature_has_one_spelling() {
        let key = SigningKey::generate(&mut bytes(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        ))
        .unwrap();
        let mut signature = key.sign(b"");
        let order: [u8; 32] = bytes("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut carry = 0;
        for (byte, addend) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(addend) + carry;
            *byte = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        assert!(!key.public_key().has_signed(b"", &signature));
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // With the neutral point as key and as R, and S = 0, the plain equation holds for every text.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(!PublicKey(neutral).has_signed(b"anything", &signature));
        assert!(PublicKey(neutral).to_string().parse::<PublicKey>().is_err());
    }

    #[test]
    fn random_bytes_are_overwritten_and_must_be_random() {
        let mut random = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        assert!(SigningKey::generate(&mut random).is_some());
        assert_eq!(random, [0; 32]);
        assert!(SigningKey::generate(&mut [0; 32]).is_none());
        assert!(SigningKey::generate(&mut [0xff; 32]).is_none());
    }
}
