//! `[[sinks]]` of `cofferdam.toml`: where the record is shipped to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use cofferdam_audit::Kind;
use cofferdam_manifest::parse_bytes;
use cofferdam_ship::Filter;
use serde::Deserialize;

use super::FILE_NAME;
use crate::failure::Failure;

/// Most sinks.
const SINKS_MAX: usize = 16;
/// The longest name of a sink: it names files.
const NAME_BYTES_MAX: usize = 64;
/// What is shipped of each payload, unless a sink says otherwise.
const PAYLOAD_BYTES: usize = 16 * 1024;
/// The most that can be asked for: a batch is held in memory.
const PAYLOAD_BYTES_MAX: u64 = 1024 * 1024;

/// One place the record is shipped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkSettings {
    pub(crate) name: String,
    pub(crate) filter: Filter,
    pub(crate) to: Destination,
}

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    File { path: PathBuf },
}

/// One table, as it is written. Which keys it must and may have depends on its type.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WrittenSink {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    payload: Option<String>,
    without_payload: Vec<String>,
    path: Option<PathBuf>,
}

/// All sinks of both files.
///
/// # Errors
/// Which one is not as it must be, and why.
pub(super) fn read(written: Vec<WrittenSink>) -> Result<Vec<SinkSettings>, Failure> {
    if written.len() > SINKS_MAX {
        return Err(Failure::misconfigured(format!(
            "more than {SINKS_MAX} sinks in {FILE_NAME}"
        )));
    }
    let mut names = HashSet::new();
    let mut sinks = Vec::new();
    for sink in written {
        let sink = sink.read()?;
        if !names.insert(sink.name.clone()) {
            return Err(
                Failure::misconfigured(format!("two sinks are named `{}` in {FILE_NAME}", sink.name))
                    .help("the organisation's file counts too; each name says where its shipping stands"),
            );
        }
        sinks.push(sink);
    }
    Ok(sinks)
}

impl WrittenSink {
    fn read(self) -> Result<SinkSettings, Failure> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.bytes().all(plain) {
            return Err(
                Failure::misconfigured(format!("`{}` cannot name a sink in {FILE_NAME}", self.name))
                    .help("a name has 1 to 64 letters, digits, `_` and `-`"),
            );
        }
        let filter = self.filter()?;
        let name = self.name.clone();
        Ok(SinkSettings {
            filter,
            to: self.destination()?,
            name,
        })
    }

    fn filter(&self) -> Result<Filter, Failure> {
        let payload_bytes = match &self.payload {
            None => PAYLOAD_BYTES,
            Some(text) => {
                let bytes = if text == "0" { Ok(0) } else { parse_bytes(text) };
                let bytes = bytes.map_err(|cause| self.wrong(&format!("`payload = \"{text}\"`: {cause}")))?;
                let bytes = Some(bytes).filter(|bytes| *bytes <= PAYLOAD_BYTES_MAX);
                let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
                bytes.ok_or_else(|| self.wrong(&format!("`payload = \"{text}\"` is more than 1MiB")))?
            }
        };
        let kind = |word: &String| {
            (0..=u8::MAX)
                .map(Kind::from_code)
                .find(|kind| !matches!(kind, Kind::Other(_)) && kind.to_string() == *word)
                .ok_or_else(|| {
                    self.wrong(&format!("`without_payload` has `{word}`, which is no kind of record"))
                        .help("docs/audit-format.md section 5 lists them")
                })
        };
        Ok(Filter {
            payload_bytes,
            without_payload: self.without_payload.iter().map(kind).collect::<Result<_, _>>()?,
        })
    }

    fn destination(mut self) -> Result<Destination, Failure> {
        let to = match self.kind.as_str() {
            "file" => Destination::File {
                path: self.absolute("path")?,
            },
            "" => return Err(self.wrong("it has no `type`").help(TYPES)),
            other => return Err(self.wrong(&format!("there is no type `{other}`")).help(TYPES)),
        };
        match self.left_over() {
            None => Ok(to),
            Some(key) => Err(self.wrong(&format!("`{key}` is no key of a sink of type `{}`", self.kind))),
        }
    }

    /// Takes the path under `key`, which must be there.
    fn absolute(&mut self, key: &'static str) -> Result<PathBuf, Failure> {
        let path = match key {
            "path" => self.path.take(),
            _ => None,
        };
        let path = path.ok_or_else(|| self.wrong(&format!("it has no `{key}`")))?;
        self.is_absolute(&path, key)?;
        Ok(path)
    }

    fn is_absolute(&self, path: &Path, key: &str) -> Result<(), Failure> {
        if path.is_absolute() {
            return Ok(());
        }
        Err(self.wrong(&format!("`{key} = \"{}\"` is not an absolute path", path.display())))
    }

    /// A key that the sink's type did not take.
    fn left_over(&self) -> Option<&'static str> {
        [("path", self.path.is_some())]
            .into_iter()
            .find_map(|(key, is_left)| is_left.then_some(key))
    }

    fn wrong(&self, what: &str) -> Failure {
        Failure::misconfigured(format!("the sink `{}` in {FILE_NAME}: {what}", self.name))
    }
}

const TYPES: &str = "the types are in docs/shipping.md: file";
