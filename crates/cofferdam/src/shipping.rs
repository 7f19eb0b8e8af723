//! Starts the shipper beside a session, where the settings say so. Off the line: nothing waits for it, and it shares nothing with the gate
//! but the folder of the record.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::home::Home;
use crate::settings::Settings;

/// The stack of the thread that waits for it: it does nothing else.
const STACK_BYTES: usize = 64 * 1024;
/// In the folder of the shipper's state: what it said.
const SAID: &str = "said";
/// When it said so much, that is forgotten with the next start.
const SAID_BYTES_MAX: u64 = 1024 * 1024;

/// Starts `audit ship --until-idle`. Where one runs already, this one ends at once.
///
/// # Errors
/// It could not be started.
pub(crate) fn start(home: &Home, settings: &Settings) -> io::Result<()> {
    let folder = home.shipping();
    Home::make(&folder).map_err(|failure| io::Error::other(failure.what))?;
    let path = folder.join(SAID);
    let mut options = File::options();
    let said = options.append(true).create(true).mode(0o600).open(&path)?;
    if said.metadata()?.len() > SAID_BYTES_MAX {
        said.set_len(0)?;
    }
    let mut command = Command::new(std::env::current_exe()?);
    if let Some(explicit) = &home.explicit {
        command.arg("--home").arg(explicit);
    }
    command.args(["audit", "ship", "--until-idle"]);
    // Of the client's environment it needs the credentials that the settings name, and nothing else.
    command.env_clear();
    let variables = settings.sinks.iter().filter_map(|sink| sink.to.variable());
    command.envs(variables.filter_map(|name| Some((name, std::env::var_os(name)?))));
    // It outlives the session, and signals to the client's processes are not for it.
    command.process_group(0).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
    let mut child = command.spawn()?;
    let waiting = std::thread::Builder::new()
        .name("shipping".to_owned())
        .stack_size(STACK_BYTES);
    // Taken note of when it ends first, or else it would stay behind as a zombie for as long as the session runs.
    waiting.spawn(move || drop(child.wait()))?;
    Ok(())
}
