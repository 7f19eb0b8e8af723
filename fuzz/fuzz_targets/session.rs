//! Admission: whatever two peers write, an answer is admitted once and only to a question, and nothing grows without bound.
//!
//! Input: lines; the first byte says who writes the line (`>` the client, anything else the server), the rest is the line.
#![no_main]

use std::collections::HashMap;

use cofferdam_protocol::{
    Decoded, Id, Message, MessageKind, SERVER_IN_FLIGHT_MAX, Sender, Session, SessionLimits, decode,
};
use libfuzzer_sys::fuzz_target;

const IN_FLIGHT: usize = 4;
const GATE_ID: &str = "gate";

/// Requests that were admitted and not yet answered, by who asked.
type Open = HashMap<(Sender, Id), String>;

fn check(session: &mut Session, open: &mut Open, sender: Sender, message: &Message, now: u64) {
    let before = (session.in_flight(Sender::Client), session.in_flight(Sender::Server));
    let admitted = session.admit(sender, message, now);
    match (message.kind(), &admitted) {
        (MessageKind::Request, Ok(admitted)) => {
            let id = message.id().expect("a request has an id").clone();
            assert_eq!(admitted.answers, None);
            assert!(session.is_pending(sender, &id));
            let method = message.method().expect("a request has a method").to_owned();
            assert!(
                open.insert((sender, id), method).is_none(),
                "an id was admitted twice while in flight"
            );
        }
        (MessageKind::Notification, Ok(admitted)) => assert_eq!(admitted.answers, None),
        (MessageKind::Response | MessageKind::ErrorResponse, Ok(admitted)) => {
            let id = message.id().expect("an admitted answer has an id").clone();
            let asked = admitted
                .answers
                .as_ref()
                .expect("an admitted answer belongs to a question");
            let method = open
                .remove(&(sender.other(), id.clone()))
                .expect("an answer was admitted to nobody's question");
            assert_eq!(*asked.method, *method);
            assert!(asked.started <= now);
            // The same answer again must not pass.
            assert!(
                session.admit(sender, message, now).is_err(),
                "one question was answered twice"
            );
        }
        (_, Err(refused)) => {
            assert!(refused.reason.id().starts_with("protocol/"));
            let after = (session.in_flight(Sender::Client), session.in_flight(Sender::Server));
            assert_eq!(before, after, "a refused message changed the session");
        }
    }
    assert!(session.in_flight(Sender::Client) <= IN_FLIGHT);
    assert!(session.in_flight(Sender::Server) <= SERVER_IN_FLIGHT_MAX);
    for asker in [Sender::Client, Sender::Server] {
        for (id, _) in session.pending(asker) {
            assert!(
                open.contains_key(&(asker, id.clone())),
                "the session waits for an answer to nothing"
            );
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let mut session = Session::new(SessionLimits { in_flight: IN_FLIGHT });
    let mut open = Open::new();
    let gate_id = Id::Text(GATE_ID.into());
    session.expect_answer_to_gate(gate_id.clone(), "ping");
    open.insert((Sender::Client, gate_id), "ping".to_owned());
    for (line, now) in input.split(|byte| *byte == b'\n').zip(0..) {
        let [writer, line @ ..] = line else { continue };
        let sender = if *writer == b'>' {
            Sender::Client
        } else {
            Sender::Server
        };
        match decode(line.to_vec()) {
            Ok(Decoded::Message(message)) => check(&mut session, &mut open, sender, &message, now),
            Ok(Decoded::Batch(batch)) if session.batch_allowed(sender).is_ok() => {
                for message in batch.messages() {
                    check(&mut session, &mut open, sender, message, now);
                }
            }
            Ok(Decoded::Batch(_)) | Err(_) => {}
        }
    }
});
