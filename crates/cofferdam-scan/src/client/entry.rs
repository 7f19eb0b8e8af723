//! The servers in a configuration, as the client would start them.

use super::{Shape, Step, Words};
use crate::document::{DocumentFault, Part, Value, parse};

/// One server of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As the client shows it.
    pub name: String,
    /// The way to it: names of members, and numbers of elements from 0.
    pub path: Vec<String>,
    /// The client's own switch says that it is off.
    pub is_disabled: bool,
    /// What the client does with it.
    pub server: Server,
}

/// What a client does with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// Starts a program and speaks to it over its stdin and stdout.
    Stdio(LaunchLine),
    /// Speaks to an address.
    Remote {
        /// As written.
        address: String,
    },
    /// Neither can be made out.
    Unclear {
        /// In words.
        why: String,
    },
}

/// How a client starts a server, as written: the client's own substitutions are still in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchLine {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Variables with their values.
    pub environment: Vec<(String, String)>,
    /// Variables that the client passes on, or takes from a store of its own, by name.
    pub passed: Vec<String>,
    /// A file with variables.
    pub environment_file: Option<String>,
    /// The working directory.
    pub directory: Option<String>,
}

impl LaunchLine {
    /// The server's name with us, if this line starts `cofferdam run NAME`.
    #[must_use]
    pub fn protected_as(&self) -> Option<&str> {
        let (program, arguments) = self.command.split_first()?;
        let file = program.rsplit(['/', '\\']).next()?;
        if file.strip_suffix(".exe").unwrap_or(file) != "cofferdam" {
            return None;
        }
        let mut words = arguments.iter().map(String::as_str);
        let mut verb = words.next()?;
        if verb == "--home" {
            words.next()?;
            verb = words.next()?;
        }
        let name = words.next().filter(|_| verb == "run")?;
        (name != "--").then_some(name)
    }
}

/// Every server in a configuration, in its order.
///
/// # Errors
/// The text is not what its format says, with the line.
pub fn entries(text: &str, shape: &Shape) -> Result<Vec<Entry>, DocumentFault> {
    let tree = parse(text, shape.format)?;
    let mut found = Vec::new();
    for way in shape.servers {
        collect(&tree, way, &mut Vec::new(), &mut |path, servers| {
            found.extend(named(servers).map(|(key, name, part)| {
                let mut path = path.to_vec();
                path.push(key);
                entry(name, path, part, shape.words)
            }));
        });
    }
    Ok(found)
}

/// Follows `way` and gives each table of servers at its end.
fn collect(part: &Part, way: &[Step], path: &mut Vec<String>, give: &mut impl FnMut(&[String], &Part)) {
    match way.split_first() {
        None => give(path, part),
        Some((Step::Key(name), rest)) => {
            if let Some(member) = part.member(name) {
                path.push((*name).to_owned());
                collect(member, rest, path, give);
                path.pop();
            }
        }
        Some((Step::Each, rest)) => {
            for (name, member) in part.members() {
                path.push(name.clone());
                collect(member, rest, path, give);
                path.pop();
            }
        }
    }
}

/// The servers of a table by their keys, or of a list by their `name`.
fn named(servers: &Part) -> impl Iterator<Item = (String, String, &Part)> {
    let of_table = servers
        .members()
        .iter()
        .map(|(key, part)| (key.clone(), key.clone(), part));
    let of_list = servers.elements().iter().enumerate().map(|(index, part)| {
        let name = part.member("name").and_then(Part::text).unwrap_or_default();
        (index.to_string(), name.to_owned(), part)
    });
    of_table.chain(of_list)
}

/// What a client calls the settings of `part`, and the table they stand in: Zed once had them below `command`.
pub(super) fn settings(part: &Part, words: Words) -> (&Part, Settings) {
    match (words, part.member("command")) {
        (Words::Usual, Some(nested)) if matches!(nested.value, Value::Table(_)) => (
            nested,
            Settings {
                command: "path",
                ..USUAL
            },
        ),
        (Words::Usual, _) => (part, USUAL),
        (Words::Opencode, _) => (
            part,
            Settings {
                environment: "environment",
                ..USUAL
            },
        ),
        (Words::Goose, _) => (
            part,
            Settings {
                command: "cmd",
                environment: "envs",
                passed: "env_keys",
                ..USUAL
            },
        ),
    }
}

/// Names of settings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) command: &'static str,
    pub(super) arguments: &'static str,
    environment: &'static str,
    passed: &'static str,
}

const USUAL: Settings = Settings {
    command: "command",
    arguments: "args",
    environment: "env",
    passed: "env_vars",
};

fn entry(name: String, path: Vec<String>, part: &Part, words: Words) -> Entry {
    let flag = |key: &str| part.member(key).and_then(Part::bool);
    Entry {
        name,
        path,
        is_disabled: flag("disabled") == Some(true) || flag("enabled") == Some(false),
        server: server(part, words),
    }
}

fn server(part: &Part, words: Words) -> Server {
    if !matches!(part.value, Value::Table(_)) {
        return unclear("it is not a table of settings");
    }
    let (table, settings) = settings(part, words);
    if table.member(settings.command).is_none() {
        let address = ["url", "serverUrl", "httpUrl", "uri"]
            .iter()
            .find_map(|key| part.member(key).and_then(Part::text));
        return match address {
            Some(address) => Server::Remote {
                address: address.to_owned(),
            },
            None => unclear(format!("it has neither a `{}` nor an address", settings.command)),
        };
    }
    launch_line(part, table, &settings).map_or_else(unclear, Server::Stdio)
}

fn unclear(why: impl Into<String>) -> Server {
    Server::Unclear { why: why.into() }
}

fn launch_line(part: &Part, table: &Part, settings: &Settings) -> Result<LaunchLine, String> {
    let mut command = match table.member(settings.command) {
        Some(Part {
            value: Value::Text(program),
            ..
        }) => vec![program.clone()],
        Some(
            list @ Part {
                value: Value::List(_), ..
            },
        ) => texts(list, settings.command)?,
        _ => return Err(format!("its `{}` is not text", settings.command)),
    };
    if let Some(arguments) = table.member(settings.arguments) {
        command.extend(texts(arguments, settings.arguments)?);
    }
    if command.first().is_none_or(String::is_empty) {
        return Err(format!("its `{}` is empty", settings.command));
    }
    let text = |key: &str| part.member(key).and_then(Part::text).map(str::to_owned);
    let passed = match part.member(settings.passed) {
        Some(names) => texts(names, settings.passed)?,
        None => Vec::new(),
    };
    Ok(LaunchLine {
        command,
        environment: environment(table, part, settings.environment)?,
        passed,
        environment_file: text("envFile"),
        directory: text("cwd"),
    })
}

fn texts(list: &Part, name: &str) -> Result<Vec<String>, String> {
    if !matches!(list.value, Value::List(_)) {
        return Err(format!("its `{name}` is not a list"));
    }
    let texts = list.elements().iter().map(|element| element.text().map(str::to_owned));
    texts
        .collect::<Option<_>>()
        .ok_or_else(|| format!("not every element of its `{name}` is text"))
}

/// Variables with text for a value. A number or a switch is what the client makes of it, which is not ours to guess.
fn environment(table: &Part, part: &Part, name: &str) -> Result<Vec<(String, String)>, String> {
    let Some(variables) = table.member(name).or_else(|| part.member(name)) else {
        return Ok(Vec::new());
    };
    let pairs = variables
        .members()
        .iter()
        .map(|(key, value)| Some((key.clone(), value.text()?.to_owned())));
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| format!("not every value of its `{name}` is text"))
}
