//! Writes a manifest the way `add` hands it to a person: commented, complete, stable.

use std::path::PathBuf;

use crate::diagnostic::is_invisible;
use crate::endpoint::Endpoint;
use crate::limits::Limits;
use crate::manifest::{Filesystem, Image, Launch, Manifest, Network, Secret, Tool};
use crate::quantity::{bytes_in_words, seconds_in_words};

/// Lists longer than this get one line for each entry.
const LINE_CHARACTERS_MAX: usize = 100;

impl Manifest {
    /// The manifest as TOML: every section with a line that says what it means, defaults spelled out.
    ///
    /// Reading it back with [`parse`](crate::parse) gives the same manifest. Names a server chose are escaped where
    /// they are invisible; nothing else a server wrote appears. A path that is not UTF-8 cannot be written: it comes
    /// out with replacement characters and names nothing.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::from("# What this MCP server may do. `cofferdam manifest check` checks it.\n");
        launch(&self.launch, &mut out);
        filesystem(&self.filesystem, &mut out);
        network(&self.network, &mut out);
        section(
            "programs",
            "Programs it may execute besides itself. Others, shells too, are not there.",
            &mut out,
        );
        pair("allow", &list(&self.programs.allow), &mut out);
        if !self.sockets.allow.is_empty() {
            section("sockets", "UNIX sockets it may connect to.", &mut out);
            pair("allow", &paths(&self.sockets.allow), &mut out);
        }
        section(
            "environment",
            "Variables by name (`pass`) or value (`set`). Never a secret.",
            &mut out,
        );
        pair("pass", &list(&self.environment.pass), &mut out);
        table(
            "environment.set",
            self.environment.set.iter().map(|(name, value)| (name, quoted(value))),
            &mut out,
        );
        limits(&self.limits, &mut out);
        for (name, secret_of) in &self.secrets {
            secret(name, secret_of, &mut out);
        }
        section(
            "isolation",
            "The compartment, and features it must not start without.",
            &mut out,
        );
        pair("backend", &quoted(&self.isolation.backend.to_string()), &mut out);
        pair("require", &list(&self.isolation.require), &mut out);
        if !self.isolation.waive.is_empty() {
            pair("waive", &list(&self.isolation.waive), &mut out);
        }
        if let Some(image) = &self.isolation.image {
            image_of(image, &mut out);
        }
        if let Some(profile) = self.isolation.profile {
            pair("profile", &quoted(&profile.to_string()), &mut out);
        }
        section(
            "client",
            "What it may ask of the client: `roots`, `elicitation`, `sampling`.",
            &mut out,
        );
        pair(
            "allow",
            &list(self.client.allow.iter().map(ToString::to_string)),
            &mut out,
        );
        findings(self, &mut out);
        if !self.tools.is_empty() {
            out.push_str(
                "\n# The accepted tools, each pinned to its whole definition. Any other is hidden and refused.\n",
            );
        }
        for (name, tool_of) in &self.tools {
            tool(name, tool_of, &mut out);
        }
        out
    }
}

/// What becomes of findings, where it is not the default.
fn findings(manifest: &Manifest, out: &mut String) {
    if !manifest.answers.is_default() {
        section(
            "answers",
            "What becomes of answers with instructions for the model: `mark`, `fence` or `withhold`.",
            out,
        );
        pair("instructions", &quoted(&manifest.answers.instructions.to_string()), out);
    }
    for (rule, known) in &manifest.suppress {
        let tools = (!known.tools.is_empty()).then(|| ("tools", list(&known.tools)));
        let rest = [
            ("reason", quoted(&known.reason)),
            ("until", quoted(&known.until.to_string())),
        ];
        table(
            &format!("suppress.{}", quoted(rule)),
            tools.into_iter().chain(rest),
            out,
        );
    }
}

fn filesystem(filesystem: &Filesystem, out: &mut String) {
    section(
        "filesystem",
        "Files and folders it sees besides its own program. Secrets in them (`.env`, keys, what `mask` names) read as empty.",
        out,
    );
    pair("read", &paths(&filesystem.read), out);
    pair("write", &paths(&filesystem.write), out);
    if !filesystem.mask.is_empty() {
        pair("mask", &list(&filesystem.mask), out);
    }
}

fn image_of(image: &Image, out: &mut String) {
    pair("image", &quoted(&image.reference), out);
    for (key, value) in [("engine", &image.engine), ("runtime", &image.runtime)] {
        if let Some(value) = value {
            pair(key, &quoted(value), out);
        }
    }
}

fn launch(launch: &Launch, out: &mut String) {
    section(
        "launch",
        "The program, its working directory and the files it consists of (read-only, pinned).",
        out,
    );
    pair("command", &list(&launch.command), out);
    if let Some(directory) = &launch.directory {
        pair("directory", &quoted(&directory.to_string_lossy()), out);
    }
    pair("program", &paths(&launch.program), out);
    if let Some(digest) = &launch.digest {
        pair("digest", &quoted(&digest.to_string()), out);
    }
    if let Some(package) = &launch.package {
        let entries = [
            ("registry", &package.registry),
            ("name", &package.name),
            ("version", &package.version),
            ("integrity", &package.integrity),
        ];
        let entries = entries.into_iter().map(|(key, value)| (key, quoted(value)));
        let exceptions = Some(("exceptions", list(&package.exceptions))).filter(|_| !package.exceptions.is_empty());
        table("launch.package", entries.chain(exceptions), out);
    }
}

fn network(network: &Network, out: &mut String) {
    let endpoints = |endpoints: &[Endpoint]| list(endpoints.iter().map(ToString::to_string));
    section(
        "network",
        "`host:port` it may connect to. Empty: no network at all.",
        out,
    );
    pair("allow", &endpoints(&network.allow), out);
    if !network.tls.is_empty() {
        pair("tls", &endpoints(&network.tls), out);
    }
}

fn limits(limits: &Limits, out: &mut String) {
    section(
        "limits",
        "What it may use. A call over a limit is refused, a server over one is ended.",
        out,
    );
    pair("memory", &quoted(&bytes_in_words(limits.memory_bytes)), out);
    pair("processes", &limits.processes.to_string(), out);
    pair("open_files", &limits.open_files.to_string(), out);
    pair("disk", &quoted(&bytes_in_words(limits.disk_bytes)), out);
    pair("files", &limits.files.to_string(), out);
    pair("file", &quoted(&bytes_in_words(limits.file_bytes)), out);
    if let Some(percent) = limits.cpu_percent {
        pair("cpu", &percent.to_string(), out);
    }
    pair("message", &quoted(&bytes_in_words(limits.message_bytes)), out);
    pair("seconds_per_call", &limits.seconds_per_call.to_string(), out);
    pair("calls_per_minute", &limits.calls_per_minute.to_string(), out);
    pair("calls_in_flight", &limits.calls_in_flight.to_string(), out);
    if let Some(minutes) = limits.idle_minutes {
        pair("idle_minutes", &minutes.to_string(), out);
    }
    pair(
        "record_per_hour",
        &quoted(&bytes_in_words(limits.record_bytes_per_hour)),
        out,
    );
}

fn secret(name: &str, secret: &Secret, out: &mut String) {
    out.push_str(&format!("\n[secrets.{}]\n", key(name)));
    pair("source", &quoted(&secret.source), out);
    pair("ttl", &quoted(&seconds_in_words(u64::from(secret.ttl_seconds))), out);
    pair("deliver", &quoted(&secret.deliver.to_string()), out);
    if !secret.hosts.is_empty() {
        pair("hosts", &list(secret.hosts.iter().map(ToString::to_string)), out);
    }
    if let Some(header) = &secret.header {
        pair("header", &quoted(header), out);
    }
}

pub(crate) fn tool(name: &str, tool: &Tool, out: &mut String) {
    out.push_str(&format!("\n[tools.{}]\n", key(name)));
    pair("pin", &quoted(&tool.pin.to_string()), out);
    pair("consent", &quoted(&tool.consent.to_string()), out);
    for (argument_name, argument) in &tool.arguments {
        out.push_str(&format!("\n[tools.{}.arguments.{}]\n", key(name), key(argument_name)));
        if let Some(role) = argument.role {
            pair("role", &quoted(&role.to_string()), out);
        }
        if !argument.within.is_empty() {
            pair("within", &paths(&argument.within), out);
        }
    }
}

fn section(name: &str, comment: &str, out: &mut String) {
    out.push_str(&format!("\n# {comment}\n[{name}]\n"));
}

fn pair(key: &str, value: &str, out: &mut String) {
    out.push_str(&format!("{key} = {value}\n"));
}

/// A table that is left out when it is empty.
fn table<K: AsRef<str>>(name: &str, entries: impl Iterator<Item = (K, String)>, out: &mut String) {
    let mut entries = entries.peekable();
    if entries.peek().is_some() {
        out.push_str(&format!("\n[{name}]\n"));
    }
    for (name, value) in entries {
        pair(&key(name.as_ref()), &value, out);
    }
}

fn paths(paths: &[PathBuf]) -> String {
    list(paths.iter().map(|path| path.to_string_lossy()))
}

fn list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| quoted(item.as_ref())).collect();
    let line = format!("[{}]", items.join(", "));
    if line.chars().count() <= LINE_CHARACTERS_MAX || items.len() < 2 {
        return line;
    }
    format!("[\n    {},\n]", items.join(",\n    "))
}

/// A key, bare where TOML allows it.
fn key(name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if bare { name.to_owned() } else { quoted(name) }
}

/// A basic string; what would not be seen, or be seen as something else, is escaped.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ if is_invisible(character) => out.push_str(&format!("\\U{:08X}", u32::from(character))),
            _ => out.push(character),
        }
    }
    out.push('"');
    out
}
