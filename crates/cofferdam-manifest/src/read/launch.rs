//! `[launch]`: the program a server is.

use super::grants::{granted, plain_path};
use super::table::{Faults, Table, Text};
use crate::digest::Digest;
use crate::grant::Access;
use crate::manifest::{Launch, Package};
use crate::secret_like::secret_like_value;

const KEYS: &[&str] = &["command", "directory", "program", "digest", "package"];
const PACKAGE_KEYS: &[&str] = &["registry", "name", "version", "integrity", "exceptions"];
const REGISTRIES: &[&str] = &["npm", "pypi"];

pub(super) fn launch(root: &Table<'_>, in_image: bool, faults: &mut Faults) -> Option<Launch> {
    if root.entry("launch").is_none() {
        let help = String::from("`[launch]` names the program: `command = [\"/usr/bin/node\", \"/path/to/index.js\"]`");
        faults.add(&root.span, "[launch] is missing", Some(help));
    }
    let section = root.table("launch", KEYS, faults)?;
    let command = command(&section, in_image, faults);
    let directory = section.string("directory", faults);
    let directory = directory.and_then(|item| plain_path("launch.directory", &item, faults));
    let program = granted(&section, "program", Access::Read, faults);
    let digest = section
        .string("digest", faults)
        .and_then(|item| digest("launch.digest", &item, faults));
    let package = section
        .table("package", PACKAGE_KEYS, faults)
        .and_then(|table| package(&table, faults));
    Some(Launch {
        command,
        directory,
        program,
        digest,
        package,
    })
}

/// In an image, which program a plain name means is settled by the image's digest and the manifest's `PATH`.
fn command(section: &Table<'_>, in_image: bool, faults: &mut Faults) -> Vec<String> {
    let words = section.strings("command", faults);
    match words.first() {
        None if section
            .entry("command")
            .is_some_and(|(_, value)| value.get_ref().as_array().is_none()) => {}
        None => {
            let span = section
                .entry("command")
                .map_or(section.span.clone(), |(_, value)| value.span());
            let help = String::from("the first word is the program's absolute path, the others its arguments");
            faults.add(&span, "`launch.command` names no program", Some(help));
        }
        Some(program) if in_image && is_plain_name(program.text) => {}
        Some(program) if !program.text.starts_with('/') => {
            let message = format!("`{}` is not an absolute path", program.text);
            let help = "which program a plain name means depends on the environment: `cofferdam add` finds its path";
            faults.add(&program.span, message, Some(help.to_owned()));
        }
        Some(program) => {
            plain_path("launch.command", program, faults);
        }
    }
    for word in &words {
        if let Some(kind) = secret_like_value(word.text) {
            let help = "every process of the user can read a command line: name it under [secrets] instead";
            faults.add_hidden(&word.span, format!("this argument looks like {kind}"), help.to_owned());
        }
    }
    words.iter().map(|word| word.text.to_owned()).collect()
}

/// A name without a folder in front.
fn is_plain_name(word: &str) -> bool {
    !word.is_empty() && !word.contains(['/', '\0']) && word != "." && word != ".."
}

fn package(table: &Table<'_>, faults: &mut Faults) -> Option<Package> {
    let registry = table.required_string("registry", faults);
    let name = table.required_string("name", faults);
    let version = table.required_string("version", faults);
    let integrity = table.required_string("integrity", faults);
    let (registry, name, version, integrity) = (registry?, name?, version?, integrity?);
    if !REGISTRIES.contains(&registry.text) {
        let message = format!("`launch.package.registry` cannot be `{}`", registry.text);
        faults.add(&registry.span, message, Some(String::from("one of `npm` and `pypi`")));
    }
    if !is_exact_version(version.text) {
        let message = format!("`{}` is not one exact version", version.text);
        faults.add(
            &version.span,
            message,
            Some(String::from("write one version, such as `1.4.2`, not a range or a tag")),
        );
    }
    for item in [&name, &integrity] {
        if item.text.is_empty() || item.text.contains(char::is_whitespace) {
            faults.add(&item.span, "a word without spaces was expected", None);
        }
    }
    let exceptions = table.distinct_strings("exceptions", faults);
    for item in &exceptions {
        if !Package::EXCEPTIONS.contains(&item.text) {
            let message = format!("`launch.package.exceptions` cannot hold `{}`", item.text);
            let known = Package::EXCEPTIONS.map(|known| format!("`{known}`")).join(", ");
            faults.add(&item.span, message, Some(format!("known are {known}")));
        }
    }
    let [registry, name, version, integrity] = [registry, name, version, integrity].map(|item| item.text.to_owned());
    Some(Package {
        registry,
        name,
        version,
        integrity,
        exceptions: exceptions.iter().map(|item| item.text.to_owned()).collect(),
    })
}

fn is_exact_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '!' | '_'))
        && !text.split('.').any(|part| matches!(part, "x" | "X" | ""))
}

/// A digest, or a fault that shows how one is written.
pub(super) fn digest(name: &str, item: &Text<'_>, faults: &mut Faults) -> Option<Digest> {
    let parsed = item.text.parse::<Digest>();
    if let Err(cause) = &parsed {
        faults.add(&item.span, format!("`{name}` is not a digest: {cause}"), None);
    }
    parsed.ok()
}
