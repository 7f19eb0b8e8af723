//! Tests of `hello.rs`, with messages built here byte by byte.

use super::{Hello, read};

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), long(content)].concat()
}

fn name(name: &str) -> Vec<u8> {
    extension(0, &long(&[vec![0], long(name.as_bytes())].concat()))
}

fn body(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend(long(extensions));
    body
}

fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[1..], body].concat()
}

fn frames(message: &[u8], size: usize) -> Vec<u8> {
    let frame = |part: &[u8]| [vec![22, 3, 1], long(part)].concat();
    message.chunks(size).flat_map(frame).collect()
}

fn framed(extensions: &[u8]) -> Vec<u8> {
    frames(&message(&body(extensions)), 1 << 14)
}

fn names(host: &str) -> Hello {
    Hello::Names(host.to_owned())
}

#[test]
fn the_name_is_read_however_it_is_framed() {
    let other = extension(16, b"\0\x0c\x02h2\x08http/1.1");
    let message = message(&body(&[other, name("API.Example.com")].concat()));
    for size in [1, 2, 3, 4, 5, 17, message.len()] {
        let whole = frames(&message, size);
        assert_eq!(read(&whole), names("api.example.com"), "frames of {size}");
        for cut in 0..whole.len() {
            assert_eq!(read(&whole[..cut]), Hello::Incomplete, "frames of {size}, cut at {cut}");
        }
    }
    let more = [frames(&message, 9), vec![20, 3, 3, 0, 1, 1]].concat();
    assert_eq!(read(&more), names("api.example.com"), "what follows is not looked at");
}

#[test]
fn a_message_with_two_readings_is_refused() {
    let a = name("a.com");
    let two_in_one = extension(0, &long(&[vec![0], long(b"a.com"), vec![0], long(b"b.com")].concat()));
    let other_kind = extension(0, &long(&[vec![1], long(b"a.com")].concat()));
    let trailing = extension(0, &[long(&[vec![0], long(b"a.com")].concat()), vec![0]].concat());
    for (what, extensions) in [
        ("two extensions", [a.clone(), name("b.com")].concat()),
        ("two names in one", two_in_one),
        ("another kind of name", other_kind),
        ("bytes behind the list", trailing),
        ("an empty name", name("")),
        ("a NUL in the name", name("a.com\0.b.com")),
        ("a line break", name("a.com\r\nx")),
        ("not ASCII", name("\u{e4}.com")),
        ("no name", extension(16, b"")),
        ("an extension beyond its list", [a.clone(), vec![0, 16, 0, 9]].concat()),
        ("a hidden name", [a.clone(), extension(0xfe0d, b"x")].concat()),
        (
            "a hidden name, in the draft's way",
            [extension(0xffce, b"x"), a.clone()].concat(),
        ),
    ] {
        assert!(matches!(read(&framed(&extensions)), Hello::Unfit(_)), "{what}");
    }
    let behind = [body(&a), vec![0]].concat();
    assert!(
        matches!(read(&frames(&message(&behind), 99)), Hello::Unfit(_)),
        "bytes behind the extensions"
    );
}

#[test]
fn what_is_not_tls_is_told_at_once() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"SSH-2.0-x",
        &[0x80, 0x2e, 1, 3, 1],
        &[22, 2, 0, 0, 4],
        &[22, 3, 1, 0, 0],
        &[22, 3, 1, 0x40, 1],
        &[22, 3, 1, 0, 4, 2, 0, 0, 0],
        &[23, 3, 3, 0, 1],
    ] {
        assert!(matches!(read(bytes), Hello::Unfit(_)), "{bytes:?}");
    }
    assert_eq!(read(&[]), Hello::Incomplete);
}

#[test]
fn a_message_without_end_is_not_waited_for() {
    let huge = message(&vec![0; 1 << 20]);
    let bytes = frames(&huge, 1 << 14);
    assert!(matches!(read(&bytes[..super::HELLO_BYTES_MAX]), Hello::Unfit(_)));
}

#[test]
fn no_bytes_make_it_fail() {
    let whole = framed(&name("a.com"));
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            // Any answer is right but one that names a host that is not there.
            if let Hello::Names(host) = read(&flipped) {
                let is_there = flipped
                    .to_ascii_lowercase()
                    .windows(host.len())
                    .any(|part| part == host.as_bytes());
                assert!(is_there, "{host}");
            }
        }
    }
}
