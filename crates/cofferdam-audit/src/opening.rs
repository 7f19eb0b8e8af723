//! How a session begins: who, for whom, and the header and `open` record that say so.

use crate::chain::Digest;
use crate::error::AuditError;
use crate::group::{Drafted, Group};
use crate::header::{HEADER_BYTES_MAX, Header, session_bytes};
use crate::kind::Kind;
use crate::record::FACTS_BYTES_MAX;
use crate::seal::Wrapped;
use crate::veil::Veiling;
use serde_json::{Map, Value};

/// What is known when a session begins.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// 128 random bits as 32 lowercase hexadecimal digits, made by the caller.
    pub session: &'a str,
    /// The server's name: at most 64 letters, digits, `.`, `_` and `-`, not beginning with a
    /// mark. It names a folder.
    pub server: &'a str,
    /// For whom the session runs. At most 4 KiB.
    pub principal: &'a str,
    /// What else is known: a JSON object, or empty. It stands in the `open` record under
    /// `opening`.
    pub facts: &'a str,
}

const PRINCIPAL_BYTES_MAX: usize = 4 * 1024;

impl Opening<'_> {
    /// The header of the session's first segment.
    pub(crate) fn header(&self, (wall_ns, boot_ns): (u64, u64), sealed: Option<Wrapped>) -> Header {
        Header {
            session: self.session.to_owned(),
            server: self.server.to_owned(),
            principal: self.principal.to_owned(),
            wall_ns,
            boot_ns,
            index: 0,
            first_seq: 0,
            previous: Digest::ZERO,
            sealed,
            stores_once: true,
        }
    }
}

/// The first bytes of the first segment, and how it stands after them.
pub(crate) fn draft(
    header: &Header,
    facts: &str,
    now: (u64, u64),
    veiling: Option<&dyn Veiling>,
) -> Result<(Vec<u8>, Drafted), AuditError> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX);
    let hash = header.write(&mut bytes);
    let mut group = Group::following(&mut bytes, header.first_seq, hash, now).veiled_by(veiling);
    group.add_own(Kind::Open, facts);
    let drafted = group.finish()?;
    Ok((bytes, drafted))
}

/// Fails before anything is created when the opening is not valid.
pub(crate) fn check(opening: &Opening<'_>) -> Result<(), AuditError> {
    if session_bytes(opening.session).is_none() {
        return Err(AuditError::SessionId {
            session: opening.session.to_owned(),
        });
    }
    if opening.principal.len() > PRINCIPAL_BYTES_MAX {
        return Err(AuditError::TooLong {
            what: "principal",
            bytes: opening.principal.len(),
            max: PRINCIPAL_BYTES_MAX,
        });
    }
    check_object(opening.facts, Kind::Open)
}

/// The facts of the `open` record: how this log works, and the caller's under `opening`. Put
/// together as text, so that the caller's stay as they are.
pub(crate) fn facts(opening: &Opening<'_>, durability: &str, reserves: bool) -> Result<String, AuditError> {
    let callers = if opening.facts.is_empty() { "{}" } else { opening.facts };
    let facts = format!(r#"{{"durability":"{durability}","opening":{callers},"reserve":{reserves}}}"#);
    if facts.len() > FACTS_BYTES_MAX {
        return Err(AuditError::TooLong {
            what: "facts",
            bytes: facts.len(),
            max: FACTS_BYTES_MAX,
        });
    }
    Ok(facts)
}

/// Fails unless the facts are empty or one JSON object.
pub(crate) fn check_object(facts: &str, kind: Kind) -> Result<(), AuditError> {
    if facts.is_empty() || serde_json::from_str::<Map<String, Value>>(facts).is_ok() {
        Ok(())
    } else {
        Err(AuditError::Facts { kind })
    }
}
