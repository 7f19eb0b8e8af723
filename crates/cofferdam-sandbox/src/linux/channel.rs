//! The channel between the launching process, the launcher and the sealed process: one message at a time,
//! with descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use super::seccomp::Variant;
use crate::{Enforced, SandboxError};

/// Longest report, in bytes. The measurement of a compartment with hundreds of mounts is far below it.
pub(super) const REPORT_BYTES_MAX: usize = 128 * 1024;
/// Longest word between our own processes; paths of control groups are in one.
pub(super) const WORD_BYTES_MAX: usize = 16 * 1024;
/// Most descriptors beside one message; the kernel takes 253.
pub(super) const DESCRIPTORS_MAX: usize = 200;

/// What the launcher and the sealed process tell the launching process.
#[derive(Serialize, Deserialize)]
pub(super) enum Report {
    /// The first process of the compartment exists; its pidfd is beside this message.
    Started { pid: i32 },
    /// The network is made; its sockets are beside this message.
    Doors,
    /// The process is sealed and measures itself. What an observer listens on is beside this message, if there is
    /// to be one.
    Sealed { variant: Variant },
    /// It has measured itself and waits for a word.
    Measured { enforced: Box<Enforced> },
    /// A step failed; nothing of the program has run.
    Failed(SandboxError),
}

/// One message as it arrived.
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) descriptors: Vec<OwnedFd>,
    /// The sender, where the channel asks the kernel for it.
    pub(super) sender: Option<i32>,
}

/// Two connected ends. Neither survives an `execve`.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message with descriptors beside it.
pub(super) fn send(channel: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::io::retry_on_intr(|| sendmsg(&channel, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Receives one message of at most `longest` bytes; empty when the other end is closed.
pub(super) fn receive(channel: impl AsFd, longest: usize) -> io::Result<Message> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX), ScmCredentials(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = vec![0; longest];
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(
            &channel,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut beside,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.truncate(received.bytes);
    let mut message = Message {
        bytes,
        descriptors: Vec::new(),
        sender: None,
    };
    for part in beside.drain() {
        match part {
            RecvAncillaryMessage::ScmRights(descriptors) => message.descriptors.extend(descriptors),
            RecvAncillaryMessage::ScmCredentials(sender) => message.sender = Some(sender.pid.as_raw_nonzero().get()),
            _ => {}
        }
    }
    Ok(message)
}

/// Sends a report.
pub(super) fn report(channel: impl AsFd, report: &Report, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(report).map_err(io::Error::other)?;
    send(channel, &bytes, descriptors)
}
