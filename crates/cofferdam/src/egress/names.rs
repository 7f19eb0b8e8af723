//! Questions for names as they arrive: by datagram at any address, answered from that very address, and by stream.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::UdpSocket as BlockingSocket;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::time::Duration;

use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::answer::answer;
use super::grants::{Grants, NAME_RULE, Refusal};
use super::ledger::Ledger;

/// Streams that ask for names at one time; the next waits in the kernel's queue.
pub(super) const STREAMS_MAX: usize = 16;
/// The longest question that is read.
const QUESTION_BYTES_MAX: usize = 4096;
/// Refused names that may wait for their turn in the record; while there are as many, no question is answered.
const WAITING_MAX: usize = 64;
/// How long a stream may be silent.
const STREAM_IDLE: Duration = Duration::from_secs(10);
/// How long to wait when the socket fails, which it does when memory runs out.
const PAUSE: Duration = Duration::from_millis(50);

/// The socket, set to say which address a question was sent to.
pub(super) fn prepared(socket: BlockingSocket) -> io::Result<UdpSocket> {
    if socket.local_addr()?.is_ipv6() {
        setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
    }
    UdpSocket::from_std(socket)
}

/// Where a question came from, and the address it was sent to.
struct Asker {
    from: SockaddrStorage,
    to: Option<To>,
}

enum To {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

/// Answers datagrams for ever.
pub(super) async fn answer_datagrams(socket: UdpSocket, grants: &Grants, ledger: &Rc<Ledger>) {
    let waiting = std::sync::Arc::new(tokio::sync::Semaphore::new(WAITING_MAX));
    let mut question = vec![0; QUESTION_BYTES_MAX];
    loop {
        let received = socket
            .async_io(Interest::READABLE, || receive(&socket, &mut question))
            .await;
        let Ok((length, asker)) = received else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let answered = answer(question.get(..length).unwrap_or_default(), grants);
        if let Some(name) = answered.refused {
            // Closed only with the whole thread.
            let Ok(place) = std::sync::Arc::clone(&waiting).acquire_owned().await else {
                return;
            };
            let ledger = Rc::clone(ledger);
            spawn_local(async move {
                refuse(&name, &ledger).await;
                drop(place);
            });
        }
        if let Some(reply) = answered.reply {
            // A program that does not wait for its answer asks again.
            let _lost = socket
                .async_io(Interest::WRITABLE, || send(&socket, &reply, &asker))
                .await;
        }
    }
}

async fn refuse(name: &[u8], ledger: &Ledger) {
    let refusal = Refusal {
        rule: NAME_RULE,
        why: "`[network] allow` does not have this name".to_owned(),
    };
    ledger.refuse_name(name, &refusal).await;
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Asker)> {
    let mut beside = nix::cmsg_space!(in6_pktinfo, in_pktinfo);
    let mut into = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut into, Some(&mut beside), MsgFlags::empty())?;
    let to = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv6PacketInfo(to) => Some(To::V6(to)),
        ControlMessageOwned::Ipv4PacketInfo(to) => Some(To::V4(to)),
        _ => None,
    });
    let from = received.address.ok_or(io::ErrorKind::InvalidData)?;
    Ok((received.bytes, Asker { from, to }))
}

fn send(socket: &UdpSocket, reply: &[u8], asker: &Asker) -> io::Result<()> {
    let from_there = match &asker.to {
        Some(To::V6(to)) => vec![ControlMessage::Ipv6PacketInfo(to)],
        Some(To::V4(to)) => vec![ControlMessage::Ipv4PacketInfo(to)],
        None => Vec::new(),
    };
    let (fd, bytes) = (socket.as_raw_fd(), [IoSlice::new(reply)]);
    sendmsg(fd, &bytes, &from_there, MsgFlags::empty(), Some(&asker.from))?;
    Ok(())
}

/// Answers the questions of one stream (RFC 7766), one after the other.
pub(super) async fn answer_stream(mut stream: TcpStream, grants: &Grants, ledger: &Rc<Ledger>) {
    // Silence, the end of the stream, and a stream that breaks are one thing here.
    while let Ok(Ok(question)) = timeout(STREAM_IDLE, next_question(&mut stream)).await {
        let answered = answer(&question, grants);
        if let Some(name) = answered.refused {
            refuse(&name, ledger).await;
        }
        let Some(reply) = answered.reply else { return };
        let Ok(length) = u16::try_from(reply.len()) else { return };
        let framed = [&length.to_be_bytes(), reply.as_slice()].concat();
        if !matches!(timeout(STREAM_IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn next_question(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUESTION_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await?;
    Ok(question)
}
