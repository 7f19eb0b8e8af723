//! URLs and hosts, read by the `url` crate as a browser reads them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

use super::{Facts, Seen};
use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;

pub(super) static PRIVATE: Rule = Rule {
    id: "argument/url-private-host",
    summary: "a URL or host leads to this machine, a private network or a cloud's metadata service",
    severity: Severity::High,
    help: "allow the host by name under `[network]` in the manifest if it is meant",
};

pub(super) static TRICK: Rule = Rule {
    id: "argument/url-trick",
    summary: "a URL is written so that people or programs read another host than the one it names",
    severity: Severity::High,
    help: "send the plain URL: scheme, host, path",
};

pub(super) static SCHEME: Rule = Rule {
    id: "argument/url-scheme",
    summary: "a URL has a scheme that reads files, runs code or starts another program",
    severity: Severity::High,
    help: "send an `https` or `http` URL",
};

/// Schemes that lead to a host over the network.
const NETWORK_SCHEMES: [&str; 12] = [
    "http", "https", "ws", "wss", "ftp", "ftps", "sftp", "ssh", "git", "s3", "gs", "mailto",
];
/// Schemes that never do what a tool should be asked for.
const DANGEROUS_SCHEMES: [&str; 17] = [
    "file",
    "javascript",
    "vbscript",
    "gopher",
    "dict",
    "ldap",
    "ldaps",
    "jar",
    "netdoc",
    "php",
    "expect",
    "phar",
    "tftp",
    "intent",
    "tel",
    "sms",
    "ext",
];
/// Services that turn an address inside a name into that address.
const ADDRESS_NAMES: [&str; 4] = [".nip.io", ".sslip.io", ".xip.io", ".localtest.me"];

/// What is suspicious in a URL.
pub(super) fn check(seen: &Seen<'_>, facts: &Facts<'_>) -> Vec<Finding> {
    let text = seen.text.trim();
    if text.is_empty() {
        return Vec::new();
    }
    let Ok(url) = Url::parse(text) else {
        return unparsed(seen, facts);
    };
    if url.scheme() == "data" {
        return runs_code(&url)
            .then(|| seen.finding(&SCHEME, Confidence::Medium, "is a document that may hold code"))
            .into_iter()
            .collect();
    }
    let mut findings = Vec::new();
    if DANGEROUS_SCHEMES.contains(&url.scheme()) {
        findings.push(seen.finding(&SCHEME, Confidence::High, &format!("has the scheme `{}`", url.scheme())));
    } else if !NETWORK_SCHEMES.contains(&url.scheme()) && !text.contains("://") && text.contains(['(', ';', '<']) {
        findings.push(seen.finding(&SCHEME, Confidence::Medium, "is code, not an address"));
    }
    findings.extend(trick(seen, text, &url));
    if let Some(host) = url.host().filter(|_| is_private_url(&url, facts)) {
        findings.push(seen.finding(&PRIVATE, Confidence::High, &format!("leads to `{host}`")));
    }
    findings
}

/// Whether a browser that opens this `data:` URL runs what is in it. Other media types are content in place of a reference to it
/// (RFC 2397): they lead nowhere.
fn runs_code(url: &Url) -> bool {
    let media_type = url
        .path()
        .split([';', ','])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    ["html", "xml", "svg", "script"]
        .iter()
        .any(|word| media_type.contains(word))
}

/// A value that is no URL: a relative reference, a bare host, or something that only some programs can read.
fn unparsed(seen: &Seen<'_>, facts: &Facts<'_>) -> Vec<Finding> {
    let text = seen.text.trim();
    let with_scheme = if let Some(rest) = text.strip_prefix("//") {
        rest
    } else {
        text
    };
    if text.contains("://") {
        return vec![seen.finding(
            &TRICK,
            Confidence::High,
            "cannot be parsed, so programs will disagree about its host",
        )];
    }
    match Url::parse(&format!("http://{with_scheme}")) {
        Ok(url) if is_private_url(&url, facts) => {
            vec![seen.finding(&PRIVATE, Confidence::High, "leads to a private host")]
        }
        _ => Vec::new(),
    }
}

/// Differences between what is written and what is meant.
fn trick(seen: &Seen<'_>, text: &str, url: &Url) -> Option<Finding> {
    let (_, after) = text.split_once("://")?;
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    if text.contains(['\\', '\t', '\n', '\r']) {
        return Some(seen.finding(
            &TRICK,
            Confidence::High,
            "holds a backslash or a line break, which programs read differently",
        ));
    }
    let userinfo = authority.rsplit_once('@').map(|(userinfo, _)| userinfo);
    if userinfo.is_some_and(|userinfo| userinfo.contains(['.', '%', '#', '@'])) {
        return Some(seen.finding(
            &TRICK,
            Confidence::High,
            "shows one host before `@` and leads to another",
        ));
    }
    let written = authority.rsplit('@').next().unwrap_or_default();
    if written.contains('%') {
        return Some(seen.finding(&TRICK, Confidence::High, "has an encoded host"));
    }
    let Some(Host::Ipv4(address)) = url.host() else {
        return None;
    };
    let host = written.split(':').next().unwrap_or_default();
    (host != address.to_string()).then(|| {
        seen.finding(
            &TRICK,
            Confidence::High,
            &format!("writes the address {address} as a number or in another base"),
        )
    })
}

/// A host name or address by itself.
pub(super) fn check_host(seen: &Seen<'_>, facts: &Facts<'_>) -> Vec<Finding> {
    let text = seen.text.trim();
    if text.starts_with('-') || text.contains(['$', '`', ';', '|', '&', ' ', '\n']) {
        return vec![seen.finding(&TRICK, Confidence::High, "is not a host name")];
    }
    if text.contains("://") {
        return check(seen, facts);
    }
    match Url::parse(&format!("http://{text}")) {
        Ok(url) if is_private_url(&url, facts) => vec![seen.finding(&PRIVATE, Confidence::High, "is a private host")],
        _ => Vec::new(),
    }
}

/// The host that a URL or a host by itself leads to, and whether it is a private one; `None` where it leads to none.
pub(super) fn host_of(text: &str) -> Result<Option<(String, bool)>, &'static str> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let url = match Url::parse(text) {
        // `host:80` has the form of a URL without a host.
        Ok(url) if url.has_host() || text.contains("://") || !text.contains('.') => url,
        Err(_) if text.contains("://") => return Err("a URL cannot be read"),
        _ => match Url::parse(&format!("http://{}", text.trim_start_matches('/'))) {
            Ok(url) => url,
            // A relative reference.
            Err(_) => return Ok(None),
        },
    };
    Ok(url
        .host()
        .map(|host| (host.to_string().to_ascii_lowercase(), is_private_host(&host))))
}

fn is_private_url(url: &Url, facts: &Facts<'_>) -> bool {
    let Some(host) = url.host() else { return false };
    if facts
        .hosts
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(&host.to_string()))
    {
        return false;
    }
    is_private_host(&host)
}

fn is_private_host(host: &Host<&str>) -> bool {
    match host {
        Host::Ipv4(address) => is_private(IpAddr::V4(*address)),
        Host::Ipv6(address) => is_private(IpAddr::V6(*address)),
        Host::Domain(name) => is_private_name(name),
    }
}

fn is_private_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    if name.parse::<IpAddr>().is_ok_and(is_private) {
        return true;
    }
    if ADDRESS_NAMES.iter().any(|suffix| name.ends_with(suffix)) {
        let dashed = name.replace('-', ".");
        let parts: Vec<&str> = dashed.split('.').collect();
        return name.ends_with(".localtest.me")
            || parts.windows(4).any(|four| {
                four.join(".")
                    .parse::<Ipv4Addr>()
                    .is_ok_and(|address| is_private(IpAddr::V4(address)))
            });
    }
    name == "localhost"
        || [
            "metadata",
            "instance-data",
            "host.docker.internal",
            "kubernetes.default",
        ]
        .contains(&name.as_str())
        || [
            ".localhost",
            ".internal",
            ".local",
            ".localdomain",
            ".svc",
            ".cluster.local",
            ".lan",
            ".intranet",
        ]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// Loopback, private, link-local, shared, reserved; IPv4 inside IPv6 as well.
pub(crate) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [a, b, ..] = segments;
    let embedded = |high: u16, low: u16| {
        let [w, x] = high.to_be_bytes();
        let [y, z] = low.to_be_bytes();
        is_private_v4(Ipv4Addr::new(w, x, y, z))
    };
    let inside = match segments {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        _ => false,
    };
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || (a & 0xfe00) == 0xfc00
        || (a & 0xffc0) == 0xfe80
        || (a & 0xffc0) == 0xfec0
        || (a == 0x64 && b == 0xff9b && segments.get(2) == Some(&1))
        || inside
}
