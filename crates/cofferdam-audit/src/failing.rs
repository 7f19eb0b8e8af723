//! A file in memory that fails when it is told to (tests only).

use crate::AuditError;
use crate::clock::Clock;
use crate::file::{SegmentFile, SegmentSource};
use crate::log::{Beginning, Durability, Log, Options};
use crate::opening::Opening;
use crate::quota::{Quota, Window};
use crate::reader::Reader;
use crate::record::Record;
use crate::succession::Rotation;
use crate::sync::Timing;
use crate::verify::Ended;
use rustix::io::Errno;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(crate) const SESSION: &str = "000102030405060708090a0b0c0d0e0f";

/// The operations that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Sync,
    SyncName,
    Allocate,
    Truncate,
}

/// What goes wrong at one operation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failure {
    /// It does nothing and says why.
    Says(Errno),
    /// A write takes half of it and succeeds; the next operation does nothing and says why.
    Half(Errno),
    /// A write takes nothing and calls that success.
    Nothing,
}

/// The disk: what the file holds, what of it a crash of the machine would leave, and its faults.
#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    synced: Vec<u8>,
    room: u64,
    capacity: Option<u64>,
    no_allocate: bool,
    operations: Vec<Operation>,
    /// At which operations, counted from the first, what goes wrong.
    faults: Vec<(usize, Failure)>,
    /// From which operation on everything says so.
    dead_from: Option<(usize, Errno)>,
    sync_blocked: bool,
    removed: bool,
}

/// A file in memory.
#[derive(Debug, Default)]
pub(crate) struct FailingFile {
    disk: Mutex<Disk>,
    unblocked: Condvar,
}

impl FailingFile {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap()
    }

    pub(crate) fn fail_at(&self, operation: usize, failure: Failure) {
        self.disk().faults.push((operation, failure));
    }

    /// Everything fails from the next operation on.
    pub(crate) fn die(&self, errno: Errno) {
        let mut disk = self.disk();
        disk.dead_from = Some((disk.operations.len(), errno));
    }

    pub(crate) fn revive(&self) {
        self.disk().dead_from = None;
    }

    /// The disk holds so many bytes from now on; what is reserved stays.
    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    pub(crate) fn without_allocate(self) -> Self {
        self.disk().no_allocate = true;
        self
    }

    pub(crate) fn block_sync(&self, blocked: bool) {
        self.disk().sync_blocked = blocked;
        self.unblocked.notify_all();
    }

    /// The file's name is gone; what is written to it leads nowhere.
    pub(crate) fn remove(&self) {
        self.disk().removed = true;
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.disk().bytes.clone()
    }

    pub(crate) fn room(&self) -> u64 {
        self.disk().room
    }

    pub(crate) fn synced(&self) -> Vec<u8> {
        self.disk().synced.clone()
    }

    pub(crate) fn count(&self, operation: Operation) -> usize {
        self.disk().operations.iter().filter(|done| **done == operation).count()
    }

    pub(crate) fn operations(&self) -> usize {
        self.disk().operations.len()
    }

    /// Notes an operation and says whether it is to fail.
    fn begin(&self, operation: Operation) -> (MutexGuard<'_, Disk>, Option<Failure>) {
        let mut disk = self.disk();
        let number = disk.operations.len();
        disk.operations.push(operation);
        let dead = disk.dead_from.filter(|(from, _)| number >= *from);
        let planned = disk
            .faults
            .iter()
            .find(|(at, _)| *at == number)
            .map(|(_, failure)| *failure);
        let failure = dead.map(|(_, errno)| Failure::Says(errno)).or(planned);
        if let Some(Failure::Half(errno)) = failure {
            disk.faults.push((number + 1, Failure::Says(errno)));
        }
        (disk, failure)
    }
}

impl SegmentFile for FailingFile {
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let (mut disk, failure) = self.begin(Operation::Write);
        let length = disk.bytes.len() as u64;
        let limit = disk
            .capacity
            .map_or(u64::MAX, |capacity| capacity.max(disk.room).max(length));
        let fits = usize::try_from(limit - length).unwrap();
        let taken = match failure {
            Some(Failure::Says(errno)) => return Err(errno.into()),
            Some(Failure::Half(_)) => bytes.len() / 2,
            Some(Failure::Nothing) => 0,
            None if fits == 0 => return Err(Errno::NOSPC.into()),
            None => bytes.len().min(fits),
        };
        disk.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn sync(&self) -> io::Result<()> {
        let (disk, failure) = self.begin(Operation::Sync);
        // What a sync promises is what was there when it began.
        let reach = disk.bytes.clone();
        let mut disk = self.unblocked.wait_while(disk, |disk| disk.sync_blocked).unwrap();
        match failure {
            None => {
                disk.synced = reach;
                Ok(())
            }
            Some(Failure::Says(errno) | Failure::Half(errno)) => Err(errno.into()),
            Some(Failure::Nothing) => Err(io::Error::other("nothing")),
        }
    }

    fn sync_name(&self) -> io::Result<()> {
        match self.begin(Operation::SyncName).1 {
            Some(Failure::Says(errno)) => Err(errno.into()),
            _ => Ok(()),
        }
    }

    fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let (mut disk, failure) = self.begin(Operation::Allocate);
        if let Some(Failure::Says(errno)) = failure {
            return Err(errno.into());
        }
        if disk.no_allocate {
            return Err(Errno::OPNOTSUPP.into());
        }
        if disk
            .capacity
            .is_some_and(|capacity| offset + bytes > capacity.max(disk.room))
        {
            return Err(Errno::NOSPC.into());
        }
        disk.room = disk.room.max(offset + bytes);
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let (mut disk, failure) = self.begin(Operation::Truncate);
        if let Some(Failure::Says(errno)) = failure {
            return Err(errno.into());
        }
        disk.bytes.truncate(usize::try_from(bytes).unwrap());
        disk.room = bytes;
        Ok(())
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(!self.disk().removed)
    }
}

/// A clock that tests move.
#[derive(Debug)]
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn at(boot_ns: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(boot_ns)))
    }

    pub(crate) fn set(&self, boot_ns: u64) {
        self.0.store(boot_ns, Ordering::SeqCst);
    }
}

impl Clock for HandClock {
    fn now(&self) -> (u64, u64) {
        let boot_ns = self.0.load(Ordering::SeqCst);
        (1_795_219_200_000_000_000 + boot_ns, boot_ns)
    }
}

fn opening() -> Opening<'static> {
    Opening {
        session: SESSION,
        server: "files",
        principal: "uid 1000",
        facts: r#"{"profile":"test"}"#,
    }
}

/// Begins a log in a file of the test's.
pub(crate) fn log(file: &Arc<FailingFile>, durability: Durability, clock: Arc<dyn Clock>) -> Result<Log, AuditError> {
    log_with(file, durability, clock, (Quota::UNLIMITED, Timing::STANDARD))
}

pub(crate) fn log_with(
    file: &Arc<FailingFile>,
    durability: Durability,
    clock: Arc<dyn Clock>,
    (quota, timing): (Quota, Timing),
) -> Result<Log, AuditError> {
    let window = Window::new(quota, clock.now().1);
    let options = Options {
        durability,
        quota,
        clock,
        rotation: Rotation::STANDARD,
        sealing: None,
    };
    let beginning = Beginning {
        options,
        window,
        timing,
        source: None,
        veiling: None,
    };
    let file: Arc<dyn SegmentFile> = file.clone();
    Log::begin(file, "/memory".into(), opening(), beginning)
}

/// All records of a segment, and how it ends.
pub(crate) fn read(bytes: &[u8]) -> Result<(Vec<Record>, Ended), AuditError> {
    let mut reader = Reader::over(Cursor::new(bytes), bytes.len() as u64, Path::new("/memory"))?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok((records, reader.ended().unwrap()))
}

/// A folder in memory: the segments after the first, each in a file that can fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailingFolder {
    files: Arc<Mutex<Vec<Arc<FailingFile>>>>,
    refuses: Arc<AtomicU64>,
}

impl FailingFolder {
    /// The next so many files cannot be created.
    pub(crate) fn refuse(&self, files: u64) {
        self.refuses.store(files, Ordering::SeqCst);
    }

    pub(crate) fn files(&self) -> Vec<Arc<FailingFile>> {
        self.files.lock().unwrap().clone()
    }
}

impl SegmentSource for FailingFolder {
    fn create(&mut self, index: u32, _wall_ns: u64) -> Result<(Arc<dyn SegmentFile>, PathBuf), AuditError> {
        let path = PathBuf::from(format!("/memory.{index}"));
        let left = self.refuses.load(Ordering::SeqCst);
        if left > 0 {
            self.refuses.store(left - 1, Ordering::SeqCst);
            let cause = Errno::NOSPC.into();
            return Err(AuditError::Create { path, cause });
        }
        let file = Arc::new(FailingFile::default());
        self.files.lock().unwrap().push(Arc::clone(&file));
        Ok((file, path))
    }

    fn discard(&mut self, _path: &Path) {
        self.files.lock().unwrap().pop();
    }
}

/// Begins a log that may go on in further files.
pub(crate) fn log_in(
    folder: &FailingFolder,
    durability: Durability,
    clock: Arc<dyn Clock>,
    rotation: Rotation,
) -> Result<Log, AuditError> {
    let (file, _) = folder.clone().create(0, 0)?;
    let window = Window::new(Quota::UNLIMITED, clock.now().1);
    let options = Options {
        durability,
        quota: Quota::UNLIMITED,
        clock,
        rotation,
        sealing: None,
    };
    let beginning = Beginning {
        options,
        window,
        timing: Timing::STANDARD,
        source: Some(Box::new(folder.clone())),
        veiling: None,
    };
    Log::begin(file, "/memory".into(), opening(), beginning)
}
