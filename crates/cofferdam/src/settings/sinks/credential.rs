//! Where a sink's credential is found. The settings never hold it.

use std::path::PathBuf;

use cofferdam_ship::Secret;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::own_files::{read_private_file, shown};

/// The longest credential that is read, in bytes.
const CREDENTIAL_BYTES_MAX: usize = 16 * 1024;

/// A file that only the user can read, or a variable of the shipper's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    File(PathBuf),
    Variable(String),
}

impl Credential {
    /// Reads it, without the line's end.
    ///
    /// # Errors
    /// The file is not there or others can read it, the variable is not set, or what they hold cannot be sent.
    pub(crate) fn load(&self) -> Result<Secret, Failure> {
        let unfit = |place: String| {
            Failure::misconfigured(format!(
                "{place} holds no credential: it is empty, or has characters that cannot be sent"
            ))
            .help("one line of printable characters without spaces")
        };
        match self {
            Self::File(path) => {
                let mut bytes = Zeroizing::new(Vec::with_capacity(CREDENTIAL_BYTES_MAX));
                read_private_file(path, &mut bytes)?;
                let text = std::str::from_utf8(&bytes).ok();
                let secret = text.and_then(|text| Secret::new(text.trim_end()));
                secret.ok_or_else(|| unfit(format!("`{}`", shown(path))))
            }
            Self::Variable(name) => {
                let Ok(text) = std::env::var(name).map(Zeroizing::new) else {
                    return Err(Failure::misconfigured(format!("the variable `{name}` is not set"))
                        .help("it holds the credential of a sink in cofferdam.toml"));
                };
                Secret::new(text.trim_end()).ok_or_else(|| unfit(format!("the variable `{name}`")))
            }
        }
    }
}
