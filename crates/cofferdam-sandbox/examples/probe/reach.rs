//! Escapes that reach for other processes, for mounts and for namespaces: the second half of the battery.

use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU8;

use libc::c_long;

use crate::battery::{Escape, Ground, call, made, pointer, read, text};

fn parent() -> c_long {
    c_long::from(std::os::unix::process::parent_id())
}

/// A byte that lies at the same address in the parent, of which this process is a copy.
static SPARE: AtomicU8 = AtomicU8::new(0);

/// Reads or writes the parent's.
fn memory_of_another(number: c_long) -> io::Result<()> {
    let span = [libc::iovec {
        iov_base: SPARE.as_ptr().cast(),
        iov_len: 1,
    }];
    let at = span.as_ptr() as c_long;
    call(number, [parent(), at, 1, at, 1])
}

/// Takes a capability into every set, the ambient one last.
fn capability() -> io::Result<()> {
    const SYS_ADMIN: u32 = 21;
    // Version 3, this process; effective, permitted and inheritable of the lower half, then of the upper.
    let (header, sets) = (
        [0x2008_0522_u32, 0],
        [1 << SYS_ADMIN, 1 << SYS_ADMIN, 1 << SYS_ADMIN, 0, 0, 0],
    );
    call(
        libc::SYS_capset,
        [header.as_ptr() as c_long, sets.as_ptr() as c_long, 0, 0, 0],
    )?;
    let raise = c_long::from(libc::PR_CAP_AMBIENT_RAISE);
    call(
        libc::SYS_prctl,
        [libc::PR_CAP_AMBIENT.into(), raise, SYS_ADMIN.into(), 0, 0],
    )
}

fn bind(ground: &Ground) -> io::Result<()> {
    let folder = ground.work.join("bound");
    fs::create_dir(&folder)?;
    let (from, to) = (text(&ground.work), text(&folder));
    call(libc::SYS_mount, [pointer(&from), pointer(&to), 0, 0x1000, 0])
}

/// `/proc` with the options it has.
fn remount() -> io::Result<()> {
    let (at, options) = (text(Path::new("/proc")), 0x1000 | 0x20 | 2 | 4 | 8);
    call(libc::SYS_mount, [0, pointer(&at), 0, options, 0])
}

/// A file system made step by step and moved to its place.
fn pieces(ground: &Ground) -> io::Result<()> {
    let folder = ground.work.join("pieces");
    fs::create_dir(&folder)?;
    let (kind, nothing, to) = (text(Path::new("tmpfs")), text(Path::new("")), text(&folder));
    let system = made(libc::SYS_fsopen, [pointer(&kind), 0, 0, 0, 0])?;
    call(libc::SYS_fsconfig, [system, 6, 0, 0, 0])?;
    let mount = made(libc::SYS_fsmount, [system, 0, 0, 0, 0])?;
    call(libc::SYS_move_mount, [mount, pointer(&nothing), -100, pointer(&to), 4])
}

/// A copy of a folder's mounts with other rights.
fn copied_tree(ground: &Ground) -> io::Result<()> {
    let (from, nothing) = (text(&ground.work), text(Path::new("")));
    let tree = made(libc::SYS_open_tree, [-100, pointer(&from), 1, 0, 0])?;
    // Sets read-only, clears nothing.
    let attributes = [1_u64, 0, 0, 0];
    let at = attributes.as_ptr() as c_long;
    call(libc::SYS_mount_setattr, [tree, pointer(&nothing), 0x1000, at, 32])
}

fn other_root(ground: &Ground) -> io::Result<()> {
    let folder = ground.work.join("root");
    fs::create_dir(&folder)?;
    let (kind, at) = (text(Path::new("tmpfs")), text(&folder));
    // Of its own, so that the other attempts keep their root.
    call(libc::SYS_unshare, [0x2_0000, 0, 0, 0, 0])?;
    call(libc::SYS_mount, [pointer(&kind), pointer(&at), pointer(&kind), 0, 0])?;
    call(libc::SYS_pivot_root, [pointer(&at), pointer(&at), 0, 0, 0])
}

fn through_a_descriptor(ground: &Ground) -> io::Result<()> {
    let folder = fs::File::open(&ground.work)?;
    let up: PathBuf = ground.work.components().skip(1).map(|_| "..").collect();
    let below = ground.canary.strip_prefix("/").unwrap_or(&ground.canary);
    let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
    read(Path::new(&path).join(up).join(below))
}

fn opened_for_writing(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().append(true).open(path).map(drop)
}

fn device(ground: &Ground) -> io::Result<()> {
    // Number 0:0, the one that needs no right.
    let at = text(&ground.work.join("device"));
    call(libc::SYS_mknodat, [-100, pointer(&at), 0o20_644, 0, 0])
}

fn namespace_of_another() -> io::Result<()> {
    let namespace = fs::File::open("/proc/self/ns/uts")?;
    call(libc::SYS_setns, [namespace.as_raw_fd().into(), 0, 0, 0, 0])
}

fn unshare(flag: c_long) -> io::Result<()> {
    call(libc::SYS_unshare, [flag, 0, 0, 0, 0])
}

fn ring() -> io::Result<()> {
    let parameters = [0_u64; 15];
    call(libc::SYS_io_uring_setup, [1, parameters.as_ptr() as c_long, 0, 0, 0])
}

pub(crate) const ESCAPES: &[Escape] = &[
    ("memory of the first process", |_| {
        fs::File::open("/proc/1/mem").map(drop)
    }),
    ("root of the first process", |_| fs::read_dir("/proc/1/root").map(drop)),
    ("folder of the first process", |_| fs::read_dir("/proc/1/cwd").map(drop)),
    ("raising a capability", |_| capability()),
    ("tracing another process", |_| {
        call(libc::SYS_ptrace, [0x4206, parent(), 0, 0, 0])
    }),
    ("reading another's memory", |_| {
        memory_of_another(libc::SYS_process_vm_readv)
    }),
    ("writing another's memory", |_| {
        memory_of_another(libc::SYS_process_vm_writev)
    }),
    ("taking another's descriptor", |_| {
        let process = made(libc::SYS_pidfd_open, [parent(), 0, 0, 0, 0])?;
        call(libc::SYS_pidfd_getfd, [process, 1, 0, 0, 0])
    }),
    ("a bind mount", bind),
    ("other options for a mount", |_| remount()),
    ("a mount made of pieces", pieces),
    ("a copied tree of mounts", copied_tree),
    ("another root", other_root),
    ("the canary through a descriptor", through_a_descriptor),
    ("writing to the canary", |ground| opened_for_writing(&ground.canary)),
    ("a device left behind", device),
    ("writing to the launcher's program", |_| {
        opened_for_writing(&std::env::current_exe()?.with_file_name("drive"))
    }),
    ("a process namespace", |_| unshare(0x2000_0000)),
    ("an IPC namespace", |_| unshare(0x800_0000)),
    ("a UTS namespace", |_| unshare(0x400_0000)),
    ("a control-group namespace", |_| unshare(0x200_0000)),
    ("a time namespace", |_| unshare(0x80)),
    ("entering a namespace", |_| namespace_of_another()),
    ("a ring of calls", |_| ring()),
    ("watching every file", |_| {
        call(libc::SYS_fanotify_init, [0x200, 0, 0, 0, 0])
    }),
];
