//! Egress beside a direct connection over the loopback: the same program connects to the same source, bare and in a compartment.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::report::progress;

/// Asks the source for bytes without end.
const PULL: u8 = b'P';
/// Asks the source for one byte.
const GREET: u8 = b'G';
const BUFFER_BYTES: usize = 256 * 1024;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Extent {
    rounds: usize,
    bytes: u64,
    connections: usize,
}

const FULL: Extent = Extent {
    rounds: 5,
    bytes: 8 << 30,
    connections: 1_000,
};
const QUICK: Extent = Extent {
    rounds: 3,
    bytes: 1 << 30,
    connections: 200,
};

/// What one program reached.
#[derive(Debug, Clone, Copy)]
struct Reached {
    /// Bytes a second that it received over one connection.
    per_second: f64,
    /// Median seconds to connect, send one byte and receive one.
    connected: f64,
}

/// Measures and reports. Takes `--gate PROGRAM` and `--quick`.
///
/// # Errors
/// An argument is not understood, or a subject fails.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut extent, mut program) = (FULL, None);
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--quick" => extent = QUICK,
            "--gate" => program = words.next(),
            other => bail!("`{other}` is not understood"),
        }
    }
    let source = TcpListener::bind("127.0.0.1:0").context("cannot listen")?;
    let address = source.local_addr()?.to_string();
    // Ends with this process.
    thread::spawn(move || give(&source));
    let meter = vec![
        std::env::current_exe()?.to_string_lossy().into_owned(),
        "meter".to_owned(),
    ];
    let program = Path::new(program.context("`--gate` is missing")?);
    let gate = Gate::prepare(program, &["--network", &address], &meter)?;
    gate.permit()?;
    let (mut direct, mut gated) = (None, None);
    for round in 1..=extent.rounds {
        progress(&format!("egress, round {round} of {}", extent.rounds))?;
        for (command, best) in [(meter.clone(), &mut direct), (gate.command(), &mut gated)] {
            let reached = ask(&command, &address, extent)?;
            *best = Some(best.map_or(reached, |best| better(best, reached)));
        }
    }
    let (direct, gated) = (direct.context("nothing measured")?, gated.context("nothing measured")?);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\negress                    received      connect, send and receive a byte"
    )?;
    for (name, reached) in [("direct, over loopback", direct), ("through the gate", gated)] {
        let (gib, microseconds) = (reached.per_second / GIB, reached.connected * 1e6);
        writeln!(out, "  {name:22} {gib:6.2} GiB/s   {microseconds:8.0} µs")?;
    }
    Ok(())
}

fn better(one: Reached, other: Reached) -> Reached {
    Reached {
        per_second: one.per_second.max(other.per_second),
        connected: one.connected.min(other.connected),
    }
}

/// Gives whoever connects what it asks for.
fn give(source: &TcpListener) {
    for stream in source.incoming().flatten() {
        thread::spawn(move || {
            // A meter that has enough closes its end.
            let _closed = give_one(stream);
        });
    }
}

fn give_one(mut stream: TcpStream) -> std::io::Result<()> {
    let mut asked = [0];
    stream.read_exact(&mut asked)?;
    if asked == [GREET] {
        return stream.write_all(&asked);
    }
    let zeros = vec![0; BUFFER_BYTES];
    loop {
        stream.write_all(&zeros)?;
    }
}

/// Starts a meter and asks it once.
fn ask(command: &[String], address: &str, extent: Extent) -> Result<Reached> {
    let (program, words) = command.split_first().context("an empty command")?;
    let mut meter = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{program}`"))?;
    let mut stdin = meter.stdin.take().context("no stdin")?;
    let mut lines = BufReader::new(meter.stdout.take().context("no stdout")?).lines();
    let hello =
        json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}});
    writeln!(
        stdin,
        "{}",
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
    )?;
    lines.next().context("the meter ended")??;
    let arguments = json!({"address": address, "bytes": extent.bytes, "connections": extent.connections});
    let call = json!({"name": "measure", "arguments": arguments});
    writeln!(
        stdin,
        "{}",
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
    )?;
    writeln!(
        stdin,
        "{}",
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call})
    )?;
    let answer: Value = serde_json::from_str(&lines.next().context("the meter ended")??)?;
    drop(stdin);
    meter.wait()?;
    let text = answer.pointer("/result/content/0/text").and_then(Value::as_str);
    let text = text.with_context(|| format!("not measured: {answer}"))?;
    let (per_second, connected) = serde_json::from_str(text).with_context(|| format!("not measured: {text}"))?;
    Ok(Reached { per_second, connected })
}

/// The server that connects: one tool, `measure`.
///
/// # Errors
/// A pipe breaks, or a line is not JSON.
pub(crate) fn serve() -> Result<()> {
    for line in std::io::stdin().lines() {
        let request: Value = serde_json::from_str(&line?).context("a line is not JSON")?;
        let Some(id) = request.get("id") else { continue };
        let result = match request.get("method").and_then(Value::as_str) {
            Some("initialize") => json!({
                "protocolVersion": "2025-11-25",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "meter", "version": "1"},
            }),
            Some("tools/list") => json!({"tools": [{
                "name": "measure",
                "description": "Connects and measures",
                "inputSchema": {
                    "type": "object",
                    "properties": {
                        "address": {"type": "string"},
                        "bytes": {"type": "integer"},
                        "connections": {"type": "integer"},
                    },
                },
            }]}),
            _ => {
                let said = match measured(request.pointer("/params/arguments").unwrap_or(&Value::Null)) {
                    Ok(reached) => json!([reached.per_second, reached.connected]).to_string(),
                    Err(error) => format!("{error:#}"),
                };
                json!({"content": [{"type": "text", "text": said}]})
            }
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", json!({"jsonrpc": "2.0", "id": id, "result": result}))?;
        out.flush()?;
    }
    Ok(())
}

fn measured(arguments: &Value) -> Result<Reached> {
    let address = arguments.get("address").and_then(Value::as_str).context("no address")?;
    let number = |name: &str| {
        arguments
            .get(name)
            .and_then(Value::as_u64)
            .context("a number is missing")
    };
    let (bytes, connections) = (number("bytes")?, number("connections")?);
    let mut took = Vec::new();
    for _ in 0..connections {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.write_all(&[GREET])?;
        stream.read_exact(&mut [0])?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied().unwrap_or(Duration::MAX);
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(&[PULL])?;
    let (mut buffer, mut left) = (vec![0; BUFFER_BYTES], bytes);
    let began = Instant::now();
    while left > 0 {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            bail!("the source ended");
        }
        left = left.saturating_sub(u64::try_from(read)?);
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_second = bytes as f64 / began.elapsed().as_secs_f64();
    Ok(Reached {
        per_second,
        connected: median.as_secs_f64(),
    })
}
