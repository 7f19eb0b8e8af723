//! The way out, one per direction. Only what is recorded leaves: `forward` and `author` take nothing else. A refusal that the record did not
//! take leaves by a door of its own, `author_unrecorded`.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cofferdam_audit::{Recorded, Unrecorded};
use cofferdam_policy::Permitted;

use super::answer::Authored;

/// Lines of our own that may wait for a slow reader. A peer that makes us write more without reading is cut off.
const PARCELS_MAX: usize = 4096;
/// Bytes of our own that may wait so, beside one line of any length.
const PARCEL_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What can leave through an [`Outlet`]. Sealed: policy makes a [`Permitted`], the gate its own lines.
pub trait Passable: sealed::Sealed {
    /// The bytes to send, terminator included.
    fn line(&self) -> &[u8];
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for cofferdam_policy::Permitted {}
    impl Sealed for super::Authored {}
}

impl Passable for Permitted {
    fn line(&self) -> &[u8] {
        Self::line(self)
    }
}

impl Passable for Authored {
    fn line(&self) -> &[u8] {
        Self::line(self)
    }
}

/// Why nothing can leave any more.
#[derive(Debug)]
pub enum OutletClosed {
    /// The reader is gone.
    Gone(io::Error),
    /// The reader does not read what it makes us write.
    Overflow,
}

enum Parcel {
    Authored(Vec<u8>, u64),
    Held(Vec<u8>, u64),
    Barrier(SyncSender<()>),
}

/// The end of a pipe, and the number of the process that reads it.
struct Reader {
    /// `None` once it is closed.
    writer: Option<Box<dyn Write + Send>>,
    process: u64,
}

/// One direction's writer. The pump of that direction writes straight through; whoever must never block on this reader (the other pump,
/// the watch) hands its line to the courier thread.
pub struct Outlet {
    reader: Mutex<Reader>,
    courier: SyncSender<Parcel>,
    /// Bytes of our own that wait for the courier.
    authored_bytes: AtomicUsize,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outlet")
    }
}

impl Outlet {
    /// An outlet over `writer`, with its courier thread.
    pub(crate) fn new(name: &str, writer: Box<dyn Write + Send>) -> io::Result<Arc<Self>> {
        let (courier, parcels) = sync_channel(PARCELS_MAX);
        let outlet = Arc::new(Self {
            reader: Mutex::new(Reader {
                writer: Some(writer),
                process: 0,
            }),
            courier,
            authored_bytes: AtomicUsize::new(0),
        });
        let weak = Arc::downgrade(&outlet);
        std::thread::Builder::new()
            .name(format!("courier-{name}"))
            .stack_size(COURIER_STACK_BYTES)
            .spawn(move || deliver(&weak, &parcels))?;
        Ok(outlet)
    }

    /// Sends what is recorded and permitted, in order, in one write, to the process it was decided for. Nothing is sent when another process
    /// has taken its place: whoever replaced it answers for what is lost.
    ///
    /// # Errors
    /// The reader is gone.
    pub fn forward<T: Passable>(&self, recorded: &[Recorded<T>], process: u64) -> Result<(), OutletClosed> {
        match recorded {
            [] => Ok(()),
            [one] => self.write(one.as_ref().line(), process),
            many => {
                let mut all = Vec::with_capacity(many.iter().map(|one| one.as_ref().line().len()).sum());
                for one in many {
                    all.extend_from_slice(one.as_ref().line());
                }
                self.write(&all, process)
            }
        }
    }

    /// Sends a line of the gate's own without ever blocking the caller on this reader. A reader that makes us write more than
    /// [`PARCEL_BYTES_MAX`] without reading is cut off.
    pub(crate) fn author(&self, recorded: &Recorded<Authored>, process: u64) -> Result<(), OutletClosed> {
        self.hand_over_authored(recorded.as_ref(), process)
    }

    /// As [`Outlet::author`], for a refusal that was to be recorded and could not be. Nothing else goes out so.
    pub(crate) fn author_unrecorded(
        &self,
        unrecorded: &Unrecorded<Authored>,
        process: u64,
    ) -> Result<(), OutletClosed> {
        let authored = unrecorded.as_ref();
        if authored.is_refusal() {
            self.hand_over_authored(authored, process)
        } else {
            Ok(())
        }
    }

    fn hand_over_authored(&self, authored: &Authored, process: u64) -> Result<(), OutletClosed> {
        let bytes = authored.line().len();
        let before = self.authored_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before > 0 && before.saturating_add(bytes) > PARCEL_BYTES_MAX {
            return Err(OutletClosed::Overflow);
        }
        self.hand_over(Parcel::Authored(authored.line().to_vec(), process))
    }

    /// Sends a call that waited, without ever blocking the caller on this reader. Who held it has bounded it.
    pub(crate) fn forward_by_courier(&self, recorded: &Recorded<Permitted>, process: u64) -> Result<(), OutletClosed> {
        self.hand_over(Parcel::Held(recorded.as_ref().line().to_vec(), process))
    }

    fn hand_over(&self, parcel: Parcel) -> Result<(), OutletClosed> {
        match self.courier.try_send(parcel) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(OutletClosed::Overflow),
            Err(TrySendError::Disconnected(_)) => Err(OutletClosed::Gone(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Waits until everything handed to the courier so far is written, at most `timeout`.
    pub(crate) fn drain(&self, timeout: Duration) {
        let (done, wait) = sync_channel(1);
        if self.courier.try_send(Parcel::Barrier(done)).is_ok() {
            let _ = wait.recv_timeout(timeout);
        }
    }

    /// Closes the writer: the reader sees the end of input. A writer stuck in a blocked write is left to the end of the process.
    pub(crate) fn close(&self) {
        if let Ok(mut reader) = self.reader.try_lock() {
            reader.writer = None;
        }
    }

    /// From here on another process reads; what was meant for the one before is dropped. The one before must be dead: a write to it would
    /// keep us waiting.
    pub(crate) fn replace(&self, process: u64, writer: Box<dyn Write + Send>) {
        *self.locked() = Reader {
            writer: Some(writer),
            process,
        };
    }

    fn write(&self, bytes: &[u8], process: u64) -> Result<(), OutletClosed> {
        let mut reader = self.locked();
        if reader.process != process {
            return Ok(());
        }
        let open = reader
            .writer
            .as_mut()
            .ok_or_else(|| OutletClosed::Gone(io::ErrorKind::BrokenPipe.into()))?;
        open.write_all(bytes)
            .and_then(|()| open.flush())
            .map_err(OutletClosed::Gone)
    }

    fn locked(&self) -> MutexGuard<'_, Reader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A courier copies lines; it needs no deep stack, and there are two per server.
const COURIER_STACK_BYTES: usize = 64 * 1024;

fn deliver(outlet: &std::sync::Weak<Outlet>, parcels: &Receiver<Parcel>) {
    while let Ok(parcel) = parcels.recv() {
        let Some(outlet) = outlet.upgrade() else { return };
        match parcel {
            // A reader that is gone is noticed by the pump; what waits here has nowhere to go.
            Parcel::Held(line, process) => drop(outlet.write(&line, process)),
            Parcel::Authored(line, process) => {
                drop(outlet.write(&line, process));
                outlet.authored_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Parcel::Barrier(done) => drop(done.try_send(())),
        }
    }
}
