//! The policies in force. They are exchanged between two decisions when their files change, and no call is dropped for it; candidates beside
//! them are asked what they would have said, and enforce nothing.

use std::sync::mpsc::Sender as Events;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use cofferdam_audit::Kind;
use cofferdam_policy::{Context, Level, Policies, ruled};
use cofferdam_protocol::{Message, MessageKind};
use serde_json::json;

use super::{Event, Fault, Gate};
use crate::failure::Failure;

/// How often the files are looked at. A change must have held for one more look: an editor writes in pieces.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What decides.
#[derive(Debug)]
pub(crate) struct InForce {
    /// The policies of every layer about this server.
    pub(crate) policies: Policies,
    /// The same with what is under a shadow in its place, where something is.
    pub(crate) candidate: Option<Policies>,
    /// What an approval is bound to beside the call: manifest, program and policies.
    pub(crate) binding: String,
    /// Manifest and program.
    pub(crate) accepted: String,
    /// Of the policies, for the record.
    pub(crate) digest: String,
}

/// Looks at the files: `None` while they are what they were.
pub(crate) struct Reload(pub(crate) Box<dyn FnMut() -> Option<Result<InForce, Failure>> + Send + Sync>);

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reload")
    }
}

/// Takes changed policies until the gate ends.
pub(super) fn follow(gate: &Gate, events: &Events<Event>, mut reload: Reload) {
    while !gate.is_ending() {
        std::thread::sleep(LOOK_EVERY);
        let Some(changed) = (reload.0)() else { continue };
        if let Err(fault) = gate.exchange(changed) {
            let _unheard = events.send(Event::Fault(fault));
            return;
        }
    }
}

impl Gate {
    pub(super) fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other policies in force, or keeps those there are when the others cannot be used: the record and the operator hear which.
    fn exchange(&self, changed: Result<InForce, Failure>) -> Result<(), Fault> {
        let name = &self.terms.name;
        match changed {
            Ok(new) => {
                // On record first: nothing is decided by policies that nobody can look up.
                self.note_change(&json!({"policies": "reloaded", "policy": new.digest}))?;
                *self.in_force.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                // What was consented to was consented to under the others.
                self.consents().forget_consents();
                self.grants().forget();
                self.operator.say(format!(
                    "cofferdam: server `{name}`: the policies changed and are in force"
                ));
            }
            Err(failure) => {
                self.note_change(&json!({"policies": "kept", "why": failure.what}))?;
                self.operator.say(format!(
                    "cofferdam: server `{name}`: the policies changed and cannot be used, so those from before stay in force: {}",
                    failure.what
                ));
            }
        }
        Ok(())
    }

    /// While the record is out nothing passes anyway, and it has the outage.
    fn note_change(&self, facts: &serde_json::Value) -> Result<(), Fault> {
        match self.note(Kind::Notice, &facts.to_string()) {
            Err(error) if error.is_outage() => {
                self.note_outage(&error);
                Ok(())
            }
            other => other.map(drop).map_err(Fault::Unrecorded),
        }
    }

    /// Records where the candidate would decide otherwise.
    pub(super) fn compare(&self, message: &Message, context: &Context<'_>, candidate: &Policies) {
        if message.kind() != MessageKind::Request {
            return;
        }
        let enforced = ruled(message, context);
        let would = ruled(
            message,
            &Context {
                policies: candidate,
                ..*context
            },
        );
        let word = |level: Option<Level>| level.map_or("deny", Level::word);
        if enforced.0 == would.0 {
            return;
        }
        let facts = json!({"shadow": {
            "method": message.method(), "tool": message.param_str("name").map(|name| cofferdam_policy::shortened(&name)),
            "enforced": word(enforced.0), "candidate": word(would.0), "by": would.1,
        }});
        // A record that fails here fails for the decision itself, next.
        let _seq = self.note(Kind::Notice, &facts.to_string());
    }
}
