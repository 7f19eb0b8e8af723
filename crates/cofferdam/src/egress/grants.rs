//! Where a server may connect, and what the addresses inside stand for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cofferdam_manifest::{Endpoint, Network};

use super::address::kind_of;

/// The server asked for a name nobody allowed.
pub(super) const NAME_RULE: &str = "egress/name-not-allowed";
/// The server connected to an allowed host on another port.
pub(super) const PORT_RULE: &str = "egress/port-not-allowed";
/// The server connected to an address nobody allowed.
pub(super) const ADDRESS_RULE: &str = "egress/address-not-allowed";

/// The address behind which the allowed names stand inside, one each. It has to be one that programs take for public: their own guards
/// against internal addresses (Python's `ipaddress`, `ipaddr.js`) refuse every range that is reserved, shared, or for benchmarks and
/// documentation. This range is assigned and has never been announced on the Internet, so no server has a reason to go there.
const NAMES_FROM: Ipv4Addr = Ipv4Addr::new(28, 0, 0, 0);

/// What a manifest allows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants {
    /// Names by the address that stands for each.
    names: BTreeMap<Ipv4Addr, Name>,
    /// Addresses that may be connected to as they are.
    addresses: BTreeSet<SocketAddr>,
    /// Ports of this machine's own loopback.
    localhost: BTreeSet<u16>,
    /// Whether allowed names may lead to private addresses: a company's registry does.
    private: bool,
}

#[derive(Debug, Clone)]
struct Name {
    host: String,
    /// Allowed ports, and whether only TLS under the host's name may be spoken there.
    ports: BTreeMap<u16, bool>,
}

/// Where a connection is meant to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination<'a> {
    /// A name that has to be resolved.
    Name { host: &'a str, port: u16, tls: bool },
    /// An address that was allowed as such.
    Address(SocketAddr),
    /// This machine, by its loopback.
    Localhost(SocketAddr),
}

impl Destination<'_> {
    /// As [`Grants::resource`] has it.
    pub(super) fn resource(&self) -> (String, u16) {
        match self {
            Self::Name { host, port, .. } => ((*host).to_owned(), *port),
            Self::Address(address) => (address.ip().to_string(), address.port()),
            Self::Localhost(address) => ("localhost".to_owned(), address.port()),
        }
    }
}

/// Why something does not come to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) rule: &'static str,
    pub(super) why: String,
}

impl Grants {
    pub(crate) fn of(network: &Network) -> Self {
        let mut grants = Self::default();
        let mut ports: BTreeMap<&str, BTreeMap<u16, bool>> = BTreeMap::new();
        for endpoint in &network.allow {
            if let Some(address) = endpoint.address() {
                grants.addresses.insert(SocketAddr::new(address, endpoint.port));
            } else if endpoint.is_public_name() {
                let ports = ports.entry(endpoint.host.as_str()).or_default();
                ports.insert(endpoint.port, network.is_tls(endpoint));
            } else {
                grants.localhost.insert(endpoint.port);
            }
        }
        let is_free = |address: &Ipv4Addr| {
            grants
                .addresses
                .iter()
                .all(|granted| granted.ip() != IpAddr::V4(*address))
        };
        let addresses = (1..).map(|number| Ipv4Addr::from(u32::from(NAMES_FROM) + number));
        let names = addresses.filter(is_free).zip(ports).map(|(address, (host, ports))| {
            let host = host.to_owned();
            (address, Name { host, ports })
        });
        grants.names = names.collect();
        grants
    }

    /// The hosts of a registry, each spoken to in TLS under its own name, wherever they lie, as a company's own do: for the
    /// compartment of an install.
    pub(crate) fn of_registry(endpoints: &[Endpoint]) -> Self {
        let network = Network {
            allow: endpoints.to_vec(),
            tls: endpoints.to_vec(),
        };
        Self {
            private: true,
            ..Self::of(&network)
        }
    }

    /// One proxy, wherever it lies, for the compartment of an install.
    pub(crate) fn of_proxy(endpoint: &Endpoint, is_tls: bool) -> Self {
        let allow = vec![endpoint.clone()];
        let tls = if is_tls { allow.clone() } else { Vec::new() };
        Self {
            private: true,
            ..Self::of(&Network { allow, tls })
        }
    }

    /// How policies name an endpoint of a manifest: its name or address, and its port.
    pub(crate) fn resource(endpoint: &Endpoint) -> (String, u16) {
        let host = match endpoint.address() {
            Some(address) => address.to_string(),
            None => endpoint.host.clone(),
        };
        (host, endpoint.port)
    }

    /// What a person could allow so that a refused `wanted`, a name or `HOST:PORT`, is let through: only public names are suggested, and
    /// the port of TLS where none was said yet.
    pub(crate) fn grantable(wanted: &str) -> Option<Endpoint> {
        let whole = if wanted.contains(':') {
            wanted.to_owned()
        } else {
            format!("{wanted}:443")
        };
        whole.parse().ok().filter(Endpoint::is_public_name)
    }

    /// Whether what this rule refuses is only not listed.
    pub(crate) fn is_unlisted_rule(rule: &str) -> bool {
        [NAME_RULE, PORT_RULE].contains(&rule)
    }

    /// Whether a port of this machine may be connected to.
    pub(crate) fn allows_localhost(&self, port: u16) -> bool {
        self.localhost.contains(&port)
    }

    /// Every port that is allowed anywhere, in order.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let named = self.names.values().flat_map(|name| name.ports.keys().copied());
        let addressed = self.addresses.iter().map(SocketAddr::port);
        let ports: BTreeSet<u16> = named.chain(addressed).chain(self.localhost.iter().copied()).collect();
        ports.into_iter().collect()
    }

    /// The address that stands for a name inside. `name` is lowercase and has no dot at its end.
    pub(super) fn address_of(&self, name: &str) -> Option<Ipv4Addr> {
        let found = self.names.iter().find(|(_, known)| known.host == name);
        found.map(|(address, _)| *address)
    }

    /// What a connection to `asked` is meant for.
    pub(super) fn destination(&self, asked: SocketAddr) -> Result<Destination<'_>, Refusal> {
        // An IPv4 connection shows its address mapped into IPv6 on sockets of both.
        let asked = SocketAddr::new(asked.ip().to_canonical(), asked.port());
        let port = asked.port();
        if self.addresses.contains(&asked) {
            return Ok(Destination::Address(asked));
        }
        if asked.ip().is_loopback() && self.localhost.contains(&port) {
            return Ok(Destination::Localhost(asked));
        }
        let name = match asked.ip() {
            IpAddr::V4(address) => self.names.get(&address),
            IpAddr::V6(_) => None,
        };
        match name {
            Some(Name { host, ports }) => match ports.get(&port) {
                Some(tls) => Ok(Destination::Name { host, port, tls: *tls }),
                None => Err(Refusal {
                    rule: PORT_RULE,
                    why: format!("`{host}` is allowed on other ports only"),
                }),
            },
            None => Err(Refusal {
                rule: ADDRESS_RULE,
                why: match kind_of(asked.ip()) {
                    Some(kind) => format!("no name stands for this address, and it is {kind}"),
                    None => "no name stands for this address".to_owned(),
                },
            }),
        }
    }

    /// Whether an address to which a name leads may be connected to although it is of this kind.
    pub(super) fn allows(&self, address: SocketAddr, kind: &str) -> bool {
        self.addresses.contains(&address)
            || (self.private && !kind.contains("metadata") && !kind.contains("link-local"))
    }

    /// What is meant by `asked`, for people: the name where one stands for it.
    pub(super) fn in_words(&self, asked: SocketAddr) -> String {
        let address = asked.ip().to_canonical();
        let name = match address {
            IpAddr::V4(address) => self.names.get(&address),
            IpAddr::V6(_) => None,
        };
        match name {
            Some(name) => format!("{}:{}", name.host, asked.port()),
            None => SocketAddr::new(address, asked.port()).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ADDRESS_RULE, Destination, Grants, PORT_RULE};
    use crate::egress::address::kind_of;
    use cofferdam_manifest::Network;

    fn grants(allow: &[&str], tls: &[&str]) -> Grants {
        let parsed = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect();
        Grants::of(&Network {
            allow: parsed(allow),
            tls: parsed(tls),
        })
    }

    #[test]
    fn each_name_has_an_address_that_passes_for_public() {
        let grants = grants(
            &["a.com:443", "b.com:80", "a.com:8443", "28.0.0.1:1", "localhost:5432"],
            &["a.com:8443"],
        );
        let (a, b) = (grants.address_of("a.com").unwrap(), grants.address_of("b.com").unwrap());
        assert_ne!(a, b);
        assert_ne!(a.to_string(), "28.0.0.1", "that one was allowed as itself");
        for address in [a, b] {
            assert_eq!(kind_of(address.into()), None);
        }
        assert_eq!(grants.address_of("localhost"), None);
        assert_eq!(grants.address_of("c.com"), None);
        assert_eq!(grants.ports(), [1, 80, 443, 5432, 8443]);
        let name = |port| grants.destination((a, port).into());
        let tls_of = |port| match name(port) {
            Ok(Destination::Name { host: "a.com", tls, .. }) => Some(tls),
            _ => None,
        };
        assert_eq!((tls_of(443), tls_of(8443), tls_of(80)), (Some(true), Some(true), None));
        assert_eq!(name(80).unwrap_err().rule, PORT_RULE);
    }

    #[test]
    fn addresses_count_only_as_they_were_allowed() {
        let grants = grants(&["10.0.0.7:80", "[2001:db8::1]:80", "localhost:5432"], &[]);
        let rule = |asked: &str| {
            grants
                .destination(asked.parse().unwrap())
                .map(drop)
                .map_err(|refusal| refusal.rule)
        };
        for allowed in [
            "10.0.0.7:80",
            "[::ffff:10.0.0.7]:80",
            "[2001:db8::1]:80",
            "127.0.0.1:5432",
            "[::1]:5432",
        ] {
            assert_eq!(rule(allowed), Ok(()), "{allowed}");
        }
        for refused in [
            "10.0.0.7:81",
            "10.0.0.8:80",
            "127.0.0.1:80",
            "169.254.169.254:80",
            "[::10.0.0.7]:80",
            "[64:ff9b::a00:7]:80",
            "[2002:a00:7::1]:80",
            "93.184.216.34:80",
            "28.0.0.1:80",
            "0.0.0.0:5432",
            "[::]:5432",
        ] {
            assert_eq!(rule(refused), Err(ADDRESS_RULE), "{refused}");
        }
    }
}
