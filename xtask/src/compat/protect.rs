//! The servers that a stranger has: their launch lines as clients have them, `protect --yes`, and then a conversation through what the
//! client starts. Nothing is edited in between.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::trial::{Outcome, Shown, Stopped, Trial, shown};

/// Popular servers that need no account, by name.
pub(super) const POPULAR: [&str; 15] = [
    "arxiv",
    "aws-docs",
    "chrome-devtools",
    "context7",
    "duckduckgo",
    "everything",
    "fetch",
    "filesystem",
    "git",
    "memory",
    "motherduck",
    "playwright",
    "puppeteer",
    "sequential-thinking",
    "time",
];

impl Trial<'_> {
    /// Protected in a client's configuration, it lists the same tools as before and answers the same calls.
    pub(super) fn protected(&self) -> Result<Outcome, Stopped> {
        self.lay_out()?;
        let bare = self.transcript("bare", &self.bare())?;
        let before = shown(&bare).map_err(|reason| Stopped::Failed(format!("bare: {reason}")))?;
        self.lay_out()?;
        let config = self.configured()?;
        let mut protect = self.cofferdam();
        protect.args(["protect", "--yes", "--client", "claude-desktop", "--config"]);
        protect.arg(&config);
        self.must_succeed("protect", protect)?;
        self.lay_out()?;
        let after = self.transcript("protected", &self.starts(&config)?)?;
        let after = shown(&after).map_err(|reason| Stopped::Failed(format!("protected: {reason}")))?;
        if after.tools != before.tools {
            return Err(Stopped::Failed(format!(
                "{} tools became {}",
                before.tools, after.tools
            )));
        }
        if after.calls == after.errors && before.calls > before.errors {
            return Err(Stopped::Failed("no call is answered as before".to_owned()));
        }
        self.verify()?;
        let held_back = after.errors.saturating_sub(before.errors);
        Ok(Outcome::Passed(Shown {
            held_back,
            errors: after.errors.min(before.errors),
            ..after
        }))
    }

    /// A client's file as its user wrote it.
    fn configured(&self) -> Result<PathBuf, Stopped> {
        let root = self.root.to_string_lossy();
        let (command, mut arguments) = self.server.package_line();
        arguments.extend(self.server.arguments_in(&root));
        let variables = self.server.variables(&root);
        let entry = json!({"command": command, "args": arguments, "env": variables});
        let config = self.home.with_file_name("claude_desktop_config.json");
        let text = serde_json::to_string_pretty(&json!({"mcpServers": {&self.server.name: entry}}));
        fs::write(&config, text.context("cannot write a client's file")?).context("cannot write a client's file")?;
        Ok(config)
    }

    /// What the client starts now, with its variables.
    fn starts(&self, config: &PathBuf) -> Result<Vec<String>, Stopped> {
        let text = fs::read(config).context("cannot read the client's file")?;
        let whole: Value = serde_json::from_slice(&text).context("the client's file is no JSON any more")?;
        let entry = |key: &str| whole.get("mcpServers")?.get(&self.server.name)?.get(key);
        let words = entry("args").and_then(Value::as_array);
        let words = words.into_iter().flatten().filter_map(Value::as_str);
        let settings = entry("env").and_then(Value::as_object).into_iter().flatten();
        let settings = settings.map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
        let command = entry("command").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut line = vec!["env".to_owned()];
        line.extend(settings);
        line.push(command);
        line.extend(words.map(str::to_owned));
        Ok(line)
    }
}
