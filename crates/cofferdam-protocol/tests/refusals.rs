//! Every refusal of the decoder, and beside each the nearest line that must pass.
#![expect(clippy::panic, reason = "tests")]

use cofferdam_protocol::{BATCH_MESSAGES_MAX, DEPTH_MAX, Decoded, ID_BYTES_MAX, Id, Reason, Undecodable, decode};

fn refused(line: impl AsRef<[u8]>) -> Undecodable {
    let line = line.as_ref();
    match decode(line.to_vec()) {
        Err(undecodable) => {
            assert_eq!(undecodable.line, line, "the bytes come back");
            undecodable
        }
        Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(line)),
    }
}

fn reason(line: impl AsRef<[u8]>) -> Reason {
    refused(line).reason
}

/// Accepted, and the bytes come back.
fn passes(line: impl AsRef<[u8]>) {
    let line = line.as_ref();
    match decode(line.to_vec()) {
        Ok(Decoded::Message(message)) => assert_eq!(message.into_line(), line),
        Ok(Decoded::Batch(batch)) => assert_eq!(batch.into_parts().0, line),
        Err(undecodable) => panic!("{undecodable}: {}", String::from_utf8_lossy(line)),
    }
}

/// A request whose `params` are this text.
fn with_params(params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
}

/// A request whose `params.x` is this text.
fn with_value(value: &str) -> String {
    with_params(&format!(r#"{{"x":{value}}}"#))
}

fn with_result(result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#)
}

fn with_id(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}

#[test]
fn bytes_that_are_not_utf_8() {
    for bytes in [
        &b"\xff"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
    ] {
        let mut line = br#"{"jsonrpc":"2.0","id":1,"method":"ping","x":""#.to_vec();
        let start = line.len();
        line.extend_from_slice(bytes);
        line.extend_from_slice(b"\"}\n");
        let undecodable = refused(&line);
        assert_eq!(
            (undecodable.reason, undecodable.offset),
            (Reason::InvalidUtf8, Some(start))
        );
    }
    passes(with_value("\"é€😀\u{fffd}\u{2028}\""));
}

#[test]
fn a_byte_order_mark() {
    assert_eq!(reason(format!("\u{feff}{}", with_id("1"))), Reason::ByteOrderMark);
    assert_eq!(reason(format!(" \u{feff}{}", with_id("1"))), Reason::NotJson);
    assert_eq!(
        reason("\u{fffe}{}"),
        Reason::NotJson,
        "the other way round it is no mark"
    );
    passes(with_value("\"\u{feff}\""));
}

#[test]
fn line_breaks_inside_the_line() {
    // Python's text streams end a line at `\r`: they would see three lines, the middle one a call of its own.
    let smuggled = with_params("{\"x\":\r{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\"}\r}");
    assert_eq!(reason(&smuggled), Reason::LineBreak);
    assert_eq!(reason(smuggled.replace('\r', "\n")), Reason::LineBreak);
    assert_eq!(reason(format!("\r{}", with_id("1"))), Reason::LineBreak);
    assert_eq!(reason(format!("{}\r\r\n", with_id("1"))), Reason::LineBreak);
    for terminator in ["", "\n", "\r\n", "\r", " \t\r\n"] {
        passes(format!("{}{terminator}", with_id("1")));
    }
    passes(with_value(r#""\r\n""#));
}

#[test]
fn nul_raw_or_escaped_anywhere() {
    for line in [
        with_value("\"a\0\""),
        with_value(r#""\u0000""#),
        with_value(r#""a\u0000\n""#),
        with_params(r#"{"\u0000":1}"#),
        with_params(r#"{"a\u0000b":1}"#),
        format!("{}\0", with_id("1")),
        format!("\0{}", with_id("1")),
    ] {
        assert_eq!(reason(&line), Reason::Nul, "{line}");
    }
    for value in [r#""\\u0000""#, r#""\u0001""#, r#""u0000""#, "0"] {
        passes(with_value(value));
    }
}

#[test]
fn raw_control_characters() {
    for control in ["\u{1}", "\t", "\u{8}", "\u{b}", "\u{c}", "\u{1b}", "\u{1f}"] {
        assert_eq!(reason(with_value(&format!("\"{control}\""))), Reason::ControlCharacter);
        assert_eq!(
            reason(with_params(&format!("{{\"{control}\":1}}"))),
            Reason::ControlCharacter
        );
    }
    for control in ["\u{1}", "\u{b}", "\u{c}", "\u{1b}[0m", "\u{7f}"] {
        assert_eq!(reason(with_value(&format!("{control}1"))), Reason::ControlCharacter);
    }
    passes(with_value("\t1 "));
    passes(with_value("\"\u{7f}\u{85}\u{a0}\""));
    passes(with_value(r#""\t\u001b""#));
}

#[test]
fn half_a_surrogate_pair() {
    for text in [
        r"\ud800",
        r"\udc00",
        r"\ud800x",
        r"\ud800\n",
        r"\ud800\ud800",
        r"\udc00\ud800",
        r"\ud83d\u0041",
        r"\uDBFF",
        r"\ud83d\ude00\ude00",
    ] {
        assert_eq!(
            reason(with_value(&format!("\"{text}\""))),
            Reason::LoneSurrogate,
            "{text}"
        );
        assert_eq!(
            reason(with_params(&format!("{{\"{text}\":1}}"))),
            Reason::LoneSurrogate,
            "{text} as a key"
        );
    }
    for text in [r"\ud83d\ude00", r"\uD83D\uDE00", r"\\ud800", r"\ud7ff\ue000", "😀"] {
        passes(with_value(&format!("\"{text}\"")));
    }
}

#[test]
fn what_is_not_json() {
    for line in [
        "",
        "\n",
        " ",
        "Server started",
        "{",
        "}",
        "{]",
        "{'a':1}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{a:1}",
        "//c\n",
        "nul",
        "\"abc",
        "[1",
        "[,]",
    ] {
        assert_eq!(reason(line), Reason::NotJson, "{line}");
    }
    for value in [
        "NaN",
        "Infinity",
        "-Infinity",
        "01",
        "+1",
        ".5",
        "1.",
        "1e",
        "0x1",
        "1_0",
        "True",
        "undefined",
        "[1,]",
        "{1:2}",
        r#""\x41""#,
        r#""\u12""#,
        r#""\'""#,
        "1 2",
        "--1",
        "-",
        "\u{a0}1",
    ] {
        assert_eq!(reason(with_value(value)), Reason::NotJson, "{value}");
    }
    for value in [
        "0",
        "-0",
        "1.0",
        "1e2",
        "1E-400",
        "123456789012345678901234567890",
        "1.7976931348623157e308",
        "true",
        "null",
        "[]",
        "{}",
        r#""\/\"\\\b\f""#,
    ] {
        passes(with_value(value));
    }
}

#[test]
fn numbers_no_double_holds() {
    for number in ["1e309", "-1e400", "1e99999999999", &"9".repeat(400)] {
        assert_eq!(reason(with_value(number)), Reason::NumberOutOfRange, "{number}");
    }
    passes(with_value("1e308"));
    passes(with_value(&"9".repeat(300)));
}

#[test]
fn trailing_data() {
    let one = with_id("1");
    for line in [
        format!("{one}{one}"),
        format!("{one} {one}"),
        format!("{one},"),
        format!("{one}]"),
        format!("{one} x"),
        format!("[{one}]{one}"),
    ] {
        assert_eq!(reason(&line), Reason::TrailingData, "{line}");
    }
    passes(format!("\t {one} \t"));
}

#[test]
fn depth_over_the_limit() {
    // The message and `params` are two levels.
    let nested = |levels: usize| with_value(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    let objects = |levels: usize| with_value(&format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels)));
    passes(nested(DEPTH_MAX - 2));
    passes(objects(DEPTH_MAX - 2));
    passes(format!("[{}]", nested(DEPTH_MAX - 2)));
    assert_eq!(reason(nested(DEPTH_MAX - 1)), Reason::TooDeep);
    assert_eq!(reason(objects(DEPTH_MAX - 1)), Reason::TooDeep);
    assert_eq!(reason(format!("[{}]", nested(DEPTH_MAX - 1))), Reason::TooDeep);
    assert_eq!(reason(nested(1_000_000)), Reason::TooDeep);
    assert_eq!(reason("[".repeat(1_000_000)), Reason::TooDeep);
    // Beside each other they do not add up.
    passes(with_value(&format!("[{}[]]", "[[]],".repeat(1000))));
}

#[test]
fn duplicate_keys_at_any_depth_and_in_any_spelling() {
    for line in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","\u006dethod":"tools/call"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","x":1,"x":1}"#.to_owned(),
        with_params(r#"{"name":"a","name":"b"}"#),
        with_params(r#"{"a":1,"\u0061":2}"#),
        with_params(r#"{"\u0061":1,"a":2}"#),
        with_params(r#"{"\u0061":1,"\u0061":2}"#),
        with_params(r#"{"":1,"":2}"#),
        with_params(r#"{"é":1,"\u00e9":2}"#),
        with_params(r#"{"😀":1,"\ud83d\ude00":2}"#),
        with_params(r#"{"/":1,"\/":2}"#),
        with_value(r#"[[{"a":{"b":1,"c":2,"b":3}}]]"#),
        with_result(r#"{"tools":[{"name":"a","name":"b"}]}"#),
        format!("[{}]", with_value(r#"{"a":1,"a":1}"#)),
    ] {
        assert_eq!(reason(&line), Reason::DuplicateKey, "{line}");
    }
    for params in [
        r#"{"a":{"a":1},"b":{"a":1}}"#,
        r#"{"a":1,"a ":1}"#,
        r#"{"a":1,"\\u0061":1}"#,
        r#"{"é":1,"e\u0301":2}"#,
        r#"{"x":["a","a"]}"#,
    ] {
        passes(with_params(params));
    }
}

#[test]
fn duplicate_keys_among_many() {
    for count in [15_usize, 16, 17, 18, 500] {
        let keys: Vec<String> = (0..count).map(|number| format!("\"k{number}\":{number}")).collect();
        let object = keys.join(",");
        passes(with_value(&format!("{{{object}}}")));
        for repeated in [0, count / 2, count - 1] {
            assert_eq!(
                reason(with_value(&format!("{{{object},\"k{repeated}\":0}}"))),
                Reason::DuplicateKey
            );
            assert_eq!(
                reason(with_value(&format!("{{{object},\"\\u006b{repeated}\":0}}"))),
                Reason::DuplicateKey
            );
        }
    }
}

#[test]
fn keys_that_differ_only_in_case_where_the_protocol_reads_them() {
    for line in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Params":{}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","Id":1,"method":"ping"}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call"}"#.to_owned(),
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"param\u{17f}\":{}}".to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","\u0050arams":{}}"#.to_owned(),
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","x-vendor":1,"X-Vendor":2}"#.to_owned(),
        with_params(r#"{"name":"a","Name":"b"}"#),
        with_params(r#"{"Name":"b"}"#),
        with_params("{\"argument\u{17f}\":{}}"),
        with_params(r#"{"URI":"x"}"#),
        with_params("{\"to\u{212a}en\":1,\"token\":2}"),
        with_params(r#"{"_META":{}}"#),
        with_params(r#"{"_meta":{"io.modelcontextprotocol/ProtocolVersion":"2026-07-28"}}"#),
        with_result(r#"{"tools":[],"Tools":[{"name":"hidden"}]}"#),
        with_result(r#"{"iserror":true}"#),
    ] {
        assert_eq!(reason(&line), Reason::CaseFoldedKey, "{line}");
    }
    for line in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","X-Vendor":1}"#.to_owned(),
        with_params(r#"{"arguments":{"Name":1,"name":2,"Arguments":3}}"#),
        with_params(r#"{"names":1,"naame":2,"_name":3}"#),
        with_params("{\"na\u{43c}e\":1}"),
        with_result(r#"{"content":[{"Text":1,"text":2}]}"#),
        with_params(r#"{"_meta":{"vendor/Key":1}}"#),
    ] {
        passes(&line);
    }
}

#[test]
fn keys_that_a_json_library_takes_for_its_own() {
    for key in [
        "$serde_json::private::RawValue",
        "$serde_json::private::Number",
        r"\u0024serde_json::private::RawValue",
    ] {
        assert_eq!(
            reason(with_params(&format!(r#"{{"arguments":{{"{key}":"{{}}"}}}}"#))),
            Reason::ReservedKey,
            "{key}"
        );
    }
    passes(with_params(r#"{"$serde_json":1,"x":"$serde_json::private::RawValue"}"#));
}

#[test]
fn ids() {
    for (id, expected) in [
        ("null", Reason::NullId),
        ("9007199254740993", Reason::IdNotExact),
        ("-9007199254740993", Reason::IdNotExact),
        ("123456789012345678901234567890", Reason::IdNotExact),
        ("1.0", Reason::IdMalformed),
        ("1.5", Reason::IdMalformed),
        ("1e3", Reason::IdMalformed),
        ("-0", Reason::IdMalformed),
        ("true", Reason::IdMalformed),
        ("[1]", Reason::IdMalformed),
        ("{}", Reason::IdMalformed),
    ] {
        assert_eq!(reason(with_id(id)), expected, "{id}");
    }
    assert_eq!(
        reason(with_id(&format!("\"{}\"", "a".repeat(ID_BYTES_MAX)))),
        Reason::IdTooLong
    );
    for id in [
        "0",
        "-1",
        "9007199254740992",
        "-9007199254740992",
        "\"\"",
        "\"1\"",
        "\"\\u0061\"",
        "\"é\"",
    ] {
        passes(with_id(id));
    }
    passes(with_id(&format!("\"{}\"", "a".repeat(ID_BYTES_MAX - 2))));
}

#[test]
fn the_envelope() {
    for (line, expected) in [
        (r#""text""#, Reason::NotAnObject),
        ("12", Reason::NotAnObject),
        ("null", Reason::NotAnObject),
        ("{}", Reason::NotJsonRpc2),
        (r#"{"id":1,"method":"ping"}"#, Reason::NotJsonRpc2),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Reason::NotJsonRpc2),
        (r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#, Reason::NotJsonRpc2),
        (r#"{"jsonrpc":"2.0 ","id":1,"method":"ping"}"#, Reason::NotJsonRpc2),
        (r#"{"jsonrpc":"2.0"}"#, Reason::NoKind),
        (r#"{"jsonrpc":"2.0","id":1}"#, Reason::NoKind),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#,
            Reason::MixedKinds,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"a","error":{"code":1,"message":""}}"#,
            Reason::MixedKinds,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{},"error":null}"#,
            Reason::MixedKinds,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":null}"#, Reason::MethodNotString),
        (r#"{"jsonrpc":"2.0","id":1,"method":["a"]}"#, Reason::MethodNotString),
        (r#"{"jsonrpc":"2.0","method":"a","params":[]}"#, Reason::ParamsNotObject),
        (
            r#"{"jsonrpc":"2.0","method":"a","params":null}"#,
            Reason::ParamsNotObject,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"a","params":"{}"}"#,
            Reason::ParamsNotObject,
        ),
        (r#"{"jsonrpc":"2.0","result":{}}"#, Reason::ResponseWithoutId),
        (
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":""}}"#,
            Reason::ResponseWithoutId,
        ),
        (
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#,
            Reason::NullId,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"error":null}"#, Reason::ErrorMalformed),
        (r#"{"jsonrpc":"2.0","id":1,"error":"boom"}"#, Reason::ErrorMalformed),
        (r#"{"jsonrpc":"2.0","id":1,"error":[]}"#, Reason::ErrorMalformed),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1}}"#, Reason::ErrorMalformed),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"message":"x"}}"#,
            Reason::ErrorMalformed,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1.0,"message":"x"}}"#,
            Reason::ErrorMalformed,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":"1","message":"x"}}"#,
            Reason::ErrorMalformed,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":null}}"#,
            Reason::ErrorMalformed,
        ),
    ] {
        assert_eq!(reason(line), expected, "{line}");
    }
}

#[test]
fn unknown_members_and_odd_spellings_are_legal() {
    for line in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","x-vendor":{"a":[1]},"task":null}"#,
        r#"{"method":"ping","id":1,"jsonrpc":"2.0"}"#,
        r#"{"\u006asonrpc":"\u0032.0","id":1,"\u006dethod":"p\u0069ng"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":[1]}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x","data":null,"more":1}}"#,
        r#"{ "jsonrpc" : "2.0" , "method" : "notifications/initialized" }"#,
    ] {
        passes(line);
    }
}

#[test]
fn batches_that_hold_no_messages() {
    for (line, expected) in [
        ("[]", Reason::EmptyBatch),
        ("[ ]\n", Reason::EmptyBatch),
        ("[1]", Reason::NotAnObject),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},[]]"#, Reason::NotAnObject),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{}]"#, Reason::NotJsonRpc2),
    ] {
        assert_eq!(reason(line), expected, "{line}");
    }
}

#[test]
fn batches() {
    let one = with_id("1");
    let many = |count: usize| format!("[{}]", vec![one.as_str(); count].join(" , "));
    passes(many(1));
    passes(many(BATCH_MESSAGES_MAX));
    assert_eq!(reason(many(BATCH_MESSAGES_MAX + 1)), Reason::BatchTooLarge);
    let Ok(Decoded::Batch(batch)) = decode(format!("[ {one} ,{one}]\r\n").into_bytes()) else {
        panic!("a batch was meant")
    };
    assert_eq!(batch.messages().len(), 2);
    assert!(
        batch
            .messages()
            .iter()
            .all(|message| message.line() == one.as_bytes() && message.method() == Some("ping"))
    );
}

#[test]
fn the_id_is_salvaged_where_it_is_beyond_doubt() {
    let id = |line: &str| refused(line).id;
    let seven = Some(Id::Number(7));
    assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":NaN}}"#), seven);
    assert_eq!(
        id(r#"{"jsonrpc":"2.0","id":7,"method":"a","params":{"x":1,"x":2}}"#),
        seven
    );
    assert_eq!(id(r#"{"id":7}"#), seven);
    assert_eq!(id("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"a\"}"), seven);
    for line in [
        r#"{"id":7,"id":7}"#,
        r#"{"id":7,"ID":8}"#,
        r#"{"id":7,"\u0069d":8}"#,
        r#"{"id":7}{"id":8}"#,
        r#"{"id":7"#,
        r#"{"params":{"id":7}}"#,
        r#"{"id":1e3}"#,
        r#"{"id":null}"#,
        r#"{"ID":7}"#,
        r#"[{"id":7}]"#,
        "id: 7",
    ] {
        assert_eq!(id(line), None, "{line}");
    }
}

#[test]
fn a_refused_line_with_a_method_looks_like_a_request() {
    assert!(refused(r#"{"id":7,"method":"a"}"#).is_request);
    assert!(refused(r#"{"id":7,"Method":"a"}"#).is_request);
    assert!(!refused(r#"{"id":7,"result":{"method":1}}"#).is_request);
    assert!(!refused("method").is_request);
}
