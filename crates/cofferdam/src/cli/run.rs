//! `run NAME` and `run -- COMMAND…`: stdin and stdout are the MCP stream from here on.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use cofferdam_manifest::{Digest, Launch, Manifest, understand};
use cofferdam_sandbox::Ended as ProcessEnd;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::Target;
use super::draft::check_grants;
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::gate::{Cause, Ended, Pipes, process_words};
use crate::home::Home;
use crate::session::Session;

/// How names of sessions without a manifest begin, in the record and before lines of stderr. No server can be added under such a name.
pub(crate) const UNPINNED: &str = "unpinned";

/// One name for each command line: each has a record quota of its own, so none can use up another's.
fn unpinned_name(command: &[String]) -> String {
    let digest = Digest::of(command.join("\0").as_bytes()).to_hex();
    format!("{UNPINNED}-{}", digest.get(..12).unwrap_or_default())
}

/// Runs the gate on our own stdin and stdout until one side ends.
pub(crate) fn run(home: &Home, target: Target) -> Result<Exit, Failure> {
    let session = session(home, target)?;
    let signals = signals()?;
    let stdin = io::stdin();
    let hang_up = stdin
        .as_fd()
        .try_clone_to_owned()
        .map_err(|cause| Failure::not_enforced(format!("stdin is not usable: {cause}")))?;
    let from_client = std::fs::File::from(
        hang_up
            .try_clone()
            .map_err(|cause| Failure::not_enforced(format!("stdin is not usable: {cause}")))?,
    );
    let stdout = io::stdout();
    let to_client = stdout
        .as_fd()
        .try_clone_to_owned()
        .map_err(|cause| Failure::not_enforced(format!("stdout is not usable: {cause}")))?;
    let watched_stdout = to_client
        .try_clone()
        .map_err(|cause| Failure::not_enforced(format!("stdout is not usable: {cause}")))?;
    let pipes = Pipes {
        from_client: Box::new(from_client),
        to_client: Box::new(std::fs::File::from(to_client)),
        operator: Box::new(io::stderr()),
        hang_up: vec![hang_up, watched_stdout],
    };
    let ended = session.run(home, pipes, Some(signals))?;
    verdict(&ended)
}

fn session(home: &Home, target: Target) -> Result<Session, Failure> {
    match target.name {
        Some(_) if !target.command.is_empty() => Err(Failure::usage("`run` takes a name or a command, not both")),
        Some(name) => Session::pinned(home, &Contract::load(home, &name)?),
        None => Session::unpinned(
            home,
            &unpinned_name(&target.command),
            &sealed_manifest(home, &target.command)?,
            "run",
        ),
    }
}

/// The sealed default for a command: the program's own files and nothing else.
pub(crate) fn sealed_manifest(home: &Home, command: &[String]) -> Result<Manifest, Failure> {
    let program = understood(home, command, None)?;
    let launch = Launch {
        command: program.argv,
        directory: program.directory,
        program: program.grants,
        digest: None,
        package: None,
    };
    let manifest = Manifest::new(launch);
    check_grants(home, &manifest)?;
    Ok(manifest)
}

/// What a launch line means on this machine, started in `directory` or else here.
pub(crate) fn understood(
    home: &Home,
    command: &[String],
    directory: Option<&Path>,
) -> Result<cofferdam_manifest::Program, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = match directory {
        Some(directory) => std::path::absolute(directory),
        None => std::env::current_dir(),
    };
    let here = here.map_err(|cause| Failure::misconfigured(format!("cannot find the working directory: {cause}")))?;
    understand(command, &path, &here, &home.user_home).map_err(|error| {
        let failure = Failure::misconfigured(error.to_string());
        match error.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    })
}

/// The signals that ask us to stop, on a thread that may wait for them.
fn signals() -> Result<Receiver<i32>, Failure> {
    let unusable = |cause: io::Error| Failure::not_enforced(format!("signals cannot be watched: {cause}"));
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(unusable)?;
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("signal-wait".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if sender.send(signal).is_err() {
                    return;
                }
            }
        })
        .map_err(unusable)?;
    Ok(receiver)
}

/// The exit code of a session, as documented.
fn verdict(ended: &Ended) -> Result<Exit, Failure> {
    if let Some(why) = &ended.unclosed {
        return Err(Failure::not_enforced(format!(
            "the record of the session could not be closed: {why}"
        )));
    }
    let fault = || ended.fault.clone().unwrap_or_else(|| ended.cause.word().to_owned());
    match ended.cause {
        Cause::ClientClosed | Cause::Idle | Cause::Signal(_) => Ok(Exit::Fine),
        Cause::ServerEnded if ended.process == ProcessEnd::Exited(0) => Ok(Exit::Fine),
        Cause::ServerEnded => Err(Failure::new(
            Exit::Findings,
            format!("the server ended by itself: {}", process_words(ended.process)),
        )),
        Cause::RecordQuota | Cause::ServerMisbehaved => Err(Failure::new(
            Exit::Findings,
            format!("the server was ended: {}", fault()),
        )),
        Cause::RecordFailed | Cause::Internal => {
            Err(Failure::not_enforced(format!("the session was ended: {}", fault())))
        }
    }
}
