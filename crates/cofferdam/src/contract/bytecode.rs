//! Whether a Python that is started by a launch line looks at its environment, which keeps it from loading compiled files nobody accepted.

use std::path::Path;

/// The option word by which a Python in `command` ignores `PYTHONPYCACHEPREFIX`: `-E` or `-I`, also within a cluster such as `-sE`, or
/// `-X pycache_prefix`. `None` for other programs.
pub(super) fn environment_ignored_by(command: &[String]) -> Option<&str> {
    let (program, rest) = command.split_first()?;
    let is_python = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.contains("python") || name.contains("pypy")
    };
    let program = Path::new(program);
    if !is_python(program) && !program.canonicalize().is_ok_and(|real| is_python(&real)) {
        return None;
    }
    let mut words = rest.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let letters = word.strip_prefix('-').filter(|letters| !letters.is_empty())?;
        if word == "--" {
            return None;
        }
        if letters.starts_with('-') {
            if word == "--check-hash-based-pycs" {
                words.next();
            }
            continue;
        }
        // The rest of a cluster behind one of these is its value, and without a rest the next word is.
        let (letters, valued) = match letters.find(['c', 'm', 'W', 'X']) {
            Some(at) => letters.split_at(at),
            None => (letters, ""),
        };
        if letters.contains(['E', 'I']) {
            return Some(word);
        }
        let mut value = valued.chars();
        let letter = value.next();
        let value = match (letter, value.as_str()) {
            (Some('c' | 'm'), _) => return None,
            (Some(_), "") => words.next().unwrap_or_default(),
            (_, attached) => attached,
        };
        if letter == Some('X') && value.starts_with("pycache_prefix") {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::environment_ignored_by;

    fn ignored(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        environment_ignored_by(&words).map(str::to_owned)
    }

    #[test]
    fn options_by_which_python_ignores_its_environment_are_found() {
        for (line, option) in [
            ("/usr/bin/python3 -E s.py", "-E"),
            ("/usr/bin/python3.11 -I s.py", "-I"),
            ("/v/bin/python -sE s.py", "-sE"),
            ("/v/bin/python -IE", "-IE"),
            ("/v/bin/pypy3 -Im server", "-Im"),
            ("/v/bin/python -W ignore -E s.py", "-E"),
            ("/v/bin/python -Wignore -X dev -bE s.py", "-bE"),
            ("/v/bin/python --check-hash-based-pycs never -I s.py", "-I"),
            ("/v/bin/python -X pycache_prefix= s.py", "pycache_prefix="),
            ("/v/bin/python -Xpycache_prefix s.py", "pycache_prefix"),
        ] {
            assert_eq!(ignored(line).as_deref(), Some(option), "{line}");
        }
    }

    #[test]
    fn words_that_are_no_such_option_are_not() {
        for line in [
            "/usr/bin/python3 s.py -E",
            "/usr/bin/python3 -m server -I",
            "/usr/bin/python3 -mE",
            "/usr/bin/python3 -c E -I",
            "/usr/bin/python3 -WError::ImportWarning s.py",
            "/usr/bin/python3 -W -I s.py",
            "/usr/bin/python3 -sB -u - -E",
            "/usr/bin/python3 -- -E",
            "/usr/bin/perl -I lib s.pl",
            "/usr/bin/python3",
        ] {
            assert_eq!(ignored(line), None, "{line}");
        }
    }
}
