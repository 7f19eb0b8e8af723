//! The first message of TLS: whoever it is read as naming is whom any other reader of the same bytes takes it to name, however
//! it came in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/cofferdam/src/egress/hello.rs"]
mod hello;

use hello::{HELLO_BYTES_MAX, Hello};

fuzz_target!(|input: &[u8]| {
    if input.len() > HELLO_BYTES_MAX {
        return;
    }
    let whole = hello::read(input);
    if let Hello::Names(name) = &whole {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        assert!(!name.is_empty() && name.bytes().all(is_plain), "{name}");
        let others = names(input).expect("a message that names a host has extensions");
        assert!(!others.is_empty(), "only one reader finds {name}");
        for other in others {
            assert_eq!(
                other.to_ascii_lowercase(),
                name.as_bytes(),
                "another reader finds another name"
            );
        }
    }
    // What was decided from the bytes that came first stays so.
    for cut in [1, 5, 6, 9, 43, input.len() / 2, input.len().saturating_sub(1)] {
        let early = hello::read(&input[..cut.min(input.len())]);
        assert!(
            early == Hello::Incomplete || early == whole,
            "{early:?}, and later {whole:?}"
        );
    }
});

/// Every name in every extension for names, as readers take them that mind nothing but lengths.
fn names(input: &[u8]) -> Option<Vec<Vec<u8>>> {
    let number = |bytes: &[u8], at: usize| Some(usize::from(*bytes.get(at)?) << 8 | usize::from(*bytes.get(at + 1)?));
    let (mut message, mut at) = (Vec::new(), 0);
    while input.get(at) == Some(&22) {
        let Some(length) = number(input, at + 3) else { break };
        let Some(part) = input.get(at + 5..at + 5 + length) else {
            break;
        };
        message.extend_from_slice(part);
        at += 5 + length;
    }
    // The message's own head, the version and the random; then three lists of which the second has a longer length.
    let mut at = 4 + 34;
    at += 1 + usize::from(*message.get(at)?);
    at += 2 + number(&message, at)?;
    at += 1 + usize::from(*message.get(at)?);
    let end = at + 2 + number(&message, at)?;
    at += 2;
    let mut found = Vec::new();
    while at < end {
        let (kind, length) = (number(&message, at)?, number(&message, at + 2)?);
        let content = message.get(at + 4..at + 4 + length)?;
        at += 4 + length;
        let mut inner = 2;
        while kind == 0 && inner < content.len() {
            let length = number(content, inner + 1)?;
            found.push(content.get(inner + 3..inner + 3 + length)?.to_vec());
            inner += 3 + length;
        }
    }
    Some(found)
}
