//! One server's contract: what it is, what it may reach and which tools it was accepted with.
//!
//! - [`parse`] reads a manifest and says everything that is wrong with it, with line and column;
//!   [`Manifest::to_toml`] writes one.
//! - [`understand`] reads a launch line: which program it really starts and which files that program consists of.
//! - [`ProgramPins`] holds the content of those files to what was accepted.
//! - [`tool_digest`] and [`Definitions`] do the same for the tools a server lists.
//! - [`diff()`] says in plain words what changed since; [`diff_manifests`] what one manifest allows and another does not.
//! - [`repin()`] moves the pins of a manifest's text to what a person accepted now, and nothing else.
//! - [`widen()`] adds one right to a manifest's text.
//! - [`sign`] and [`verify`] make and check Ed25519 signatures over a manifest's exact meaning.
//! - [`judge`] says whether a manifest that a project brings along counts.
//!
//! The crate reads files and nothing else: no network, no clock (callers pass the time), no process is started.
#![forbid(unsafe_code)]

mod canonical;
mod definitions;
mod diagnostic;
mod diff;
mod digest;
mod endpoint;
mod grant;
mod key;
mod limits;
mod manifest;
mod mask;
mod nearest;
mod not_yet;
mod pins;
mod program;
mod project;
mod quantity;
mod read;
mod repin;
mod secret_like;
mod signature;
mod suppression;
mod widen;
mod write;

pub use definitions::{DEFINITIONS_BYTES_MAX, Definitions, DefinitionsError};
pub use diagnostic::{Diagnostic, ManifestError};
pub use diff::{
    Accepted, CHANGES_PER_TOOL_MAX, Change, ChangeKind, Detail, Direction, Live, Piece, Subject, Weight, Words, diff,
    diff_manifests,
};
pub use digest::{Digest, DigestError, TOOL_DEFINITION_BYTES_MAX, ToolDefinitionError, tool_digest};
pub use endpoint::{Endpoint, EndpointError};
pub use grant::{Access, forbidden_grant};
pub use key::{KEY_FILE_BYTES_MAX, KeyError, KeyFault, PrivateKeyPem, PublicKey, SigningKey, TrustedKey};
pub use limits::Limits;
pub use manifest::{
    Argument, Backend, Client, ClientRequest, Consent, Deliver, Environment, Filesystem, Image, Isolation, Launch,
    Manifest, Network, Package, Profile, Programs, Role, SECRET_TTL_SECONDS_MAX, Secret, Sockets, Tool,
};
pub use mask::{MASKED_IF_KEYS, MASKED_NAMES, NOT_MASKED};
pub use not_yet::NotYet;
pub use pins::{Checked, PinsError, ProgramChanged, ProgramPins};
pub use program::{Interpreter, LaunchError, Program, ProgramKind, understand};
pub use project::{
    AcceptedProject, AcceptedProjects, AcceptedProjectsError, AcceptedProjectsFault, Authority, Objection,
    ProjectManifest, SERVER_NAME_BYTES_MAX, Verdict, can_name_server, judge,
};
pub use quantity::{bytes_in_words, parse_bytes};
pub use read::{MANIFEST_BYTES_MAX, can_name_tool, parse};
pub use repin::{RepinError, relaunch, repin};
pub use secret_like::looks_secret;
pub use signature::{Signature, SignatureError, sign, verify};
pub use suppression::{Answers, Day, OnInstructions, Suppression, Suppressions};
pub use widen::{Right, WidenError, widen};
