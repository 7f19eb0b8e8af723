//! A request that is still being decided cannot be answered: not by a peer that guesses its id, not after it was refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use cofferdam_protocol::{Decoded, Id, Message, Reason, Sender, Session, SessionLimits, decode};

fn message(line: &str) -> Message {
    match decode(line.as_bytes().to_vec()).unwrap() {
        Decoded::Message(message) => message,
        Decoded::Batch(_) => panic!("one message was meant"),
    }
}

fn asked(session: &mut Session) -> u64 {
    let request = message(r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#);
    session
        .admit_unsent(Sender::Client, &request, 0)
        .unwrap()
        .number
        .unwrap()
}

fn answered(session: &mut Session) -> Result<bool, Reason> {
    let answer = message(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
    let admitted = session.admit_unsent(Sender::Server, &answer, 0);
    admitted
        .map(|admitted| admitted.answers.is_some())
        .map_err(|refused| refused.reason)
}

#[test]
fn only_what_was_sent_can_be_answered_and_a_guess_uses_nothing_up() {
    let mut session = Session::new(SessionLimits { in_flight: 8 });
    let number = asked(&mut session);
    assert_eq!(answered(&mut session), Err(Reason::UnknownResponse));
    assert!(session.is_pending(Sender::Client, &Id::Number(7)), "it still waits");
    session.sent(Sender::Client, &Id::Number(7), number);
    assert_eq!(answered(&mut session), Ok(true));
    assert_eq!(answered(&mut session), Err(Reason::DuplicateResponse));
}

#[test]
fn a_number_means_one_request_whatever_ids_come_again() {
    let mut session = Session::new(SessionLimits { in_flight: 8 });
    let first = asked(&mut session);
    session.retire(Sender::Client, &Id::Number(7));
    let second = asked(&mut session);
    assert_ne!(first, second);
    session.sent(Sender::Client, &Id::Number(7), first);
    assert_eq!(
        answered(&mut session),
        Err(Reason::UnknownResponse),
        "the first is gone, the second is not sent"
    );
    assert!(session.take_numbered(Sender::Client, &Id::Number(7), first).is_none());
    assert!(session.take_numbered(Sender::Client, &Id::Number(7), second).is_some());
}

#[test]
fn a_cancelled_request_that_never_went_out_has_no_late_answer() {
    let mut session = Session::new(SessionLimits { in_flight: 8 });
    asked(&mut session);
    let cancel = message(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}"#);
    session.admit_unsent(Sender::Client, &cancel, 0).unwrap();
    assert_eq!(answered(&mut session), Err(Reason::DuplicateResponse));
}

#[test]
fn an_answer_that_could_not_be_passed_on_leaves_its_request_open() {
    let mut session = Session::new(SessionLimits { in_flight: 8 });
    let number = asked(&mut session);
    session.sent(Sender::Client, &Id::Number(7), number);
    let answer = message(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
    let pending = session
        .admit_unsent(Sender::Server, &answer, 0)
        .unwrap()
        .answers
        .unwrap();
    assert_eq!(session.in_flight(Sender::Client), 0);
    session.reopen(Sender::Client, Id::Number(7), pending);
    assert!(session.is_numbered(Sender::Client, &Id::Number(7), number));
}
