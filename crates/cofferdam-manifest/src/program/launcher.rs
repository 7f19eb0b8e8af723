//! Programs that start something else: package launchers, rights changers, `env`.

use std::path::Path;

use super::LaunchError;

/// First word, words after it (empty for any), and what it is called.
const LAUNCHERS: &[(&str, &[&str])] = &[
    ("npx", &[]),
    ("bunx", &[]),
    ("pnpx", &[]),
    ("uvx", &[]),
    ("corepack", &[]),
    ("docker", &[]),
    ("podman", &[]),
    ("nerdctl", &[]),
    ("npm", &["exec", "x", "init", "create", "run", "start"]),
    ("pnpm", &["dlx", "exec", "create", "run", "start"]),
    ("yarn", &["dlx", "exec", "create", "run", "start"]),
    ("bun", &["x", "create"]),
    ("uv", &["tool", "run"]),
    ("pipx", &["run"]),
    ("deno", &["run", "x"]),
    ("go", &["run"]),
    ("cargo", &["run"]),
    ("nix", &["run", "shell"]),
    ("poetry", &["run"]),
    ("pdm", &["run"]),
    ("hatch", &["run"]),
    ("pipenv", &["run"]),
    ("conda", &["run"]),
    ("mise", &["exec", "x"]),
];

const CHANGES_RIGHTS: &[&str] = &[
    "sudo",
    "su",
    "doas",
    "pkexec",
    "run0",
    "runuser",
    "setpriv",
    "nsenter",
    "unshare",
    "chroot",
    "bwrap",
    "firejail",
    "systemd-run",
    "capsh",
    "machinectl",
    "flatpak",
    "snap",
    "ssh",
    "cofferdam",
];

/// What to do instead of a package launcher.
pub(super) fn advice(name: &str) -> String {
    let example = match name.split(' ').next().unwrap_or(name) {
        "docker" | "podman" | "nerdctl" => {
            return String::from(
                "`cofferdam add NAME -- docker run … IMAGE@sha256:…` takes an image that podman has; then `cofferdam run NAME`",
            );
        }
        "uvx" | "uv" | "pipx" => {
            return String::from(
                "`cofferdam add NAME -- uvx PACKAGE…` installs a package of Python once; then `cofferdam run NAME`",
            );
        }
        "poetry" | "pdm" | "hatch" | "pipenv" | "conda" => "cofferdam add NAME -- …/.venv/bin/python -m MODULE",
        "npx" | "npm" | "bunx" | "pnpx" | "pnpm" | "yarn" | "bun" => {
            return String::from(
                "`cofferdam add NAME -- npx PACKAGE…` installs a package of npm once; then `cofferdam run NAME`",
            );
        }
        "go" | "cargo" | "nix" | "mise" => "cofferdam add NAME -- …/bin/PROGRAM",
        _ => "cofferdam add NAME -- node …/dist/index.js",
    };
    format!("installs are not here yet: install the package and name its program, e.g. `{example}`")
}

/// The command without a harmless `env` in front, or why it cannot be accepted.
pub(super) fn refuse_launchers(command: &[String]) -> Result<&[String], LaunchError> {
    let Some((first, rest)) = command.split_first() else {
        return Err(LaunchError::Empty);
    };
    if first.is_empty() {
        return Err(LaunchError::Empty);
    }
    let name = Path::new(first)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(first);
    let name = plain_name(name);
    if name == "env" {
        let plain = rest
            .first()
            .is_some_and(|next| !next.starts_with('-') && !next.contains('='));
        return if plain {
            refuse_launchers(rest)
        } else {
            Err(LaunchError::SetsVariables)
        };
    }
    if CHANGES_RIGHTS.contains(&name) {
        return Err(LaunchError::ChangesRights(name.to_owned()));
    }
    refuse_installs(name, rest)?;
    Ok(command)
}

/// A program's name without what its script adds to it: `npx-cli.js` is `npx`.
fn plain_name(name: &str) -> &str {
    let name = [".js", ".cjs", ".mjs", ".py"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .unwrap_or(name);
    name.strip_suffix("-cli").unwrap_or(name)
}

/// Refuses a package launcher by its name and its first plain argument.
pub(super) fn refuse_installs(name: &str, arguments: &[String]) -> Result<(), LaunchError> {
    let name = plain_name(name);
    for (launcher, words) in LAUNCHERS.iter().filter(|(launcher, _)| *launcher == name) {
        let word = arguments
            .iter()
            .find(|word| !word.starts_with('-'))
            .map_or("", String::as_str);
        if words.is_empty() {
            return Err(LaunchError::PackageLauncher((*launcher).to_owned()));
        }
        // An option with a value may stand in front of the word: any of the first few counts.
        if let Some(word) = arguments
            .iter()
            .take(8)
            .find(|argument| words.contains(&argument.as_str()))
        {
            return Err(LaunchError::PackageLauncher(format!("{launcher} {word}")));
        }
        if word.is_empty() {
            return Err(LaunchError::PackageLauncher((*launcher).to_owned()));
        }
    }
    Ok(())
}
