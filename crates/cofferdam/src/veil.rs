//! The values of a manifest's secrets in the record: a keyed digest stands for each, wherever and however it is written.
//!
//! The digest is HMAC-SHA256 under a key of this user's, so that one value is seen to be the same in two records and cannot be guessed from
//! either. Whoever takes the key can test guesses.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use cofferdam_audit::Veiling;
use cofferdam_inspect::SecretValues;
use cofferdam_manifest::Manifest;
use hmac::{Hmac, Mac as _};
use nix::fcntl::OFlag;
use sha2::Sha256;

use crate::failure::{Failure, file_failure};
use crate::home::Home;

/// The key's file, in the state folder.
const KEY_FILE: &str = "secret-digests.key";
const KEY_BYTES: usize = 32;
/// Hexadecimal digits of a digest: 128 bits.
const DIGEST_DIGITS: usize = 32;

/// The secret values of one session, and what stands for each.
#[derive(Debug)]
pub(crate) struct Veil {
    values: SecretValues,
    instead: BTreeMap<String, String>,
}

impl Veil {
    /// For the secrets of a manifest as the plan's environment has them; `None` where there are none.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub(crate) fn of(
        home: &Home,
        manifest: &Manifest,
        environment: &[(String, String)],
    ) -> Result<Option<Arc<dyn Veiling>>, Failure> {
        let secrets: Vec<(&str, &str)> = environment
            .iter()
            .filter(|(name, _)| manifest.secrets.contains_key(name))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if secrets.is_empty() {
            return Ok(None);
        }
        Home::make(home.state())?;
        let key = key(&home.state().join(KEY_FILE))?;
        Ok(Some(Arc::new(Self::with(&secrets, &key))))
    }

    fn with(secrets: &[(&str, &str)], key: &[u8]) -> Self {
        let instead = secrets
            .iter()
            .map(|(name, value)| ((*name).to_owned(), stand_in(name, value, key)));
        Self {
            values: SecretValues::new(secrets.iter().map(|(name, value)| (*name, value.as_bytes()))),
            instead: instead.collect(),
        }
    }
}

impl Veiling for Veil {
    fn find(&self, bytes: &[u8], hide: &mut dyn FnMut(Range<usize>, &str)) {
        for (place, name) in self.values.all_in(bytes) {
            hide(place, self.instead.get(name).map_or("[secret]", String::as_str));
        }
    }
}

fn stand_in(name: &str, value: &str, key: &[u8]) -> String {
    // Any length is a key of an HMAC.
    let digest = Hmac::<Sha256>::new_from_slice(key).map(|mut mac| {
        mac.update(value.as_bytes());
        let bytes = mac.finalize().into_bytes();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    });
    let digest = digest.unwrap_or_default();
    let plain = |character: &char| character.is_ascii_alphanumeric() || "_-.".contains(*character);
    let name: String = name.chars().filter(plain).collect();
    format!(
        "[secret {name} hmac-sha256:{}]",
        digest.get(..DIGEST_DIGITS).unwrap_or_default()
    )
}

/// The user's key, made where there is none.
fn key(path: &Path) -> Result<Vec<u8>, Failure> {
    if let Some(key) = read_key(path)? {
        return Ok(key);
    }
    let mut fresh = [0; KEY_BYTES];
    let random = |cause: getrandom::Error| Failure::not_enforced(format!("the kernel gives no random bytes: {cause}"));
    getrandom::fill(&mut fresh).map_err(random)?;
    let temporary = path.with_extension(format!("{}.new", crate::random::hex(8).map_err(random)?));
    let mut options = OpenOptions::new();
    let written = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&fresh).and_then(|()| file.sync_all()))
        .map_err(|cause| file_failure("write", &temporary, &cause));
    // Whoever was first has made the key.
    let linked = written.and_then(|()| match std::fs::hard_link(&temporary, path) {
        Err(cause) if cause.kind() != ErrorKind::AlreadyExists => Err(file_failure("write", path, &cause)),
        _ => Ok(()),
    });
    // A left-over is only in the way.
    let _ = std::fs::remove_file(&temporary);
    linked?;
    read_key(path)?.ok_or_else(|| Failure::not_enforced(format!("the key `{}` is gone again", path.display())))
}

fn read_key(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(file_failure("read", path, &cause)),
    };
    let metadata = file.metadata().map_err(|cause| file_failure("read", path, &cause))?;
    let is_ours = metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    let mut key = Vec::new();
    file.take(KEY_BYTES as u64 + 1)
        .read_to_end(&mut key)
        .map_err(|cause| file_failure("read", path, &cause))?;
    if is_ours && metadata.is_file() && key.len() == KEY_BYTES {
        Ok(Some(key))
    } else {
        Err(Failure::not_enforced(format!(
            "`{}` is not a key of {KEY_BYTES} bytes that only you can read",
            path.display()
        ))
        .help("move it away; another is made, and digests of one value differ before and after"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Veil, key};
    use cofferdam_audit::Veiling as _;

    #[test]
    fn one_value_has_one_digest_under_one_key() {
        let found = |key: &[u8], text: &str| {
            let veil = Veil::with(&[("TOKEN", "s3cr3t-value")], key);
            let mut all = Vec::new();
            veil.find(text.as_bytes(), &mut |place, instead| {
                all.push((place, instead.to_owned()))
            });
            all
        };
        let one = found(b"key", "a s3cr3t-value, and 7333637233742d76616c7565");
        assert_eq!(one.len(), 2);
        assert_eq!((one[0].0.clone(), &one[0].1), (2..14, &one[1].1));
        // Computed with another implementation: python3 -c 'import hmac; hmac.new(b"key", b"s3cr3t-value", "sha256")'.
        assert_eq!(one[0].1, "[secret TOKEN hmac-sha256:228dfcc9b25771d01fbe21f57e750e75]");
        assert_ne!(found(b"other", "s3cr3t-value")[0].1, one[0].1);
    }

    #[test]
    fn the_key_is_made_once_and_must_be_ours_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret-digests.key");
        let first = key(&path).unwrap();
        assert_eq!((first.len(), key(&path).unwrap()), (32, first));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(key(&path).is_err());
    }
}
