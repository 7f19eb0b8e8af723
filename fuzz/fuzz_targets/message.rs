//! Decoding: bytes in are bytes out, a second decoding agrees, and what is accepted every parser reads the same way.
#![no_main]

mod judge;

use cofferdam_protocol::{Decoded, Message, MessageKind, decode};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn check_message(message: &Message) {
    let line = message.line();
    let value = judge::same_for_every_parser(line);
    assert_eq!(value["jsonrpc"], "2.0");
    assert_eq!(value.get("method").and_then(Value::as_str), message.method());
    for (key, raw) in [
        ("params", message.params()),
        ("result", message.result()),
        ("error", message.error()),
    ] {
        let read = raw.map(|raw| serde_json::from_str::<Value>(raw).expect("a member is JSON"));
        assert_eq!(
            value.get(key),
            read.as_ref(),
            "`{key}` is another value than the line's"
        );
    }
    for (range, raw) in [
        (message.params_range(), message.params()),
        (message.result_range(), message.result()),
        (message.error_range(), message.error()),
    ] {
        assert_eq!(
            range.map(|range| &line[range]),
            raw.map(str::as_bytes),
            "a range points elsewhere"
        );
    }
    let id = message
        .id()
        .map(|id| serde_json::from_str::<Value>(&id.to_json()).expect("an id is JSON"));
    assert_eq!(value.get("id"), id.as_ref());
    let shape = (
        value.get("method").is_some(),
        value.get("id").is_some(),
        value.get("error").is_some(),
    );
    let expected = match shape {
        (true, true, _) => MessageKind::Request,
        (true, false, _) => MessageKind::Notification,
        (false, _, false) => MessageKind::Response,
        (false, _, true) => MessageKind::ErrorResponse,
    };
    assert_eq!(message.kind(), expected);
    for key in ["name", "arguments", "_meta", "uri"] {
        let read = message
            .param(key)
            .map(|raw| serde_json::from_str::<Value>(raw).expect("a parameter is JSON"));
        assert_eq!(value.get("params").and_then(|params| params.get(key)), read.as_ref());
        let text = message.param_str(key);
        assert_eq!(read.as_ref().and_then(Value::as_str), text.as_deref());
    }
}

fuzz_target!(|input: &[u8]| {
    let again = decode(input.to_vec());
    match decode(input.to_vec()) {
        Ok(Decoded::Message(message)) => {
            assert_eq!(message.line(), input);
            check_message(&message);
            let Ok(Decoded::Message(second)) = again else {
                panic!("the second decoding disagrees")
            };
            assert_eq!(
                (message.kind(), message.id(), message.method()),
                (second.kind(), second.id(), second.method())
            );
            assert_eq!(message.into_line(), input);
        }
        Ok(Decoded::Batch(batch)) => {
            assert_eq!(batch.line(), input);
            assert!(!batch.messages().is_empty());
            let elements = judge::same_for_every_parser(input);
            assert_eq!(elements.as_array().map(Vec::len), Some(batch.messages().len()));
            batch.messages().iter().for_each(check_message);
            assert_eq!(batch.into_parts().0, input);
        }
        Err(refused) => {
            assert_eq!(refused.line, input);
            assert!(
                refused.offset.is_none_or(|offset| offset <= input.len()),
                "the offset is outside the line"
            );
            assert!(refused.reason.id().starts_with("protocol/"));
            let Err(second) = again else {
                panic!("the second decoding disagrees")
            };
            assert_eq!(
                (refused.reason, refused.offset, &refused.id),
                (second.reason, second.offset, &second.id)
            );
        }
    }
});
