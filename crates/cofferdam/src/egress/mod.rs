//! Egress: what becomes of the connections of a compartment.
//!
//! Inside, every address is local and leads to the compartment's [`Doors`]; this is who holds them. Each connection is judged by where the
//! server wanted to go, resolved for real once, judged again by what that gave, recorded, and only then made, to exactly that address.
//!
//! Invariants:
//! - A connection is made in [`connection`] alone, by a function that takes a `Recorded<Route>`: what cannot be recorded is not made.
//! - Nothing the server asks for a name leaves this process; real resolvers hear names of the manifest only.
//! - Each connection that was recorded is recorded again at its end, also when the session ends first.

mod address;
mod answer;
mod connection;
mod grants;
mod hello;
mod ledger;
mod names;
mod relay;

use std::convert::Infallible;
use std::io;
use std::net::{TcpListener as BlockingListener, UdpSocket as BlockingSocket};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use cofferdam_sandbox::Doors;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{LocalSet, spawn_local};

pub(crate) use grants::Grants;
pub(crate) use ledger::{Ledger, Refused};

/// Connections of one server at one time; the next waits in the kernel's queue. Each holds six descriptors.
const CONNECTIONS_MAX: usize = 128;
/// Threads that may wait for the system's resolver.
const RESOLVING_MAX: usize = 4;
/// Stack of the thread, and of those that resolve.
const STACK_BYTES: usize = 512 * 1024;
/// How long accepting pauses when it fails, which it does when descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Every rule by which egress refuses.
pub(crate) const EGRESS_RULES: &[(&str, &str)] = &[
    (
        grants::NAME_RULE,
        "the server asked for a name that `[network] allow` does not have",
    ),
    (
        grants::PORT_RULE,
        "the server connected to an allowed host on a port that is not allowed",
    ),
    (
        grants::ADDRESS_RULE,
        "the server connected to an address that is not allowed, without a name",
    ),
    (
        connection::TLS_RULE,
        "what the server said on a TLS port was not TLS under the name of the host",
    ),
    (
        connection::POLICY_RULE,
        "the policies do not let the server connect to a host that its manifest allows",
    ),
    (
        connection::RESOLVED_RULE,
        "an allowed name leads to no address that a server may reach",
    ),
];

/// The thread that holds the doors of one compartment. Dropping it ends every connection and records their ends.
#[derive(Debug)]
pub(crate) struct Egress {
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Egress {
    /// Starts to accept what the compartment connects to.
    ///
    /// # Errors
    /// The thread or its runtime could not be made; nothing connects then.
    pub(crate) fn start(doors: Doors, grants: Grants, ledger: Ledger) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(RESOLVING_MAX)
            .thread_stack_size(STACK_BYTES)
            .thread_name("resolve")
            .build()?;
        let opened = {
            let _context = runtime.enter();
            Opened::of(doors)?
        };
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let thread = std::thread::Builder::new()
            .name("egress".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let local = LocalSet::new();
                local.block_on(&runtime, async {
                    serve(opened, Rc::new(grants), Rc::new(ledger));
                    // Nothing is ever sent: the other end is dropped.
                    let _stopped = stopped.await;
                });
                // Every connection ends here, and with it its record; a resolver that still waits is not waited for.
                drop(local);
                runtime.shutdown_background();
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has ended all its connections as well.
            let _ended = thread.join();
        }
    }
}

/// The doors, ready to be waited for.
struct Opened {
    listeners: Vec<TcpListener>,
    name_datagrams: UdpSocket,
    name_streams: TcpListener,
}

impl Opened {
    fn of(doors: Doors) -> io::Result<Self> {
        let listener = |door: OwnedFd| TcpListener::from_std(BlockingListener::from(door));
        Ok(Self {
            listeners: doors.listeners.into_iter().map(listener).collect::<io::Result<_>>()?,
            name_datagrams: names::prepared(BlockingSocket::from(doors.name_datagrams))?,
            name_streams: listener(doors.name_streams)?,
        })
    }
}

/// Starts a task for each door.
fn serve(opened: Opened, grants: Rc<Grants>, ledger: Rc<Ledger>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for listener in opened.listeners {
        let (grants, ledger) = (Rc::clone(&grants), Rc::clone(&ledger));
        spawn_local(accept_all(listener, Arc::clone(&places), move |stream| {
            let (grants, ledger) = (Rc::clone(&grants), Rc::clone(&ledger));
            async move { connection::carry(stream, &grants, &ledger).await }
        }));
    }
    let streams = Arc::new(Semaphore::new(names::STREAMS_MAX));
    let (grants_of_names, ledger_of_names) = (Rc::clone(&grants), Rc::clone(&ledger));
    spawn_local(accept_all(opened.name_streams, streams, move |stream| {
        let (grants, ledger) = (Rc::clone(&grants_of_names), Rc::clone(&ledger_of_names));
        async move { names::answer_stream(stream, &grants, &ledger).await }
    }));
    spawn_local(async move { names::answer_datagrams(opened.name_datagrams, &grants, &ledger).await });
}

/// Accepts for ever, as long as there are places.
async fn accept_all<F>(listener: TcpListener, places: Arc<Semaphore>, carry: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + 'static,
{
    // Closed only with the whole thread.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _from)) => {
                let carried = carry(stream);
                spawn_local(async move {
                    carried.await;
                    drop(place);
                });
            }
            Err(_refused) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}
