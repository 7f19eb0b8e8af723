//! A name and a port the server may connect to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// The longest host name DNS can carry, in characters.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;
/// The name of this machine for itself (RFC 6761 section 6.3).
const LOCALHOST: &str = "localhost";

/// `host:port`: a lowercase DNS name, an IPv4 address or a bracketed IPv6 address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The name or address, lowercase, without brackets.
    pub host: String,
    /// The port, never 0.
    pub port: u16,
}

/// Why a text is not an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EndpointError {
    message: &'static str,
    help: Option<&'static str>,
}

impl EndpointError {
    /// What to write instead, if that is known.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        self.help
    }
}

impl Endpoint {
    /// The host as an address, if it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether the host is a name to be looked up: neither an address nor `localhost`.
    #[must_use]
    pub fn is_public_name(&self) -> bool {
        self.host != LOCALHOST && self.address().is_none()
    }
}

const fn wrong<T>(message: &'static str, help: &'static str) -> Result<T, EndpointError> {
    Err(EndpointError {
        message,
        help: Some(help),
    })
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if text.contains("://") {
            return wrong(
                "a network entry has no scheme",
                "write `host:port`, such as `api.github.com:443`",
            );
        }
        if text.contains('/') {
            return wrong(
                "a network entry has no path",
                "write `host:port`: paths are for policies",
            );
        }
        if text.contains('@') {
            return wrong("a network entry has no user name", "credentials belong under [secrets]");
        }
        if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
            let Ok(address) = address.parse::<Ipv6Addr>() else {
                return wrong("this is not an IPv6 address", "write `[2001:db8::1]:443`");
            };
            return Ok(Self {
                host: allowed_address(address.into())?,
                port: port_of(port)?,
            });
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("the port is missing", "write `host:port`, such as `api.github.com:443`");
        };
        let host = match host.parse::<Ipv4Addr>() {
            Ok(address) => allowed_address(address.into())?,
            Err(_) => name_of(host)?,
        };
        Ok(Self {
            host,
            port: port_of(port)?,
        })
    }
}

fn port_of(text: &str) -> Result<u16, EndpointError> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.parse::<u16>() {
        Ok(port) if plain => Ok(port),
        _ => wrong(
            "the port is not a number from 1 to 65535",
            "write one entry for each port",
        ),
    }
}

/// Addresses that stand for everything, or hand out the machine's own credentials, can never be granted.
fn allowed_address(address: IpAddr) -> Result<String, EndpointError> {
    let embedded = match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(address) => address.to_ipv4_mapped(),
    };
    if embedded.is_some() && address.is_ipv6() {
        return wrong(
            "this is an IPv4 address inside an IPv6 one",
            "write the IPv4 address itself",
        );
    }
    if address.is_unspecified() || address.is_multicast() || embedded.is_some_and(|v4| v4.is_broadcast()) {
        return wrong(
            "this address does not name one host",
            "write the host's own name or address",
        );
    }
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let metadata_v6 = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    // At Alibaba and at Azure.
    let metadata_v4 = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
    if link_local || address == IpAddr::V6(metadata_v6) || metadata_v4.iter().any(|known| address == IpAddr::V4(*known))
    {
        return wrong(
            "link-local and metadata addresses can never be granted",
            "they hand out the machine's own credentials",
        );
    }
    Ok(address.to_string())
}

fn name_of(host: &str) -> Result<String, EndpointError> {
    if host.is_empty() {
        return wrong("the host is missing", "write `host:port`, such as `api.github.com:443`");
    }
    if host.contains(':') {
        return wrong("an IPv6 address stands in brackets", "write `[2001:db8::1]:443`");
    }
    if host.contains('*') {
        return wrong("a network entry names one host", "write one entry for each host");
    }
    if !host.is_ascii() {
        return wrong("a host name is written in ASCII", "write the `xn--` form of the name");
    }
    let label_is_valid = |label: &str| {
        let edges = label.starts_with('-') || label.ends_with('-');
        let body = label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        !label.is_empty() && label.len() <= LABEL_MAX && body && !edges
    };
    if host.len() > NAME_MAX || !host.split('.').all(label_is_valid) {
        return wrong(
            "this is not a host name",
            "write letters, digits, `-` and single dots, without one at the end",
        );
    }
    let last = host.rsplit('.').next().unwrap_or(host);
    // Resolvers read `127.1`, `2130706433` and `0x7f000001` as IPv4 addresses.
    if last.starts_with(|c: char| c.is_ascii_digit()) {
        return wrong(
            "this is an address in a disguised spelling",
            "write it as four decimal numbers",
        );
    }
    Ok(host.to_ascii_lowercase())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn reads_names_and_addresses() {
        for (text, host, port) in [
            ("API.github.com:443", "api.github.com", 443),
            ("localhost:5432", "localhost", 5432),
            ("10.0.0.7:80", "10.0.0.7", 80),
            ("[2001:db8::1]:8443", "2001:db8::1", 8443),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!((endpoint.host.as_str(), endpoint.port), (host, port));
            assert_eq!(endpoint.to_string().parse::<Endpoint>().unwrap(), endpoint);
        }
    }

    #[test]
    fn refuses_what_is_not_one_host_and_port() {
        for text in [
            "",
            ":",
            ":443",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "a:080",
            "a",
            "https://a:443",
            "a:443/x",
            "u@a:443",
            "*.a.com:443",
            "a..b:1",
            "a.:1",
            "-a:1",
            "a b:1",
            "é.com:1",
            "::1:443",
            "[::1]443",
            "[::1]:",
            "[zz]:1",
            "169.254.169.254:80",
            "0.0.0.0:80",
            "[::]:80",
            "[::ffff:127.0.0.1]:80",
            "[fe80::1]:80",
            "127.1:80",
            "2130706433:80",
            "0x7f000001:80",
            "[fd00:ec2::254]:80",
            "168.63.129.16:80",
            "255.255.255.255:1",
            "1.2.3.4.5:1",
            "a\0b:1",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
