//! Inside a container: the first process, which ends with what it brought forth, and the launcher it brings forth.

use std::env;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{WaitOptions, wait};

use super::channel::{self, Report, WORD_BYTES_MAX};
use super::launcher::{self, Beginning, HANDED_OVER};
use super::synthetic::Synthetic;
use super::syscalls::{self, Cloned};
use super::wire::{self, Order};
use super::{errno, image_files, seal};
use crate::SandboxError;
use crate::image::OURS;

/// The hidden subcommand by which a program becomes the first process of a container.
pub(super) const SUBCOMMAND: &str = "__contained";
/// The socket on which the launching process waits, in our folder.
pub(super) const SOCKET: &str = "gate";
/// Exit code of one that was started by hand: wrong usage.
const EXIT_USAGE: u8 = 2;

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Launcher {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

/// Becomes the first process of the container, and ends when nothing that it brought forth lives any more.
pub(super) fn run() -> ExitCode {
    if !rustix::process::getpid().is_init() || env::args_os().len() != 2 {
        // Nobody may be listening; the exit code says it as well.
        let _unheard = writeln!(io::stderr(), "`{SUBCOMMAND}` is started by cofferdam itself");
        return ExitCode::from(EXIT_USAGE);
    }
    match begin() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The engine hands this on to the launching process.
            let _unheard = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn begin() -> Result<(), SandboxError> {
    syscalls::close_from(3, false).map_err(failed("close what the engine left open"))?;
    match syscalls::clone_process(0, None).map_err(failed("start the launcher inside"))? {
        Cloned::Child => syscalls::end(i32::from(launch().is_err())),
        Cloned::Parent { .. } => {
            // This one holds nothing, and nobody may look into it.
            seal::set_dumpable(false)?;
            while rustix::io::retry_on_intr(|| wait(WaitOptions::empty())).is_ok() {}
            Ok(())
        }
    }
}

/// Takes the order, and carries it out as the launcher does on a system without an image.
fn launch() -> Result<(), SandboxError> {
    let control = connected().map_err(|error| {
        let failure = failed("reach the gate from inside the container")(error);
        let _unheard = writeln!(io::stderr(), "{failure}");
        failure
    })?;
    let carried_out = carry_out(&control);
    if let Err(error) = &carried_out {
        // If the launching process is gone there is nobody to tell.
        let _unheard = channel::report(&control, &Report::Failed(error.clone()), &[]);
    }
    carried_out
}

fn connected() -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(Path::new(OURS).join(SOCKET))?)?;
    Ok(socket)
}

fn carry_out(control: &OwnedFd) -> Result<(), SandboxError> {
    let wrong = || failed("receive the pipes of the program")(io::ErrorKind::InvalidData.into());
    let message = channel::receive(control, WORD_BYTES_MAX).map_err(failed("receive the pipes of the program"))?;
    let mut descriptors = message.descriptors;
    let told = descriptors.pop().ok_or_else(wrong)?;
    let handed: [OwnedFd; HANDED_OVER] = descriptors.try_into().map_err(|_other_number| wrong())?;
    // The first process of the compartment reads the order where it is without a container.
    let order = wire::blank().map_err(failed("make a file for the plan"))?;
    rustix::stdio::dup2_stdin(&order).map_err(|error| failed("make a file for the plan")(error.into()))?;
    launcher::bring_forth(control, handed, &Beginning::default(), || {
        let told = wire::unseal(&told).map_err(|problem| SandboxError::NotALauncher { problem })?;
        wire::seal(&completed(told)?, &order).map_err(failed("seal the plan"))
    })
}

/// The order with what only is seen in here: the files of the image.
fn completed(mut order: Order) -> Result<Order, SandboxError> {
    order.synthetic = Synthetic::compose(&order.plan);
    let files = order.synthetic.files.iter().map(|(path, _)| path.as_path());
    let links = order.synthetic.links.iter().map(|(path, _)| path.as_path());
    let own: Vec<&Path> = files.chain(links).collect();
    let sources = image_files::of_image(&order.grafts, &own)?;
    order.grafts = sources.grafts;
    order.links = sources.links;
    if let Some(program) = order.plan.command.first_mut() {
        let mut variables = order.plan.environment.iter();
        let path = variables.find(|(name, _)| name == "PATH").map_or("", |(_, path)| path);
        *program = found(program, path)?;
    }
    Ok(order)
}

/// The path of a program of the image, by its name.
fn found(program: &str, path: &str) -> Result<String, SandboxError> {
    if program.contains('/') {
        return Ok(program.to_owned());
    }
    let folders = path.split(':').filter(|folder| folder.starts_with('/'));
    let candidates = folders.map(|folder| Path::new(folder).join(program));
    let is_executable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
    let mut there = candidates.filter(|path| is_executable(path));
    let first = there.next().and_then(|path| path.to_str().map(str::to_owned));
    first.ok_or_else(|| SandboxError::Execute {
        program: program.to_owned(),
        errno: libc::ENOENT,
    })
}
