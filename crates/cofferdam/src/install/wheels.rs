//! Launch lines that name a package of Python's: `uvx`, `uv tool run`, `pipx run`.

use super::{PackageLine, RegistryKind};
use crate::failure::Failure;

/// Options that change nothing here: they keep quiet, or are about a cache that is not used.
const HARMLESS: [&str; 14] = [
    "-q",
    "--quiet",
    "-v",
    "--verbose",
    "--no-progress",
    "--no-cache",
    "-n",
    "--refresh",
    "--isolated",
    "--offline",
    "--native-tls",
    "--system-certs",
    "--no-config",
    "--no-env-file",
];

/// The package that a line of Python's launchers names; `None` for another line.
///
/// # Errors
/// It is such a line, and asks for something that is not installed apart.
pub(super) fn python_line(command: &[String]) -> Result<Option<PackageLine>, Failure> {
    let mut words = command.iter().map(String::as_str);
    let first = words.next().unwrap_or_default();
    let launcher = first.rsplit('/').next().unwrap_or_default();
    let (launcher, rest): (&str, Vec<&str>) = match launcher {
        "uvx" => (launcher, words.collect()),
        "uv" if command.get(1..3).is_some_and(|two| two == ["tool", "run"]) => ("uv tool run", words.skip(2).collect()),
        "pipx" if command.get(1).is_some_and(|word| word == "run") => ("pipx run", words.skip(1).collect()),
        _ => return Ok(None),
    };
    parsed(launcher, &rest).map(Some)
}

fn parsed(launcher: &str, words: &[&str]) -> Result<PackageLine, Failure> {
    let refuse = |what: String| Err(Failure::usage(what).help("install the package yourself and name its program"));
    let (mut package, mut python, mut words) = (None, None, words.iter().copied());
    let program = loop {
        let Some(word) = words.next() else { break None };
        if HARMLESS.contains(&word) {
            continue;
        }
        if word == "--" {
            break words.next();
        }
        if !word.starts_with('-') {
            break Some(word);
        }
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        let place = match option {
            "--from" | "--spec" => &mut package,
            "-p" | "--python" => &mut python,
            _ => return refuse(format!("`{launcher} {word}` is not understood")),
        };
        let Some(value) = value.or_else(|| words.next()) else {
            return refuse(format!("`{launcher} {word}` has no value"));
        };
        if place.replace(value).is_some() {
            return refuse(format!("`{launcher} {option}` stands there twice"));
        }
    };
    let Some(program) = program else {
        return refuse(format!("`{launcher}` names no package"));
    };
    let (spec, program) = match package {
        Some(package) => (package, Some(program)),
        None => (program, None),
    };
    let Some((name, wanted)) = name_and_specifier(spec) else {
        return refuse(format!(
            "`{spec}` is not a package of an index: packages from git, an address or a folder are not installed apart"
        ));
    };
    if let Some(odd) = [program, python].into_iter().flatten().find(|word| !is_plain(word)) {
        return refuse(format!("`{odd}` is not understood in a line of `{launcher}`"));
    }
    Ok(PackageLine {
        registry: RegistryKind::PyPi,
        name: name.to_owned(),
        wanted,
        python: python.map(str::to_owned),
        program: program.map(str::to_owned),
        arguments: words.map(str::to_owned).collect(),
    })
}

/// A program's or an interpreter's name, or a path of one.
fn is_plain(word: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b'+');
    !word.is_empty() && !word.starts_with('-') && word.bytes().all(is_letter)
}

/// `name`, `name@1.2`, `name@latest` or `name[extra]>=1,<2`, as a name and what stands behind it in PEP 508.
pub(super) fn name_and_specifier(spec: &str) -> Option<(&str, Option<String>)> {
    let end = spec
        .find(|letter: char| !letter.is_ascii_alphanumeric() && !matches!(letter, '.' | '_' | '-'))
        .unwrap_or(spec.len());
    let (name, rest) = spec.split_at_checked(end)?;
    let is_edge = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    if !is_edge(name.chars().next()) || !is_edge(name.chars().next_back()) {
        return None;
    }
    let (extras, version) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (extras, version) = inner.split_once(']')?;
            let are_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b',');
            (!extras.is_empty() && extras.bytes().all(are_plain)).then_some(())?;
            (format!("[{extras}]"), version)
        }
        None => (String::new(), rest),
    };
    let version = match version.strip_prefix('@') {
        Some("latest") => String::new(),
        Some(exact) if exact.starts_with(|first: char| first.is_ascii_digit()) => format!("=={exact}"),
        Some(_) => return None,
        None => version.to_owned(),
    };
    let begins = ["==", ">=", "<=", "~=", "!=", ">", "<"];
    let is_version = version.is_empty() || begins.iter().any(|begin| version.starts_with(begin));
    let is_letter = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'=' | b'<' | b'>' | b'~' | b'!' | b',' | b'*' | b'+')
    };
    (is_version && version.bytes().all(is_letter)).then(|| {
        let wanted = format!("{extras}{version}");
        (name, Some(wanted).filter(|wanted| !wanted.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::python_line;

    fn line(words: &str) -> Result<Option<crate::install::PackageLine>, String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        python_line(&words).map_err(|failure| failure.what)
    }

    #[test]
    fn launchers_of_python_are_understood() {
        for (words, name, wanted, program, arguments) in [
            ("uvx mcp-server-time", "mcp-server-time", None, None, ""),
            (
                "uvx -q mcp-server-time@2026.10.19 --local-timezone UTC",
                "mcp-server-time",
                Some("==2026.10.19"),
                None,
                "--local-timezone UTC",
            ),
            ("/opt/uvx server@latest", "server", None, None, ""),
            (
                "uvx --from server[cli]>=1.2,<2 prog -v",
                "server",
                Some("[cli]>=1.2,<2"),
                Some("prog"),
                "-v",
            ),
            (
                "uv tool run --python 3.12 --from=server==1 prog",
                "server",
                Some("==1"),
                Some("prog"),
                "",
            ),
            (
                "pipx run --spec server==1.0 prog x",
                "server",
                Some("==1.0"),
                Some("prog"),
                "x",
            ),
        ] {
            let found = line(words).unwrap().unwrap();
            let seen = (found.name.as_str(), found.wanted.as_deref(), found.program.as_deref());
            assert_eq!(seen, (name, wanted, program), "{words}");
            assert_eq!(found.arguments.join(" "), arguments, "{words}");
        }
        for words in [
            "uv run server.py",
            "python -m server",
            "uv pip install x",
            "pipx install x",
        ] {
            assert_eq!(line(words), Ok(None), "{words}");
        }
    }

    #[test]
    fn what_is_not_of_an_index_is_refused() {
        for words in [
            "uvx",
            "uvx --from server",
            "uvx --from",
            "uvx --with other server",
            "uvx --index-url https://host.test/ server",
            "uvx git+https://host.test/x",
            "uvx --from git+https://host.test/x prog",
            "uvx --from ./folder prog",
            "uvx --from server@https://host.test/x.whl prog",
            "uvx server;python_version>'3'",
            "uvx server@file:///x",
            "uvx -server",
            "uvx --from a --from b prog",
            "uvx --from a $(prog)",
            "pipx run https://host.test/x.py",
        ] {
            assert!(line(words).is_err(), "{words}");
        }
    }
}
