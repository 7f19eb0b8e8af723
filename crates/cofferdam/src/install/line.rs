//! Launch lines that name a package instead of a program.

use super::wheels::python_line;
use crate::failure::Failure;

/// Whose package it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RegistryKind {
    /// npm's, by whatever launcher.
    Npm,
    /// Python's.
    PyPi,
}

/// What such a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackageLine {
    pub(crate) registry: RegistryKind,
    /// The package's name.
    pub(crate) name: String,
    /// A version, a range or a tag, for Python extras and specifiers as PEP 508 has them; the newest without it.
    pub(crate) wanted: Option<String>,
    /// The interpreter that a line of Python's asks for.
    pub(crate) python: Option<String>,
    /// The program of the package, where the line names one.
    pub(crate) program: Option<String>,
    /// What the program is given.
    pub(crate) arguments: Vec<String>,
}

/// Options of npm's launchers that change nothing here: they answer questions that are not asked, or keep quiet.
const HARMLESS: [&str; 5] = ["-y", "--yes", "-q", "--quiet", "--silent"];

/// The package that a line of npm's or Python's launchers names; `None` for another line.
///
/// # Errors
/// It is such a line, and asks for something that is not installed apart.
pub(crate) fn package_line(command: &[String]) -> Result<Option<PackageLine>, Failure> {
    let mut words = command.iter().map(String::as_str);
    let first = words.next().unwrap_or_default();
    let launcher = first.rsplit('/').next().unwrap_or_default();
    let rest: Vec<&str> = match launcher {
        "npx" | "bunx" | "pnpx" => words.collect(),
        "npm" | "pnpm" | "bun" | "yarn" => match (launcher, words.next()) {
            ("npm", Some("exec" | "x")) | ("pnpm" | "yarn", Some("dlx")) | ("bun", Some("x")) => words.collect(),
            _ => return Ok(None),
        },
        _ => return python_line(command),
    };
    parsed(launcher, &rest).map(Some)
}

fn parsed(launcher: &str, words: &[&str]) -> Result<PackageLine, Failure> {
    let refuse = |what: String| Err(Failure::usage(what).help("install the package yourself and name its program"));
    let (mut package, mut words) = (None, words.iter().copied());
    let program = loop {
        match words.next() {
            Some(word) if HARMLESS.contains(&word) => {}
            Some("--") => break words.next(),
            Some(word @ ("-p" | "--package")) => {
                let Some(named) = words.next() else {
                    return refuse(format!("`{launcher} {word}` names no package"));
                };
                if package.replace(named).is_some() {
                    return refuse(format!(
                        "`{launcher}` with more than one package is not installed apart"
                    ));
                }
            }
            Some(word) if word.starts_with('-') => match word.strip_prefix("--package=") {
                Some(named) if package.is_none() => package = Some(named),
                _ => return refuse(format!("`{launcher} {word}` is not understood")),
            },
            other => break other,
        }
    };
    let Some(program) = program else {
        return refuse(format!("`{launcher}` names no package"));
    };
    let (spec, program) = match package {
        Some(package) => (package, Some(program.to_owned())),
        None => (program, None),
    };
    let Some((name, wanted)) = name_and_version(spec) else {
        return refuse(format!(
            "`{spec}` is not a package of a registry: packages from git, an address or a folder are not installed apart"
        ));
    };
    Ok(PackageLine {
        registry: RegistryKind::Npm,
        name: name.to_owned(),
        wanted: wanted.map(str::to_owned),
        python: None,
        program,
        arguments: words.map(str::to_owned).collect(),
    })
}

/// `name`, `@scope/name`, and either with `@version`. Anything else could be a path, an address or an alias of another package.
fn name_and_version(spec: &str) -> Option<(&str, Option<&str>)> {
    let at = spec.char_indices().skip(1).find(|(_, letter)| *letter == '@');
    let (name, version) = match at {
        Some((at, _)) => spec
            .split_at_checked(at)
            .map(|(name, rest)| (name, rest.strip_prefix('@')))?,
        None => (spec, None),
    };
    let is_plain = |part: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        part.starts_with(|first: char| first.is_ascii_alphanumeric()) && part.bytes().all(is_letter)
    };
    let is_name = match name.strip_prefix('@').map(|scoped| scoped.split_once('/')) {
        Some(Some((scope, name))) => is_plain(scope) && is_plain(name),
        Some(None) => false,
        None => is_plain(name),
    };
    let is_version = |version: &str| {
        let is_letter =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'^' | b'~');
        !version.is_empty() && version.bytes().all(is_letter)
    };
    (is_name && version.is_none_or(is_version)).then_some((name, version))
}

#[cfg(test)]
mod tests {
    use super::{PackageLine, package_line};

    fn line(words: &str) -> Result<Option<PackageLine>, String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        package_line(&words).map_err(|failure| failure.what)
    }

    #[test]
    fn launchers_of_npm_are_understood() {
        for (words, name, wanted, program, arguments) in [
            ("npx -y @a/b@1.2.3 /data -x", "@a/b", Some("1.2.3"), None, "/data -x"),
            ("/usr/bin/npx server", "server", None, None, ""),
            (
                "npm exec --yes -- server@latest --port 1",
                "server",
                Some("latest"),
                None,
                "--port 1",
            ),
            ("npx --package=@a/b@^2 prog -v", "@a/b", Some("^2"), Some("prog"), "-v"),
            ("npm x -p b prog", "b", None, Some("prog"), ""),
            ("bunx b", "b", None, None, ""),
            ("pnpm dlx b@next", "b", Some("next"), None, ""),
        ] {
            let found = line(words).unwrap().unwrap();
            assert_eq!(
                (found.name.as_str(), found.wanted.as_deref()),
                (name, wanted),
                "{words}"
            );
            assert_eq!(
                (found.program.as_deref(), found.arguments.join(" ")),
                (program, arguments.to_owned()),
                "{words}"
            );
        }
        for words in ["node server.js", "npm start", "/bin/npx-like b"] {
            assert_eq!(line(words), Ok(None), "{words}");
        }
    }

    #[test]
    fn what_is_not_of_a_registry_is_refused() {
        for words in [
            "npx",
            "npx -y",
            "npx --node-options=-r b",
            "npx -c echo",
            "npx -p a -p b prog",
            "npx ./folder",
            "npx ../folder",
            "npx /folder",
            "npx user/repository",
            "npx github:user/repository",
            "npx git+https://host/x.git",
            "npx https://host/x.tgz",
            "npx a@npm:b",
            "npx a@file:../b",
            "npx @scope",
            "npx a@",
            "npx a@1||2",
            "npx .hidden",
        ] {
            assert!(line(words).is_err(), "{words}");
        }
    }
}
