//! What a decoded message tells about itself, without changing a byte.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use cofferdam_protocol::{Decoded, Id, Message, MessageKind, decode};

fn message(line: &str) -> Message {
    match decode(line.as_bytes().to_vec()).unwrap() {
        Decoded::Message(message) => message,
        Decoded::Batch(_) => panic!("one message was meant"),
    }
}

#[test]
fn a_request_shows_its_parts_as_they_stand() {
    let line = "{\"id\" : \"a\\u0062\", \"params\" :{ \"arguments\": {\"x\":1.0} ,\"name\":\"e\\u0063ho\",\"_meta\":{\"k\":[1 ,2]} } ,\"method\":\"tools/call\",\"jsonrpc\":\"2.0\"}\r\n";
    let message = message(line);
    assert_eq!(message.kind(), MessageKind::Request);
    assert_eq!(message.id(), Some(&Id::Text("ab".into())));
    assert_eq!(message.method(), Some("tools/call"));
    assert_eq!(message.param("arguments"), Some("{\"x\":1.0}"));
    assert_eq!(message.param("name"), Some("\"e\\u0063ho\""));
    assert_eq!(message.param_str("name").as_deref(), Some("echo"));
    assert_eq!(message.param_str("arguments"), None);
    assert_eq!(message.param("missing"), None);
    assert_eq!(message.meta("k"), Some("[1 ,2]"));
    assert_eq!(message.meta("missing"), None);
    assert_eq!(line.get(message.params_range().unwrap()), message.params());
    assert_eq!(
        (message.result(), message.error(), message.result_range()),
        (None, None, None)
    );
    assert_eq!(message.line(), line.as_bytes());
    assert_eq!(message.into_line(), line.as_bytes());
}

#[test]
fn keys_are_found_however_they_are_spelled() {
    let message = message(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools\/call","params":{"n\u0061me":"a","\u005fmeta":{"\u006b":7}},"\u0078":1}"#,
    );
    assert_eq!(message.method(), Some("tools/call"));
    assert_eq!(message.param_str("name").as_deref(), Some("a"));
    assert_eq!(message.meta("k"), Some("7"));
    assert_eq!(message.params(), Some(r#"{"n\u0061me":"a","\u005fmeta":{"\u006b":7}}"#));
}

#[test]
fn a_key_inside_a_value_is_not_a_parameter() {
    let message = message(
        r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":{"name":"inner"},"b":"\"name\":1","c":["name"]}}"#,
    );
    assert_eq!(message.param("name"), None);
    assert_eq!(message.param("b"), Some(r#""\"name\":1""#));
}

#[test]
fn many_parameters_are_found_like_few() {
    for count in [1_usize, 31, 32, 33, 200] {
        let params: Vec<String> = (0..count).map(|number| format!("\"k{number}\": [{number}] ")).collect();
        let message = message(&format!(
            r#"{{"jsonrpc":"2.0","method":"m","params":{{{}}}}}"#,
            params.join(",")
        ));
        for number in [0, count / 2, count - 1] {
            assert_eq!(
                message.param(&format!("k{number}")),
                Some(format!("[{number}]").as_str()),
                "{count}"
            );
        }
        assert_eq!(message.param(&format!("k{count}")), None);
    }
}

#[test]
fn a_response_shows_its_result_and_an_error_its_error() {
    let response = message(r#" {"jsonrpc":"2.0","id":-3,"result": {"tools":[] , "nextCursor":"x"} }  "#);
    assert_eq!(
        (response.kind(), response.id()),
        (MessageKind::Response, Some(&Id::Number(-3)))
    );
    assert_eq!(response.result(), Some(r#"{"tools":[] , "nextCursor":"x"}"#));
    assert_eq!(response.result_member("nextCursor"), Some("\"x\""));
    assert_eq!(
        (response.method(), response.params(), response.param("tools")),
        (None, None, None)
    );
    let odd = message(r#"{"jsonrpc":"2.0","id":1,"result":"{\"tools\":1}"}"#);
    assert_eq!(odd.result_member("tools"), None);
    let error = message(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}"#);
    assert_eq!(error.kind(), MessageKind::ErrorResponse);
    assert_eq!(error.error(), Some(r#"{"code":-32601,"message":"no"}"#));
    assert_eq!(
        error.error_range().map(|range| range.len()),
        error.error().map(str::len)
    );
}

#[test]
fn debug_does_not_show_content() {
    let message = message(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"token":"hunter2"}}"#);
    let shown = format!("{message:?}");
    assert!(
        shown.contains("Request") && shown.contains("\"m\"") && !shown.contains("hunter2"),
        "{shown}"
    );
}
