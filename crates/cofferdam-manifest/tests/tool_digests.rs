//! A tool's digest: the same for the same definition however it is spelled, another for any other one.
#![expect(clippy::panic, reason = "tests")]

use cofferdam_manifest::{
    Consent, Definitions, DefinitionsError, Digest, Launch, Manifest, TOOL_DEFINITION_BYTES_MAX, Tool,
    ToolDefinitionError, tool_digest,
};
use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert_eq, prop_oneof, proptest};
use serde_json::Value;

fn digest(text: &str) -> Digest {
    tool_digest(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn spelling_does_not_matter() {
    let plain = r#"{"name":"é/\n","inputSchema":{"a":1,"b":[true,null]},"x":1000}"#;
    for other in [
        r#" { "x" : 1e3 , "inputSchema" : { "b" : [ true , null ] , "a" : 1.0 } , "name" : "é/\n" } "#,
        r#"{"name":"\u00e9\/\u000a","inputSchema":{"\u0061":1,"b":[true,null]},"x":1000.000}"#,
    ] {
        assert_eq!(digest(plain), digest(other), "{other}");
    }
}

#[test]
fn everything_else_matters() {
    let variants = [
        r#"{"name":"a"}"#,
        r#"{"name":"a","title":"a"}"#,
        r#"{"name":"a","title":null}"#,
        r#"{"name":"A"}"#,
        r#"{"name":"a "}"#,
        r#"{"name":"a\u200b"}"#,
        r#"{"name":["a"]}"#,
        r#"{"name":["a","b"]}"#,
        r#"{"name":["b","a"]}"#,
        r#"{"name":{"a":"b"}}"#,
        r#"{"name":{"b":"a"}}"#,
        r#"{"name":1}"#,
        r#"{"name":"1"}"#,
        r#"{"name":true}"#,
        r#"{"name":"a","unknown":{"deep":[{"x":1}]}}"#,
        r#"{"name":"a","unknown":{"deep":[{"x":2}]}}"#,
        r#"{"max":9007199254740992}"#,
        r#"{"max":9007199254740993}"#,
        r#"{"max":-9007199254740993}"#,
        r#"{"max":18446744073709551617}"#,
        r#"{"max":18446744073709551616}"#,
    ];
    for (index, one) in variants.iter().enumerate() {
        for other in variants.iter().skip(index + 1) {
            assert_ne!(digest(one), digest(other), "{one} {other}");
        }
    }
}

#[test]
fn a_known_digest() {
    // printf '{"a":1,"b":"x"}' | sha256sum
    let expected = "sha256:ecf9e98ec0641e23113ff3ce8bdc78d0ddd249886517fd4a7f68cc83d4e65667";
    assert_eq!(digest(r#"{ "b": "x", "a": 1 }"#).to_string(), expected);
}

#[test]
fn what_two_parsers_read_differently_has_no_digest() {
    for text in [
        "",
        "{",
        "[]",
        "1",
        "\"a\"",
        "null",
        r#"{"a":1}x"#,
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"x":[{"a":1,"b":2,"a":3}]}"#,
        r#"{"a":"\ud800"}"#,
        r#"{"a":01}"#,
        r#"{"a":1e999}"#,
        r#"{"a":NaN}"#,
        r#"{"a":1,}"#,
        "{\"a\":\"\n\"}",
        "\u{feff}{}",
        r#"{'a':1}"#,
    ] {
        assert!(tool_digest(text).is_err(), "{text}");
    }
    let deep = format!("{}{}", "{\"a\":".repeat(500), "}".repeat(500));
    assert!(matches!(tool_digest(&deep), Err(ToolDefinitionError::NotStrictJson(_))));
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(TOOL_DEFINITION_BYTES_MAX));
    assert!(matches!(tool_digest(&large), Err(ToolDefinitionError::TooLarge { .. })));
}

/// RFC 8785 appendix B: doubles by their bits, and their canonical text.
#[test]
fn numbers_of_rfc_8785() {
    for (bits, text) in [
        (0x0000_0000_0000_0000_u64, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        let number = f64::from_bits(bits);
        // Whatever spelling leads to this double has the digest of its canonical text.
        let spelled = format!("{{\"n\":{number:e}}}");
        let canonical = format!("{{\"n\":{text}}}");
        assert_eq!(digest(&spelled), Digest::of(canonical.as_bytes()), "{text}");
    }
}

/// Values that I-JSON allows, so that both ways to canonical JSON have to agree.
fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        proptest::strategy::Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=(1_i64 << 53)).prop_map(Value::from),
        any::<f64>()
            .prop_filter("finite and not a large integer", |n| n.is_finite()
                && (n.fract() != 0.0 || n.abs() < 1e15))
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_digest_is_of_the_canonical_form(members in prop::collection::btree_map(any::<String>(), json(), 0..6)) {
        let value = Value::Object(members.into_iter().collect());
        let canonical = serde_json_canonicalizer::to_string(&value).unwrap();
        let expected = Digest::of(canonical.as_bytes());
        for spelled in [value.to_string(), serde_json::to_string_pretty(&value).unwrap(), canonical] {
            prop_assert_eq!(tool_digest(&spelled).unwrap(), expected);
        }
    }

    #[test]
    fn any_text_is_answered_as_serde_json_answers(text in "[{}\\[\\]\",:a-c0-9e.+\\\\ -]{0,24}") {
        let object = serde_json::from_str::<serde_json::Map<String, Value>>(&text);
        if object.is_err() {
            prop_assert_eq!(tool_digest(&text).is_err(), true);
        }
    }
}

fn manifest_with(pins: &[(&str, Digest)]) -> Manifest {
    let command = vec!["/bin/x".to_owned()];
    let mut manifest = Manifest::new(Launch {
        command,
        directory: None,
        program: Vec::new(),
        digest: None,
        package: None,
    });
    for (name, pin) in pins {
        let tool = Tool {
            pin: *pin,
            consent: Consent::Allow,
            arguments: Default::default(),
        };
        manifest.tools.insert((*name).to_owned(), tool);
    }
    manifest
}

#[test]
fn definitions_belong_to_their_manifest() {
    let (a, b) = (r#"{ "name":"a", "x":1.0 }"#, r#"{"name":"b"}"#);
    let manifest = manifest_with(&[("a", digest(a)), ("b", digest(b))]);
    let text = Definitions::collect([b, a]).unwrap().to_json();
    let definitions = Definitions::load(&text, &manifest).unwrap();
    assert_eq!(definitions.definition("a"), Some(a), "kept byte for byte");
    assert_eq!(definitions.definition("c"), None);
    assert_eq!(definitions.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);

    let changed = text.replace("1.0", "2");
    assert!(matches!(
        Definitions::load(&changed, &manifest),
        Err(DefinitionsError::OtherThanPinned { .. })
    ));
    let less = manifest_with(&[("a", digest(a))]);
    assert!(matches!(
        Definitions::load(&text, &less),
        Err(DefinitionsError::NotInManifest(_))
    ));
    let more = manifest_with(&[("a", digest(a)), ("b", digest(b)), ("c", digest(b))]);
    assert!(matches!(
        Definitions::load(&text, &more),
        Err(DefinitionsError::Missing(_))
    ));
    assert!(matches!(Definitions::collect([a, a]), Err(DefinitionsError::Twice(_))));
    assert!(Definitions::collect([r#"{"title":"nameless"}"#]).is_err());
    assert!(Definitions::load("{}", &manifest).is_err());
}
