//! The keys of one `[[sinks]]` table, taken one by one: what is left over is not known.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use cofferdam_manifest::parse_bytes;
use toml::{Table, Value};

use super::credential::Credential;
use crate::failure::Failure;
use crate::settings::FILE_NAME;

/// The longest name of a sink: it names files.
const NAME_BYTES_MAX: usize = 64;

/// What is left of a table.
#[derive(Debug)]
pub(super) struct Keys {
    name: String,
    table: Table,
}

impl Keys {
    /// # Errors
    /// The table has no name that can name files.
    pub(super) fn new(mut table: Table) -> Result<Self, Failure> {
        let name = match table.remove("name") {
            Some(Value::String(name)) => name,
            _ => return Err(Failure::misconfigured(format!("a sink in {FILE_NAME} has no `name`")).help(NAMES)),
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(Failure::misconfigured(format!("`{name}` cannot name a sink in {FILE_NAME}")).help(NAMES));
        }
        Ok(Self { name, table })
    }

    /// The sink's name, when nothing is left.
    ///
    /// # Errors
    /// A key is left that sinks of this type do not have.
    pub(super) fn finish(self, kind: &str) -> Result<String, Failure> {
        match self.table.keys().next() {
            None => Ok(self.name),
            Some(key) => {
                let failure = self.wrong(&format!("`{key}` is no key of a sink of type `{kind}`"));
                Err(failure.help("the keys of each type are in docs/shipping.md"))
            }
        }
    }

    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Failure> {
        match self.table.remove(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(&format!("`{key}` is not a text"))),
        }
    }

    pub(super) fn required_text(&mut self, key: &str) -> Result<String, Failure> {
        self.text(key)?.ok_or_else(|| self.wrong(&format!("it has no `{key}`")))
    }

    /// An absolute path.
    pub(super) fn path(&mut self, key: &str) -> Result<Option<PathBuf>, Failure> {
        let Some(path) = self.text(key)?.map(PathBuf::from) else {
            return Ok(None);
        };
        if path.is_absolute() {
            return Ok(Some(path));
        }
        Err(self.wrong(&format!("`{key} = \"{}\"` is not an absolute path", path.display())))
    }

    pub(super) fn required_path(&mut self, key: &str) -> Result<PathBuf, Failure> {
        self.path(key)?.ok_or_else(|| self.wrong(&format!("it has no `{key}`")))
    }

    /// Where a credential is found: the file in `KEY_file`, or the variable in `KEY_env`.
    pub(super) fn credential(&mut self, key: &str) -> Result<Option<Credential>, Failure> {
        if self.table.contains_key(key) {
            return Err(self
                .wrong(&format!("`{key}` would keep the credential in the settings"))
                .help(format!(
                    "name a file of yours with `{key}_file`, or a variable with `{key}_env`"
                )));
        }
        let file = self.path(&format!("{key}_file"))?;
        let variable = self.text(&format!("{key}_env"))?;
        match (file, variable) {
            (None, None) => Ok(None),
            (Some(path), None) => Ok(Some(Credential::File(path))),
            (None, Some(name)) => Ok(Some(Credential::Variable(name))),
            (Some(_), Some(_)) => Err(self.wrong(&format!("it has both `{key}_file` and `{key}_env`"))),
        }
    }

    pub(super) fn required_credential(&mut self, key: &str) -> Result<Credential, Failure> {
        self.credential(key)?
            .ok_or_else(|| self.wrong(&format!("it has neither `{key}_file` nor `{key}_env`")))
    }

    /// A number of bytes, such as `16KiB`.
    pub(super) fn bytes(&mut self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, Failure> {
        let Some(text) = self.text(key)? else {
            return Ok(None);
        };
        let bytes = if text == "0" { Ok(0) } else { parse_bytes(&text) };
        let bytes = bytes.map_err(|cause| self.wrong(&format!("`{key} = \"{text}\"`: {cause}")))?;
        match usize::try_from(bytes).ok().filter(|bytes| range.contains(bytes)) {
            Some(bytes) => Ok(Some(bytes)),
            None => Err(self.wrong(&format!("`{key}` is {text}")).help(format!(
                "choose between {} and {} bytes",
                range.start(),
                range.end()
            ))),
        }
    }

    /// A list of words.
    pub(super) fn words(&mut self, key: &str) -> Result<Vec<String>, Failure> {
        let wrong = self.wrong(&format!("`{key}` is not a list of texts"));
        let list = match self.table.remove(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(wrong),
        };
        let words: Option<Vec<String>> = list.iter().map(|word| word.as_str().map(str::to_owned)).collect();
        words.ok_or(wrong)
    }

    /// The host of `HOST:PORT` or `[ADDRESS]:PORT`.
    pub(super) fn host_of(&self, address: &str) -> Result<String, Failure> {
        let parts = address
            .rsplit_once(':')
            .filter(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
        let host = parts.map(|(host, _)| host.trim_start_matches('[').trim_end_matches(']'));
        match host.filter(|host| !host.is_empty()) {
            Some(host) => Ok(host.to_owned()),
            None => Err(self.wrong(&format!("`address = \"{address}\"` is not HOST:PORT"))),
        }
    }

    pub(super) fn wrong(&self, what: &str) -> Failure {
        Failure::misconfigured(format!("the sink `{}` in {FILE_NAME}: {what}", self.name))
    }
}

const NAMES: &str = "a name has 1 to 64 letters, digits, `_` and `-`";
