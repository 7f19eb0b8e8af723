//! The two baselines: a pump that copies bytes, and one that parses every message's envelope and passes its bytes on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail};
use serde_json::value::RawValue;

/// What a pump handles at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    /// Whatever a read gives.
    Bytes,
    /// A line, parsed down to its top-level members; a line that does not parse is not passed on.
    Messages,
}

const BUFFER_BYTES: usize = 1 << 16;

/// Starts `command` and pumps between our stdin and stdout and its own, on a thread for each direction.
///
/// # Errors
/// No command is given or it cannot be started; a pipe breaks.
pub(crate) fn pump(command: &[String], unit: Unit) -> Result<()> {
    let [program, arguments @ ..] = command else {
        bail!("no command to pump for")
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    let (Some(into), Some(out_of)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("the child has no pipes")
    };
    let inward = thread::spawn(move || carry(unbuffered(io::stdin())?, into, unit));
    carry(out_of, unbuffered(io::stdout())?, unit)?;
    child.wait()?;
    inward
        .join()
        .map_err(|_panic| anyhow::anyhow!("the inward thread panicked"))?
}

/// The descriptor itself: what the standard library puts in front of it would split writes at the last newline.
pub(crate) fn unbuffered(stream: impl AsFd) -> io::Result<File> {
    Ok(File::from(stream.as_fd().try_clone_to_owned()?))
}

fn carry(from: impl Read, to: impl Write, unit: Unit) -> Result<()> {
    match unit {
        Unit::Bytes => carry_bytes(from, to),
        Unit::Messages => carry_messages(from, to),
    }
}

fn carry_bytes(mut from: impl Read, mut to: impl Write) -> Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = from.read(&mut buffer)?;
        let Some(piece) = buffer.get(..count).filter(|piece| !piece.is_empty()) else {
            return Ok(());
        };
        to.write_all(piece)?;
        to.flush()?;
    }
}

fn carry_messages(from: impl Read, mut to: impl Write) -> Result<()> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line)? > 0 {
        let envelope: Result<BTreeMap<&str, &RawValue>, _> = serde_json::from_slice(&line);
        if envelope.is_ok_and(|members| members.contains_key("jsonrpc")) {
            to.write_all(&line)?;
            to.flush()?;
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Unit, carry};

    #[test]
    fn bytes_and_messages_pass_unchanged() {
        let lines =
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n{ \"jsonrpc\" : \"2.0\", \"method\": \"x\" }\n";
        for unit in [Unit::Bytes, Unit::Messages] {
            let mut out = Vec::new();
            carry(&lines[..], &mut out, unit).unwrap();
            assert_eq!(out, lines, "{unit:?}");
        }
    }

    #[test]
    fn only_the_parsing_pump_drops_what_is_not_a_message() {
        let lines = b"not json\n{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n";
        let mut out = Vec::new();
        carry(&lines[..], &mut out, Unit::Messages).unwrap();
        assert_eq!(out, b"{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n");
    }
}
