//! The network of a compartment that may connect: every address is its own, and the sockets that answer there
//! are held by the launching process.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::{set_ipv6_freebind, set_ipv6_v6only};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use super::{errno, netlink, syscalls};
use crate::SandboxError;
use crate::doors::{Doors, NAMES_PORT};

/// Connections that may wait until they are accepted, of each port.
const BACKLOG: i32 = 128;
/// An address of documentation (RFC 5737): no machine has it.
const OWN_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Init {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

/// Makes every address local and opens the sockets: one for each port, then those for names, by datagram and
/// by stream. To be called with the rights over the network namespace that are given up later.
pub(super) fn open(ports: &[u16]) -> Result<Vec<OwnedFd>, SandboxError> {
    syscalls::raise_loopback().map_err(failed("bring up the loopback interface"))?;
    netlink::make_every_address_local(AddressFamily::INET).map_err(failed("make every address local"))?;
    netlink::add_address(OWN_ADDRESS).map_err(failed("add an address"))?;
    match netlink::make_every_address_local(AddressFamily::INET6) {
        // Switched off in the kernel or here: then nothing connects by it, which is less, not more.
        Err(error) if !matches!(errno(&error), libc::EACCES | libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => {
            return Err(failed("make every IPv6 address local")(error));
        }
        _ => {}
    }
    let mut opened = Vec::with_capacity(ports.len() + 2);
    for port in ports {
        opened.push(stream(*port).map_err(failed(&format!("listen on port {port}")))?);
    }
    opened.push(socket_on(SocketType::DGRAM, NAMES_PORT).map_err(failed("listen for names"))?);
    opened.push(stream(NAMES_PORT).map_err(failed("listen for names"))?);
    Ok(opened)
}

fn stream(port: u16) -> io::Result<OwnedFd> {
    let socket = socket_on(SocketType::STREAM, port)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A socket on a port of every address, of both protocols where there are two.
fn socket_on(kind: SocketType, port: u16) -> io::Result<OwnedFd> {
    let make = |family| socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None);
    let (socket, address): (OwnedFd, IpAddr) = match make(AddressFamily::INET6) {
        Ok(socket) => {
            set_ipv6_v6only(&socket, false)?;
            // Answers to datagrams come from the address that was asked, which no interface has.
            set_ipv6_freebind(&socket, true)?;
            (socket, Ipv6Addr::UNSPECIFIED.into())
        }
        Err(rustix::io::Errno::AFNOSUPPORT) => (make(AddressFamily::INET)?, Ipv4Addr::UNSPECIFIED.into()),
        Err(error) => return Err(error.into()),
    };
    bind(&socket, &SocketAddr::new(address, port))?;
    Ok(socket)
}

/// What the launching process received, as what it is.
pub(super) fn doors(ports: &[u16], descriptors: Vec<OwnedFd>) -> Result<Doors, SandboxError> {
    let mut descriptors = descriptors.into_iter();
    let listeners: Vec<OwnedFd> = descriptors.by_ref().take(ports.len()).collect();
    let rest = (descriptors.next(), descriptors.next(), descriptors.next());
    match rest {
        (Some(name_datagrams), Some(name_streams), None) => Ok(Doors {
            listeners,
            name_datagrams,
            name_streams,
        }),
        _ => Err(SandboxError::Launcher {
            doing: "receive the sockets of the compartment".to_owned(),
            errno: libc::EPROTO,
        }),
    }
}
