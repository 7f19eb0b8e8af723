//! Keys on disk: the public ones that the user and the organisation trust, and the private one that signs.

use std::path::{Path, PathBuf};

use cofferdam_manifest::{KEY_FILE_BYTES_MAX, KeyError, SigningKey, TrustedKey};
use nix::unistd::{Uid, geteuid};
use zeroize::Zeroizing;

use crate::approvals::Approvers;
use crate::failure::{Failure, file_failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::own_files::{check_folder_of, check_parents, read_file_of, read_private_file, shown};

/// The organisation's folders, outermost first: root's, and nothing redirects them.
const ORGANISATION: [&str; 2] = ["/etc/cofferdam", "/etc/cofferdam/keys"];
/// Keys that are read from one folder; a folder with more is refused.
const KEYS_MAX: usize = 256;

/// Every key whose word counts for a manifest. Once there are approvers, it is theirs and the organisation's: what lies in the user's own
/// folder could have been put there by any process of the user.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) trusted: Vec<TrustedKey>,
    /// Whether a manifest counts only when one of them signed it.
    pub(crate) needs_signature: bool,
}

/// The keys that count here.
///
/// # Errors
/// A folder or a `.pub` file in one is not its owner's alone, or is no key: a key that cannot be read may be the one that was meant.
pub(crate) fn trusted_keys(home: &Home) -> Result<Keys, Failure> {
    let approvers = Approvers::read()?.into_keys();
    let needs_signature = !approvers.is_empty();
    let mut keys = if needs_signature {
        approvers
    } else {
        keys_in(&home.keys(), geteuid())?
    };
    keys.extend(organisation_keys()?);
    Ok(Keys {
        trusted: keys,
        needs_signature,
    })
}

/// The organisation's own keys.
///
/// # Errors
/// As [`trusted_keys`].
pub(crate) fn organisation_keys() -> Result<Vec<TrustedKey>, Failure> {
    for folder in ORGANISATION {
        check_folder_of(Path::new(folder), Uid::from_raw(0))?;
    }
    let [_, organisation] = ORGANISATION;
    keys_in(Path::new(organisation), Uid::from_raw(0))
}

fn keys_in(folder: &Path, owner: Uid) -> Result<Vec<TrustedKey>, Failure> {
    check_folder_of(folder, owner)?;
    let real = match folder.canonicalize() {
        Ok(real) => real,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(file_failure("resolve", folder, &cause)),
    };
    check_parents(&real)?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(&real).map_err(|cause| file_failure("list", &real, &cause))? {
        let path = entry.map_err(|cause| file_failure("list", &real, &cause))?.path();
        if path.extension().is_some_and(|extension| extension == "pub") {
            files.push(path);
        }
        if files.len() > KEYS_MAX {
            return Err(
                Failure::misconfigured(format!("`{}` holds more than {KEYS_MAX} keys", shown(&real)))
                    .help("remove the keys that are trusted no longer"),
            );
        }
    }
    files.sort();
    let read = |file: &PathBuf| {
        let content = read_file_of(file, owner, KEY_FILE_BYTES_MAX)?;
        TrustedKey::parse(&content, file).map_err(|error| key_failure(&error))
    };
    files.iter().map(read).collect()
}

/// The private key in `path`: ours, of mode 0600, no link, below folders that nobody else can change.
///
/// # Errors
/// It is not, or holds no Ed25519 key in PKCS#8 PEM. No message repeats any of it.
pub(crate) fn signing_key(path: &Path) -> Result<SigningKey, Failure> {
    let absolute = std::path::absolute(path).map_err(|cause| file_failure("resolve", path, &cause))?;
    check_parents(&absolute)?;
    let mut content = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX + 1));
    read_private_file(&absolute, &mut content)?;
    SigningKey::from_pem(&content, path).map_err(|error| key_failure(&error))
}

/// A key file's error as a failure.
pub(crate) fn key_failure(error: &KeyError) -> Failure {
    Failure::misconfigured(error.to_string()).help(error.help())
}

/// A trusted key in words: its comment, and the file that says it is trusted.
pub(crate) fn signer(key: &TrustedKey) -> String {
    let file = shown(key.file());
    if key.comment().is_empty() {
        return format!("the key in {file}");
    }
    format!("{} ({file})", escaped(key.comment().as_bytes()))
}
