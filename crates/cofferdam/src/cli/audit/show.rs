//! `audit show`: one session as it went, or one record and the call it began.

use cofferdam_audit::{Kind, Located, Payloads, Reader, SessionState, Store};

use super::args::AuditShow;
use super::line::print;
use super::timeline::{Call, Timeline};
use super::{SHOWN_PAYLOAD_BYTES, failure, store};
use crate::cli::output::Output;
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::home::Home;
use crate::sealing::Identities;
use crate::unseen::Given;

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
        tell_call(home, (&store, &located), identities.as_ref(), output)?;
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
    let is_told = !args.full && !output.is_json();
    let contract = Contract::read(home, &session.header.server).ok();
    let given = contract.map(|contract| Given::written(home, &contract.manifest));
    let mut timeline = Timeline::new(&session.header.server, given.as_ref());
    let kept = if args.full || is_told || identities.is_some() {
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
            if is_told {
                timeline.tell(&record, output)?;
            } else {
                print(id, server, &record, args.full, output)?;
            }
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

/// The story of the call that this record began, if it is one.
fn tell_call(
    home: &Home,
    (store, located): (&Store, &Located),
    identities: Option<&Identities>,
    output: &mut Output,
) -> Result<(), Failure> {
    let Some(mut call) = Call::of(&located.record) else {
        return Ok(());
    };
    let session = store.session(&located.session).map_err(|error| failure(&error))?;
    let contract = Contract::read(home, &located.server).ok();
    let given = contract.map(|contract| Given::written(home, &contract.manifest));
    let mut timeline = Timeline::new(&located.server, given.as_ref());
    for path in &session.segments {
        let mut reader = Reader::open(path)
            .map_err(|error| failure(&error))?
            .keeping(Payloads::Whole);
        let opener = identities
            .map(|identities| identities.open(reader.header()))
            .transpose()?;
        while let Some(mut record) = reader.next_record().map_err(|error| failure(&error))? {
            let Some(concerned) = call.concerns(&record) else {
                return Ok(());
            };
            if !concerned {
                continue;
            }
            if let Some(opener) = &opener {
                opener.open(&mut record)?;
            }
            if output.is_json() {
                // For programs: the record that was asked for, and what was seen meanwhile.
                if matches!(record.kind, Kind::SystemCall | Kind::Connection) {
                    print(&located.session, &located.server, &record, true, output)?;
                }
            } else {
                timeline.tell(&record, output)?;
            }
        }
    }
    Ok(())
}
