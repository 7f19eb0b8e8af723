//! The image of a container whose files are the program's system.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Longest reference, in bytes.
const REFERENCE_BYTES_MAX: usize = 512;
/// Digits of a SHA-256 digest.
const DIGEST_DIGITS: usize = 64;

/// Where the files of the compartment come from instead of this system: an image, and the engine that unpacks it.
///
/// The engine starts a container that has the image's files read-only, no network, no capability and no device; in it,
/// this program makes the compartment as it does without one. Of the image only its files count: not its entry
/// point, variables, volumes, user or health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// `NAME@sha256:DIGEST`. It must be in the engine's store already: nothing is fetched.
    pub reference: String,
    /// The engine's program: an absolute path to `podman`.
    pub engine: PathBuf,
    /// The engine's runtime, when it is not the engine's default.
    pub runtime: Option<String>,
    /// A folder that is the caller's alone, for what the container needs at its start.
    pub folder: PathBuf,
    /// The user's home folder, where the engine keeps its images.
    pub home: PathBuf,
}

impl Image {
    /// What is wrong with it, in words; none when nothing is.
    pub(crate) fn problem(&self) -> Option<String> {
        if !is_pinned(&self.reference) {
            return Some(format!(
                "the image `{}` is not pinned: a reference ends in `@sha256:` and 64 digits",
                self.reference
            ));
        }
        if let Some(path) = [&self.engine, &self.folder, &self.home]
            .into_iter()
            .find(|path| !path.is_absolute())
        {
            return Some(format!("`{}` is not an absolute path", path.display()));
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        let runtime = self.runtime.as_deref().unwrap_or("default");
        (runtime.is_empty() || runtime.starts_with('-') || !runtime.bytes().all(is_plain))
            .then(|| format!("`{runtime}` cannot be the name of a runtime"))
    }
}

/// Whether a reference names an image by its digest, and cannot be taken for an option.
fn is_pinned(reference: &str) -> bool {
    let Some((name, digest)) = reference.split_once("@sha256:") else {
        return false;
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    reference.len() <= REFERENCE_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(is_name)
        && digest.len() == DIGEST_DIGITS
        && digest.bytes().all(is_digit)
}

/// Where what is ours lies inside the container; the compartment in it does not have it.
pub(crate) const OURS: &str = "/.cofferdam";

/// Names of the root that an image cannot have: the compartment has its own, or has none.
pub(crate) fn is_own_place(path: &Path) -> bool {
    const OWN: [&str; 6] = ["/proc", "/sys", "/dev", "/tmp", "/run", OURS];
    OWN.iter().any(|own| path == Path::new(own))
}

#[cfg(test)]
mod tests {
    use super::{Image, is_pinned};

    #[test]
    fn only_a_digest_pins() {
        let digest = "0".repeat(64);
        assert!(is_pinned(&format!("localhost/server:1@sha256:{digest}")));
        for loose in [
            "server".to_owned(),
            "server:latest".to_owned(),
            format!("server@sha256:{}", "0".repeat(63)),
            format!("server@sha256:{}", "G".repeat(64)),
            format!("server@sha512:{digest}"),
            format!("--privileged@sha256:{digest}"),
            format!("a b@sha256:{digest}"),
            format!("@sha256:{digest}"),
        ] {
            assert!(!is_pinned(&loose), "{loose}");
        }
    }

    #[test]
    fn a_runtime_is_a_name() {
        let image = |runtime: &str| Image {
            reference: format!("a@sha256:{}", "0".repeat(64)),
            engine: "/usr/bin/podman".into(),
            runtime: Some(runtime.to_owned()),
            folder: "/run/user/1".into(),
            home: "/home/me".into(),
        };
        assert_eq!(image("runsc").problem(), None);
        assert!(image("--privileged").problem().is_some());
        assert!(image("").problem().is_some());
    }
}
