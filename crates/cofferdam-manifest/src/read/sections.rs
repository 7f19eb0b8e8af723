//! The sections of plain lists and numbers: network, programs, environment, limits, isolation, client.

use std::collections::{BTreeMap, BTreeSet};

use super::table::{Faults, Table, Text};
use crate::endpoint::Endpoint;
use crate::grant::path_fault;
use crate::limits::Limits;
use crate::manifest::{Client, Environment, Network, Programs};
use crate::quantity::SIZE;
use crate::secret_like::{secret_like_name, secret_like_setting};
use crate::suppression::{Answers, Day, Suppression, Suppressions};

/// Most different ports of `network.allow`.
const PORTS_MAX: usize = 128;
/// The port of DNS, which every compartment with a network has answered.
const NAMES_PORT: u16 = 53;

pub(super) fn network(root: &Table<'_>, faults: &mut Faults) -> Network {
    let Some(section) = root.table("network", &["allow", "tls"], faults) else {
        return Network::default();
    };
    let allow = endpoints(&section, "allow", faults);
    let tls = endpoints(&section, "tls", faults);
    let fault = tls_fault(&allow, &tls).map(|(message, help)| ("tls", message, help));
    let fault = fault.or_else(|| ports_fault(&allow).map(|(message, help)| ("allow", message, help)));
    if let Some((key, message, help)) = fault
        && let Some((span, _)) = section.entry(key)
    {
        faults.add(&span, message, Some(help.to_owned()));
    }
    Network { allow, tls }
}

fn tls_fault(allow: &[Endpoint], tls: &[Endpoint]) -> Option<(String, &'static str)> {
    let is_misplaced = |endpoint: &&Endpoint| !allow.contains(endpoint) || !endpoint.is_public_name();
    tls.iter().find(is_misplaced).map(|endpoint| {
        (
            format!("`{endpoint}` in `network.tls` is not a name that `network.allow` has"),
            "list what is also under `allow`; addresses and `localhost` have no name to check",
        )
    })
}

fn ports_fault(allow: &[Endpoint]) -> Option<(String, &'static str)> {
    let ports: BTreeSet<u16> = allow.iter().map(|endpoint| endpoint.port).collect();
    if ports.contains(&NAMES_PORT) {
        let message = format!("port {NAMES_PORT} cannot be allowed: it is the one for names");
        return Some((message, "names are answered without being allowed"));
    }
    (ports.len() > PORTS_MAX).then(|| {
        (
            format!("`network.allow` has more than {PORTS_MAX} different ports"),
            "a server that needs that many needs a program of its own outside",
        )
    })
}

pub(super) fn endpoints(section: &Table<'_>, key: &str, faults: &mut Faults) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for item in section.strings(key, faults) {
        match item.text.parse::<Endpoint>() {
            Ok(endpoint) if endpoints.contains(&endpoint) => {
                faults.add(
                    &item.span,
                    format!("`{endpoint}` occurs twice in `{}`", section.path_of(key)),
                    None,
                );
            }
            Ok(endpoint) => endpoints.push(endpoint),
            Err(cause) => {
                let message = format!("`{}` cannot be allowed: {cause}", item.text);
                faults.add(&item.span, message, cause.help().map(str::to_owned));
            }
        }
    }
    endpoints
}

pub(super) fn programs(root: &Table<'_>, faults: &mut Faults) -> Programs {
    let Some(section) = root.table("programs", &["allow"], faults) else {
        return Programs::default();
    };
    let mut allow = Vec::new();
    for item in section.distinct_strings("allow", faults) {
        let is_name = !item.text.is_empty() && !item.text.contains('/') && item.text != "." && item.text != "..";
        let has_space = item.text.contains(char::is_whitespace) && is_name;
        if has_space || !(is_name || (item.text.starts_with('/') && path_fault(item.text).is_none())) {
            let message = format!("`{}` is not a program", item.text);
            let help = "write a plain name such as `git`, or an absolute path, without arguments";
            faults.add(&item.span, message, Some(help.to_owned()));
        } else {
            allow.push(item.text.to_owned());
        }
    }
    Programs { allow }
}

pub(super) fn environment(root: &Table<'_>, faults: &mut Faults) -> Environment {
    let Some(section) = root.table("environment", &["pass", "set"], faults) else {
        return Environment::default();
    };
    let pass = section.distinct_strings("pass", faults);
    let pass: Vec<Text<'_>> = pass
        .into_iter()
        .filter(|name| passed_name_is_valid(name, faults))
        .collect();
    let mut set = BTreeMap::new();
    let entries = section
        .open_table("set", faults)
        .map(|table| table.string_entries(faults))
        .unwrap_or_default();
    for (name, value) in entries {
        if pass.iter().any(|passed| passed.text == name.text) {
            faults.add(&name.span, format!("`{}` is passed and set", name.text), None);
        }
        if let Some(kind) = secret_like_setting(name.text, value.text) {
            let message = format!("`environment.set.{}` looks like {kind}", name.text);
            faults.add_hidden(&value.span, message, secret_help(&name));
        }
        if name_is_valid(&name, faults) {
            set.insert(name.text.to_owned(), value.text.to_owned());
        }
    }
    Environment {
        pass: pass.iter().map(|name| name.text.to_owned()).collect(),
        set,
    }
}

fn passed_name_is_valid(name: &Text<'_>, faults: &mut Faults) -> bool {
    if !name_is_valid(name, faults) {
        return false;
    }
    if chooses_code(name.text) {
        let message = format!(
            "`{}` decides which code the program loads and cannot be passed on",
            name.text
        );
        faults.add(
            &name.span,
            message,
            Some(String::from("write its value under [environment.set]")),
        );
        return false;
    }
    if secret_like_name(name.text) {
        let message = format!("`{}` is named like a secret", name.text);
        faults.add(&name.span, message, Some(secret_help(name)));
        return false;
    }
    true
}

fn name_is_valid(name: &Text<'_>, faults: &mut Faults) -> bool {
    let begins = name.text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let body = name
        .text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !(begins && body) {
        let message = format!("`{}` is not the name of an environment variable", name.text);
        faults.add(
            &name.span,
            message,
            Some(String::from("letters, digits and `_`, without a digit in front")),
        );
        return false;
    }
    true
}

/// Variables by which the dynamic loader or an interpreter loads other code than the one that was accepted. A person
/// may set one in so many words; taking it from whatever environment the gate was started in is refused.
fn chooses_code(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "PATH",
        "NODE_OPTIONS",
        "NODE_PATH",
        "BASH_ENV",
        "ENV",
        "PERL5OPT",
        "PERL5LIB",
        "RUBYOPT",
        "RUBYLIB",
        "CLASSPATH",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONPLATLIBDIR",
        "PYTHONUSERBASE",
        "PYTHONPYCACHEPREFIX",
        "GCONV_PATH",
        "PHPRC",
        "PHP_INI_SCAN_DIR",
        "GEM_PATH",
        "GEM_HOME",
    ];
    name.starts_with("LD_") || name.starts_with("BASH_FUNC_") || NAMES.contains(&name)
}

fn secret_help(name: &Text<'_>) -> String {
    format!(
        "name its source under [secrets.{}] instead: a manifest never holds or passes on a secret",
        name.text
    )
}

pub(super) fn limits(root: &Table<'_>, faults: &mut Faults) -> Limits {
    const KEYS: &[&str] = &[
        "memory",
        "processes",
        "open_files",
        "disk",
        "files",
        "file",
        "cpu",
        "message",
        "seconds_per_call",
        "calls_per_minute",
        "calls_in_flight",
        "idle_minutes",
        "record_per_hour",
    ];
    let Some(section) = root.table("limits", KEYS, faults) else {
        return Limits::default();
    };
    let mut bytes = |key: &str, bounds, default: u64| section.quantity(key, bounds, SIZE, faults).unwrap_or(default);
    let memory_bytes = bytes("memory", Limits::MEMORY_BYTES_RANGE, Limits::MEMORY_BYTES);
    let disk_bytes = bytes("disk", Limits::DISK_BYTES_RANGE, Limits::DISK_BYTES);
    let file_bytes = bytes("file", Limits::FILE_BYTES_RANGE, Limits::FILE_BYTES);
    let message_bytes = bytes("message", Limits::MESSAGE_BYTES_RANGE, Limits::MESSAGE_BYTES);
    let record_bytes_per_hour = bytes(
        "record_per_hour",
        Limits::RECORD_BYTES_PER_HOUR_RANGE,
        Limits::RECORD_BYTES_PER_HOUR,
    );
    let mut count = |key: &str, bounds| {
        section
            .number(key, bounds, faults)
            .and_then(|count| u32::try_from(count).ok())
    };
    Limits {
        memory_bytes,
        disk_bytes,
        file_bytes,
        message_bytes,
        record_bytes_per_hour,
        processes: count("processes", Limits::PROCESSES_RANGE).unwrap_or(Limits::PROCESSES),
        open_files: count("open_files", Limits::OPEN_FILES_RANGE).unwrap_or(Limits::OPEN_FILES),
        seconds_per_call: count("seconds_per_call", Limits::SECONDS_PER_CALL_RANGE).unwrap_or(Limits::SECONDS_PER_CALL),
        calls_per_minute: count("calls_per_minute", Limits::CALLS_PER_MINUTE_RANGE).unwrap_or(Limits::CALLS_PER_MINUTE),
        calls_in_flight: count("calls_in_flight", Limits::CALLS_IN_FLIGHT_RANGE).unwrap_or(Limits::CALLS_IN_FLIGHT),
        files: count("files", Limits::FILES_RANGE).unwrap_or(Limits::FILES),
        cpu_percent: count("cpu", Limits::CPU_PERCENT_RANGE),
        idle_minutes: count("idle_minutes", Limits::IDLE_MINUTES_RANGE),
    }
}

pub(super) fn client(root: &Table<'_>, faults: &mut Faults) -> Client {
    let Some(section) = root.table("client", &["allow"], faults) else {
        return Client::default();
    };
    Client {
        allow: section.words("allow", faults),
    }
}

pub(super) fn answers(root: &Table<'_>, faults: &mut Faults) -> Answers {
    let Some(section) = root.table("answers", &["instructions"], faults) else {
        return Answers::default();
    };
    Answers {
        instructions: section.word("instructions", faults).unwrap_or_default(),
    }
}

/// `[suppress."RULE"]`. Whether there is such a rule is for those who know the rules.
pub(super) fn suppress(root: &Table<'_>, faults: &mut Faults) -> Suppressions {
    let Some(section) = root.open_table("suppress", faults) else {
        return Suppressions::new();
    };
    let mut suppressions = Suppressions::new();
    for (rule, table) in section.tables(&["tools", "reason", "until"], faults) {
        let tools = table.distinct_strings("tools", faults);
        let reason = table.required_string("reason", faults);
        let until = table.required_string("until", faults);
        if let Some(reason) = reason.as_ref().filter(|reason| reason.text.trim().is_empty()) {
            faults.add(&reason.span, "`reason` is empty", None);
        }
        let day = until.as_ref().and_then(|until| Day::parse(until.text));
        if let (Some(until), None) = (&until, day) {
            let help = String::from("write the last day on which it holds, such as \"2027-03-31\"");
            faults.add(&until.span, format!("`{}` is not a day", until.text), Some(help));
        }
        if let (Some(reason), Some(until)) = (reason, day) {
            let suppression = Suppression {
                tools: tools.iter().map(|tool| tool.text.to_owned()).collect(),
                reason: reason.text.to_owned(),
                until,
            };
            suppressions.insert(rule.text.to_owned(), suppression);
        }
    }
    suppressions
}
