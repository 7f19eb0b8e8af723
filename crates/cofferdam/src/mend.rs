//! The exact line that would grant what a server was refused: for people, never in band.

use std::path::Path;

use cofferdam_audit::Kind;
use serde_json::Value;

use crate::compartment::{find_program, name_inside};
use crate::egress::Grants;

/// Words that nobody has to quote in a shell.
fn is_plain(word: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/:@+=,".contains(&byte);
    !word.is_empty() && word.bytes().all(is_letter)
}

/// One word of a shell's; `None` for what cannot be shown as it is.
fn quoted(word: &str) -> Option<String> {
    if is_plain(word) {
        return Some(word.to_owned());
    }
    let is_shown = cofferdam_inspect::show_safely(word) == word && !word.contains(char::is_control);
    is_shown.then(|| format!("'{}'", word.replace('\'', r"'\''")))
}

/// The line for a host that was refused and that a person could allow.
pub(crate) fn host_line(server: &str, wanted: &str) -> Option<String> {
    let endpoint = Grants::grantable(wanted)?;
    Some(format!("cofferdam manifest allow {server} host {endpoint}"))
}

/// The line for a program that was looked for inside and is on this machine.
pub(crate) fn program_line(server: &str, path: &str) -> Option<String> {
    let name = Path::new(path).file_name()?.to_str()?;
    let program = match find_program(name) {
        Ok(found) => name_inside(found.to_str()?).unwrap_or(name).to_owned(),
        Err(_nowhere) => path.to_owned(),
    };
    let is_there = find_program(&program).is_ok_and(|found| found.is_file());
    let word = quoted(&program).filter(|_| is_there)?;
    Some(format!("cofferdam manifest allow {server} program {word}"))
}

/// The line for a file or folder that a call names and that the server cannot see.
pub(crate) fn path_line(server: &str, path: &str) -> Option<String> {
    Some(format!("cofferdam manifest allow {server} path {}", quoted(path)?))
}

/// The line for a UNIX socket that is there on this machine.
pub(crate) fn socket_line(server: &str, path: &str) -> Option<String> {
    Some(format!("cofferdam manifest allow {server} socket {}", quoted(path)?))
}

/// The line for a port of this machine on which somebody listens.
pub(crate) fn port_line(server: &str, port: u16) -> Option<String> {
    is_listened_to(port).then(|| format!("cofferdam manifest allow {server} host localhost:{port}"))
}

/// Whether a program outside listens on this port of this machine: then a server that connects to it means that one. Its own loopback
/// has none but its own.
fn is_listened_to(port: u16) -> bool {
    // `sl local_address rem_address st …`, addresses as `HEX:PORT`, and 0A for a socket that listens.
    let listens = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|local| local.rsplit_once(':'));
        local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port)) && words.nth(1) == Some("0A")
    };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    tables.iter().flatten().any(|table| table.lines().any(listens))
}

/// Where a person puts in the host that only they know.
pub(crate) const HOST_TO_NAME: &str = "HOST:443";

/// The line for a server that asked for names and has no network: which host it needs, its own documentation says.
pub(crate) fn names_line(server: &str) -> String {
    format!("cofferdam manifest allow {server} host {HOST_TO_NAME}")
}

/// The line for what one record tells of, if there is one.
pub(crate) fn line_for(server: &str, kind: Kind, facts: &Value) -> Option<String> {
    let word = |key: &str| facts.get(key).and_then(Value::as_str).unwrap_or_default();
    match kind {
        Kind::Connection if word("event") == "refused" => {
            host_line(server, word("wanted")).filter(|_| Grants::is_unlisted_rule(word("rule")))
        }
        Kind::Connection if word("call") == "connect" && word("address").ends_with(":53") => Some(names_line(server)),
        Kind::SystemCall if facts.get("there") == Some(&Value::Bool(false)) => program_line(server, word("path")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cofferdam_audit::Kind;
    use serde_json::json;

    use super::{line_for, path_line};

    #[test]
    fn each_kind_of_refusal_has_its_line_and_nothing_else_has_one() {
        let line = |kind, facts| line_for("files", kind, &facts);
        let host = |wanted: &str, rule: &str| json!({"event": "refused", "wanted": wanted, "rule": rule});
        assert_eq!(
            line(Kind::Connection, host("api.example.com", "egress/name-not-allowed")).as_deref(),
            Some("cofferdam manifest allow files host api.example.com:443")
        );
        let sh = json!({"call": "execve", "path": "/nowhere/sh", "there": false});
        assert_eq!(
            line(Kind::SystemCall, sh).as_deref(),
            Some("cofferdam manifest allow files program sh")
        );
        for (kind, facts) in [
            (Kind::Connection, host("api.example.com", "egress/tls-name-differs")),
            (Kind::Connection, host("evil`id`.example", "egress/name-not-allowed")),
            (Kind::Connection, json!({"call": "connect", "address": "10.0.0.1:443"})),
            (
                Kind::SystemCall,
                json!({"path": "/bin/no-such-program-here", "there": false}),
            ),
            (Kind::SystemCall, json!({"path": "/bin/sh", "there": true})),
            (Kind::ClientLine, json!({"path": "/bin/sh", "there": false})),
        ] {
            assert_eq!(line(kind, facts.clone()), None, "{facts}");
        }
    }

    #[test]
    fn what_stands_in_a_line_is_one_word_of_a_shells() {
        for (path, expected) in [
            ("/a b", Some("cofferdam manifest allow files path '/a b'")),
            ("/it's;id", Some("cofferdam manifest allow files path '/it'\\''s;id'")),
            ("/a\u{202e}b", None),
            ("/a\nb", None),
        ] {
            assert_eq!(path_line("files", path).as_deref(), expected);
        }
    }
}
