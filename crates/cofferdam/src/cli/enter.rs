//! `enter NAME -- COMMAND…` and `enter -- COMMAND…`: a command of the user's in the same compartment, to look around.
//!
//! Its three streams are pipes, so an interactive shell has no line editing; nothing of it is MCP, and nothing of it is recorded.

use std::io::{self, Read, Write};
use std::thread;

use cofferdam_sandbox::Ended;

use super::args::Target;
use super::output::Output;
use super::run::{sealed_manifest, understood};
use crate::compartment;
use crate::contract::Contract;
use crate::failure::{Exit, Failure};
use crate::gate::process_words;
use crate::home::Home;

/// Runs the command; its own failure is exit 1.
pub(crate) fn run(home: &Home, target: Target, output: &mut Output) -> Result<Exit, Failure> {
    let plan = match target.name {
        Some(name) => {
            let mut manifest = Contract::load(home, &name)?.manifest;
            if !target.command.is_empty() {
                manifest.launch.command = if manifest.isolation.image.is_some() {
                    target.command
                } else {
                    understood(home, &target.command, None)?.argv
                };
            }
            compartment::plan(home, &manifest)?
        }
        None => compartment::plan(home, &sealed_manifest(home, &target.command)?)?,
    };
    let mut plan = plan;
    if !plan.ports.is_empty() {
        plan.ports.clear();
        output.say("note: without network here: connections have to be recorded, and `enter` records nothing");
    }
    let mut compartment = compartment::start(&plan)?;
    let (stdin, stdout, stderr) = (
        compartment.stdin.take(),
        compartment.stdout.take(),
        compartment.stderr.take(),
    );
    // Not joined: it waits for our stdin, which may never end.
    thread::spawn(move || stdin.map(|inside| copy(io::stdin(), inside)));
    let errors = thread::spawn(move || stderr.map(|inside| copy(inside, io::stderr())));
    let output = thread::spawn(move || stdout.map(|inside| copy(inside, io::stdout())));
    let ended = compartment.wait();
    for copied in [errors, output] {
        // A copy that panicked has nothing left to say.
        let _ = copied.join();
    }
    match ended {
        Ended::Exited(0) => Ok(Exit::Fine),
        other => Err(Failure::new(
            Exit::Findings,
            format!("the command ended: {}", process_words(other)),
        )),
    }
}

/// Copies until either side ends.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 8192];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let Some(bytes) = buffer.get(..read) else { return };
        if to.write_all(bytes).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
