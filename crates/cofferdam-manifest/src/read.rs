//! Reads a manifest: TOML to values, with every fault named and placed.

mod grants;
mod isolation;
mod launch;
mod sections;
mod table;
mod tools;

use toml::de::DeTable;
pub use tools::can_name_tool;

use crate::diagnostic::{Fault, ManifestError, is_invisible};
use crate::manifest::Manifest;
use table::{Faults, Table};

/// The largest manifest that is read, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 1024 * 1024;

/// Invisible characters that are reported one by one.
const INVISIBLE_SHOWN_MAX: usize = 8;

const SECTIONS: &[&str] = &[
    "launch",
    "filesystem",
    "network",
    "programs",
    "sockets",
    "environment",
    "limits",
    "secrets",
    "isolation",
    "client",
    "answers",
    "suppress",
    "tools",
];

/// Reads and checks a manifest. `name_for_messages` is what messages call it, usually the file's name.
///
/// What is checked needs nothing but the text: whether paths exist, and whether they touch Cofferdam's own folders, is
/// for [`Manifest::resolve`].
///
/// # Errors
/// Everything that is wrong with the text, each with line, column, caret and help.
pub fn parse(text: &str, name_for_messages: &str) -> Result<Manifest, ManifestError> {
    let placed = |faults| Err(ManifestError::placed(faults, text, name_for_messages));
    if text.len() > MANIFEST_BYTES_MAX {
        let message = format!("the manifest has {} bytes, more than {MANIFEST_BYTES_MAX}", text.len());
        return placed(vec![Fault::new(&(0..0), message, None)]);
    }
    let (root, syntax_errors) = DeTable::parse_recoverable(text);
    // What follows the first syntax error is mostly its echo.
    if let Some(first) = syntax_errors.first() {
        return placed(vec![syntax_fault(first)]);
    }
    let invisible = invisible_characters(text);
    if !invisible.is_empty() {
        return placed(invisible);
    }
    let mut faults = Faults::default();
    let root = Table::root(root.get_ref(), text, SECTIONS, &mut faults);
    let manifest = manifest(&root, &mut faults);
    match manifest {
        Some(manifest) if faults.is_empty() => Ok(manifest),
        _ => placed(faults.into_list()),
    }
}

fn syntax_fault(error: &toml::de::Error) -> Fault {
    Fault::new(
        &error.span().unwrap_or(0..0),
        format!("not TOML: {}", error.message()),
        None,
    )
}

/// Characters that make a manifest read differently than it is, in comments too: a person has to be able to review it.
fn invisible_characters(text: &str) -> Vec<Fault> {
    let ordinary = |at: usize, character: char| {
        matches!(character, '\n' | '\t') || (character == '\r' && text.as_bytes().get(at + 1) == Some(&b'\n'))
    };
    let found = text
        .char_indices()
        .filter(|(at, character)| is_invisible(*character) && !ordinary(*at, *character));
    let help = "write it as an escape such as `\\u00AD`, or remove it";
    let fault = |(at, character): (usize, char)| {
        let message = format!("an invisible character (U+{:04X})", u32::from(character));
        Fault::new(&(at..at + character.len_utf8()), message, Some(help.to_owned()))
    };
    found.take(INVISIBLE_SHOWN_MAX).map(fault).collect()
}

/// `None` only after a fault was added.
fn manifest(root: &Table<'_>, faults: &mut Faults) -> Option<Manifest> {
    let filesystem = grants::filesystem(root, faults);
    let network = sections::network(root, faults);
    let programs = sections::programs(root, faults);
    let sockets = grants::sockets(root, faults);
    let environment = sections::environment(root, faults);
    let limits = sections::limits(root, faults);
    let secrets = tools::secrets(root, faults);
    let isolation = isolation::isolation(root, faults);
    let client = sections::client(root, faults);
    let answers = sections::answers(root, faults);
    let suppress = sections::suppress(root, faults);
    let tools = tools::tools(root, faults);
    let launch = launch::launch(root, isolation.image.is_some(), faults)?;
    let manifest = Manifest {
        launch,
        filesystem,
        network,
        programs,
        sockets,
        environment,
        limits,
        secrets,
        isolation,
        client,
        answers,
        suppress,
        tools,
    };
    isolation::check_image(&manifest, root, faults);
    Some(manifest)
}
