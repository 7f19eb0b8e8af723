//! The answer to one question for a name (RFC 1035). Nothing is asked elsewhere: allowed names have an address inside, others do not exist.

use std::net::{Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};

use super::grants::Grants;

/// How long a program may remember an answer, in seconds. It stays true for as long as the program runs.
const TTL_SECONDS: u32 = 60;
/// The name of this machine for itself (RFC 6761 section 6.3), which needs no grant to be known.
const LOCALHOST: &str = "localhost";

/// What a question comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What is sent back; `None` for what is no question at all.
    pub(super) reply: Option<Vec<u8>>,
    /// The name, as it was asked for, when it is not allowed.
    pub(super) refused: Option<Vec<u8>>,
}

impl Answer {
    const NONE: Self = Self {
        reply: None,
        refused: None,
    };
}

/// Answers one message.
pub(super) fn answer(message: &[u8], grants: &Grants) -> Answer {
    let Some([high, low, flags, ..]) = message.first_chunk::<12>() else {
        return Answer::NONE;
    };
    if flags & 0x80 != 0 {
        return Answer::NONE;
    }
    let id = u16::from_be_bytes([*high, *low]);
    let Ok(asked) = Packet::parse(message) else {
        return only_code(id, RCODE::FormatError);
    };
    if asked.opcode() != OPCODE::StandardQuery {
        return only_code(id, RCODE::NotImplemented);
    }
    let [question] = asked.questions.as_slice() else {
        return only_code(id, RCODE::FormatError);
    };
    let mut reply = Packet::new_reply(id);
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if asked.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.questions.push(question.clone());
    let name = plain_name(question);
    let found = name.as_deref().and_then(|name| addresses(name, grants));
    let refused = match found {
        Some((v4, v6)) => {
            reply.answers.extend(record(question, v4, v6));
            None
        }
        None => {
            *reply.rcode_mut() = RCODE::NameError;
            Some(raw_name(question))
        }
    };
    Answer {
        reply: reply.build_bytes_vec().ok(),
        refused,
    }
}

fn only_code(id: u16, code: RCODE) -> Answer {
    let mut reply = Packet::new_reply(id);
    *reply.rcode_mut() = code;
    Answer {
        reply: reply.build_bytes_vec().ok(),
        refused: None,
    }
}

/// The addresses of a name inside; `None` for a name that is not allowed.
fn addresses(name: &str, grants: &Grants) -> Option<(Ipv4Addr, Option<Ipv6Addr>)> {
    if name == LOCALHOST {
        return Some((Ipv4Addr::LOCALHOST, Some(Ipv6Addr::LOCALHOST)));
    }
    grants.address_of(name).map(|address| (address, None))
}

/// The record that was asked for, if it is one of addresses; everything else about a name is empty.
fn record<'a>(question: &Question<'a>, v4: Ipv4Addr, v6: Option<Ipv6Addr>) -> Option<ResourceRecord<'a>> {
    let is_of_internet = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    let data = match question.qtype {
        QTYPE::TYPE(TYPE::A) | QTYPE::ANY => RData::A(A { address: v4.into() }),
        QTYPE::TYPE(TYPE::AAAA) => RData::AAAA(AAAA {
            address: u128::from(v6?),
        }),
        _ => return None,
    };
    is_of_internet.then(|| ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL_SECONDS, data))
}

/// The name as manifests write it: lowercase letters, digits, `-` and `_` between dots. A label with anything else has no such form, so
/// that no dot, NUL or line break inside one is ever taken for another name.
fn plain_name(question: &Question<'_>) -> Option<String> {
    let mut labels = Vec::new();
    for label in question.qname.as_bytes() {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !label.iter().all(is_plain) {
            return None;
        }
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
    }
    Some(labels.join("."))
}

fn raw_name(question: &Question<'_>) -> Vec<u8> {
    let labels: Vec<&[u8]> = question.qname.as_bytes().collect();
    labels.join(&b'.')
}

#[cfg(test)]
mod tests {
    use simple_dns::rdata::RData;
    use simple_dns::{Packet, RCODE};

    use super::{Answer, answer};
    use crate::egress::Grants;

    fn grants() -> Grants {
        let allow = ["api.example.com:443", "xn--bcher-kva.example:443"].map(|text| text.parse().unwrap());
        Grants::of(&cofferdam_manifest::Network {
            allow: allow.into(),
            tls: Vec::new(),
        })
    }

    /// A question for a name given by its labels.
    fn question(labels: &[&[u8]], kind: u16) -> Vec<u8> {
        let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(*label);
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    fn asked(labels: &[&[u8]], kind: u16) -> (RCODE, Vec<String>, Option<Vec<u8>>) {
        let Answer { reply, refused } = answer(&question(labels, kind), &grants());
        let reply = reply.unwrap();
        let packet = Packet::parse(&reply).unwrap();
        assert_eq!(packet.id(), 0x1234);
        let addresses = packet.answers.iter().map(|answer| match &answer.rdata {
            RData::A(a) => std::net::Ipv4Addr::from(a.address).to_string(),
            RData::AAAA(a) => std::net::Ipv6Addr::from(a.address).to_string(),
            other => panic!("{other:?}"),
        });
        (packet.rcode(), addresses.collect(), refused)
    }

    const A: u16 = 1;
    const API: [&[u8]; 3] = [b"api", b"example", b"com"];

    #[test]
    fn an_allowed_name_has_one_address_and_nothing_else() {
        let inside = grants().address_of("api.example.com").unwrap().to_string();
        assert_eq!(asked(&API, A), (RCODE::NoError, vec![inside.clone()], None));
        assert_eq!(asked(&[b"API", b"exAmple", b"COM"], A).1, [inside]);
        // AAAA, MX, TXT, SVCB, HTTPS.
        for kind in [28, 15, 16, 64, 65] {
            assert_eq!(asked(&API, kind), (RCODE::NoError, vec![], None), "{kind}");
        }
        assert_eq!(asked(&[b"localhost"], A).1, ["127.0.0.1"]);
        assert_eq!(asked(&[b"localhost"], 28).1, ["::1"]);
        assert_eq!(asked(&[b"xn--bcher-kva", b"example"], A).1.len(), 1);
    }

    #[test]
    fn other_names_do_not_exist_whatever_they_look_like() {
        let long = [b'a'; 63];
        let names: [&[&[u8]]; 12] = [
            &[b"evil", b"com"],
            &[b"www", b"api", b"example", b"com"],
            &[b"example", b"com"],
            &[b"api.example.com"],
            &[b"api", b"example.com"],
            &[b"api\0", b"example", b"com"],
            &[b"evil\0api", b"example", b"com"],
            &[b"api", b"example", b"com\r\n"],
            &["b\u{fc}cher".as_bytes(), b"example"],
            &[b"169", b"254", b"169", b"254"],
            &[&long, &long, &long],
            &[],
        ];
        for labels in names {
            let (code, addresses, refused) = asked(labels, A);
            assert_eq!((code, addresses), (RCODE::NameError, vec![]), "{labels:?}");
            assert_eq!(refused, Some(labels.join(&b'.')), "{labels:?}");
        }
    }

    #[test]
    fn what_is_no_question_is_not_answered_or_said_to_be_malformed() {
        let grants = grants();
        assert_eq!(answer(&[], &grants), Answer::NONE);
        assert_eq!(answer(&[0; 11], &grants), Answer::NONE);
        let mut reply = question(&API, A);
        reply[2] |= 0x80;
        assert_eq!(answer(&reply, &grants), Answer::NONE, "an answer is not answered");
        let code = |message: &[u8]| answer(message, &grants).reply.map(|reply| reply[3] & 0xf);
        let mut two = question(&API, A);
        two[5] = 2;
        assert_eq!(code(&two), Some(1));
        let mut update = question(&API, A);
        update[2] |= 5 << 3;
        assert_eq!(code(&update), Some(4));
        let mut endless = question(&[], A);
        endless[12..].copy_from_slice(&[0xc0, 12, 0, 1, 0]);
        assert_eq!(code(&endless), Some(1), "a name that leads to itself");
        let whole = question(&API, A);
        for cut in 12..whole.len() {
            assert_eq!(code(&whole[..cut]), Some(1), "cut at {cut}");
        }
    }
}
