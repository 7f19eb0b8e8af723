//! What a launch line says about itself, read without looking at the machine.

use cofferdam_inspect::{Confidence, Finding, show_safely};

use crate::rule::{LAUNCH_CONTAINER_OPEN, LAUNCH_SHELL, LAUNCH_UNPINNED};

/// Shells whose `-c` interprets a string.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "zsh", "ksh", "fish", "busybox"];
/// Container engines with a `run` verb.
const ENGINES: [&str; 3] = ["docker", "podman", "nerdctl"];
/// Options that give the host away, alone or as `--option=value`.
const OPEN_OPTIONS: [&str; 6] = [
    "--privileged",
    "--pid=host",
    "--network=host",
    "--net=host",
    "--userns=host",
    "--ipc=host",
];
/// The same, with the value as the next word.
const OPEN_PAIRS: [(&str, &str); 5] = [
    ("--pid", "host"),
    ("--network", "host"),
    ("--net", "host"),
    ("--userns", "host"),
    ("--ipc", "host"),
];
/// Names of container engines' sockets.
const ENGINE_SOCKETS: [&str; 4] = ["docker.sock", "podman.sock", "containerd.sock", "crio.sock"];

/// Findings about a launch line, word by word; each is placed by the number of its word, counted from 0.
#[must_use]
pub fn launch_line(command: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some((program, arguments)) = command.split_first() else {
        return findings;
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    if SHELLS.contains(&name) {
        findings.extend(shell(arguments));
    }
    if ENGINES.contains(&name) {
        findings.extend(container(arguments));
    }
    if let Some(package) = package(name, arguments) {
        findings.extend(unpinned(name, package));
    }
    findings
}

/// `sh -c STRING`, also `-lc` and the like.
fn shell(arguments: &[String]) -> Option<Finding> {
    let position = arguments
        .iter()
        .position(|word| word.starts_with('-') && !word.starts_with("--") && word.contains('c'))?;
    let script = arguments.get(position + 1)?;
    Some(Finding::new(
        &LAUNCH_SHELL,
        Confidence::High,
        format!("word {}", position + 2),
        format!("`{}`", show_safely(script)),
    ))
}

fn container(arguments: &[String]) -> Vec<Finding> {
    let is_pair = |index: usize, word: &str| {
        OPEN_PAIRS
            .iter()
            .any(|(option, value)| *option == word && arguments.get(index + 1).is_some_and(|next| next == value))
    };
    let is_open = |index: usize, word: &str| {
        OPEN_OPTIONS.contains(&word)
            || is_pair(index, word)
            || ENGINE_SOCKETS.iter().any(|socket| word.contains(socket))
    };
    let open = arguments
        .iter()
        .enumerate()
        .filter(|(index, word)| is_open(*index, word));
    open.map(|(index, word)| {
        Finding::new(
            &LAUNCH_CONTAINER_OPEN,
            Confidence::High,
            format!("word {}", index + 1),
            format!("`{}`", show_safely(word)),
        )
    })
    .collect()
}

/// The package that a launcher would install, if it is one.
fn package<'a>(name: &str, arguments: &'a [String]) -> Option<&'a str> {
    let verbs: &[&str] = match name {
        "npx" | "bunx" | "uvx" => &[],
        "npm" => &["exec"],
        "pnpm" | "yarn" => &["dlx"],
        "pipx" => &["run"],
        "uv" => &["tool", "run"],
        _ => return None,
    };
    let mut words = arguments
        .iter()
        .map(String::as_str)
        .filter(|word| !word.starts_with('-'));
    for verb in verbs {
        if words.next()? != *verb {
            return None;
        }
    }
    words.next()
}

/// `name@1.2.3` for npm, `name==1.2.3` (or `name@1.2.3` with uv) for Python; a tag or a range is no version.
fn unpinned(launcher: &str, package: &str) -> Option<Finding> {
    let scope = package.starts_with('@').then_some('@');
    let bare = package.strip_prefix('@').unwrap_or(package);
    let version = bare
        .split_once("==")
        .or_else(|| bare.split_once('@'))
        .map(|(_, version)| version);
    let is_exact = version.is_some_and(|version| {
        version.starts_with(|first: char| first.is_ascii_digit())
            && version.contains('.')
            && !version.contains(['x', '*', ' ', '<', '>', '|'])
    });
    if is_exact {
        return None;
    }
    let shown = show_safely(&format!("{}{bare}", scope.map(String::from).unwrap_or_default()));
    Some(Finding::new(
        &LAUNCH_UNPINNED,
        Confidence::High,
        "word 1",
        format!("`{launcher}` installs whatever `{shown}` is at that moment"),
    ))
}

#[cfg(test)]
mod tests {
    use super::launch_line;

    fn rules(line: &str) -> Vec<&'static str> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        launch_line(&words).iter().map(|finding| finding.rule.id).collect()
    }

    #[test]
    fn packages_without_an_exact_version_are_found() {
        for line in [
            "npx -y @modelcontextprotocol/server-github",
            "npx pkg@latest",
            "npx pkg@1",
            "npx pkg@^1.2.3",
            "uvx mcp-server-git",
            "uv tool run mcp-server-git",
            "npm exec -- pkg",
            "pipx run pkg",
        ] {
            assert_eq!(rules(line), ["launch/unpinned-package"], "{line}");
        }
        for line in [
            "npx -y @modelcontextprotocol/server-github@2025.4.8",
            "uvx mcp-server-git==2026.10.19",
            "uvx mcp-server-git@2026.10.19",
            "npm install pkg",
            "uv run server.py",
            "node index.js",
        ] {
            assert!(rules(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn containers_that_are_none_are_found() {
        for line in [
            "docker run -v /var/run/docker.sock:/var/run/docker.sock image",
            "podman run --privileged image",
            "docker run --pid host image",
            "docker run --network=host image",
        ] {
            assert_eq!(rules(line), ["launch/open-container"], "{line}");
        }
        assert!(rules("docker run -i --rm --network none image").is_empty());
    }

    #[test]
    fn a_shell_string_is_found_and_a_shell_script_is_not() {
        assert_eq!(rules("/bin/bash -lc server"), ["launch/shell-wrapper"]);
        assert!(rules("bash server.sh -v").is_empty());
        assert!(launch_line(&[]).is_empty());
    }
}
