//! The first answer of servers that a package launcher starts: bare, and after `protect`, which installed them once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::workspace::Workspace;

/// A server's name and its launch line as clients have it.
const SERVERS: [(&str, &[&str]); 2] = [
    ("npx", &["npx", "-y", "@modelcontextprotocol/server-memory@2026.8.31"]),
    ("uvx", &["uvx", "mcp-server-time@2026.10.19"]),
];
/// Starts that count, of each kind, in turn; and those of `--quick`.
const STARTS: usize = 11;
const STARTS_QUICK: usize = 3;
/// Share of the bare launcher's time that is the goal, in percent.
const GOAL_PERCENT: u128 = 50;
const HELLO: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;

/// Measures and prints one line a server.
///
/// # Errors
/// A server does not start or answer, bare or gated.
pub(super) fn measure(workspace: &Workspace, gate: &Path, is_quick: bool) -> Result<()> {
    crate::servers::install(workspace)?;
    let place = std::env::temp_dir().join(format!("cofferdam-bench-{}", std::process::id()));
    let scene = Scene {
        uv: workspace.servers().join("uv/bin"),
        home: place.join("home"),
        place,
    };
    std::fs::create_dir(&scene.place)?;
    let starts = if is_quick { STARTS_QUICK } else { STARTS };
    SERVERS
        .iter()
        .try_for_each(|(name, line)| scene.compare(gate, (name, line), starts))
}

struct Scene {
    /// The folder of `uv`.
    uv: PathBuf,
    home: PathBuf,
    place: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        // What is left in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

impl Scene {
    fn compare(&self, gate: &Path, (name, line): (&str, &[&str]), starts: usize) -> Result<()> {
        let (command, arguments) = line.split_first().context("an empty launch line")?;
        let config = self.place.join(format!("{name}.json"));
        let entry = json!({"mcpServers": {name: {"command": command, "args": arguments}}});
        std::fs::write(&config, entry.to_string())?;
        let mut protect = self.command(gate);
        protect
            .arg("--home")
            .arg(&self.home)
            .args(["protect", "--yes", "--config"]);
        let protected = protect.arg(&config).output()?;
        ensure!(
            protected.status.success(),
            "`{name}` cannot be protected: {}",
            String::from_utf8_lossy(&protected.stdout)
        );
        let now: Value = serde_json::from_slice(&std::fs::read(&config)?)?;
        let entry = now
            .pointer(&format!("/mcpServers/{name}"))
            .context("the entry is gone")?;
        let words = entry.get("args").and_then(Value::as_array);
        let words: Vec<&str> = words.into_iter().flatten().filter_map(Value::as_str).collect();
        let program = entry.get("command").and_then(Value::as_str).unwrap_or_default();

        let bare = || self.first_answer(Path::new(command), arguments);
        let gated = || self.first_answer(Path::new(program), &words);
        // The launcher's own cache is warm, as it is for whoever has used the server before.
        bare()?;
        gated()?;
        let (mut bares, mut gateds) = (Vec::new(), Vec::new());
        for _start in 0..starts {
            bares.push(bare()?);
            gateds.push(gated()?);
        }
        let (bare, gated) = (median(bares), median(gateds));
        let percent = (gated.as_micros() * 100)
            .checked_div(bare.as_micros())
            .unwrap_or_default();
        let verdict = if percent <= GOAL_PERCENT { "met" } else { "missed" };
        let line = format!(
            "first answer of `{}`: bare {} ms, after protect {} ms ({percent} %; goal {GOAL_PERCENT} %, {verdict})",
            line_of(command, arguments),
            bare.as_millis(),
            gated.as_millis(),
        );
        Ok(writeln!(std::io::stdout(), "{line}")?)
    }

    fn command(&self, program: &Path) -> Command {
        let mut path = self.uv.clone().into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(program);
        command.env("PATH", path).current_dir("/");
        command
    }

    /// From the start of the program to the first line it says.
    fn first_answer(&self, program: &Path, words: &[&str]) -> Result<Duration> {
        let began = Instant::now();
        let mut command = self.command(program);
        let child = command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut started = Started(child);
        let mut stdin = started.0.stdin.take().context("no stdin")?;
        writeln!(stdin, "{HELLO}")?;
        let mut answer = String::new();
        BufReader::new(started.0.stdout.take().context("no stdout")?).read_line(&mut answer)?;
        let took = began.elapsed();
        ensure!(answer.contains("serverInfo"), "`{}` said `{answer}`", program.display());
        Ok(took)
    }
}

/// Ended when it is dropped: its stdin is closed before, so it ends by itself.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Ours, and possibly gone already.
        let _ = self.0.wait();
    }
}

fn line_of(command: &str, words: &[&str]) -> String {
    [&[command], words].concat().join(" ")
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
