//! Two requests to the kernel's routing (rtnetlink(7)), made in the compartment's own network namespace.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// The number of the loopback interface in every network namespace.
const LOOPBACK: u32 = 1;
/// Bytes before the body of a message: length, type, flags, number, sender.
const HEADER_BYTES: u32 = 16;
/// Longer than an answer to one of these requests.
const ANSWER_BYTES_MAX: usize = 4096;
/// `NLM_F_REQUEST`, `NLM_F_ACK`, `NLM_F_EXCL`, `NLM_F_CREATE`.
const MAKE_AND_ANSWER: u16 = 0x1 | 0x4 | 0x200 | 0x400;
/// `NLMSG_ERROR`, which is the answer to success as well.
const ANSWER: u16 = 2;

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
    let message = message(kind, body, attributes)?;
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    answer(&socket)
}

fn message(kind: u16, body: &[u8], attributes: &[Attribute]) -> io::Result<Vec<u8>> {
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
    message.extend(MAKE_AND_ANSWER.to_ne_bytes());
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
    use super::message;

    #[test]
    fn a_message_states_its_length_and_holds_its_parts() {
        let built = message(24, &[7; 12], &[(4, 1_u32.to_ne_bytes())]).expect("a message");
        assert_eq!(built.len(), 16 + 12 + 8);
        assert_eq!(built[..4], 36_u32.to_ne_bytes());
        assert_eq!(built[16..28], [7; 12]);
        assert_eq!(built[28..30], 8_u16.to_ne_bytes());
    }
}
