//! Why a project's manifest does not count, and what a person can do about it.

use std::path::PathBuf;

use crate::diagnostic::{printable, shown};
use crate::digest::Digest;
use crate::signature::SignatureError;

/// Names listed in one message; the rest is counted.
const NAMES_MAX: usize = 5;

/// One reason why a project's manifest does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Objection {
    /// No server can be called that.
    #[error("`{}` cannot name a server", printable(.name))]
    NotAServerName {
        /// The name.
        name: String,
    },
    /// The user has a server of this name, or of one that a person or a client takes for the same.
    #[error("a project cannot take the name `{name}`: you have a server `{}`", printable(.user_name))]
    ShadowsServer {
        /// The project's name for it.
        name: String,
        /// The user's server.
        user_name: String,
    },
    /// It asks for secrets.
    #[error("a project cannot bind your secrets: it names {}", listed(.names))]
    BindsSecrets {
        /// The secrets' names.
        names: Vec<String>,
    },
    /// `launch.digest` is missing, so the project could exchange the program after anyone's word.
    #[error("the program is not pinned: `launch.digest` is missing")]
    ProgramNotPinned,
    /// A path that does not say where it leads.
    #[error("`{}` is not an absolute path without `..`", shown(.path))]
    NotCanonical {
        /// The path.
        path: PathBuf,
    },
    /// The file is not one of the project's.
    #[error("`{}` does not lie in the project `{}`", shown(.file), shown(.folder))]
    NotInProject {
        /// The manifest's file.
        file: PathBuf,
        /// The project's folder.
        folder: PathBuf,
    },
    /// Another manifest was accepted at this place.
    #[error("the manifest changed since you accepted it: it was {accepted}, it is {found}")]
    ChangedSinceAccepted {
        /// What was accepted.
        accepted: Digest,
        /// What is there.
        found: Digest,
    },
    /// The list of accepted projects could have been written by the project.
    #[error("the list of accepted projects `{}` lies in the project", shown(.file))]
    ListInProject {
        /// The list.
        file: PathBuf,
    },
    /// The key could have been put there by the project.
    #[error("the key that signed it, `{}`, lies in the project", shown(.file))]
    KeyInProject {
        /// The key's file.
        file: PathBuf,
    },
    /// The signature is none that counts.
    #[error("{0}")]
    Signature(#[source] SignatureError),
    /// Neither accepted nor signed.
    #[error("nobody vouches for this manifest: it is neither accepted by you nor signed; its digest is {digest}")]
    NobodyVouches {
        /// Its digest.
        digest: Digest,
    },
}

impl Objection {
    /// What to do about it. For people only: nothing of it belongs into an answer to a client or a model.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::NotAServerName { .. } => {
                "use up to 64 letters, digits, `.`, `_` and `-`, beginning with a letter or digit"
            }
            Self::ShadowsServer { .. } => "rename the server in the project; yours keeps its name",
            Self::BindsSecrets { .. } => {
                "add a server of your own with these secrets, under a name the project does not use"
            }
            Self::ProgramNotPinned => "write the manifest with `cofferdam add`, which pins the program",
            Self::NotCanonical { .. } => "give the path it leads to",
            Self::NotInProject { .. } => "a link leads out of the project: put the manifest itself into it",
            Self::ChangedSinceAccepted { .. } => {
                "`cofferdam manifest diff` shows what changed; accept it anew if it is right"
            }
            Self::ListInProject { .. } | Self::KeyInProject { .. } => {
                "keep Cofferdam's configuration outside the project, which could change it"
            }
            Self::Signature(cause) => cause.help(),
            Self::NobodyVouches { .. } => "read it, then accept it with `cofferdam manifest accept`, or have it signed",
        }
    }
}

fn listed(names: &[String]) -> String {
    let mut list: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| format!("`{}`", printable(name)))
        .collect();
    if let Some(more @ 1..) = names.len().checked_sub(NAMES_MAX) {
        list.push(format!("{more} more"));
    }
    list.join(", ")
}
