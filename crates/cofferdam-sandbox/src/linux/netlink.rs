//! Requests to the kernel by netlink, made in the compartment's own network namespace: two to its routing
//! (rtnetlink(7)), and one about its sockets (sock_diag(7)).

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// The number of the loopback interface in every network namespace.
const LOOPBACK: u32 = 1;
/// Bytes before the body of a message: length, type, flags, number, sender.
const HEADER_BYTES: u32 = 16;
/// Longer than an answer to one of these requests, and no shorter than the first part of a list; the kernel cuts the
/// others to what the reader has room for.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_EXCL`, `NLM_F_CREATE`.
const MAKE_AND_ANSWER: u16 = 0x1 | 0x4 | 0x200 | 0x400;
/// `NLM_F_REQUEST`, `NLM_F_ROOT`, `NLM_F_MATCH`: a list of everything that fits.
const LIST: u16 = 0x1 | 0x100 | 0x200;
/// `NLMSG_ERROR`, which is the answer to success as well.
const ANSWER: u16 = 2;
/// `NLMSG_DONE`: the end of a list.
const DONE: u16 = 3;

/// An attribute of a request: what it is, and its value of four bytes.
type Attribute = (u16, [u8; 4]);

/// Makes every address of a protocol one of this machine's own: whoever connects anywhere reaches a socket of
/// this namespace, or nothing.
pub(super) fn make_every_address_local(family: AddressFamily) -> io::Result<()> {
    const NEW_ROUTE: u16 = 24;
    const TABLE_LOCAL: u8 = 255;
    const PROTOCOL_BOOT: u8 = 3;
    const SCOPE_HOST: u8 = 254;
    const KIND_LOCAL: u8 = 2;
    const THROUGH_INTERFACE: u16 = 4;
    let family = family_byte(family)?;
    let [a, b, c, d] = 0_u32.to_ne_bytes();
    // Family, lengths of destination and source, type of service, table, protocol, scope, kind, flags.
    let body = [
        family,
        0,
        0,
        0,
        TABLE_LOCAL,
        PROTOCOL_BOOT,
        SCOPE_HOST,
        KIND_LOCAL,
        a,
        b,
        c,
        d,
    ];
    ask(NEW_ROUTE, &body, &[(THROUGH_INTERFACE, LOOPBACK.to_ne_bytes())])
}

/// Gives the loopback interface one more address, so that programs which look for one that is not a loopback
/// address before they use a protocol find it.
pub(super) fn add_address(address: Ipv4Addr) -> io::Result<()> {
    const NEW_ADDRESS: u16 = 20;
    const ONE_ADDRESS: u8 = 32;
    const SCOPE_GLOBAL: u8 = 0;
    let family = family_byte(AddressFamily::INET)?;
    let [a, b, c, d] = LOOPBACK.to_ne_bytes();
    // Family, length of the prefix, flags, scope, interface.
    let body = [family, ONE_ADDRESS, 0, SCOPE_GLOBAL, a, b, c, d];
    let octets = address.octets();
    // The address, and the own end of a link: the same here.
    ask(NEW_ADDRESS, &body, &[(1, octets), (2, octets)])
}

fn family_byte(family: AddressFamily) -> io::Result<u8> {
    u8::try_from(family.as_raw()).map_err(io::Error::other)
}

/// Sends one request and waits for the kernel's word about it.
fn ask(kind: u16, body: &[u8], attributes: &[Attribute]) -> io::Result<()> {
    // Without a number for it the protocol is the one of routing.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let message = message(kind, MAKE_AND_ANSWER, body, attributes)?;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    answer(&socket)
}

/// Ports on which TCP connections are accepted in this network namespace, of both protocols. The kernel goes through
/// sockets that listen only; its tables in `/proc` go through every connection of the machine.
///
/// # Errors
/// The kernel has no such interface, or its answer makes no sense.
pub(super) fn listening_ports() -> io::Result<BTreeSet<u16>> {
    /// The older of two requests: it alone lists both protocols at once.
    const TCP_SOCKETS: u16 = 18;
    /// Bytes of `struct inet_diag_req` before the states: family, lengths, extensions, which socket.
    const ANY_SOCKET: [u8; 52] = [0; 52];
    const LISTENING: u32 = 1 << 10;
    let mut body = ANY_SOCKET.to_vec();
    body.extend(LISTENING.to_ne_bytes());
    // How many were left out before: none.
    body.extend([0; 4]);
    let kind = Some(netlink::SOCK_DIAG);
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, kind)?;
    let message = message(TCP_SOCKETS, LIST, &body, &[])?;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let (mut ports, mut bytes) = (BTreeSet::new(), vec![0; ANSWER_BYTES_MAX]);
    loop {
        let (_filled, length) = recv(&socket, bytes.as_mut_slice(), RecvFlags::empty())?;
        if ports_in(bytes.get(..length).unwrap_or_default(), &mut ports)? {
            return Ok(ports);
        }
    }
}

/// Adds the ports of one part of a list; whether it is the last.
fn ports_in(part: &[u8], ports: &mut BTreeSet<u16>) -> io::Result<bool> {
    const HEADER: usize = HEADER_BYTES as usize;
    let unreadable = || io::Error::from(io::ErrorKind::InvalidData);
    let mut rest = part;
    while let Some((length, after)) = rest.split_first_chunk().filter(|_| rest.len() >= HEADER) {
        let kind = after.first_chunk().map(|kind| u16::from_ne_bytes(*kind));
        let length = usize::try_from(u32::from_ne_bytes(*length)).map_err(io::Error::other)?;
        let body = rest.get(HEADER..length).ok_or_else(unreadable)?;
        match kind {
            Some(DONE) => return Ok(true),
            Some(ANSWER) => {
                let number = body.first_chunk().map_or(0, |number| i32::from_ne_bytes(*number));
                return Err(io::Error::from_raw_os_error(number.saturating_neg()));
            }
            // `struct inet_diag_msg`: family, state, timer, retransmissions, then the port in network order.
            Some(_) => {
                let port = body.get(4..).and_then(<[u8]>::first_chunk).ok_or_else(unreadable)?;
                ports.insert(u16::from_be_bytes(*port));
            }
            None => return Err(unreadable()),
        }
        // Messages begin at multiples of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn message(kind: u16, flags: u16, body: &[u8], attributes: &[Attribute]) -> io::Result<Vec<u8>> {
    const ATTRIBUTE_BYTES: u16 = 8;
    let mut rest = body.to_vec();
    for (what, value) in attributes {
        rest.extend(ATTRIBUTE_BYTES.to_ne_bytes());
        rest.extend(what.to_ne_bytes());
        rest.extend(value);
    }
    let length = u32::try_from(rest.len()).map_err(io::Error::other)? + HEADER_BYTES;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Number and sender: there is one request, and the kernel knows who sent it.
    message.extend([0; 8]);
    message.extend(rest);
    Ok(message)
}

/// Reads the one answer: its kind, and the negative number of an error or 0.
fn answer(socket: &OwnedFd) -> io::Result<()> {
    let unreadable = || io::Error::from(io::ErrorKind::InvalidData);
    let mut bytes = vec![0; ANSWER_BYTES_MAX];
    let (_filled, length) = recv(socket, bytes.as_mut_slice(), RecvFlags::empty())?;
    bytes.truncate(length);
    let kind = bytes
        .get(4..6)
        .and_then(|kind| kind.try_into().ok())
        .map(u16::from_ne_bytes);
    let number = bytes
        .get(16..20)
        .and_then(|number| number.try_into().ok())
        .map(i32::from_ne_bytes);
    match (kind, number) {
        (Some(ANSWER), Some(0)) => Ok(()),
        (Some(ANSWER), Some(number @ i32::MIN..0)) => Err(io::Error::from_raw_os_error(number.saturating_neg())),
        _ => Err(unreadable()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::{ANSWER, DONE, listening_ports, message, ports_in};

    #[test]
    fn a_message_states_its_length_and_holds_its_parts() {
        let built = message(24, 0, &[7; 12], &[(4, 1_u32.to_ne_bytes())]).expect("a message");
        assert_eq!(built.len(), 16 + 12 + 8);
        assert_eq!(built[..4], 36_u32.to_ne_bytes());
        assert_eq!(built[16..28], [7; 12]);
        assert_eq!(built[28..30], 8_u16.to_ne_bytes());
    }
    #[test]
    fn who_listens_is_listed() {
        let listeners = ["127.0.0.1:0", "[::1]:0"].map(|address| TcpListener::bind(address).expect("bound"));
        let ports = listeners
            .each_ref()
            .map(|listener| listener.local_addr().expect("bound").port());
        let listed = listening_ports().expect("a list");
        assert!(
            ports.iter().all(|port| listed.contains(port)),
            "{ports:?} in {listed:?}"
        );
    }

    #[test]
    fn a_list_that_makes_no_sense_is_an_error() {
        let part = |kind: u16, body: &[u8]| message(kind, 0, body, &[]).expect("a message");
        let mut ports = BTreeSet::new();
        let entry = [2, 10, 0, 0, 0x01, 0xbb, 0, 0];
        assert!(!ports_in(&part(20, &entry), &mut ports).expect("an entry"));
        assert_eq!(ports, BTreeSet::from([443]));
        assert!(ports_in(&part(DONE, &[0; 4]), &mut ports).expect("the end"));
        let refused = ports_in(&part(ANSWER, &(-2_i32).to_ne_bytes()), &mut ports);
        assert_eq!(refused.expect_err("refused").raw_os_error(), Some(2));
        assert!(ports_in(&part(20, &[2, 10]), &mut ports).is_err(), "too short");
        let mut long = part(20, &entry);
        long[0] = 200;
        assert!(ports_in(&long, &mut ports).is_err(), "longer than what came");
        long[0] = 0;
        assert!(ports_in(&long, &mut ports).is_err(), "no length at all");
    }
}
