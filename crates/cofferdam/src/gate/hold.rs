//! Calls that come before any tool list: they wait, alone, while the gate lists the server's tools itself.
//!
//! Without this a client that never lists (a modern, stateless one, or a script) could call a tool whose definition changed since it was
//! accepted. Everything else keeps flowing; a held call that cannot be verified in time is refused.

use cofferdam_policy::Standing;
use cofferdam_protocol::{Admitted, Id, Message, Sender, Session};

use super::answer::list_tools;
use super::{Fault, Gate};

/// Pages of a tool list that are followed.
const LIST_PAGES_MAX: u32 = 64;
/// How long the server may take to list its tools, in milliseconds.
pub(super) const LIST_MS_MAX: u64 = 15_000;

/// Bytes of held calls at most; a call beyond is refused.
const HELD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// The keys of `_meta` that make a request modern; nothing else of an undecided call reaches the server.
const ERA_KEYS: [&str; 3] = [
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
];

/// The gate's own list in progress, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Held {
    listing: Option<Listing>,
    calls: Vec<(Message, Admitted)>,
}

#[derive(Debug)]
struct Listing {
    started_ms: u64,
    pages: u32,
    /// `_meta` of the first held call, if it is a modern one: our request speaks its era.
    meta: Option<String>,
}

impl Gate {
    /// Lets one call wait; the first one starts the list.
    pub(super) fn hold(&self, message: Message, admitted: Admitted) -> Result<(), Fault> {
        let meta = admitted.era.is_modern().then(|| era_meta(&message));
        let mut held = self.held();
        {
            let session = self.session();
            held.calls
                .retain(|(call, admitted)| is_waiting(&session, call, admitted));
        }
        let bytes: usize = held.calls.iter().map(|(call, _)| call.line().len()).sum();
        if bytes.saturating_add(message.line().len()) > HELD_BYTES_MAX {
            drop(held);
            return self.decide_held(self.process(), message, &admitted, Some(Standing::Unverified));
        }
        held.calls.push((message, admitted));
        if held.listing.is_some() {
            return Ok(());
        }
        held.listing = Some(Listing {
            started_ms: self.now_ms(),
            pages: 1,
            meta: meta.clone(),
        });
        drop(held);
        self.request_list(None, meta.as_deref())
    }

    fn request_list(&self, cursor: Option<&str>, meta: Option<&str>) -> Result<(), Fault> {
        let id = Id::Text(format!("cofferdam-{}", crate::random::hex(12).map_err(Fault::NoRandomness)?).into());
        self.session().expect_answer_to_gate(id.clone(), "tools/list");
        match self.author(Sender::Server, list_tools(&id, cursor, meta)) {
            Err(Fault::Unrecorded(error)) if error.is_outage() => {
                self.note_outage(&error);
                self.session().retire(Sender::Client, &id);
                self.release_held()
            }
            other => other,
        }
    }

    /// The process that was asked for its tools is gone: its successor is asked, if somebody waits.
    pub(super) fn list_again(&self) -> Result<(), Fault> {
        let meta = {
            let mut held = self.held();
            let Some(listing) = held.listing.as_mut() else {
                return Ok(());
            };
            listing.started_ms = self.now_ms();
            listing.pages = 1;
            listing.meta.clone()
        };
        self.request_list(None, meta.as_deref())
    }

    /// The server's answer to our own list: the next page, or the release of whoever waits.
    pub(super) fn take_own_answer(&self, answer: &Message) -> Result<(), Fault> {
        let mut held = self.held();
        let Some(listing) = held.listing.as_mut() else {
            return Ok(());
        };
        let next = answer
            .result_member("nextCursor")
            .and_then(|raw| serde_json::from_str::<String>(raw).ok());
        let readable = match answer.result() {
            Some(result) => self.tools().observe(result, listing.pages == 1, next.is_none()).is_ok(),
            None => false,
        };
        match next {
            Some(cursor) if readable && listing.pages < LIST_PAGES_MAX => {
                listing.pages += 1;
                let meta = listing.meta.clone();
                drop(held);
                self.request_list(Some(&cursor), meta.as_deref())
            }
            _ => {
                drop(held);
                self.release_held()
            }
        }
    }

    /// The server's answer to our own list cannot be used: nobody waits for it any longer.
    pub(super) fn give_up_list(&self) -> Result<(), Fault> {
        self.release_held()
    }

    /// Gives up on a list that does not come.
    pub(super) fn give_up_late_list(&self, now_ms: u64) -> Result<(), Fault> {
        let is_late = self
            .held()
            .listing
            .as_ref()
            .is_some_and(|listing| now_ms.saturating_sub(listing.started_ms) > LIST_MS_MAX);
        if is_late { self.release_held() } else { Ok(()) }
    }

    /// Decides every held call with what is known now. What is still unknown is refused.
    fn release_held(&self) -> Result<(), Fault> {
        let calls = {
            let mut held = self.held();
            held.listing = None;
            std::mem::take(&mut held.calls)
        };
        let process = self.process();
        for (message, admitted) in calls {
            // Cancelled or timed out while it waited: already answered, nothing to forward.
            if is_waiting(&self.session(), &message, &admitted) {
                let standing = self.standing(&message).unwrap_or(Some(Standing::Unverified));
                self.decide_held(process, message, &admitted, standing)?;
            }
        }
        Ok(())
    }

    /// `process` is the server's process that `standing` is true of.
    fn decide_held(
        &self,
        process: u64,
        message: Message,
        admitted: &Admitted,
        standing: Option<Standing>,
    ) -> Result<(), Fault> {
        let judged = self.consent(self.decide_call(message, admitted, standing));
        self.pass_on(process, vec![judged])
    }
}

/// Whether this very call, and not a later one with its id, is still unanswered.
fn is_waiting(session: &Session, message: &Message, admitted: &Admitted) -> bool {
    let numbered = message.id().zip(admitted.number);
    numbered.is_some_and(|(id, number)| session.is_numbered(Sender::Client, id, number))
}

/// `_meta` for the gate's own request: the era of the call, and nothing else of it.
fn era_meta(message: &Message) -> String {
    let kept = ERA_KEYS
        .iter()
        .filter_map(|key| message.meta(key).map(|value| format!("\"{key}\":{value}")));
    format!("{{{}}}", kept.collect::<Vec<_>>().join(","))
}
