//! `[tools.NAME]` and `[secrets.NAME]`.

use std::collections::BTreeMap;

use super::grants::granted;
use super::launch::digest;
use super::sections::endpoints;
use super::table::{Faults, Table, Text};
use crate::diagnostic::is_invisible;
use crate::grant::Access;
use crate::manifest::{Argument, Consent, Deliver, SECRET_TTL_SECONDS_MAX, Secret, Tool};
use crate::quantity::DURATION;
use crate::secret_like::secret_like_value;

/// Bytes of a tool's or an argument's name; MCP recommends at most 128 characters.
const NAME_BYTES_MAX: usize = 512;

pub(super) fn tools(root: &Table<'_>, faults: &mut Faults) -> BTreeMap<String, Tool> {
    let Some(section) = root.open_table("tools", faults) else {
        return BTreeMap::new();
    };
    let mut tools = BTreeMap::new();
    for (name, table) in section.tables(&["pin", "consent", "arguments"], faults) {
        let pin = table
            .required_string("pin", faults)
            .and_then(|pin| digest(&table.path_of("pin"), &pin, faults));
        let consent: Option<Consent> = table.word("consent", faults);
        let arguments = arguments(&table, faults);
        if let (true, Some(pin)) = (name_is_valid(&name, faults), pin) {
            tools.insert(
                name.text.to_owned(),
                Tool {
                    pin,
                    consent: consent.unwrap_or_default(),
                    arguments,
                },
            );
        }
    }
    tools
}

fn arguments(tool: &Table<'_>, faults: &mut Faults) -> BTreeMap<String, Argument> {
    let Some(section) = tool.open_table("arguments", faults) else {
        return BTreeMap::new();
    };
    let mut arguments = BTreeMap::new();
    for (name, table) in section.tables(&["role", "within"], faults) {
        let role = table.word("role", faults);
        let within = granted(&table, "within", Access::Read, faults);
        if name_is_valid(&name, faults) {
            arguments.insert(name.text.to_owned(), Argument { role, within });
        }
    }
    arguments
}

/// Whether a manifest can name a tool so: 1 to 512 bytes, each character visible. Any other tool stays hidden whatever is accepted.
#[must_use]
pub fn can_name_tool(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(is_invisible)
}

fn name_is_valid(name: &Text<'_>, faults: &mut Faults) -> bool {
    let valid = can_name_tool(name.text);
    if !valid {
        let message = format!("a name has 1 to {NAME_BYTES_MAX} bytes, all of them visible");
        faults.add(&name.span, message, None);
    }
    valid
}

pub(super) fn secrets(root: &Table<'_>, faults: &mut Faults) -> BTreeMap<String, Secret> {
    let Some(section) = root.open_table("secrets", faults) else {
        return BTreeMap::new();
    };
    let mut secrets = BTreeMap::new();
    for (name, table) in section.tables(&["source", "ttl", "deliver", "hosts", "header"], faults) {
        let secret = secret(&table, faults);
        if let (true, Some(secret)) = (name_is_valid(&name, faults), secret) {
            secrets.insert(name.text.to_owned(), secret);
        }
    }
    secrets
}

fn secret(table: &Table<'_>, faults: &mut Faults) -> Option<Secret> {
    let source = table.required_string("source", faults);
    let ttl = table.quantity("ttl", (1, u64::from(SECRET_TTL_SECONDS_MAX)), DURATION, faults);
    let deliver: Deliver = table.word("deliver", faults).unwrap_or_default();
    let hosts = endpoints(table, "hosts", faults);
    let header = table.string("header", faults);
    let source = source?;
    if let Some(kind) = secret_like_value(source.text) {
        let help = String::from("a manifest names where a secret comes from, never the secret");
        faults.add_hidden(&source.span, format!("`source` looks like {kind}"), help);
    }
    if source.text.is_empty() {
        faults.add(&source.span, "`source` is empty", None);
    }
    if deliver == Deliver::Egress && (hosts.is_empty() || header.is_none()) {
        let message = format!("[{}] is delivered by egress and needs `hosts` and `header`", table.name);
        let help = String::from("name the hosts that may see it, or another `deliver`: `fd`, `file` or `env`");
        faults.add(&table.span, message, Some(help));
    }
    if let Some(header) = header.as_ref().filter(|header| !is_header_name(header.text)) {
        faults.add(
            &header.span,
            format!("`{}` is not the name of a header", header.text),
            None,
        );
    }
    let ttl_seconds = ttl
        .and_then(|ttl| u32::try_from(ttl).ok())
        .unwrap_or(SECRET_TTL_SECONDS_MAX);
    let header = header.map(|header| header.text.to_owned());
    Some(Secret {
        source: source.text.to_owned(),
        ttl_seconds,
        deliver,
        hosts,
        header,
    })
}

/// RFC 9110 section 5.6.2: a token.
fn is_header_name(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}
