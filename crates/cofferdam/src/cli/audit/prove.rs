//! `audit prove`: a proof of one record that others check without the log.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use cofferdam_ledger::{Ledger, PublicKey};
use serde_json::{Value, json};

use super::args::AuditProve;
use super::{failure, store};
use crate::cli::output::{Output, Style};
use crate::failure::{Exit, Failure, file_failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::proven::{PROOF_BYTES_MAX, Proof, check, prove as prove_record};

/// Prints the proof of one record: JSON, whatever the format.
pub(crate) fn prove(home: &Home, args: &AuditProve, output: &mut Output) -> Result<Exit, Failure> {
    let malformed = || {
        Failure::usage(format!("`{}` is not a reference to a record", args.reference))
            .help("write SESSION:NUMBER, with the beginning of a session id")
    };
    let (id, seq) = args.reference.split_once(':').ok_or_else(malformed)?;
    let seq: u64 = seq.parse().ok().ok_or_else(malformed)?;
    let session = store(home)?.session(id).map_err(|error| failure(&error))?;
    let contents = Ledger::at(&home.ledger())
        .read()
        .map_err(|error| Failure::new(Exit::Findings, error.to_string()))?;
    let proof = prove_record(&session, seq, &contents, !args.without_payload).map_err(|why| {
        Failure::new(Exit::Findings, format!("`{}` cannot be proven: {why}", args.reference))
            .help("heads reach the ledger every ten seconds and at the end of a session; `audit verify` says whether the record is intact")
    })?;
    let text = serde_json::to_string(&proof)
        .map_err(|error| Failure::not_enforced(format!("the proof cannot be written: {error}")))?;
    output.line(&text)?;
    Ok(Exit::Fine)
}

/// Checks a proof: exit 1 when it does not hold.
pub(super) fn check_file(path: &Path, key: Option<&str>, output: &mut Output) -> Result<Exit, Failure> {
    let pinned = key
        .map(PublicKey::parse)
        .transpose()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let is_pinned = pinned.is_some();
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(PROOF_BYTES_MAX).read_to_string(&mut text))
        .map_err(|cause| file_failure("read", path, &cause))?;
    let proof: Result<Proof, String> = serde_json::from_str(&text).map_err(|error| error.to_string());
    let shown = escaped(path.display().to_string().as_bytes());
    let proven = match proof.and_then(|proof| check(&proof, pinned)) {
        Ok(proven) => proven,
        Err(why) => {
            if output.is_json() {
                output.line(&json!({"proven": false, "why": why}).to_string())?;
            } else {
                let words = output.styled(Style::Red, &format!("not proven: {}", escaped(why.as_bytes())));
                output.line(&format!("{shown}: {words}"))?;
            }
            return Ok(Exit::Findings);
        }
    };
    if output.is_json() {
        let facts: Value = serde_json::from_str(&proven.facts).unwrap_or(Value::Null);
        let payload = proven.payload.as_deref().map(String::from_utf8_lossy);
        let line = json!({
            "proven": true, "session": proven.session, "server": proven.server, "seq": proven.seq, "kind": proven.kind,
            "time_ns": proven.wall_ns, "facts": facts, "payload": payload, "key": proven.key.as_str(), "key_is_pinned": is_pinned,
        });
        output.line(&line.to_string())?;
        return Ok(Exit::Fine);
    }
    let words = output.styled(Style::Green, "proven");
    let (session, server) = (escaped(proven.session.as_bytes()), escaped(proven.server.as_bytes()));
    output.line(&format!(
        "{shown}: {words}: record {} of session {session}, server `{server}`, {}",
        proven.seq, proven.kind
    ))?;
    output.line(&format!("  {}", escaped(proven.facts.as_bytes())))?;
    for line in proven
        .payload
        .as_deref()
        .map(String::from_utf8_lossy)
        .unwrap_or_default()
        .lines()
    {
        output.line(&format!("  {}", escaped(line.as_bytes())))?;
    }
    output.line(&format!("  signed by {}", proven.key.as_str()))?;
    if !is_pinned {
        output.say("note: that key came with the proof; compare it, or give the one you know with --key");
    }
    Ok(Exit::Fine)
}
