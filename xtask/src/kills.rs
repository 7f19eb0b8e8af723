//! `cargo xtask kills`: the tests that kill -9 the writer of the record, its shipper and whom it ships to, for more rounds than CI does.

use anyhow::{Context as _, Result, bail, ensure};

use crate::command;
use crate::tools;
use crate::workspace::Workspace;

/// Rounds unless told.
const ROUNDS: u32 = 1_000;

/// Runs them for `--rounds N` rounds each.
///
/// # Errors
/// An argument is not understood, or something that was recorded is missing afterwards.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let rounds = match arguments {
        [] => ROUNDS,
        [word, number] if word == "--rounds" => number.parse().context("`--rounds` needs a number")?,
        [other, ..] => bail!("`{other}` is not understood: `cargo xtask help` shows what is"),
    };
    ensure!(rounds > 1, "`--rounds {rounds}` would kill nobody");
    tools::NEXTEST.ensure()?;
    let mut nextest = command::cargo();
    // With the whole workspace, so that nothing is built twice.
    nextest.args(["nextest", "run", "--workspace", "--locked", "--test", "e2e", "kills::"]);
    nextest.env("COFFERDAM_KILL_ROUNDS", rounds.to_string());
    command::run(nextest.env("COFFERDAM_TEST_SERVERS", workspace.servers()))
}
