//! `install list` and `install prune`: the packages in the store.

use serde_json::json;

use super::args::{InstallPrune, InstallVerb};
use super::output::Output;
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::install::{Stored, in_words, remove, stored};

/// Runs one of the verbs.
pub(crate) fn run(home: &Home, verb: &InstallVerb, output: &mut Output) -> Result<Exit, Failure> {
    match verb {
        InstallVerb::List => list(&stored(home)?, output),
        InstallVerb::Prune(args) => prune(home, args, output),
    }
}

fn list(all: &[Stored], output: &mut Output) -> Result<Exit, Failure> {
    if all.is_empty() && !output.is_json() {
        output.say("nothing is installed");
        return Ok(Exit::Nothing);
    }
    all.iter().try_for_each(|one| line(one, output))?;
    Ok(Exit::Fine)
}

fn line(one: &Stored, output: &mut Output) -> Result<(), Failure> {
    let name = one.name.to_string_lossy();
    if output.is_json() {
        let told = json!({"name": name, "bytes": one.bytes, "servers": one.servers, "held": one.is_held});
        return output.line(&told.to_string());
    }
    let servers: Vec<&str> = one.servers.iter().map(String::as_str).collect();
    let whose = match (servers.is_empty(), one.is_held) {
        (false, _) => format!("for {}", servers.join(", ")),
        (true, true) => "in use just now".to_owned(),
        (true, false) => "for nobody".to_owned(),
    };
    let size = in_words(one.bytes);
    output.line(&format!("{size:>12}  {}  {whose}", escaped(name.as_bytes())))
}

fn prune(home: &Home, args: &InstallPrune, output: &mut Output) -> Result<Exit, Failure> {
    let mut surplus = stored(home)?;
    surplus.retain(|one| !one.is_needed());
    if surplus.is_empty() {
        output.say("everything in the store is needed");
        return Ok(Exit::Nothing);
    }
    surplus.iter().try_for_each(|one| line(one, output))?;
    if args.dry_run {
        return Ok(Exit::Fine);
    }
    if !args.yes && !output.is_confirmed("remove these?") {
        return Err(Failure::new(Exit::Nothing, "nothing was removed").help("answer on a terminal, or say `--yes`"));
    }
    let mut freed = 0_u64;
    for one in &surplus {
        if remove(home, &one.name)? {
            freed = freed.saturating_add(one.bytes);
        } else {
            output.say(&format!(
                "`{}` is needed by now, and stays",
                escaped(one.name.as_encoded_bytes())
            ));
        }
    }
    output.say(&format!("removed {}", in_words(freed)));
    Ok(Exit::Fine)
}
