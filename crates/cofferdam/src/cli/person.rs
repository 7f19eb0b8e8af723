//! Proof of a person at a terminal: the approver key that `approvals enroll` makes, and the passphrase that unlocks it.

use std::path::Path;
use std::time::Duration;

use cofferdam_manifest::SigningKey;
use zeroize::Zeroizing;

use super::output::Output;
use crate::approvals::{APPROVERS_FOLDER, Approvers, Enrolled};
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;

/// Tries at a passphrase, and what each wrong one costs beside the derivation of the key.
const TRIES: usize = 3;
const WRONG_COSTS: Duration = Duration::from_secs(2);

/// The approver key in `file`, unlocked by a passphrase that is typed on the terminal and comes from nowhere else.
///
/// # Errors
/// There is no key or no terminal, or the passphrase was wrong three times.
pub(crate) fn unlocked(file: &Path, output: &mut Output) -> Result<SigningKey, Failure> {
    let enrolled = Enrolled::read(file)?;
    for _ in 0..TRIES {
        if let Some(key) = enrolled.unlocked(&passphrase("passphrase of your approver key: ")?)? {
            return Ok(key);
        }
        std::thread::sleep(WRONG_COSTS);
        output.say("that is not the passphrase");
    }
    Err(Failure::new(
        Exit::Findings,
        "nothing was signed: nobody proved to be a person",
    ))
}

/// The user's approver key where this machine has approvers, so that `what` needs a proven person; `None` where it has none.
///
/// # Errors
/// As [`unlocked`]; or the user's key is none that an administrator enrolled.
pub(crate) fn proven(home: &Home, what: &str, output: &mut Output) -> Result<Option<SigningKey>, Failure> {
    let approvers = Approvers::read()?;
    if approvers.is_empty() {
        return Ok(None);
    }
    output.say(&format!("{what} needs a proven person on this machine"));
    let key = unlocked(&home.approver(), output)?;
    if approvers.has(&key.public_key()) {
        return Ok(Some(key));
    }
    Err(
        Failure::misconfigured(format!("your approver key is not among those in `{APPROVERS_FOLDER}`"))
            .help("an administrator puts its public line there; `approvals enroll` printed it"),
    )
}

fn passphrase(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    rpassword::prompt_password(prompt).map(Zeroizing::new).map_err(|cause| {
        Failure::misconfigured(format!(
            "a passphrase is asked for on a terminal, and there is none: {cause}"
        ))
        .help("run this in a terminal of your own; a passphrase is never taken from an argument, a variable or a pipe")
    })
}

/// Makes the user's approver key.
pub(super) fn enroll(home: &Home, output: &mut Output) -> Result<Exit, Failure> {
    let file = escaped(home.approver().display().to_string().as_bytes());
    if home.approver().exists() {
        return Err(
            Failure::new(Exit::Nothing, format!("you have an approver key: `{file}`"))
                .help("remove the file to make another one; an administrator then replaces its public half"),
        );
    }
    output.say("an approver key proves that a person, and not a program of yours, said yes; its passphrase is asked for each time");
    let first = passphrase("new passphrase: ")?;
    let (enrolled, key) = Enrolled::new(&first)?;
    if passphrase("the new passphrase once more: ")? != first {
        return Err(Failure::usage("the two passphrases differ; nothing was written"));
    }
    enrolled.write(home)?;
    output.line(&format!("{key} {}", home.user_name))?;
    output.say(&format!(
        "help: an administrator puts this line into `{APPROVERS_FOLDER}/{}.pub`, root's alone; gates that start from then on take it, and run only manifests that an approver signed",
        home.user_name
    ));
    Ok(Exit::Fine)
}
