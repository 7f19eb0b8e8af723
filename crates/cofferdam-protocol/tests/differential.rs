//! What the decoder accepts, other parsers read the same way: checked on generated, oddly spelled and damaged lines.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::HashSet;

use cofferdam_protocol::{
    DEPTH_MAX, Decoded, Message, MessageKind, Sender, Session, SessionLimits, decode, elements, fold, members,
};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// A JSON string, oddly spelled; few letters, so that keys collide often.
fn string() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "A",
        r"\u0061",
        r"\u0041",
        "name",
        "Name",
        "_meta",
        "id",
        "é",
        r"\u00e9",
        r"\n",
        r"\\",
        r#"\""#,
        r"\ud83d\ude00",
        "😀",
        r"\ud800",
        r"\u0000",
        "k",
        "\u{212a}",
        "\u{2028}",
        "{",
        "}",
        "[",
        ",",
        ":",
        "\t",
        "\u{7f}",
        " ",
    ]);
    prop::collection::vec(part, 0..3).prop_map(|parts| format!("\"{}\"", parts.concat()))
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "", "", "", " ", "\t", "  "])
}

/// JSON text of one value, sometimes not quite JSON.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec![
        "1",
        "-0",
        "1.50",
        "1e3",
        "9007199254740993",
        "true",
        "false",
        "null",
        "1e400",
        "01",
        "NaN",
        "\"\"",
        "{}",
        "[]",
    ])
    .prop_map(str::to_owned);
    let leaf = prop_oneof![4 => scalar, 2 => string()];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec((inner.clone(), space()), 0..5).prop_map(|parts| format!(
                "[{}]",
                parts
                    .iter()
                    .map(|(value, space)| format!("{space}{value}{space}"))
                    .collect::<Vec<_>>()
                    .join(",")
            )),
            object(string(), inner, 0..6),
        ]
    })
}

fn object(
    key: impl Strategy<Value = String>,
    value: impl Strategy<Value = String>,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = String> {
    prop::collection::vec((space(), key, space(), value, space()), count).prop_map(|parts| {
        format!(
            "{{{}}}",
            parts
                .iter()
                .map(|(before, key, middle, value, after)| format!("{before}{key}{middle}:{middle}{value}{after}"))
                .collect::<Vec<_>>()
                .join(",")
        )
    })
}

/// A line that is often a message.
fn line() -> impl Strategy<Value = String> {
    let id = prop::sample::select(vec![
        r#""id":1"#,
        r#""id":"x""#,
        r#""\u0069d":2"#,
        r#""x":0"#,
        r#""id":1.0"#,
    ]);
    let method = prop::sample::select(vec![
        r#""method":"tools/call""#,
        r#""method":"p\u0069ng""#,
        r#""m\u0065thod":"initialize""#,
        r#""y":0"#,
    ]);
    let body = prop_oneof![
        3 => object(string(), value(), 0..5).prop_map(|params| format!("\"params\":{params}")),
        2 => value().prop_map(|result| format!("\"result\":{result}")),
        1 => Just(r#""error":{"code":-1,"message":"m"}"#.to_owned()),
        1 => (string(), value()).prop_map(|(key, value)| format!("{key}:{value}")),
    ];
    (
        id,
        method,
        body,
        any::<u8>(),
        space(),
        prop::sample::select(vec!["", "\n", "\r\n"]),
    )
        .prop_map(|(id, method, body, order, space, end)| {
            let mut parts = [r#""jsonrpc":"2.0""#.to_owned(), id.to_owned(), body, method.to_owned()];
            parts.rotate_left(usize::from(order % 4));
            let kept = if order & 0x40 == 0 { &parts[..] } else { &parts[..3] };
            format!(
                "{space}{{{space}{}{space}}}{space}{end}",
                kept.join(&format!("{space},{space}"))
            )
        })
}

/// A line with a few bytes changed, dropped or repeated.
fn damaged(line: String) -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::sample::select(b"\"\\{}[],: \r\n\0\t\x0b\x7f\xff\xc3\xedu0d8nN".to_vec());
    (
        Just(line.into_bytes()),
        prop::collection::vec((any::<prop::sample::Index>(), bytes, 0_u8..4), 0..4),
    )
        .prop_map(|(mut line, edits)| {
            for (index, byte, edit) in edits {
                let at = index.index(line.len());
                match edit {
                    0 => line[at] = byte,
                    1 => line.insert(at, byte),
                    2 if line.len() > 1 => drop(line.remove(at)),
                    _ => line.extend_from_within(at..),
                }
            }
            line
        })
}

/// Every object in the text has each decoded key once, and nesting stays within the limit.
fn has_one_reading(text: &str, depth: usize) -> bool {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    if depth > DEPTH_MAX {
        return !text.starts_with(['{', '[']);
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let members = members(text).unwrap();
            let distinct: HashSet<_> = members.iter().map(|(key, _)| key.as_ref()).collect();
            distinct.len() == members.len()
                && members
                    .iter()
                    .all(|(key, value)| !key.contains('\0') && has_one_reading(value, depth + 1))
        }
        Some(b'[') => elements(text)
            .unwrap()
            .iter()
            .all(|element| has_one_reading(element, depth + 1)),
        _ => true,
    }
}

/// What the message says of itself agrees with a plain look into its text.
fn agrees_with_its_text(message: &Message) {
    let text = std::str::from_utf8(message.line()).unwrap();
    let envelope = members(text).unwrap();
    let find = |key: &str| envelope.iter().find(|(name, _)| name == key).map(|(_, value)| *value);
    assert_eq!(
        (message.params(), message.result(), message.error()),
        (find("params"), find("result"), find("error"))
    );
    assert_eq!(
        message.method().map(str::to_owned),
        find("method").map(|raw| serde_json::from_str(raw).unwrap())
    );
    assert_eq!(
        message
            .id()
            .map(|id| serde_json::from_str::<Value>(&id.to_json()).unwrap()),
        find("id").map(|raw| serde_json::from_str(raw).unwrap())
    );
    let expected = match (find("method").is_some(), find("id").is_some(), find("result").is_some()) {
        (true, true, _) => MessageKind::Request,
        (true, false, _) => MessageKind::Notification,
        (false, _, true) => MessageKind::Response,
        (false, _, false) => MessageKind::ErrorResponse,
    };
    assert_eq!(message.kind(), expected);
    if let Some(params) = message.params() {
        let inside = members(params).unwrap();
        for (key, value) in &inside {
            assert_eq!(message.param(key), Some(*value));
        }
        assert!(
            inside
                .iter()
                .enumerate()
                .all(|(index, (key, _))| inside.iter().skip(index + 1).all(|(other, _)| fold(key) != fold(other))),
            "keys of params are told apart by everyone"
        );
        assert_eq!(message.param("no such key"), None);
    }
    if let Some(result) = message.result().filter(|result| result.starts_with('{')) {
        for (key, value) in members(result).unwrap() {
            assert_eq!(message.result_member(&key), Some(value));
        }
    }
}

fn check(line: &[u8]) {
    match decode(line.to_vec()) {
        Ok(Decoded::Message(message)) => {
            let text = std::str::from_utf8(line).unwrap();
            assert!(serde_json::from_str::<Value>(text).is_ok(), "a plain parser reads it");
            assert!(has_one_reading(text, 1), "first-wins and last-wins parsers agree");
            let inside = text.strip_suffix('\n').unwrap_or(text);
            let inside = inside.strip_suffix('\r').unwrap_or(inside);
            assert!(!inside.contains(['\r', '\n', '\0']), "every reader of lines sees one");
            agrees_with_its_text(&message);
            assert_eq!(message.into_line(), line);
        }
        Ok(Decoded::Batch(batch)) => {
            let elements = elements(std::str::from_utf8(line).unwrap()).unwrap();
            let own: Vec<_> = batch
                .messages()
                .iter()
                .map(|message| std::str::from_utf8(message.line()).unwrap())
                .collect();
            assert_eq!(own, elements);
            batch.messages().iter().for_each(agrees_with_its_text);
            assert_eq!(batch.into_parts().0, line);
        }
        Err(undecodable) => {
            assert_eq!(undecodable.line, line);
            assert!(undecodable.offset.is_none_or(|offset| offset <= line.len()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn accepted_lines_have_one_reading(line in line()) {
        check(line.as_bytes());
    }

    #[test]
    fn damaged_lines_are_refused_or_have_one_reading(line in line().prop_flat_map(damaged)) {
        check(&line);
    }

    #[test]
    fn batches_are_their_elements(lines in prop::collection::vec(line(), 1..4), space in space()) {
        let trimmed: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
        check(format!("[{space}{}{space}]\n", trimmed.join(",")).as_bytes());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn what_grammar_refuses_is_refused(text in value()) {
        // The other way round: nothing that `serde_json` refuses inside `params` gets through.
        let line = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"v":{text}}}}}"#);
        let is_json = serde_json::from_str::<Value>(&line).is_ok();
        prop_assert!(is_json || decode(line.into_bytes()).is_err());
    }

    #[test]
    fn sessions_stay_within_their_bounds(steps in prop::collection::vec((any::<bool>(), 0_i64..6, 0_usize..12), 0..60)) {
        let mut session = Session::new(SessionLimits { in_flight: 3 });
        for (from_client, id, what) in steps {
            let sender = if from_client { Sender::Client } else { Sender::Server };
            let line = match what {
                0 => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize"}}"#),
                1 => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#),
                2 => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover"}}"#),
                3 => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"x","_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}}}}"#),
                4 => format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#),
                5 => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":1,"message":""}}}}"#),
                _ => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"protocolVersion":"2025-06-18"}}}}"#),
            };
            let Ok(Decoded::Message(message)) = decode(line.into_bytes()) else { panic!("all of these are messages") };
            let before = session.in_flight(sender.other());
            let admitted = session.admit(sender, &message, 0);
            if message.kind() == MessageKind::ErrorResponse || message.kind() == MessageKind::Response {
                let was_cancelled = admitted.as_ref().is_ok_and(|admitted| admitted.answers.as_ref().is_some_and(|pending| pending.cancelled));
                let expected = before - usize::from(admitted.is_ok() && !was_cancelled);
                prop_assert_eq!(session.in_flight(sender.other()), expected);
                prop_assert!(session.admit(sender, &message, 0).is_err(), "never answered twice");
            }
            prop_assert!(session.in_flight(Sender::Client) <= 3);
            prop_assert_eq!(session.pending(Sender::Client).count(), session.in_flight(Sender::Client));
        }
    }
}

/// Properties of accepted lines mean nothing if no line is accepted.
#[test]
fn generated_lines_are_accepted_often_and_refused_often() {
    let mut runner = TestRunner::deterministic();
    let accepted = (0..1000)
        .filter(|_| decode(line().new_tree(&mut runner).unwrap().current().into_bytes()).is_ok())
        .count();
    assert!((100..900).contains(&accepted), "{accepted} of 1000");
}
