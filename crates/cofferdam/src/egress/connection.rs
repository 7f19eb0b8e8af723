//! One connection: judged by where the server wanted to go, resolved, judged again, recorded, made, carried.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use cofferdam_audit::Recorded;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::address::{is_own, kind_of};
use super::grants::{Destination, Grants, Refusal};
use super::hello::{self, Hello};
use super::ledger::{Ledger, Open, Route};
use super::relay::relay;

/// What the server said on a TLS port is not TLS under the host's name.
pub(super) const TLS_RULE: &str = "egress/tls-name";
/// An allowed name leads nowhere that may be reached.
pub(super) const RESOLVED_RULE: &str = "egress/resolved-address";

/// The policies do not let a connection be made.
pub(super) const POLICY_RULE: &str = "egress/policy";

/// How long the system's resolver may take.
const RESOLVE_WITHIN: Duration = Duration::from_secs(10);
/// How long one address may take to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a client of TLS may take to say its first message.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Carries one connection to its end. Whatever refuses it is on record, and the server sees a reset.
pub(super) async fn carry(mut inside: TcpStream, grants: &Grants, ledger: &Rc<Ledger>) {
    let Ok(asked) = inside.local_addr() else { return };
    let wanted = grants.in_words(asked);
    match judge(&mut inside, asked, (grants, ledger)).await {
        Ok(judged) => connect_and_relay(inside, judged, &wanted, ledger).await,
        Err(Some(refusal)) => {
            ledger.refuse(&wanted, &refusal).await;
            reset(&inside);
        }
        // The server gave up by itself.
        Err(None) => {}
    }
}

/// A reset instead of an orderly end, so that nobody takes what came for a whole answer.
fn reset(stream: &TcpStream) {
    // If the connection is gone there is nothing to reset.
    let _gone = stream.set_zero_linger();
}

/// What may be connected to, in this order, and what has to be sent first.
struct Judged {
    addresses: Vec<SocketAddr>,
    said: Vec<u8>,
    tls: bool,
}

/// Judges a connection before anything leaves. `None` when the server was gone before it could be.
async fn judge(
    inside: &mut TcpStream,
    asked: SocketAddr,
    (grants, ledger): (&Grants, &Ledger),
) -> Result<Judged, Option<Refusal>> {
    let plain = |addresses| Judged {
        addresses,
        said: Vec::new(),
        tls: false,
    };
    let destination = grants.destination(asked)?;
    let (host, port) = destination.resource();
    ledger.permit(&host, port)?;
    match destination {
        Destination::Address(address) => Ok(plain(vec![address])),
        Destination::Localhost(asked) => Ok(plain(loopbacks(asked))),
        Destination::Name { host, port, tls } => {
            let said = if tls {
                first_message(inside, host).await?
            } else {
                Vec::new()
            };
            let addresses = resolved(host, port, grants).await?;
            Ok(Judged { addresses, said, tls })
        }
    }
}

/// Both loopback addresses, the one that was asked for first: many services listen on one of them only.
fn loopbacks(asked: SocketAddr) -> Vec<SocketAddr> {
    let other: IpAddr = match asked.ip() {
        IpAddr::V4(_) => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv4Addr::LOCALHOST.into(),
    };
    vec![asked, SocketAddr::new(other, asked.port())]
}

/// The bytes of the server's first message, which must be TLS for this host.
async fn first_message(inside: &mut TcpStream, host: &str) -> Result<Vec<u8>, Option<Refusal>> {
    let refuse = |why: String| Err(Some(Refusal { rule: TLS_RULE, why }));
    let mut said = Vec::new();
    let reading = async {
        loop {
            match hello::read(&said) {
                Hello::Incomplete => {}
                other => return Ok(other),
            }
            if inside.read_buf(&mut said).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
    };
    match timeout(HELLO_WITHIN, reading).await {
        Ok(Ok(Hello::Names(name))) if name == host => Ok(said),
        Ok(Ok(Hello::Names(name))) => refuse(format!("it is TLS for `{name}`")),
        Ok(Ok(Hello::Unfit(why))) => refuse(why.to_owned()),
        Ok(Ok(Hello::Incomplete)) | Err(_) => refuse("it did not say its first message in time".to_owned()),
        Ok(Err(_gone)) => Err(None),
    }
}

/// The addresses of a name that may be connected to.
async fn resolved(host: &str, port: u16, grants: &Grants) -> Result<Vec<SocketAddr>, Refusal> {
    let refuse = |why: String| {
        Err(Refusal {
            rule: RESOLVED_RULE,
            why,
        })
    };
    let found: Vec<SocketAddr> = match timeout(RESOLVE_WITHIN, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(cause)) => return refuse(format!("it could not be resolved: {cause}")),
        Err(_late) => return refuse("it was not resolved in time".to_owned()),
    };
    let mut forbidden = None;
    let mut addresses = Vec::new();
    for address in found {
        let address = SocketAddr::new(address.ip().to_canonical(), port);
        let kind = kind_of(address.ip()).or_else(|| is_own(address.ip()).then_some("an address of this machine"));
        match kind.filter(|kind| !grants.allows(address, kind)) {
            Some(kind) => forbidden = Some((address, kind)),
            None if !addresses.contains(&address) => addresses.push(address),
            None => {}
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    match forbidden {
        _ if !addresses.is_empty() => Ok(addresses),
        Some((address, kind)) => refuse(format!("it leads to `{address}`, which is {kind}")),
        None => refuse("it has no address".to_owned()),
    }
}

/// Tries the addresses in their order; each attempt is a connection of the record.
async fn connect_and_relay(inside: TcpStream, judged: Judged, wanted: &str, ledger: &Rc<Ledger>) {
    for address in judged.addresses {
        let route = Route {
            wanted: wanted.to_owned(),
            address,
            tls: judged.tls,
        };
        let Some(recorded) = ledger.open(route) else { break };
        let open = Open::new(ledger, recorded.seq());
        match dial(&recorded).await {
            Ok(outside) => {
                match converse(&inside, outside, &judged.said, &open).await {
                    Ok(()) => open.because("both sides ended"),
                    Err(cause) => {
                        open.because(format!("broken: {cause}"));
                        reset(&inside);
                    }
                }
                return;
            }
            Err(cause) => open.because(format!("not connected: {cause}")),
        }
    }
    reset(&inside);
}

/// Makes a connection: to the address that is on record and no other.
async fn dial(recorded: &Recorded<Route>) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect(recorded.as_ref().address);
    timeout(CONNECT_WITHIN, connecting)
        .await
        .map_err(|_late| io::ErrorKind::TimedOut)?
}

/// Says what was said already, then lets the two sides talk.
async fn converse(inside: &TcpStream, mut outside: TcpStream, said: &[u8], open: &Open) -> io::Result<()> {
    inside.set_nodelay(true)?;
    outside.set_nodelay(true)?;
    outside.write_all(said).await?;
    open.moved.sent.set(u64::try_from(said.len()).unwrap_or(u64::MAX));
    let relayed = relay(inside, &outside, &open.moved).await;
    if relayed.is_err() {
        reset(&outside);
    }
    relayed
}
