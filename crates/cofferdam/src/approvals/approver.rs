//! Proof of a person (levels 3 and 4): an Ed25519 signature by an enrolled key.
//!
//! Which keys count stands in a folder that only root can write, so no process of the user enrols one. The private half is nowhere on disk: it
//! is derived from a passphrase, which is typed on a terminal, and a salt.

use std::path::Path;

use cofferdam_manifest::{Digest, PublicKey, SigningKey, TrustedKey};
use cofferdam_policy::GrantTerms;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::protocol::{Choice, Question};
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::own_files::read_own_file;
use crate::policy::root_owned_files;

/// Where an administrator puts the public halves, one file `NAME.pub` each. A constant on purpose.
pub(crate) const APPROVERS_FOLDER: &str = "/etc/cofferdam/approvers";
/// Cost of one try at a passphrase (scrypt): 128 MiB, about half a second.
const SCRYPT_LOG_N: u8 = 17;
/// Block size and lanes of scrypt, as its authors recommend.
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;
/// Bytes of the file with salt and public half.
const APPROVER_BYTES_MAX: usize = 4 * 1024;
/// Least characters of a passphrase: whoever has the salt can try offline.
const PASSPHRASE_CHARS_MIN: usize = 12;

/// One signature under an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    /// `ed25519:…`, as in the `.pub` file.
    pub(crate) key: String,
    /// 128 hexadecimal digits.
    pub(crate) signature: String,
}

/// The keys that prove a person.
#[derive(Debug, Default)]
pub(crate) struct Approvers(Vec<TrustedKey>);

impl Approvers {
    /// Reads the administrator's folder; nobody, where there is none.
    ///
    /// # Errors
    /// The folder or a file in it is not root's alone, or holds no key.
    pub(crate) fn read() -> Result<Self, Failure> {
        let files = root_owned_files(Path::new(APPROVERS_FOLDER), "pub")?;
        let keys = files.into_iter().map(|(path, text)| {
            TrustedKey::parse(text.as_bytes(), &path).map_err(|error| Failure::misconfigured(error.to_string()))
        });
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
        // One key under two names is still one person.
        keys.sort_by_key(|key| key.key().to_string());
        keys.dedup_by_key(|key| key.key().to_string());
        Ok(Self(keys))
    }

    /// These keys, whoever enrolled them.
    pub(crate) const fn of(keys: Vec<TrustedKey>) -> Self {
        Self(keys)
    }

    /// Whether nobody can prove to be a person here.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys themselves.
    pub(crate) fn into_keys(self) -> Vec<TrustedKey> {
        self.0
    }

    /// Whether an administrator enrolled this key.
    pub(crate) fn has(&self, key: &PublicKey) -> bool {
        self.0.iter().any(|one| one.key() == key)
    }

    /// How many people there are to prove.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Those proofs that hold for `statement`.
    pub(crate) fn proven(&self, statement: &str, proofs: &[Proof]) -> Vec<Proof> {
        let holds = |proof: &&Proof| {
            let trusted = self.0.iter().find(|key| key.key().to_string() == proof.key);
            let signature = unhex(&proof.signature);
            trusted
                .zip(signature)
                .is_some_and(|(key, signature)| key.key().has_signed(statement.as_bytes(), &signature))
        };
        proofs.iter().filter(holds).cloned().collect()
    }
}

/// What is signed: what the person saw, all that an answer decides, and the place in the record, which no other question shares. The gate
/// makes it out of the question it asked, so who was shown another one has signed nothing of use. Of a grant it has all the terms.
pub(crate) fn statement(question: &Question, choice: &Choice, terms: Option<&GrantTerms>) -> String {
    let seen = json!([
        question.id,
        question.record,
        question.digest,
        question.level,
        question.server,
        question.tool,
        Digest::of(question.arguments.get().as_bytes()).to_string(),
        question.findings,
        choice.scope,
        // For once, no time is stated.
        terms.map_or(0, |_| choice.minutes),
        terms,
    ]);
    format!("{STATEMENT_HEAD}{seen}\n")
}

/// The level that was asked for and the terms of the grant, out of a statement.
pub(crate) fn stated(statement: &str) -> Option<(u8, GrantTerms)> {
    let mut seen: Vec<Value> = serde_json::from_str(statement.strip_prefix(STATEMENT_HEAD)?).ok()?;
    let level = seen.get(STATEMENT_LEVEL_AT)?.as_u64()?;
    let terms = serde_json::from_value(seen.pop()?).ok()?;
    Some((u8::try_from(level).ok()?, terms))
}

/// Begins every statement.
const STATEMENT_HEAD: &str = "cofferdam approval 2\n";
/// Where the level stands in it.
const STATEMENT_LEVEL_AT: usize = 3;

fn unhex(text: &str) -> Option<[u8; 64]> {
    if text.len() != 128 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 64];
    for (byte, at) in bytes.iter_mut().zip((0..128).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// The user's own approver key, without its passphrase.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Enrolled {
    salt: String,
    key: String,
}

impl Enrolled {
    /// A new key for `passphrase`, and its public half.
    ///
    /// # Errors
    /// The passphrase is short, or the kernel gives no random bytes.
    pub(crate) fn new(passphrase: &str) -> Result<(Self, PublicKey), Failure> {
        if passphrase.chars().count() < PASSPHRASE_CHARS_MIN {
            return Err(Failure::new(
                Exit::Usage,
                format!("the passphrase has fewer than {PASSPHRASE_CHARS_MIN} characters"),
            )
            .help("a few words in a row are easy to keep in mind"));
        }
        let salt = crate::random::hex(16)
            .map_err(|error| Failure::not_enforced(format!("the kernel gives no random bytes: {error}")))?;
        let key = derived(passphrase, &salt)?.public_key();
        let enrolled = Self {
            salt,
            key: key.to_string(),
        };
        Ok((enrolled, key))
    }

    /// Reads it back.
    ///
    /// # Errors
    /// There is none yet, or the file is not ours alone.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            return Err(
                Failure::misconfigured("this needs a proven person, and you have no approver key yet")
                    .help("`cofferdam approvals enroll` makes one, and says what an administrator does with it"),
            );
        }
        serde_json::from_str(&read_own_file(path, APPROVER_BYTES_MAX)?).map_err(|error| {
            Failure::misconfigured(format!("`{}` holds no approver key: {error}", path.display()))
                .help("remove the file and enrol anew")
        })
    }

    /// Writes it, for the user alone.
    pub(crate) fn write(&self, home: &Home) -> Result<(), Failure> {
        let path = home.approver();
        Home::make(path.parent().unwrap_or(Path::new("/")))?;
        let text = serde_json::to_string(self).unwrap_or_default();
        crate::contract::folder::replace_file(&path, &text)
    }

    /// The private half; `None` where the passphrase is another one.
    ///
    /// # Errors
    /// The key cannot be derived.
    pub(crate) fn unlocked(&self, passphrase: &str) -> Result<Option<SigningKey>, Failure> {
        let key = derived(passphrase, &self.salt)?;
        Ok((key.public_key().to_string() == self.key).then_some(key))
    }
}

impl Proof {
    /// Signs `statement`.
    pub(crate) fn of(statement: &str, key: &SigningKey) -> Self {
        let signature = key.sign(statement.as_bytes());
        Self {
            key: key.public_key().to_string(),
            signature: signature.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

fn derived(passphrase: &str, salt: &str) -> Result<SigningKey, Failure> {
    let underivable = || Failure::not_enforced("the approver key cannot be derived");
    let cost = scrypt::Params::new(SCRYPT_LOG_N, SCRYPT_R, SCRYPT_P, 32).map_err(|_invalid| underivable())?;
    let mut seed = Zeroizing::new([0; 32]);
    scrypt::scrypt(passphrase.as_bytes(), salt.as_bytes(), &cost, &mut *seed).map_err(|_invalid| underivable())?;
    SigningKey::generate(&mut seed).ok_or_else(underivable)
}
