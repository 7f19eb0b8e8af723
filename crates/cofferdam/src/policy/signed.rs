//! Signatures beside policy files: `NAME.cedar.sig` is over the name and the very text of `NAME.cedar`.

use std::path::{Path, PathBuf};

use cofferdam_manifest::{Digest, SigningKey};

use super::{folder, shown};
use crate::approvals::{Approvers, Proof};
use crate::failure::Failure;

/// Begins every text that is signed here: it is no manifest's and no approval's.
const DOMAIN: &str = "cofferdam policy 1\n";
/// What a signature's file is called, behind the policy file's name.
const ENDING: &str = "sig";

/// Where the signature of a policy file lies.
pub(crate) fn signature_file(policy: &Path) -> PathBuf {
    let mut name = policy.as_os_str().to_owned();
    name.push(format!(".{ENDING}"));
    PathBuf::from(name)
}

/// The content of the signature's file.
pub(crate) fn signature(policy: &Path, text: &str, key: &SigningKey) -> String {
    let proof = Proof::of(&statement(policy, text), key);
    format!("{}\n", serde_json::json!(proof))
}

/// Whether one of `keys` signed this very text under this name: `None` where there is no signature.
///
/// # Errors
/// What lies there is no signature, or cannot be read.
pub(super) fn is_signed(policy: &Path, text: &str, keys: &Approvers) -> Result<Option<bool>, Failure> {
    let path = signature_file(policy);
    if std::fs::symlink_metadata(&path).is_err_and(|cause| cause.kind() == std::io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let proof: Proof = serde_json::from_str(&folder::bounded_text(&path)?)
        .map_err(|error| Failure::misconfigured(format!("`{}` is no signature: {error}", shown(&path))))?;
    Ok(Some(!keys.proven(&statement(policy, text), &[proof]).is_empty()))
}

fn statement(policy: &Path, text: &str) -> String {
    let name = policy.file_name().unwrap_or_default().to_string_lossy();
    format!("{DOMAIN}{name}\n{}\n", Digest::of(text.as_bytes()))
}
