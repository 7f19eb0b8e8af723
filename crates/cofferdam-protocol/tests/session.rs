//! Sessions as real peers hold them, and as hostile ones would.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use Sender::{Client, Server};
use cofferdam_protocol::{
    Decoded, Era, Id, METHODS, Message, MethodKind, Reason, Revision, SERVER_IN_FLIGHT_MAX, SETTLED_MAX, Sender,
    Session, SessionLimits, TOOL_NAME_BYTES_MAX, decode,
};

const MODERN_META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn message(line: &str) -> Message {
    match decode(line.as_bytes().to_vec()).unwrap() {
        Decoded::Message(message) => message,
        Decoded::Batch(_) => panic!("one message was meant"),
    }
}

fn request(id: i64, method: &str, params: &str) -> Message {
    message(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#
    ))
}

fn notification(method: &str, params: &str) -> Message {
    message(&format!(
        r#"{{"jsonrpc":"2.0","method":"{method}","params":{{{params}}}}}"#
    ))
}

fn result(id: i64, members: &str) -> Message {
    message(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{members}}}}}"#))
}

fn failure(id: i64) -> Message {
    message(&format!(
        r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"no"}}}}"#
    ))
}

fn fresh() -> Session {
    Session::new(SessionLimits { in_flight: 8 })
}

/// A session after `initialize`, answered with this version.
fn initialized(version: &str) -> Session {
    let mut session = fresh();
    session
        .admit(
            Client,
            &request(0, "initialize", r#""protocolVersion":"2025-11-25""#),
            0,
        )
        .unwrap();
    session
        .admit(Server, &result(0, &format!(r#""protocolVersion":"{version}""#)), 0)
        .unwrap();
    session
        .admit(Client, &notification("notifications/initialized", ""), 0)
        .unwrap();
    session
}

/// A session with one answered modern request.
fn modern() -> Session {
    let mut session = fresh();
    session
        .admit(Client, &request(0, "tools/list", MODERN_META), 0)
        .unwrap();
    session.admit(Server, &result(0, ""), 0).unwrap();
    session
}

fn refusal(session: &mut Session, sender: Sender, message: &Message) -> Reason {
    session.admit(sender, message, 0).unwrap_err().reason
}

fn number(id: i64) -> Id {
    Id::Number(id)
}

#[test]
fn initialize_settles_the_revision() {
    for revision in Revision::ALL.iter().filter(|revision| !revision.is_modern()) {
        assert_eq!(initialized(revision.as_str()).negotiated(), Some(*revision));
    }
    // Unknown, or one that has no `initialize`: still legacy, and the union of it all.
    for version in ["2027-01-01", "2026-07-28", "", "2025-06-18 "] {
        let mut session = initialized(version);
        assert_eq!(session.negotiated(), None, "{version}");
        assert_eq!(
            session.admit(Client, &request(1, "ping", ""), 0).unwrap().era,
            Era::Legacy(None)
        );
        assert!(session.admit(Server, &request(1, "elicitation/create", ""), 0).is_ok());
    }
}

#[test]
fn a_failed_or_repeated_initialize_is_as_with_bare_servers() {
    let mut session = fresh();
    session.admit(Client, &request(1, "initialize", ""), 0).unwrap();
    session.admit(Client, &request(2, "initialize", ""), 0).unwrap();
    session.admit(Server, &failure(1), 0).unwrap();
    assert_eq!(session.negotiated(), None);
    session
        .admit(Server, &result(2, r#""protocolVersion":"2025-06-18""#), 0)
        .unwrap();
    assert_eq!(session.negotiated(), Some(Revision::V2025_06_18));
    session.admit(Client, &request(3, "initialize", ""), 0).unwrap();
    session
        .admit(Server, &result(3, r#""protocolVersion":"2024-11-05""#), 0)
        .unwrap();
    assert_eq!(session.negotiated(), Some(Revision::V2024_11_05));
}

#[test]
fn only_an_answer_to_initialize_settles_the_revision() {
    let mut session = initialized("2025-06-18");
    session.admit(Client, &request(1, "ping", ""), 0).unwrap();
    session
        .admit(Server, &result(1, r#""protocolVersion":"2025-03-26""#), 0)
        .unwrap();
    assert_eq!(session.negotiated(), Some(Revision::V2025_06_18));
}

#[test]
fn batches_only_in_2025_03_26() {
    assert_eq!(initialized("2025-03-26").batch_allowed(Client), Ok(()));
    assert_eq!(initialized("2025-03-26").batch_allowed(Server), Ok(()));
    for session in [
        initialized("2024-11-05"),
        initialized("2025-06-18"),
        initialized("2027-01-01"),
        modern(),
        fresh(),
    ] {
        assert_eq!(session.batch_allowed(Client), Err(Reason::BatchNotAllowed));
    }
}

#[test]
fn an_answer_knows_what_was_asked() {
    let mut session = initialized("2025-06-18");
    let era = Era::Legacy(Some(Revision::V2025_06_18));
    let asked = session
        .admit(Client, &request(5, "tools/call", r#""name":"e\u0063ho""#), 123)
        .unwrap();
    assert_eq!((asked.era, asked.answers), (era, None));
    assert!(session.is_pending(Client, &number(5)) && !session.is_pending(Server, &number(5)));
    assert_eq!(session.in_flight(Client), 1);
    let answered = session.admit(Server, &result(5, ""), 456).unwrap();
    let pending = answered.answers.unwrap();
    assert_eq!(
        (&*pending.method, pending.tool.as_deref(), pending.started, pending.era),
        ("tools/call", Some("echo"), 123, era)
    );
    assert!(!pending.by_gate && !pending.cancelled && !pending.is_continuation);
    assert_eq!(session.in_flight(Client), 0);
}

#[test]
fn a_list_with_a_cursor_is_a_continuation() {
    let mut session = fresh();
    for (id, method, params, expected) in [
        (1, "tools/list", r#""cursor":"x""#, true),
        (2, "tools/list", "", false),
        (3, "tools/call", r#""cursor":"x""#, false),
    ] {
        session.admit(Client, &request(id, method, params), 0).unwrap();
        let pending = session.admit(Server, &result(id, ""), 0).unwrap().answers.unwrap();
        assert_eq!(pending.is_continuation, expected, "{method}");
    }
}

#[test]
fn an_overlong_tool_name_is_not_kept() {
    let mut session = fresh();
    for (id, length, is_kept) in [(1, TOOL_NAME_BYTES_MAX, true), (2, TOOL_NAME_BYTES_MAX + 1, false)] {
        session
            .admit(
                Client,
                &request(id, "tools/call", &format!(r#""name":"{}""#, "n".repeat(length))),
                0,
            )
            .unwrap();
        assert_eq!(
            session.take_pending(Client, &number(id)).unwrap().tool.is_some(),
            is_kept
        );
    }
}

#[test]
fn answers_nobody_asked_for() {
    let mut session = initialized("2025-06-18");
    assert_eq!(refusal(&mut session, Server, &result(9, "")), Reason::UnknownResponse);
    assert_eq!(refusal(&mut session, Server, &failure(9)), Reason::UnknownResponse);
    assert_eq!(refusal(&mut session, Client, &result(9, "")), Reason::UnknownResponse);
    session.admit(Client, &request(1, "ping", ""), 0).unwrap();
    // The other direction, and the other type of id, are other ids.
    assert_eq!(refusal(&mut session, Client, &result(1, "")), Reason::UnknownResponse);
    assert_eq!(
        refusal(
            &mut session,
            Server,
            &message(r#"{"jsonrpc":"2.0","id":"1","result":{}}"#)
        ),
        Reason::UnknownResponse
    );
    assert!(session.admit(Server, &result(1, ""), 0).is_ok());
}

#[test]
fn one_answer_for_each_request() {
    let mut session = initialized("2025-06-18");
    session.admit(Client, &request(1, "ping", ""), 0).unwrap();
    session.admit(Server, &failure(1), 0).unwrap();
    assert_eq!(refusal(&mut session, Server, &result(1, "")), Reason::DuplicateResponse);
    assert_eq!(refusal(&mut session, Server, &failure(1)), Reason::DuplicateResponse);
    // Used again after it was answered, it is a new request.
    session.admit(Client, &request(1, "ping", ""), 0).unwrap();
    assert!(session.admit(Server, &result(1, ""), 0).is_ok());
}

#[test]
fn an_id_in_flight_cannot_be_used_again_by_the_same_side() {
    let mut session = initialized("2025-06-18");
    session
        .admit(Client, &request(1, "tools/call", r#""name":"a""#), 0)
        .unwrap();
    assert_eq!(
        refusal(&mut session, Client, &request(1, "tools/call", r#""name":"b""#)),
        Reason::IdInFlight
    );
    assert!(
        session.admit(Server, &request(1, "ping", ""), 0).is_ok(),
        "the server's ids are its own"
    );
    assert_eq!(
        refusal(&mut session, Server, &request(1, "ping", "")),
        Reason::IdInFlight
    );
    let pending = session.admit(Server, &result(1, ""), 0).unwrap().answers.unwrap();
    assert_eq!(pending.tool.as_deref(), Some("a"), "the first one stands");
    assert!(
        session
            .admit(Client, &result(1, ""), 0)
            .unwrap()
            .answers
            .is_some_and(|pending| &*pending.method == "ping")
    );
}

#[test]
fn too_many_at_once() {
    let mut session = fresh();
    for id in 0..8 {
        session.admit(Client, &request(id, "ping", ""), 0).unwrap();
    }
    assert_eq!(
        refusal(&mut session, Client, &request(8, "ping", "")),
        Reason::TooManyInFlight
    );
    session.expect_answer_to_gate(Id::Text("gate".into()), "tools/list");
    assert_eq!(session.in_flight(Client), 8, "the gate's own do not count");
    session.admit(Server, &result(3, ""), 0).unwrap();
    assert!(session.admit(Client, &request(8, "ping", ""), 0).is_ok());
    for id in 0..i64::try_from(SERVER_IN_FLIGHT_MAX).unwrap() {
        session.admit(Server, &request(id, "ping", ""), 0).unwrap();
    }
    assert_eq!(
        refusal(&mut session, Server, &request(-1, "ping", "")),
        Reason::TooManyInFlight
    );
}

#[test]
fn a_cancelled_request_may_be_answered_late_once() {
    let mut session = initialized("2025-06-18");
    session
        .admit(Client, &request(1, "tools/call", r#""name":"a""#), 0)
        .unwrap();
    session
        .admit(Client, &notification("notifications/cancelled", r#""requestId":1"#), 0)
        .unwrap();
    assert!(!session.is_pending(Client, &number(1)));
    assert_eq!((session.in_flight(Client), session.pending(Client).count()), (0, 0));
    assert_eq!(
        refusal(&mut session, Client, &request(1, "ping", "")),
        Reason::IdInFlight,
        "its answer would be taken for this one's"
    );
    let late = session.admit(Server, &result(1, ""), 0).unwrap().answers.unwrap();
    assert!(late.cancelled && late.tool.as_deref() == Some("a"));
    assert_eq!(refusal(&mut session, Server, &result(1, "")), Reason::DuplicateResponse);
}

#[test]
fn nobody_cancels_what_is_not_theirs() {
    let mut session = initialized("2025-06-18");
    session.admit(Client, &request(1, "ping", ""), 0).unwrap();
    session.admit(Server, &request(2, "ping", ""), 0).unwrap();
    session.expect_answer_to_gate(Id::Text("gate".into()), "tools/list");
    for (sender, id) in [
        (Server, "1"),
        (Client, "2"),
        (Client, "\"gate\""),
        (Client, "\"1\""),
        (Client, "1.0"),
        (Client, "null"),
        (Client, "[1]"),
    ] {
        let cancel = notification("notifications/cancelled", &format!(r#""requestId":{id}"#));
        assert!(
            session.admit(sender, &cancel, 0).is_ok(),
            "it passes, and means nothing"
        );
    }
    assert!(
        session
            .admit(Client, &notification("notifications/cancelled", ""), 0)
            .is_ok()
    );
    assert!(session.is_pending(Client, &number(1)) && session.is_pending(Server, &number(2)));
    assert!(session.is_pending(Client, &Id::Text("gate".into())));
    // Its own it can.
    session
        .admit(Server, &notification("notifications/cancelled", r#""requestId":2"#), 0)
        .unwrap();
    assert!(!session.is_pending(Server, &number(2)));
}

#[test]
fn a_modern_server_may_end_a_subscription_and_nothing_else() {
    let mut session = modern();
    session
        .admit(Client, &request(1, "subscriptions/listen", MODERN_META), 0)
        .unwrap();
    session
        .admit(Client, &request(2, "tools/call", MODERN_META), 0)
        .unwrap();
    for id in [1, 2] {
        session
            .admit(
                Server,
                &notification("notifications/cancelled", &format!(r#""requestId":{id}"#)),
                0,
            )
            .unwrap();
    }
    assert!(!session.is_pending(Client, &number(1)) && session.is_pending(Client, &number(2)));
}

#[test]
fn what_the_gate_answered_itself_is_over() {
    let mut session = initialized("2025-06-18");
    session
        .admit(Client, &request(1, "tools/call", r#""name":"a""#), 7)
        .unwrap();
    let pending = session.take_pending(Client, &number(1)).unwrap();
    assert_eq!((pending.started, pending.tool.as_deref()), (7, Some("a")));
    assert_eq!(session.take_pending(Client, &number(1)), None);
    assert_eq!(refusal(&mut session, Server, &result(1, "")), Reason::DuplicateResponse);
    // The client got an answer, so it may use the id again.
    session.admit(Client, &request(1, "ping", ""), 0).unwrap();
    session.retire(Client, &number(1));
    session.retire(Client, &number(77));
    assert_eq!(session.in_flight(Client), 0);
    assert_eq!(refusal(&mut session, Server, &result(1, "")), Reason::DuplicateResponse);
    assert_eq!(refusal(&mut session, Server, &result(77, "")), Reason::UnknownResponse);
}

#[test]
fn a_cancelled_request_that_the_gate_answered_gets_no_late_answer() {
    let mut session = initialized("2025-06-18");
    session.admit(Client, &request(1, "ping", ""), 0).unwrap();
    session
        .admit(Client, &notification("notifications/cancelled", r#""requestId":1"#), 0)
        .unwrap();
    assert_eq!(session.take_pending(Client, &number(1)), None);
    assert_eq!(refusal(&mut session, Server, &result(1, "")), Reason::DuplicateResponse);
}

#[test]
fn what_went_out_to_a_server_that_is_gone_is_answered_by_nobody() {
    let mut session = modern();
    assert!(session.is_stateless());
    for id in [10, 11, 12] {
        let asked = request(id, "tools/list", MODERN_META);
        let admitted = session.admit_unsent(Client, &asked, 0).unwrap();
        if id != 12 {
            session.sent(Client, &number(id), admitted.number.unwrap());
        }
    }
    let given_up = notification("notifications/cancelled", r#""requestId":11"#);
    session.admit(Client, &given_up, 0).unwrap();
    session.expect_answer_to_gate(Id::Text("own".into()), "tools/list");

    let lost = session.forget_server();
    let lost: Vec<&Id> = lost.iter().map(|(id, _)| id).collect();
    assert_eq!(lost, [&number(10)], "neither what was given up nor what did not go out");
    assert!(session.is_pending(Client, &number(12)));
    for id in [10, 11] {
        assert_eq!(
            refusal(&mut session, Server, &result(id, "")),
            Reason::DuplicateResponse
        );
    }
    let own = message(r#"{"jsonrpc":"2.0","id":"own","result":{}}"#);
    assert_eq!(refusal(&mut session, Server, &own), Reason::DuplicateResponse);
}

#[test]
fn the_gate_recognises_its_own_answer() {
    let mut session = initialized("2025-06-18");
    let id = Id::Text("cofferdam-1f".into());
    session.expect_answer_to_gate(id.clone(), "tools/list");
    let answer = message(r#"{"jsonrpc":"2.0","id":"cofferdam-1f","result":{"tools":[]}}"#);
    assert_eq!(
        refusal(&mut session, Client, &answer),
        Reason::UnknownResponse,
        "the client cannot answer it"
    );
    let imitation = message(r#"{"jsonrpc":"2.0","id":"cofferdam-1f","method":"tools/list"}"#);
    assert_eq!(refusal(&mut session, Client, &imitation), Reason::IdInFlight);
    let pending = session.admit(Server, &answer, 0).unwrap().answers.unwrap();
    assert!(pending.by_gate && &*pending.method == "tools/list");
    assert_eq!(refusal(&mut session, Server, &answer), Reason::DuplicateResponse);
}

#[test]
fn memory_of_what_is_over_is_bounded() {
    let mut session = initialized("2025-06-18");
    let count = i64::try_from(SETTLED_MAX).unwrap();
    for id in 0..=count {
        session.admit(Client, &request(id, "ping", ""), 0).unwrap();
        session.admit(Server, &result(id, ""), 0).unwrap();
    }
    // The oldest is forgotten, and its second answer is refused all the same.
    assert_eq!(refusal(&mut session, Server, &result(0, "")), Reason::UnknownResponse);
    assert_eq!(refusal(&mut session, Server, &result(1, "")), Reason::DuplicateResponse);
    assert_eq!(
        refusal(&mut session, Server, &result(count, "")),
        Reason::DuplicateResponse
    );
    // Reusing one id for ever keeps the others' memory bounded, too.
    for _ in 0..count * 2 {
        session.admit(Client, &request(5, "ping", ""), 0).unwrap();
        session.admit(Server, &result(5, ""), 0).unwrap();
    }
    assert_eq!(refusal(&mut session, Server, &result(5, "")), Reason::DuplicateResponse);
    assert_eq!(
        refusal(&mut session, Server, &result(count, "")),
        Reason::UnknownResponse
    );
}

#[test]
fn the_era_is_a_property_of_each_request() {
    let mut session = initialized("2025-11-25");
    let mut era = |id, meta: &str| session.admit(Client, &request(id, "tools/list", meta), 0).unwrap().era;
    let legacy = Era::Legacy(Some(Revision::V2025_11_25));
    assert_eq!(era(1, ""), legacy);
    assert_eq!(era(2, MODERN_META), Era::Modern(Some(Revision::V2026_07_28)));
    assert_eq!(
        era(3, r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2027-01-01"}"#),
        Era::Modern(None)
    );
    assert_eq!(
        era(4, r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2025-06-18"}"#),
        Era::Modern(None),
        "a legacy revision cannot be modern"
    );
    assert_eq!(
        era(5, r#""_meta":{"io.modelcontextprotocol/protocolVersion":20260728}"#),
        legacy
    );
    assert_eq!(era(6, r#""_meta":{"progressToken":1}"#), legacy);
    assert_eq!(
        era(
            7,
            r#""arguments":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#
        ),
        legacy
    );
    // An answer's era is its request's.
    assert_eq!(
        session.admit(Server, &result(2, ""), 0).unwrap().era,
        Era::Modern(Some(Revision::V2026_07_28))
    );
    assert_eq!(session.admit(Server, &result(1, ""), 0).unwrap().era, legacy);
}

#[test]
fn methods_are_those_of_the_era() {
    let mut session = initialized("2025-06-18");
    assert_eq!(
        refusal(&mut session, Client, &request(1, "ping", MODERN_META)),
        Reason::UnknownMethod
    );
    assert_eq!(
        refusal(&mut session, Client, &request(1, "subscriptions/listen", "")),
        Reason::UnknownMethod
    );
    assert_eq!(
        refusal(&mut session, Client, &request(1, "tasks/list", "")),
        Reason::UnknownMethod
    );
    assert_eq!(
        refusal(&mut session, Client, &request(1, "sampling/createMessage", "")),
        Reason::WrongDirection
    );
    assert_eq!(
        refusal(&mut session, Server, &request(1, "tools/call", "")),
        Reason::WrongDirection
    );
    assert_eq!(
        refusal(&mut session, Client, &notification("tools/call", r#""name":"a""#)),
        Reason::WrongKind
    );
    assert_eq!(
        refusal(&mut session, Client, &request(1, "notifications/initialized", "")),
        Reason::WrongKind
    );
    assert_eq!(
        refusal(&mut session, Client, &notification("notifications/whatever", "")),
        Reason::UnknownMethod
    );
    assert_eq!(
        refusal(&mut session, Client, &notification("notifications/message", "")),
        Reason::WrongDirection
    );
    assert_eq!(session.in_flight(Client), 0, "what is refused leaves no trace");
    assert!(session.admit(Client, &request(1, "ping", ""), 0).is_ok());
    assert!(
        initialized("2025-11-25")
            .admit(Client, &request(1, "tasks/list", ""), 0)
            .is_ok()
    );
}

#[test]
fn every_row_of_the_table_is_admitted_as_it_says() {
    for row in METHODS.iter().filter(|row| row.extension.is_none()) {
        for (revision, sender) in row
            .revisions
            .iter()
            .flat_map(|revision| row.senders.iter().map(move |sender| (*revision, *sender)))
        {
            let mut session = if revision.is_modern() {
                modern()
            } else {
                initialized(revision.as_str())
            };
            let meta = if revision.is_modern() && sender == Client {
                MODERN_META
            } else {
                ""
            };
            let message = match row.kind {
                MethodKind::Request => request(1, row.method, meta),
                MethodKind::Notification => notification(row.method, meta),
            };
            assert!(
                session.admit(sender, &message, 0).is_ok(),
                "{} {revision} {sender:?}",
                row.method
            );
        }
    }
}

#[test]
fn a_server_asks_nothing_in_the_modern_era() {
    let mut session = modern();
    for method in [
        "sampling/createMessage",
        "elicitation/create",
        "roots/list",
        "ping",
        "tasks/get",
    ] {
        assert_eq!(
            refusal(&mut session, Server, &request(1, method, "")),
            Reason::ServerRequestInModernEra,
            "{method}"
        );
    }
    assert_eq!(refusal(&mut session, Client, &result(1, "")), Reason::UnknownResponse);
    // Once the client also speaks legacy, the server may answer in kind.
    session.admit(Client, &request(1, "initialize", ""), 0).unwrap();
    assert!(session.admit(Server, &request(1, "roots/list", ""), 0).is_ok());
}

#[test]
fn a_probe_is_admitted_in_any_state() {
    for mut session in [fresh(), initialized("2024-11-05"), initialized("2025-11-25"), modern()] {
        assert!(
            session
                .admit(Client, &request(1, "server/discover", MODERN_META), 0)
                .is_ok()
        );
        assert!(session.admit(Client, &request(2, "server/discover", ""), 0).is_ok());
        assert!(session.admit(Server, &failure(1), 0).is_ok());
        assert!(session.admit(Server, &result(2, ""), 0).is_ok());
        assert!(session.admit(Server, &request(1, "server/discover", ""), 0).is_err());
        assert_eq!(
            refusal(&mut session, Client, &notification("server/discover", "")),
            Reason::WrongKind
        );
    }
}

#[test]
fn only_an_answered_probe_makes_the_session_modern() {
    let mut session = fresh();
    session
        .admit(Client, &request(1, "server/discover", MODERN_META), 0)
        .unwrap();
    session.admit(Server, &failure(1), 0).unwrap();
    assert!(session.admit(Server, &request(1, "ping", ""), 0).is_ok());
    session
        .admit(Client, &request(2, "server/discover", MODERN_META), 0)
        .unwrap();
    session.admit(Server, &result(2, ""), 0).unwrap();
    assert_eq!(
        refusal(&mut session, Server, &request(2, "ping", "")),
        Reason::ServerRequestInModernEra
    );
}

#[test]
fn notifications_follow_the_eras_in_use() {
    let progress = notification("notifications/progress", "");
    let status = notification("notifications/tasks/status", "");
    let acknowledged = notification("notifications/subscriptions/acknowledged", "");
    // Nothing seen yet: whatever any revision knows.
    for message in [&progress, &status, &acknowledged] {
        assert!(fresh().admit(Server, message, 0).is_ok());
    }
    assert!(modern().admit(Server, &acknowledged, 0).unwrap().era.is_modern());
    assert_eq!(refusal(&mut modern(), Server, &status), Reason::UnknownMethod);
    assert_eq!(refusal(&mut modern(), Client, &progress), Reason::WrongDirection);
    let mut legacy = initialized("2025-06-18");
    assert_eq!(refusal(&mut legacy, Server, &acknowledged), Reason::UnknownMethod);
    assert_eq!(
        legacy.admit(Client, &progress, 0).unwrap().era,
        Era::Legacy(Some(Revision::V2025_06_18))
    );
    // Both in use: what either knows.
    legacy.admit(Client, &request(1, "tools/list", MODERN_META), 0).unwrap();
    assert!(legacy.admit(Server, &acknowledged, 0).unwrap().era.is_modern());
    assert!(!legacy.admit(Server, &progress, 0).unwrap().era.is_modern());
}

#[test]
fn tasks_need_the_extension_in_the_modern_era() {
    let declared = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
    let mut session = modern();
    let news = notification("notifications/tasks", "");
    assert_eq!(
        refusal(&mut session, Client, &request(1, "tasks/get", MODERN_META)),
        Reason::UnknownMethod
    );
    assert_eq!(refusal(&mut session, Server, &news), Reason::UnknownMethod);
    // A request that is refused declares nothing.
    assert_eq!(
        refusal(&mut session, Client, &request(1, "tasks/list", declared)),
        Reason::UnknownMethod
    );
    assert_eq!(refusal(&mut session, Server, &news), Reason::UnknownMethod);
    assert!(session.admit(Client, &request(1, "tasks/get", declared), 0).is_ok());
    assert!(session.admit(Server, &news, 0).is_ok());
    assert_eq!(
        refusal(&mut session, Client, &request(2, "tasks/get", MODERN_META)),
        Reason::UnknownMethod,
        "each request declares for itself"
    );
}
