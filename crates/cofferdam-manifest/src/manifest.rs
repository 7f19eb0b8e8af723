//! The manifest as values: one server, everything it may do.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::digest::Digest;
use crate::endpoint::Endpoint;
use crate::limits::Limits;
use crate::suppression::{Answers, Suppressions};

/// The longest a secret may live, in seconds.
pub const SECRET_TTL_SECONDS_MAX: u32 = 15 * 60;

/// One server's contract. Paths may start with `~` until [`Manifest::resolve`] expands them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// `[launch]`: which program is started, and what it consists of.
    pub launch: Launch,
    /// `[filesystem]`: granted roots.
    pub filesystem: Filesystem,
    /// `[network]`: allowed names and ports.
    pub network: Network,
    /// `[programs]`: what the server may execute besides itself; an absent section is an empty one.
    pub programs: Programs,
    /// `[sockets]`: UNIX sockets by path.
    pub sockets: Sockets,
    /// `[environment]`: the whole environment beside what the compartment itself sets.
    pub environment: Environment,
    /// `[limits]`.
    pub limits: Limits,
    /// `[secrets.NAME]`.
    pub secrets: BTreeMap<String, Secret>,
    /// `[isolation]`.
    pub isolation: Isolation,
    /// `[client]`: what the server may ask of the client.
    pub client: Client,
    /// `[answers]`: what becomes of what the server answers.
    #[serde(skip_serializing_if = "Answers::is_default")]
    pub answers: Answers,
    /// `[suppress."RULE"]`: findings that are known and accepted for a while.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub suppress: Suppressions,
    /// `[tools.NAME]`: the accepted tools; any other is hidden and refused.
    pub tools: BTreeMap<String, Tool>,
}

/// The program a server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Launch {
    /// The argument vector; the first is the absolute path of the program.
    pub command: Vec<String>,
    /// Working directory inside the compartment; `None` leaves it to the compartment.
    pub directory: Option<PathBuf>,
    /// The files and folders outside `/usr` that the program consists of: readable, never writable, and pinned.
    pub program: Vec<PathBuf>,
    /// [`ProgramPins::digest`](crate::ProgramPins::digest) of the program's content; `None` leaves it unpinned.
    pub digest: Option<Digest>,
    /// The registry package it was installed from.
    pub package: Option<Package>,
}

/// A package as a registry names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// `npm` or `pypi`.
    pub registry: String,
    /// The package's name.
    pub name: String,
    /// One exact version.
    pub version: String,
    /// The digest as the registry gives it: npm's `sha512-…` (subresource integrity), an index's `sha256:…` of the wheel.
    pub integrity: String,
    /// What a person said yes to for its install, from [`Package::EXCEPTIONS`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exceptions: Vec<String>,
}

impl Package {
    /// What an install does not do by itself: take a version younger than 48 hours, run install scripts, build from source.
    pub const EXCEPTIONS: [&str; 3] = ["young", "install-scripts", "source-build"];
}

/// Granted roots: absolute files or folders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filesystem {
    /// Readable.
    pub read: Vec<PathBuf>,
    /// Readable and writable.
    pub write: Vec<PathBuf>,
    /// Further names that are masked in them, beside [`MASKED_NAMES`](crate::MASKED_NAMES).
    pub mask: Vec<String>,
}

/// Where the server may connect to; empty means no network at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Names (or literal addresses) with ports.
    pub allow: Vec<Endpoint>,
    /// Those of them, besides every name with port 443, that are spoken to in TLS under their own name and in no
    /// other way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tls: Vec<Endpoint>,
}

impl Network {
    /// The port that is TLS without being listed (RFC 9110 section 4.2.2).
    pub const TLS_PORT: u16 = 443;

    /// Whether only TLS under the host's own name may be spoken with this endpoint.
    #[must_use]
    pub fn is_tls(&self, endpoint: &Endpoint) -> bool {
        endpoint.is_public_name() && (endpoint.port == Self::TLS_PORT || self.tls.contains(endpoint))
    }
}

/// What the server may execute besides itself; empty means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Programs {
    /// Plain names, looked up on the system's path, or absolute paths.
    pub allow: Vec<String>,
}

/// UNIX sockets the server may connect to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Sockets {
    /// Absolute socket paths.
    pub allow: Vec<PathBuf>,
}

/// Environment variables; never a secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Environment {
    /// Names whose value is taken from the gate's own environment.
    pub pass: Vec<String>,
    /// Literal values.
    pub set: BTreeMap<String, String>,
}

/// A secret by reference: the manifest never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Where the value comes from.
    pub source: String,
    /// How long one lease lives, in seconds; at most [`SECRET_TTL_SECONDS_MAX`].
    pub ttl_seconds: u32,
    /// How the server gets it.
    pub deliver: Deliver,
    /// For `egress`: the hosts that may see it.
    pub hosts: Vec<Endpoint>,
    /// For `egress`: the header it is written into.
    pub header: Option<String>,
}

impl Secret {
    /// The source of a secret that the client sets in our own environment, under the secret's name.
    pub const ENVIRONMENT: &str = "environment";

    /// Whether this version delivers it: a variable of the client's, handed on as a variable.
    #[must_use]
    pub fn is_environment(&self) -> bool {
        self.source == Self::ENVIRONMENT && self.deliver == Deliver::Env
    }
}

/// How a secret reaches the server, safest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Deliver {
    /// Not at all: the egress puts it into the request.
    #[default]
    Egress,
    /// A sealed memory file.
    Fd,
    /// A file only the server can read.
    File,
    /// An environment variable: readable by everything the server starts.
    Env,
}

/// What confines the server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Isolation {
    /// The kind of compartment.
    pub backend: Backend,
    /// Features without which the server must not start, beyond the compartment's own default list.
    pub require: Vec<String>,
    /// Features of that list that a person gives up for this server. Each start puts them on record.
    pub waive: Vec<String>,
    /// What a container is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// What kind of program the compartment is loosened for, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
}

/// The image of a container, and the engine that makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// `NAME@sha256:DIGEST`.
    pub reference: String,
    /// [`Image::PODMAN`], which is the default, or the absolute path of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The engine's runtime, where it is not the engine's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
}

impl Image {
    /// The engine this version can use.
    pub const PODMAN: &'static str = "podman";
    /// Digits of a SHA-256 digest.
    const DIGEST_DIGITS: usize = 64;

    /// Whether a reference names an image by its digest, so that no other image can take its place.
    #[must_use]
    pub fn is_pinned(reference: &str) -> bool {
        let Some((name, digest)) = reference.split_once("@sha256:") else {
            return false;
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        name.starts_with(|first: char| first.is_ascii_alphanumeric())
            && name.bytes().all(is_name)
            && digest.len() == Self::DIGEST_DIGITS
            && digest.bytes().all(is_digit)
    }
}

/// A kind of program that does not run in the compartment as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// It drives a browser, which confines its own processes: it may make namespaces, UNIX sockets and filters.
    Browser,
}

/// A kind of compartment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Linux namespaces, Landlock and seccomp, set up by Cofferdam itself.
    #[default]
    Native,
    /// A container engine.
    Oci,
}

/// What the server may ask of the client; empty means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Client {
    /// The kinds of server-to-client request that pass.
    pub allow: Vec<ClientRequest>,
}

/// A kind of server-to-client request, by the client capability MCP names it after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientRequest {
    /// `roots/list`.
    Roots,
    /// `elicitation/create`.
    Elicitation,
    /// `sampling/createMessage`.
    Sampling,
}

/// One accepted tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tool {
    /// [`tool_digest`](crate::tool_digest) of its whole definition.
    pub pin: Digest,
    /// Who has to agree to a call.
    pub consent: Consent,
    /// What is known of single arguments.
    pub arguments: BTreeMap<String, Argument>,
}

/// Who has to agree before a call passes, weakest first (so a larger one is stricter); `deny` is above all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// Nobody (level 0).
    Allow,
    /// Attested by the client or by any process of the user (level 2). What an absent `consent` means.
    #[default]
    Ask,
    /// A person, proven (level 3).
    Person,
    /// Two people, two keys (level 4).
    Two,
    /// Never.
    Deny,
}

/// What is known of one argument of a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Argument {
    /// What the server does with it; `None` leaves it to be inferred.
    pub role: Option<Role>,
    /// For paths: the roots it must stay in.
    pub within: Vec<PathBuf>,
}

/// What a server does with an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A file or folder.
    Path,
    /// A pattern of files.
    Glob,
    /// A URL.
    Url,
    /// A host name or address.
    Host,
    /// A shell command line.
    Shell,
    /// One word of an argument vector.
    ArgvItem,
    /// An SQL statement.
    Sql,
    /// An SQL table, column or schema name.
    SqlIdentifier,
    /// A query in a language other than SQL.
    Query,
    /// An opaque identifier.
    Identifier,
    /// Program text.
    Code,
    /// Text for people or models.
    Prose,
    /// A credential.
    Secret,
}

/// An enumeration written as a word in a manifest.
pub(crate) trait Word: Copy + PartialEq + Sized + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn from_word(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, value)| *value)
    }

    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(name, _)| name)
    }
}

impl Word for Deliver {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("egress", Self::Egress),
        ("fd", Self::Fd),
        ("file", Self::File),
        ("env", Self::Env),
    ];
}

impl Word for Backend {
    const WORDS: &'static [(&'static str, Self)] = &[("native", Self::Native), ("oci", Self::Oci)];
}

impl Word for Profile {
    const WORDS: &'static [(&'static str, Self)] = &[("browser", Self::Browser)];
}

impl Word for ClientRequest {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("roots", Self::Roots),
        ("elicitation", Self::Elicitation),
        ("sampling", Self::Sampling),
    ];
}

impl Word for Consent {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("allow", Self::Allow),
        ("ask", Self::Ask),
        ("person", Self::Person),
        ("two", Self::Two),
        ("deny", Self::Deny),
    ];
}

impl Word for Role {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("path", Self::Path),
        ("glob", Self::Glob),
        ("url", Self::Url),
        ("host", Self::Host),
        ("shell", Self::Shell),
        ("argv-item", Self::ArgvItem),
        ("sql", Self::Sql),
        ("sql-identifier", Self::SqlIdentifier),
        ("query", Self::Query),
        ("identifier", Self::Identifier),
        ("code", Self::Code),
        ("prose", Self::Prose),
        ("secret", Self::Secret),
    ];
}

macro_rules! display_as_word {
    ($($kind:ty),*) => {$(
        impl std::fmt::Display for $kind {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    )*};
}
display_as_word!(Deliver, Backend, Profile, ClientRequest, Consent, Role);

impl Manifest {
    /// The smallest manifest for a launch line: nothing granted, no tool accepted, limits at their defaults.
    #[must_use]
    pub fn new(launch: Launch) -> Self {
        Self {
            launch,
            filesystem: Filesystem::default(),
            network: Network::default(),
            programs: Programs::default(),
            sockets: Sockets::default(),
            environment: Environment::default(),
            limits: Limits::default(),
            secrets: BTreeMap::new(),
            isolation: Isolation::default(),
            client: Client::default(),
            answers: Answers::default(),
            suppress: Suppressions::new(),
            tools: BTreeMap::new(),
        }
    }

    /// The digest of the exact meaning: comments, layout and key order do not matter, every value does (defaults are
    /// spelled out first, so a default that changes with a version changes the digest).
    #[must_use]
    pub fn digest(&self) -> Digest {
        // Only a path that is not UTF-8 has no JSON; such a manifest cannot come from `parse` and matches no file.
        let meaning = serde_json_canonicalizer::to_vec(self).unwrap_or_else(|_| format!("{self:?}").into_bytes());
        Digest::of(&meaning)
    }
}
