//! Bytes from one connection to another and back, within the kernel.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::ledger::Moved;

/// What a pipe between two connections is asked to hold. An ordinary user's are smaller when there are many; then less moves at a time.
const PIPE_BYTES: i32 = 256 * 1024;
/// Most bytes that are moved at once. A place of a pipe holds as much as a connection has in one piece, which is mostly more than a page.
const MOVED_MAX: usize = 1 << 20;

/// Moves bytes in both directions until both have ended, or one has failed.
pub(super) async fn relay(inside: &TcpStream, outside: &TcpStream, moved: &Moved) -> io::Result<()> {
    let there = flow(inside, outside, &moved.sent);
    let back = flow(outside, inside, &moved.received);
    tokio::try_join!(there, back).map(|((), ())| ())
}

/// Moves bytes in one direction until its source ends, and says so to the other side.
async fn flow(from: &TcpStream, to: &TcpStream, moved: &Cell<u64>) -> io::Result<()> {
    let pipe = Pipe::new()?;
    loop {
        let arrived = pipe.fill(from).await?;
        if arrived == 0 {
            return Ok(shutdown(to.as_raw_fd(), Shutdown::Write)?);
        }
        let mut left = arrived;
        while left > 0 {
            let gone = pipe.empty(to, left).await?;
            left -= gone;
            moved.set(moved.get().saturating_add(u64::try_from(gone).unwrap_or(u64::MAX)));
        }
    }
}

/// A pipe that is empty whenever it is filled, so that whoever has to wait is always a connection.
struct Pipe {
    reads: OwnedFd,
    writes: OwnedFd,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (reads, writes) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // A smaller one does as well.
        let _smaller = fcntl(&writes, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        Ok(Self { reads, writes })
    }

    async fn fill(&self, from: &TcpStream) -> io::Result<usize> {
        let moving = || moved_at_once(|flags| splice(from.as_fd(), None, &self.writes, None, MOVED_MAX, flags));
        from.async_io(Interest::READABLE, moving).await
    }

    async fn empty(&self, to: &TcpStream, count: usize) -> io::Result<usize> {
        let moving = || moved_at_once(|flags| splice(&self.reads, None, to.as_fd(), None, count, flags));
        to.async_io(Interest::WRITABLE, moving).await
    }
}

fn moved_at_once(splice: impl Fn(SpliceFFlags) -> nix::Result<usize>) -> io::Result<usize> {
    Ok(splice(SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE)?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};

    use super::{Moved, relay};

    /// Two connected ends.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (there, listener.accept().unwrap().0)
    }

    fn relayed(sent: usize, returned: usize) -> (u64, u64) {
        let (mut client, inside) = pair();
        let (outside, mut server) = pair();
        let bytes = |count: usize| {
            (0..count)
                .map(|at| u8::try_from(at % 251).unwrap())
                .collect::<Vec<u8>>()
        };
        let serving = std::thread::spawn(move || {
            let mut heard = Vec::new();
            server.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, bytes(sent));
            server.write_all(&bytes(returned)).unwrap();
        });
        let asking = std::thread::spawn(move || {
            client.write_all(&bytes(sent)).unwrap();
            // Half of the connection ends; the other half still brings the answer.
            client.shutdown(Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, bytes(returned));
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let moved = Moved::default();
        runtime.block_on(async {
            let stream = |stream: TcpStream| {
                stream.set_nonblocking(true).unwrap();
                tokio::net::TcpStream::from_std(stream).unwrap()
            };
            let (inside, outside) = (stream(inside), stream(outside));
            relay(&inside, &outside, &moved).await.unwrap();
        });
        serving.join().unwrap();
        asking.join().unwrap();
        (moved.sent.get(), moved.received.get())
    }

    #[test]
    fn bytes_pass_unchanged_and_are_counted() {
        for (sent, returned) in [
            (0, 0),
            (1, 0),
            (0, 1),
            (70_000, 3),
            (3, 5_000_000),
            (5_000_000, 5_000_000),
        ] {
            let expected = (u64::try_from(sent).unwrap(), u64::try_from(returned).unwrap());
            assert_eq!(relayed(sent, returned), expected);
        }
    }
}
