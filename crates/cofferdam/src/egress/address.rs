//! Which addresses are no place of the public Internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Ranges of IPv4 that are not public (IANA's special-purpose registry), and single addresses at which clouds hand out a machine's own
/// credentials. The first match names the kind.
const V4: [(Ipv4Addr, u32, &str); 19] = [
    (Ipv4Addr::new(169, 254, 169, 254), 32, "a metadata address"),
    (Ipv4Addr::new(169, 254, 170, 2), 32, "a metadata address"),
    (Ipv4Addr::new(100, 100, 100, 200), 32, "a metadata address"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a metadata address"),
    (Ipv4Addr::new(192, 0, 0, 192), 32, "a metadata address"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's private address"),
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an address of this machine"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "an address of documentation"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "an address of documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "an address of documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay of 6to4"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "a benchmark address"),
    // Multicast, reserved and broadcast.
    (Ipv4Addr::new(224, 0, 0, 0), 3, "an address of no single host"),
];

/// Ranges of IPv6, likewise. Outside of 2000::/3 only the well-known prefix of NAT64 leads anywhere public.
const V6: [(Ipv6Addr, u32, &str); 12] = [
    (
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
        128,
        "a metadata address",
    ),
    (
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
        128,
        "a metadata address",
    ),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::UNSPECIFIED, 128, "an address of this machine"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4 address inside an IPv6 one"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "a link-local address"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a private address"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "a private address"),
    // Teredo, ORCHID, benchmarks.
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "an address of a tunnel or a protocol",
    ),
    (
        Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0),
        16,
        "an IPv4 address inside an IPv6 one",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "an address of documentation",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "an address of documentation",
    ),
];

/// What an address is if it is not a place of the public Internet, with its article; `None` for a public one.
pub(super) fn kind_of(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => V4
            .iter()
            .find(|(network, bits, _)| is_within(address.into(), (*network).into(), *bits + 96))
            .map(|(_, _, kind)| *kind),
        IpAddr::V6(address) => kind_of_v6(address),
    }
}

fn kind_of_v6(address: Ipv6Addr) -> Option<&'static str> {
    const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);
    const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);
    if is_within(address.into(), NAT64.into(), 96) {
        // A network of IPv6 alone reaches IPv4 that way: judged by what is inside.
        let [.., a, b, c, d] = address.octets();
        return kind_of(IpAddr::from([a, b, c, d])).map(|_private| "an IPv4 address inside an IPv6 one");
    }
    let [.., zero, marker, _, _] = address.segments();
    if marker == 0x5efe && matches!(zero, 0 | 0x200) {
        return Some("an IPv4 address inside an IPv6 one");
    }
    let known = V6
        .iter()
        .find(|(network, bits, _)| is_within(address.into(), (*network).into(), *bits))
        .map(|(_, _, kind)| *kind);
    let is_global = is_within(address.into(), GLOBAL.into(), 3);
    known.or((!is_global).then_some("a reserved address"))
}

/// Whether the first `bits` of 128 are equal. IPv4 addresses stand in the last 32.
fn is_within(address: Bits, network: Bits, bits: u32) -> bool {
    let differing = address.0 ^ network.0;
    differing.leading_zeros() >= bits
}

struct Bits(u128);

impl From<Ipv4Addr> for Bits {
    fn from(address: Ipv4Addr) -> Self {
        Self(u32::from(address).into())
    }
}

impl From<Ipv6Addr> for Bits {
    fn from(address: Ipv6Addr) -> Self {
        Self(address.into())
    }
}

/// Whether an address is one of this machine's own: a service that listens on it is a neighbour, whatever the address looks like. A
/// machine that does not say counts as one whose every address is its own.
pub(super) fn is_own(address: IpAddr) -> bool {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else {
        return true;
    };
    let mut own = interfaces.filter_map(|interface| interface.address);
    own.any(|own| {
        let v4 = own.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
        let v6 = own.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip()));
        v4.or(v6) == Some(address.to_canonical())
    })
}

#[cfg(test)]
mod tests {
    use super::{is_own, kind_of};

    #[test]
    fn public_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "93.184.216.34",
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "168.63.129.17",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2a00:1450:4001::5efe:1",
            "64:ff9b::1.1.1.1",
            "::ffff:1.1.1.1",
        ] {
            assert_eq!(kind_of(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn everything_else_has_a_kind() {
        for (address, kind) in [
            ("169.254.169.254", "metadata"),
            ("100.100.100.200", "metadata"),
            ("168.63.129.16", "metadata"),
            ("fd00:ec2::254", "metadata"),
            ("::ffff:169.254.169.254", "metadata"),
            ("64:ff9b::169.254.169.254", "inside"),
            ("64:ff9b::10.0.0.1", "inside"),
            ("64:ff9b:1::1.1.1.1", "reserved"),
            ("2002:a9fe:a9fe::1", "inside"),
            ("2001:0:1:2::3", "tunnel"),
            ("2606::5efe:10.0.0.1", "inside"),
            ("2606::200:5efe:10.0.0.1", "inside"),
            ("::127.0.0.1", "inside"),
            ("127.255.255.255", "loopback"),
            ("::1", "loopback"),
            ("0.0.0.0", "this machine"),
            ("::", "this machine"),
            ("10.1.2.3", "private"),
            ("172.31.255.255", "private"),
            ("192.168.0.1", "private"),
            ("fc00::1", "private"),
            ("fe80::1", "link-local"),
            ("169.254.1.1", "link-local"),
            ("100.64.0.1", "carrier"),
            ("198.19.255.255", "benchmark"),
            ("192.0.2.1", "documentation"),
            ("2001:db8::1", "documentation"),
            ("224.0.0.1", "no single host"),
            ("255.255.255.255", "no single host"),
            ("240.0.0.1", "no single host"),
            ("ff02::1", "reserved"),
            ("4000::1", "reserved"),
        ] {
            let found = kind_of(address.parse().unwrap());
            assert!(found.is_some_and(|found| found.contains(kind)), "{address}: {found:?}");
        }
    }

    #[test]
    fn the_own_loopback_is_own_and_others_are_not() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(is_own("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!is_own("93.184.216.34".parse().unwrap()));
    }
}
