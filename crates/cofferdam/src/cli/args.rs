//! Definitions of the command line, and nothing else.

use std::path::PathBuf;

use super::audit::args::AuditVerb;
use crate::install::Exceptions;
use clap::{Args, Parser, Subcommand, ValueEnum};
use cofferdam_manifest::Endpoint;

/// A security layer for MCP servers that speak over stdin and stdout.
///
/// Each server runs sealed in a compartment of its own; one gate on its pipes decodes, inspects, decides and records every line before it
/// passes.
#[derive(Debug, Parser)]
#[command(name = "cofferdam", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// One folder for configuration, state and data (default: the user's own folders). Must be yours, mode 0700, outside the working directory.
    #[arg(long, global = true, env = crate::home::HOME_VARIABLE, hide_env_values = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// How data is printed on stdout.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// For programs: one JSON document, or one object a line.
    Json,
    /// For code hosts: findings as SARIF 2.1.0, where a verb has findings.
    Sarif,
    /// For analysts: Apache Parquet, of `audit export`.
    Parquet,
    /// For spreadsheets: comma-separated values, of `audit query`.
    Csv,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Be the server, sealed and gated: what an MCP client starts instead of it.
    Run(Target),
    /// Watch a server once, sealed, and write its manifest.
    Add(Box<Add>),
    /// Seal the servers that MCP clients have: observe each, show it, and make its client start it through the gate.
    Protect(Protect),
    /// Put clients' configurations back as they were.
    Unprotect(Unprotect),
    /// List every server of every client, and whether it is protected.
    Status(Status),
    /// Show a server's tools, pins and findings.
    Tools(Tools),
    /// Make one tool call through the gate.
    Call(Call),
    /// Run a command of yours in a server's compartment, to look around.
    Enter(Target),
    /// Check, compare, accept and sign manifests.
    #[command(subcommand)]
    Manifest(ManifestVerb),
    /// See what waits for your consent, and answer.
    Approvals {
        #[command(subcommand)]
        verb: Option<super::policy_args::ApprovalsVerb>,
    },
    /// Check, explain and test the policies that decide.
    #[command(subcommand)]
    Policy(super::policy_args::PolicyVerb),
    /// The packages that were installed for servers.
    #[command(subcommand)]
    Install(InstallVerb),
    /// Read and verify the record.
    #[command(subcommand)]
    Audit(AuditVerb),
    /// See nine attacks succeed against a bare server and fail behind the gate.
    Demo(Demo),
    /// Show what this machine can enforce, measured on a compartment, and how to get what it cannot.
    Doctor(Doctor),
    /// Findings for tool definitions or calls, line by line.
    #[command(subcommand)]
    Inspect(InspectVerb),
    /// List every rule, by its id.
    Rules,
    /// Print a completion script for a shell.
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// The demo's deliberately vulnerable server.
    #[command(name = "__vulnerable-server", hide = true)]
    VulnerableServer {
        /// The folder it pretends to serve.
        root: PathBuf,
        /// Also make a machine around it, with an internal service on this port.
        service_port: Option<u16>,
    },
}

/// A server by name, or a command under the sealed default.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The server, as it was named with `add`.
    #[arg(value_name = "NAME", required_unless_present = "command")]
    pub(crate) name: Option<String>,
    /// A command: without NAME under the sealed default (no network, no host files but the program's own and the system's, nothing remembered).
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Add {
    /// What the server shall be called.
    pub(crate) name: String,
    /// Accept without asking. Folders named as arguments are granted read-only unless `--write` names them.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Replace a server of this name.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Write it into the working tree, at the root of its repository, for everyone who trusts it; and accept it for yourself.
    #[arg(long)]
    pub(crate) project: bool,
    /// Grant a file or folder read-only.
    #[arg(long, value_name = "PATH")]
    pub(crate) read: Vec<PathBuf>,
    /// Grant a file or folder for reading and writing.
    #[arg(long, value_name = "PATH")]
    pub(crate) write: Vec<PathBuf>,
    /// A file or folder that belongs to the program: readable and pinned.
    #[arg(long, value_name = "PATH")]
    pub(crate) program: Vec<PathBuf>,
    /// Let the server execute this program, by name or absolute path, such as `git`. Others are not there, shells neither.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) execute: Vec<String>,
    /// It drives a browser with a sandbox of its own: let it make namespaces and UNIX sockets. What that gives up is said.
    #[arg(long)]
    pub(crate) browser: bool,
    /// Give up one feature of its compartment, such as `cgroup-namespace`; `namespaces` where none can be made. What that gives up is said.
    #[arg(long, value_name = "FEATURE")]
    pub(crate) waive: Vec<String>,
    /// Let it connect to this host and port, and to nothing else: a name, an address, or `localhost`.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) network: Vec<Endpoint>,
    #[command(flatten)]
    pub(crate) but: InstallBut,
    /// Set a variable inside (`NAME=VALUE`) or pass on one of the client's (`NAME`). Never a secret.
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Pass on a secret variable of the client's. It is as long-lived as it is there; a vault is better.
    #[arg(long, value_name = "NAME")]
    pub(crate) secret: Vec<String>,
    /// The folder the client starts the server in.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Let the server ask the client for this.
    #[arg(long = "client", value_name = "REQUEST", value_enum)]
    pub(crate) client: Vec<ClientMay>,
    /// Seconds the server may take for each answer while it is observed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
    /// It is an image (`NAME@sha256:…`) in podman's store: the command is what its entry point is given, or the program where it has none.
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["program", "execute"])]
    pub(crate) image: Option<String>,
    /// The engine that makes its container: `podman`, or the absolute path of one.
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<String>,
    /// The engine's runtime, such as `crun` or `runsc`.
    #[arg(long, value_name = "RUNTIME")]
    pub(crate) runtime: Option<String>,
    /// What is granted as the server was seen to need it; for `protect`.
    #[arg(skip)]
    pub(crate) as_before: Option<Box<AsBefore>>,
    /// The server's launch line.
    #[arg(last = true, required_unless_present = "image", value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What an install does not do by itself.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct InstallBut {
    /// Install versions that are younger than 48 hours, too.
    #[arg(long)]
    pub(crate) young: bool,
    /// Run install scripts of npm's packages, in the compartment that reaches the registry only.
    #[arg(long)]
    pub(crate) scripts: bool,
    /// Build packages of Python's that have no wheel, in the compartment that reaches the index only.
    #[arg(long)]
    pub(crate) build: bool,
}

impl From<InstallBut> for Exceptions {
    fn from(InstallBut { young, scripts, build }: InstallBut) -> Self {
        Self { young, scripts, build }
    }
}

/// A server that ran until now goes on working: what it asks of the client at its start is allowed, and folders that its launch line names
/// are granted for writing where it has tools that write.
#[derive(Debug, Clone, Default)]
pub(crate) struct AsBefore {
    /// Writing is granted inside this folder only: a project's entry names the project's own.
    pub(crate) project: Option<PathBuf>,
}

/// Which configurations.
#[derive(Debug, Args)]
pub(crate) struct Configurations {
    /// Only this client, by its id, such as `cursor`.
    #[arg(long, value_name = "CLIENT")]
    pub(crate) client: Option<String>,
    /// Only this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Protect {
    #[command(flatten)]
    pub(crate) which: Configurations,
    /// Say what would be done; start nothing, change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Accept every server as it is shown.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
    /// Leave the server of this name as it is, from now on, and remember why.
    #[arg(long, value_name = "NAME=REASON")]
    pub(crate) leave: Vec<String>,
    /// Seconds a server may take for each answer while it is observed.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Unprotect {
    #[command(flatten)]
    pub(crate) which: Configurations,
    /// Only servers of these names.
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) which: Configurations,
}

/// What a server may ask of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientMay {
    Roots,
    Elicitation,
    Sampling,
}

#[derive(Debug, Args)]
pub(crate) struct Tools {
    /// The server.
    pub(crate) name: String,
    /// Start the server, sealed, and compare what it lists now with what was accepted.
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InspectVerb {
    /// Tool definitions, one JSON object a line, or a whole `tools/list` answer.
    Tools(Inspect),
    /// Tool calls, one JSON object a line: `{"tool", "arguments", "schema"?}` or a `tools/call` request.
    Calls(Inspect),
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The file, or `-` for stdin.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: String,
    /// Leave out findings below this severity. High and above block by default.
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = AtLeast::Info)]
    pub(crate) at_least: AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AtLeast {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Args)]
pub(crate) struct Call {
    /// The server.
    pub(crate) name: String,
    /// The tool.
    pub(crate) tool: String,
    /// Its arguments, a JSON object.
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(crate) arguments: String,
    /// Seconds to wait for each answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ManifestVerb {
    /// Check a manifest, the definitions, program pins and signature that belong to it, and what it grants. Starts nothing.
    Check(ManifestCheck),
    /// Watch a server once more, sealed, and say what changed since it was accepted. Exit 1 when something did.
    Diff(ManifestDiff),
    /// Accept what changed, as shown: pins, definitions and program move; rights, consent and roles stay. Or accept a project's manifest.
    Accept(ManifestAccept),
    /// Install a newer version of a server's package beside the one that runs, show the difference, and switch after a yes.
    Update(ManifestUpdate),
    /// Switch back to what was accepted before the last update.
    Rollback(ManifestRollback),
    /// Give a server one more right, after showing what that widens.
    Allow(ManifestAllow),
    /// Sign a manifest with an Ed25519 key, into a file beside it.
    Sign(ManifestSign),
    /// Make keys that sign manifests.
    #[command(subcommand)]
    Key(KeyVerb),
}

#[derive(Debug, Args)]
pub(crate) struct ManifestDiff {
    /// The server, or with `--against` also a manifest file.
    #[arg(value_name = "NAME|FILE")]
    pub(crate) target: String,
    /// Compare with this manifest file instead: what it allows that the other does not, and the reverse. Starts nothing.
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) look: AtChanges,
}

/// How a server's changes are looked at.
#[derive(Debug, Args)]
pub(crate) struct AtChanges {
    /// Show all changes, and texts whole.
    #[arg(long)]
    pub(crate) full: bool,
    /// Seconds the server may take for each answer.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) timeout: u64,
}

/// What is agreed to without a terminal.
#[derive(Debug, Args)]
pub(crate) struct Agreement {
    /// Agree without being asked, if it is exactly what `--digest` says.
    #[arg(long, requires = "digest")]
    pub(crate) yes: bool,
    /// The digest that was shown.
    #[arg(long, value_name = "DIGEST", requires = "yes")]
    pub(crate) digest: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestAccept {
    /// The server; or a project's manifest, its folder, or the project's folder.
    #[arg(value_name = "NAME|PATH")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) agreement: Agreement,
    #[command(flatten)]
    pub(crate) look: AtChanges,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestUpdate {
    /// The server.
    pub(crate) name: String,
    /// This version and no other (default: the newest that is at least 48 hours old).
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) but: InstallBut,
    #[command(flatten)]
    pub(crate) agreement: Agreement,
    #[command(flatten)]
    pub(crate) look: AtChanges,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestRollback {
    /// The server.
    pub(crate) name: String,
    /// Switch without asking.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum InstallVerb {
    /// What lies in the store, and which servers use it.
    List,
    /// Remove what no server uses: neither now, nor to switch back to.
    Prune(InstallPrune),
}

#[derive(Debug, Args)]
pub(crate) struct InstallPrune {
    /// Say what would be removed; remove nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Remove without asking.
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestAllow {
    /// The server.
    pub(crate) name: String,
    /// What kind of right.
    #[arg(value_enum)]
    pub(crate) kind: RightKind,
    /// A file or folder; HOST:PORT; a program; a UNIX socket; the name of a variable.
    #[arg(value_name = "VALUE")]
    pub(crate) value: String,
    /// A path may be written to as well.
    #[arg(long)]
    pub(crate) write: bool,
    /// Write it without asking.
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RightKind {
    /// A file or folder, readable; with `--write` also writable.
    Path,
    /// HOST:PORT that it may connect to.
    Host,
    /// A program that it may execute.
    Program,
    /// A UNIX socket that it may connect to.
    Socket,
    /// A variable that it is passed.
    Variable,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestSign {
    /// The server, or a manifest file.
    #[arg(value_name = "NAME|FILE")]
    pub(crate) target: String,
    /// The private key: an unencrypted PKCS#8 PEM file of mode 0600 (default: your approver key, whose passphrase is asked for).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// For a file: the server's name, which is signed too (default: the name of the folder it lies in).
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a new private key, and print its public half: a line for a `.pub` file in a folder of trusted keys.
    New(KeyNew),
    /// Print the public half of a private key.
    Public(KeyNew),
}

#[derive(Debug, Args)]
pub(crate) struct KeyNew {
    /// The private key's file, mode 0600.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Whose key it is, for the public line.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) comment: String,
}

#[derive(Debug, Args)]
pub(crate) struct ManifestCheck {
    /// The server, or a manifest file (a path with a `/` or ending in `.toml`). All servers without it.
    #[arg(value_name = "NAME|FILE")]
    pub(crate) target: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print an AppArmor profile for this program and nothing else, for systems that restrict user namespaces (Ubuntu 24.04 and later).
    #[arg(long)]
    pub(crate) apparmor: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep the demo's folder, with its record, and say where it is.
    #[arg(long)]
    pub(crate) keep: bool,
}
