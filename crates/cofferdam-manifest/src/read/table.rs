//! Typed access to a TOML table that notes each fault with its place and goes on.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Fault;
use crate::manifest::Word;
use crate::nearest::nearest;
use crate::quantity::Unit;

/// Entries a list may have.
const LIST_MAX: usize = 1024;
/// Entries a table may have.
const TABLE_MAX: usize = 4096;
/// Bytes of one string; Linux takes arguments and variables up to this size.
const STRING_BYTES_MAX: usize = 128 * 1024;

/// The faults found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    list: Vec<Fault>,
}

impl Faults {
    pub(crate) fn add(&mut self, span: &Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.list.push(Fault::new(span, message, help));
    }

    /// A fault whose place holds what may be a secret: messages show that place blotted out.
    pub(crate) fn add_hidden(&mut self, span: &Range<usize>, message: impl Into<String>, help: String) {
        self.list.push(Fault {
            hidden: true,
            ..Fault::new(span, message, Some(help))
        });
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) fn into_list(self) -> Vec<Fault> {
        self.list
    }
}

/// A string of the manifest and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Text<'a> {
    pub(crate) text: &'a str,
    pub(crate) span: Range<usize>,
}

/// One table, its unknown keys already reported.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    /// As people write it: `[network]`.
    pub(crate) name: String,
    pub(crate) span: Range<usize>,
    entries: &'a DeTable<'a>,
}

impl<'a> Table<'a> {
    pub(crate) fn root(entries: &'a DeTable<'a>, text: &str, known: &[&str], faults: &mut Faults) -> Self {
        let end = text.lines().next().map_or(0, str::len);
        let table = Self {
            name: String::from("a manifest"),
            span: 0..end,
            entries,
        };
        if entries.len() > TABLE_MAX {
            faults.add(&table.span, format!("a manifest has more than {TABLE_MAX} keys"), None);
        } else {
            table.report_unknown_keys(known, faults);
        }
        table
    }

    fn open(name: String, value: &'a Spanned<DeValue<'a>>, faults: &mut Faults) -> Option<Self> {
        let Some(entries) = value.get_ref().as_table() else {
            let found = kind(value.get_ref());
            faults.add(&value.span(), format!("`{name}` is a table, not {found}"), None);
            return None;
        };
        if entries.len() > TABLE_MAX {
            faults.add(
                &value.span(),
                format!("`{name}` has more than {TABLE_MAX} entries"),
                None,
            );
            return None;
        }
        Some(Self {
            name,
            span: value.span(),
            entries,
        })
    }

    /// The table under `key`, with its unknown keys reported.
    pub(crate) fn table(&self, key: &str, known: &[&str], faults: &mut Faults) -> Option<Self> {
        let table = self.open_table(key, faults)?;
        table.report_unknown_keys(known, faults);
        Some(table)
    }

    /// The table under `key`, whose keys are the manifest's own names.
    pub(crate) fn open_table(&self, key: &str, faults: &mut Faults) -> Option<Self> {
        let (_, value) = self.entry(key)?;
        Self::open(self.path_of(key), value, faults)
    }

    /// The tables under each key of this one, such as `[tools.NAME]`.
    pub(crate) fn tables(&self, known: &[&str], faults: &mut Faults) -> Vec<(Text<'a>, Self)> {
        let mut tables = Vec::new();
        for (key, value) in self.entries {
            if let Some(table) = Self::open(self.path_of(key.get_ref()), value, faults) {
                table.report_unknown_keys(known, faults);
                tables.push((
                    Text {
                        text: key.get_ref(),
                        span: key.span(),
                    },
                    table,
                ));
            }
        }
        tables
    }

    /// Every key with its string.
    pub(crate) fn string_entries(&self, faults: &mut Faults) -> Vec<(Text<'a>, Text<'a>)> {
        let mut entries = Vec::new();
        for (key, value) in self.entries {
            let name = self.path_of(key.get_ref());
            if let Some(value) = string(&name, value, faults) {
                entries.push((
                    Text {
                        text: key.get_ref(),
                        span: key.span(),
                    },
                    value,
                ));
            }
        }
        entries
    }

    pub(crate) fn string(&self, key: &str, faults: &mut Faults) -> Option<Text<'a>> {
        let (_, value) = self.entry(key)?;
        string(&self.path_of(key), value, faults)
    }

    /// A string that has to be there.
    pub(crate) fn required_string(&self, key: &str, faults: &mut Faults) -> Option<Text<'a>> {
        if self.entry(key).is_none() {
            faults.add(
                &self.span,
                format!("`{}` is missing in {}", key, self.in_brackets()),
                None,
            );
            return None;
        }
        self.string(key, faults)
    }

    /// The strings of a list; empty when the key is absent.
    pub(crate) fn strings(&self, key: &str, faults: &mut Faults) -> Vec<Text<'a>> {
        let Some((_, value)) = self.entry(key) else {
            return Vec::new();
        };
        let path = self.path_of(key);
        let Some(list) = value.get_ref().as_array() else {
            let found = kind(value.get_ref());
            let help = match value.get_ref() {
                DeValue::String(_) => Some(String::from("put the value in brackets")),
                _ => None,
            };
            faults.add(
                &value.span(),
                format!("`{path}` is a list of strings, not {found}"),
                help,
            );
            return Vec::new();
        };
        if list.len() > LIST_MAX {
            faults.add(
                &value.span(),
                format!("`{path}` has more than {LIST_MAX} entries"),
                None,
            );
            return Vec::new();
        }
        list.iter().filter_map(|item| string(&path, item, faults)).collect()
    }

    /// The strings of a list, each of them once.
    pub(crate) fn distinct_strings(&self, key: &str, faults: &mut Faults) -> Vec<Text<'a>> {
        let mut distinct: Vec<Text<'a>> = Vec::new();
        for item in self.strings(key, faults) {
            if distinct.iter().any(|before| before.text == item.text) {
                faults.add(
                    &item.span,
                    format!("`{}` occurs twice in `{}`", item.text, self.path_of(key)),
                    None,
                );
            } else {
                distinct.push(item);
            }
        }
        distinct
    }

    /// A whole number within bounds.
    pub(crate) fn number(&self, key: &str, bounds: (u64, u64), faults: &mut Faults) -> Option<u64> {
        let (_, value) = self.entry(key)?;
        let path = self.path_of(key);
        let DeValue::Integer(integer) = value.get_ref() else {
            let found = kind(value.get_ref());
            faults.add(&value.span(), format!("`{path}` is a whole number, not {found}"), None);
            return None;
        };
        // Wider than 64 bits, so that what lies outside is still compared and not misread.
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number
            .and_then(|number| u64::try_from(number).ok())
            .filter(|number| is_within(*number, bounds));
        if number.is_none() {
            faults.add(
                &value.span(),
                format!("`{path}` is out of range"),
                Some(range_in_words(bounds, |n| n.to_string())),
            );
        }
        number
    }

    /// A quantity written as a string with its unit.
    pub(crate) fn quantity(&self, key: &str, bounds: (u64, u64), unit: Unit, faults: &mut Faults) -> Option<u64> {
        let (_, value) = self.entry(key)?;
        let path = self.path_of(key);
        let DeValue::String(text) = value.get_ref() else {
            let found = kind(value.get_ref());
            let help = format!("write it with its unit in quotes, such as `\"{}\"`", unit.example);
            faults.add(
                &value.span(),
                format!("`{path}` is a string with a unit, not {found}"),
                Some(help),
            );
            return None;
        };
        match (unit.parse)(text) {
            Ok(number) if is_within(number, bounds) => return Some(number),
            Ok(_) => {
                faults.add(
                    &value.span(),
                    format!("`{path}` is out of range"),
                    Some(range_in_words(bounds, unit.show)),
                );
            }
            Err(message) => faults.add(&value.span(), format!("`{path}` is not understood: {message}"), None),
        }
        None
    }

    /// One of an enumeration's words.
    pub(crate) fn word<W: Word>(&self, key: &str, faults: &mut Faults) -> Option<W> {
        let text = self.string(key, faults)?;
        word(&self.path_of(key), &text, faults)
    }

    /// A list of an enumeration's words, each of them once.
    pub(crate) fn words<W: Word>(&self, key: &str, faults: &mut Faults) -> Vec<W> {
        let items = self.distinct_strings(key, faults);
        items
            .iter()
            .filter_map(|item| word(&self.path_of(key), item, faults))
            .collect()
    }

    /// `[name]` in backticks for a table, plain for the whole manifest.
    pub(crate) fn in_brackets(&self) -> String {
        if self.name == "a manifest" {
            self.name.clone()
        } else {
            format!("[{}]", self.name)
        }
    }

    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.name == "a manifest" {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<(Range<usize>, &'a Spanned<DeValue<'a>>)> {
        let (key, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((key.span(), value))
    }

    fn report_unknown_keys(&self, known: &[&str], faults: &mut Faults) {
        for key in self
            .entries
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()))
        {
            let help = match nearest(key.get_ref(), known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("{} knows {}", self.in_brackets(), in_words(known)),
            };
            let message = format!("unknown key `{}` in {}", key.get_ref(), self.in_brackets());
            faults.add(&key.span(), message, Some(help));
        }
    }
}

fn string<'a>(name: &str, value: &'a Spanned<DeValue<'a>>, faults: &mut Faults) -> Option<Text<'a>> {
    let DeValue::String(text) = value.get_ref() else {
        faults.add(
            &value.span(),
            format!("`{name}` is a string, not {}", kind(value.get_ref())),
            None,
        );
        return None;
    };
    if text.len() > STRING_BYTES_MAX {
        faults.add(
            &value.span(),
            format!("`{name}` has more than {STRING_BYTES_MAX} bytes"),
            None,
        );
        return None;
    }
    if text.contains('\0') {
        faults.add(&value.span(), format!("`{name}` contains NUL"), None);
        return None;
    }
    Some(Text {
        text,
        span: value.span(),
    })
}

fn word<W: Word>(path: &str, text: &Text<'_>, faults: &mut Faults) -> Option<W> {
    let found = W::from_word(text.text);
    if found.is_none() {
        let words: Vec<&str> = W::WORDS.iter().map(|(name, _)| *name).collect();
        let help = match nearest(text.text, words.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", in_words(&words)),
        };
        faults.add(&text.span, format!("`{path}` cannot be `{}`", text.text), Some(help));
    }
    found
}

fn is_within(number: u64, (least, most): (u64, u64)) -> bool {
    (least..=most).contains(&number)
}

fn range_in_words((least, most): (u64, u64), show: impl Fn(u64) -> String) -> String {
    format!("from {} to {}", show(least), show(most))
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `a`, `b` and `c`, each in backticks.
fn in_words(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}
