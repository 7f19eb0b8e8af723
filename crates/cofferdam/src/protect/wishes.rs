//! What a person answers to a server that is shown: yes, no, or one right more or less.

use std::path::{Path, PathBuf};

use cofferdam_inspect::show_safely;
use cofferdam_manifest::Endpoint;

use crate::cli::args::Add;
use crate::failure::Failure;

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Yes,
    No,
    /// One right more or less.
    Change(Change),
    /// Not understood: what can be answered.
    Unclear(String),
}

/// One right more or less, then the server is looked at anew.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Read(PathBuf),
    Write(PathBuf),
    Host(String),
    /// Whatever it asked for while it was looked at.
    Hosts,
    Program(String),
    Variable(String),
    /// Whatever was granted under these words.
    Without(String),
}

impl Wish {
    /// An empty answer is no.
    pub(super) fn read(answer: &str) -> Self {
        let (word, rest) = answer.split_once(' ').unwrap_or((answer, ""));
        let rest = rest.trim();
        let change = match word {
            "y" | "Y" | "yes" if rest.is_empty() => return Self::Yes,
            "" | "n" | "N" | "no" if rest.is_empty() => return Self::No,
            "hosts" if rest.is_empty() => return Self::Change(Change::Hosts),
            "read" => Change::Read(rest.into()),
            "write" => Change::Write(rest.into()),
            "host" => Change::Host(rest.to_owned()),
            "program" => Change::Program(rest.to_owned()),
            "variable" => Change::Variable(rest.to_owned()),
            "without" => Change::Without(rest.to_owned()),
            _ => return Self::Unclear(Self::help()),
        };
        if rest.is_empty() {
            return Self::Unclear(Self::help());
        }
        Self::Change(change)
    }

    fn help() -> String {
        let lines = [
            "y                   protect it as shown",
            "n                   leave it as it is",
            "read PATH           also let it read a file or folder; `write PATH` also write there",
            "host HOST:PORT      also let it connect there; `hosts` to every host that it asked for",
            "program NAME        also let it execute this program",
            "variable NAME       also pass on this variable of the client's",
            "without WORD        take away the path, host, program or variable of this name",
        ];
        lines.map(|line| format!("  {line}")).join("\n")
    }
}

impl Change {
    /// Changes what `add` is told. `asked` are the hosts that the server asked for.
    ///
    /// # Errors
    /// It cannot be read, or nothing of this name was granted, or no host was asked for.
    pub(super) fn apply(&self, add: &mut Add, asked: Vec<Endpoint>) -> Result<(), Failure> {
        match self {
            Self::Read(path) => {
                add.write.retain(|known| known != path);
                add.read.push(path.clone());
            }
            Self::Write(path) => {
                add.read.retain(|known| known != path);
                add.write.push(path.clone());
            }
            Self::Host(host) => add.network.push(
                host.parse()
                    .map_err(|error| Failure::usage(format!("`{}`: {error}", show_safely(host))))?,
            ),
            Self::Hosts if asked.is_empty() => {
                return Err(
                    Failure::usage("it asked for no host that it may not reach").help("name one: `host HOST:PORT`")
                );
            }
            Self::Hosts => add.network.extend(asked),
            Self::Program(name) => add.execute.push(name.clone()),
            Self::Variable(name) => add.env.push(name.clone()),
            Self::Without(word) => return without(add, word),
        }
        Ok(())
    }
}

fn without(add: &mut Add, word: &str) -> Result<(), Failure> {
    let count = |add: &Add| {
        let paths = add.read.len() + add.write.len();
        paths + add.network.len() + add.execute.len() + add.env.len() + add.secret.len()
    };
    let before = count(add);
    add.read.retain(|path| path != Path::new(word));
    add.write.retain(|path| path != Path::new(word));
    add.network.retain(|host| host.to_string() != word);
    for list in [&mut add.execute, &mut add.env, &mut add.secret] {
        list.retain(|known| known != word);
    }
    if count(add) < before {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "nothing was granted as `{}`, or its launch line names it",
        show_safely(word)
    ))
    .help("write it as it is shown"))
}

#[cfg(test)]
mod tests {
    use super::{Change, Wish};

    #[test]
    fn answers_are_understood_or_explained() {
        assert_eq!(
            (Wish::read("y"), Wish::read(""), Wish::read("no")),
            (Wish::Yes, Wish::No, Wish::No)
        );
        let change = |answer| match Wish::read(answer) {
            Wish::Change(change) => change,
            other => panic!("{answer}: {other:?}"),
        };
        assert_eq!(change("read /a b"), Change::Read("/a b".into()));
        assert_eq!(change("without  /a"), Change::Without("/a".into()));
        assert_eq!(change("hosts"), Change::Hosts);
        for unclear in ["?", "write", "hosts all", "y please", "grant /x"] {
            assert!(matches!(Wish::read(unclear), Wish::Unclear(_)), "{unclear}");
        }
    }
}
