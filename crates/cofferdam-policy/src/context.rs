//! What is known about the world when one message is decided.

use cofferdam_manifest::{ClientRequest, Consent};
use cofferdam_protocol::{Admitted, Sender};

use crate::engine::{Moment, Policies};

/// How the tool of a call stands against its pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// In the manifest, and the live definition matches the pin; the manifest's consent for it.
    Pinned(Consent),
    /// `run -- COMMAND…` without a manifest: nothing is pinned, the compartment alone bounds the call.
    Unpinned,
    /// Not in the manifest.
    NotInManifest,
    /// Its live definition differs from the pin.
    Changed,
    /// Not in the server's live list.
    NotOffered,
    /// The live list could not be read or did not come in time.
    Unverified,
}

/// The facts a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Who wrote the message.
    pub sender: Sender,
    /// Era and correlation, as the session found them.
    pub admitted: &'a Admitted,
    /// For `tools/call`: how the tool stands. `None` for a call that names no tool.
    pub standing: Option<Standing>,
    /// What the server may ask of the client.
    pub client_requests: &'a [ClientRequest],
    /// How many tool calls a minute the manifest allows.
    pub calls_per_minute_max: u32,
    /// The policies of every layer about this server.
    pub policies: &'a Policies,
    /// What policies see of this very moment.
    pub moment: Moment<'a>,
}
