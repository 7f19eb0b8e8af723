//! Definitions of the command lines of `approvals` and `policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsVerb {
    /// What waits now.
    List,
    /// Show one question after the other and take the answers; what `approvals` does on a terminal.
    Watch(ApprovalsWatch),
    /// Let a call pass.
    Allow(ApprovalsAllow),
    /// Refuse a call, and every identical one for the rest of the session.
    Deny(ApprovalsId),
    /// Make your approver key: what proves, at each approval, that a person said yes.
    Enroll,
    /// Consents that are remembered, and what each covers; `--revoke` takes one back.
    Grants(ApprovalsGrants),
}

#[derive(Debug, Args)]
pub(crate) struct ApprovalsWatch {
    /// Write line after line, as screen readers like it, instead of giving each question the screen.
    #[arg(long)]
    pub(crate) lines: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ApprovalsAllow {
    /// What waits, by its id.
    pub(crate) id: String,
    /// What it is for.
    #[arg(long = "for", value_enum, value_name = "WHAT", default_value_t = crate::approvals::For::Once)]
    pub(crate) scope: crate::approvals::For,
    /// For `path`: the folder, one of those that the question offers (default: the nearest).
    #[arg(long, value_name = "FOLDER")]
    pub(crate) within: Option<String>,
    /// The approver key to sign with, where a proven person is asked for (default: your own, as `enroll` made it).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// How long a grant holds, at most 480.
    #[arg(long, value_name = "MINUTES", default_value_t = 60)]
    pub(crate) minutes: u32,
}

#[derive(Debug, Args)]
pub(crate) struct ApprovalsId {
    /// What waits, by its id.
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct ApprovalsGrants {
    /// Take this one back.
    #[arg(long, value_name = "ID")]
    pub(crate) revoke: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Check every layer against the tools of every server: types, names, rules that reach nothing.
    Check,
    /// Say which policies decide about a call, at every level of consent.
    Explain(PolicyExplain),
    /// Run the test cases that lie beside the user's policies (`*.json`).
    Test,
    /// Say which calls on record would get another answer if a candidate decided.
    Replay(PolicyReplay),
    /// Accept the policies of the project in the working directory, as they are now.
    Accept(PolicyAccept),
    /// Sign a policy file: a project's then counts where the key is trusted, without `accept`.
    Sign(PolicySign),
    /// Print the policies that ship in the program.
    Defaults,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyExplain {
    /// The server.
    pub(crate) name: String,
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments, a JSON object.
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(crate) arguments: String,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyReplay {
    /// From when on: `7d`, `12h`, or a time such as 2026-11-21T03:00:00Z.
    #[arg(long, value_name = "TIME", default_value = "7d")]
    pub(crate) since: String,
    /// A policy file, or a folder of them; each stands for your file of the same name, or beside your files.
    pub(crate) candidate: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyAccept {
    /// Accept without asking.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PolicySign {
    /// The policy file; the signature is written beside it.
    pub(crate) file: PathBuf,
    /// The private key: an unencrypted PKCS#8 PEM file of mode 0600 (default: your approver key, whose passphrase is asked for).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
}
