//! The native backend of Linux.

mod bpf;
mod caller;
mod cgroup;
mod channel;
mod compartment;
mod contained;
mod elf;
mod engine;
mod fence;
mod identity;
mod image_files;
mod init;
mod kernel_files;
mod landlock;
mod landlocked;
mod launch;
mod launcher;
mod limits;
mod mask_watch;
mod masker;
mod measure;
mod mountinfo;
mod mounts;
mod netlink;
mod network;
mod observe;
mod private_folder;
mod private_proc;
mod probe;
mod seal;
mod seccomp;
mod secrets;
mod snapshot;
mod sources;
mod synthetic;
mod syscall_names;
mod syscall_table;
#[expect(
    unsafe_code,
    reason = "the system calls that no safe library offers, one operation each"
)]
mod syscalls;
mod trees;
mod wire;

pub use compartment::Compartment;
pub use engine::engine;
pub use launch::{Prepared, launch, launch_observed};
pub use launcher::run_if_launcher;
pub use probe::probe;

/// The kernel's number in an error, 0 where there is none.
fn errno(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}
