//! `audit show`: one session or one record.

use cofferdam_audit::{Kind, Located, Payloads, Reader, SessionState, Store};
use serde_json::Value;

use super::args::AuditShow;
use super::line::print;
use super::{SHOWN_PAYLOAD_BYTES, failure, store};
use crate::cli::output::Output;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::sealing::Identities;

/// One session or one record. What is shown is verified on the way.
pub(crate) fn show(home: &Home, args: &AuditShow, output: &mut Output) -> Result<Exit, Failure> {
    let store = store(home)?;
    let identities = args.identity.as_deref().map(Identities::read).transpose()?;
    if let Some(reference) = args.reference.as_ref().filter(|reference| reference.contains(':')) {
        let mut located = store.record(reference).map_err(|error| failure(&error))?;
        if let Some(identities) = &identities {
            identities.open(&located.header)?.open(&mut located.record)?;
        }
        print(&located.session, &located.server, &located.record, true, output)?;
        seen_during(&store, &located, output)?;
        return Ok(Exit::Fine);
    }
    let session = match &args.reference {
        Some(id) => store.session(id).map_err(|error| failure(&error))?,
        None => {
            let newest = store
                .sessions()
                .map_err(|error| failure(&error))?
                .items
                .into_iter()
                .next();
            newest.ok_or_else(|| Failure::new(Exit::Nothing, "nothing is recorded yet"))?
        }
    };
    let kept = if args.full || identities.is_some() {
        Payloads::Whole
    } else {
        Payloads::First(SHOWN_PAYLOAD_BYTES)
    };
    let (id, server) = (&session.header.session, &session.header.server);
    for path in &session.segments {
        let mut reader = Reader::open(path).map_err(|error| failure(&error))?.keeping(kept);
        let opener = identities
            .as_ref()
            .map(|identities| identities.open(reader.header()))
            .transpose()?;
        while let Some(mut record) = reader.next_record().map_err(|error| failure(&error))? {
            if let Some(opener) = &opener {
                opener.open(&mut record)?;
            }
            print(id, server, &record, args.full, output)?;
        }
    }
    if !output.is_json() {
        let state = match session.state {
            SessionState::Live => "still running",
            SessionState::Closed => "closed",
            SessionState::Unclosed => "ended without a close record: killed, or cut",
        };
        output.say(&format!("session {}: {state}", session.header.session));
    }
    Ok(Exit::Fine)
}

/// What the server was seen doing while this call was in flight, if it is one.
fn seen_during(store: &Store, located: &Located, output: &mut Output) -> Result<(), Failure> {
    let call: Value = serde_json::from_slice(&located.record.payload).unwrap_or_default();
    let is_call = located.record.kind == Kind::ClientLine && call.get("method").is_some_and(|it| it == "tools/call");
    let Some(id) = call.get("id").filter(|_| is_call) else {
        return Ok(());
    };
    let session = store.session(&located.session).map_err(|error| failure(&error))?;
    for path in &session.segments {
        let mut reader = Reader::open(path)
            .map_err(|error| failure(&error))?
            .keeping(Payloads::Whole);
        while let Some(record) = reader.next_record().map_err(|error| failure(&error))? {
            if record.seq <= located.record.seq {
                continue;
            }
            let facts: Value = serde_json::from_str(&record.facts).unwrap_or_default();
            let during = facts
                .get("during")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            match record.kind {
                Kind::SystemCall | Kind::Connection if during.iter().any(|call| call.get("id") == Some(id)) => {
                    print(&located.session, &located.server, &record, true, output)?;
                }
                // The id may be used again from here on.
                Kind::ClientLine if is_request(&record.payload, id) => return Ok(()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether a line is a request with this id.
fn is_request(line: &[u8], id: &Value) -> bool {
    let message: Value = serde_json::from_slice(line).unwrap_or_default();
    message.get("method").is_some() && message.get("id") == Some(id)
}
