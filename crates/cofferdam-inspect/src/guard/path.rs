//! Paths, resolved as the kernel would against the granted roots. No file is opened here: the caller says where links lead.

use super::{Facts, Seen};
use crate::finding::{Confidence, Finding, Severity};
use crate::rule::Rule;

pub(super) static OUTSIDE: Rule = Rule {
    id: "argument/path-outside-roots",
    summary: "a path leads outside the folders that the server may reach",
    severity: Severity::High,
    help: "grant the folder in the manifest if it is meant, or send a path inside the granted ones",
};

pub(super) static TRICK: Rule = Rule {
    id: "argument/path-trick",
    summary: "a path climbs, is encoded, or is written so that programs read it differently",
    severity: Severity::High,
    help: "send the plain absolute path",
};

pub(super) static SENSITIVE: Rule = Rule {
    id: "argument/sensitive-path",
    summary: "a path names credentials, system secrets, or a file that is run at login",
    severity: Severity::High,
    help: "such files are never needed by a tool; if this one is, suppress the rule for it with a reason",
};

/// Symbolic links followed in one path, as the kernel's `MAXSYMLINKS`.
const LINKS_MAX: usize = 40;

/// Where symbolic links lead, known by the caller.
pub trait Links {
    /// The target of the link at the absolute `path`; `None` when it is no link.
    fn target(&self, path: &str) -> Option<String>;
}

/// No path is a link.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLinks;

impl Links for NoLinks {
    fn target(&self, _: &str) -> Option<String> {
        None
    }
}

/// Parts of paths that hold credentials, as whole components or their beginning.
const SECRET_PARTS: [&str; 22] = [
    ".ssh",
    ".aws",
    ".gnupg",
    ".kube",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".docker/config.json",
    ".config/gcloud",
    ".azure",
    ".bash_history",
    ".zsh_history",
    ".pgpass",
    ".my.cnf",
    ".vault-token",
    "id_rsa",
    "id_ed25519",
    "id_ecdsa",
    "login.keychain-db",
    "wallet.dat",
    ".env",
];
/// Files that the system keeps secret, and doors into other processes and devices.
const SYSTEM_SECRETS: [&str; 9] = [
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/sudoers",
    "/etc/passwd",
    "/root",
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/sys",
    "/boot",
];
/// Files that are run at login or later: never written by a tool.
const RUN_LATER: [&str; 14] = [
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".profile",
    ".zshrc",
    ".zshenv",
    ".zprofile",
    "authorized_keys",
    ".git/hooks",
    ".config/autostart",
    ".config/systemd",
    "/etc/cron",
    "/var/spool/cron",
    "/etc/profile",
];
/// Tools that write, by a word in their name.
const WRITING: [&str; 12] = [
    "write",
    "save",
    "create",
    "edit",
    "append",
    "move",
    "copy",
    "put",
    "download",
    "export",
    "screenshot",
    "update",
];

/// What is suspicious in a path.
pub(super) fn check(seen: &Seen<'_>, tool: &str, facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(words) = trick(seen.text) {
        findings.push(seen.finding(&TRICK, Confidence::High, words));
    }
    // A `file:` URL is a path to the program that takes it.
    let path = seen.text.strip_prefix("file://").unwrap_or(seen.text);
    match facts.roots {
        Some(roots) => {
            if let Some(words) = outside(path, roots, facts.links) {
                findings.push(seen.finding(&OUTSIDE, Confidence::High, words));
            }
        }
        None if climbs(path) => findings.push(seen.finding(&TRICK, Confidence::High, "climbs with `..`")),
        None => {}
    }
    findings.extend(sensitive(seen, path, tool));
    findings
}

/// The part of a glob before its first wildcard is a path.
pub(super) fn check_glob(seen: &Seen<'_>, facts: &Facts<'_>) -> Vec<Finding> {
    let text = fixed_part(seen.text);
    check(&Seen { text, at: seen.at }, "", facts)
}

/// The part of a glob before its first wildcard; all of it where it climbs behind one.
pub(super) fn fixed_part(glob: &str) -> &str {
    let fixed = glob.split(['*', '?', '[', '{']).next().unwrap_or_default();
    if fixed.is_empty() || climbs(glob) { glob } else { fixed }
}

/// Ways of writing a path that two programs read differently.
fn trick(path: &str) -> Option<&'static str> {
    if path.contains('\0') {
        return Some("holds a NUL, where many programs stop reading");
    }
    if path
        .chars()
        .any(|character| character.is_control() || crate::finding::is_invisible(character))
    {
        return Some("holds control or invisible characters");
    }
    if path.contains([
        '\u{2215}', '\u{2044}', '\u{ff0f}', '\u{ff0e}', '\u{2024}', '\u{ff3c}', '\u{29f8}',
    ]) {
        return Some("holds characters that look like `/` or `.`");
    }
    let lower = path.to_ascii_lowercase();
    let is_encoded = memchr::memchr(b'%', lower.as_bytes()).is_some();
    let codes = [
        "%2e%2e", "%252e", "%252f", "..%2f", "%2f..", "..%5c", "%00", "..%c0%af", "%c0%ae",
    ];
    if is_encoded && codes.iter().any(|code| lower.contains(code)) {
        return Some("holds an encoded `..` or NUL");
    }
    if path.contains("..\\")
        || lower.starts_with("\\\\?\\")
        || lower.starts_with("\\\\.\\")
        || lower.contains("::$data")
    {
        return Some("is in a Windows form that escapes checks");
    }
    if path.contains("$(") || path.contains('`') || path.contains("${") {
        return Some("holds a substitution that a shell would run");
    }
    let door = lower.starts_with("/proc/")
        && ["/root", "/cwd", "/environ", "/fd", "/mem", "/maps", "/exe"]
            .iter()
            .any(|part| lower.contains(part));
    let device = lower.starts_with("/dev/") && !matches!(lower.as_str(), "/dev/null" | "/dev/stdin" | "/dev/stdout");
    if door || device {
        return Some("leads through a process or a device");
    }
    path.starts_with('-')
        .then_some("begins with `-` and would be read as an option")
}

/// Whether the path has a component `..` that leaves where it began or hides what an absolute path names.
fn climbs(path: &str) -> bool {
    let mut depth = 0_usize;
    for component in path.split(['/', '\\']) {
        match component {
            ".." if path.starts_with('/') => return true,
            ".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            "" | "." => {}
            _ => depth += 1,
        }
    }
    false
}

/// Why `path` is not inside one of `roots`, or `None` when it is.
pub(super) fn outside(path: &str, roots: &[String], links: &dyn Links) -> Option<&'static str> {
    if path.starts_with('~') {
        return Some("begins with `~`, which names no granted folder");
    }
    let bases: Vec<String> = if path.starts_with('/') {
        vec![path.to_owned()]
    } else {
        // A relative path begins in whichever root the server works in: it must stay inside for each.
        roots.iter().map(|root| format!("{root}/{path}")).collect()
    };
    if bases.is_empty() {
        return Some("no folder is granted");
    }
    for base in bases {
        let Some(resolved) = resolve(&base, links) else {
            return Some("follows too many links");
        };
        if !roots.iter().any(|root| is_inside(&resolved, root, links)) {
            return Some("lies outside the granted folders once resolved");
        }
    }
    None
}

fn is_inside(path: &str, root: &str, links: &dyn Links) -> bool {
    let Some(root) = resolve(root, links) else { return false };
    // By component: `/tmp/a` does not contain `/tmp/a_secret`.
    path == root
        || root == "/"
        || path
            .strip_prefix(root.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
}

/// The absolute `path` with `.`, `..` and links resolved component by component, in the kernel's order; `None` for a loop.
pub(crate) fn resolve(path: &str, links: &dyn Links) -> Option<String> {
    let mut open: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut resolved: Vec<String> = Vec::new();
    let mut followed = 0;
    while let Some(component) = open.pop() {
        match component.as_str() {
            "" | "." => {}
            ".." => {
                resolved.pop();
            }
            _ => {
                resolved.push(component);
                if let Some(target) = links.target(&joined(&resolved)) {
                    followed += 1;
                    if followed > LINKS_MAX {
                        return None;
                    }
                    if target.starts_with('/') {
                        resolved.clear();
                    } else {
                        resolved.pop();
                    }
                    open.extend(target.split('/').rev().map(str::to_owned));
                }
            }
        }
    }
    Some(joined(&resolved))
}

fn joined(components: &[String]) -> String {
    format!("/{}", components.join("/"))
}

fn sensitive(seen: &Seen<'_>, path: &str, tool: &str) -> Option<Finding> {
    let lower = path.to_ascii_lowercase();
    let slashes = memchr::memchr_iter(b'/', lower.as_bytes()).map(|slash| slash + 1);
    let beginnings: Vec<&str> = std::iter::once(0)
        .chain(slashes)
        .filter_map(|from| lower.get(from..))
        .collect();
    let begins = |rest: &&str, part: &str| {
        let after = rest.strip_prefix(part);
        after.is_some_and(|after| after.is_empty() || after.starts_with('/'))
    };
    let holds = |part: &&str| beginnings.iter().any(|rest| begins(rest, part));
    let system =
        |root: &&&str| lower == ***root || lower.strip_prefix(**root).is_some_and(|rest| rest.starts_with('/'));
    if let Some(part) = SECRET_PARTS.iter().find(|part| holds(part)) {
        return Some(seen.finding(&SENSITIVE, Confidence::High, &format!("names `{part}`")));
    }
    if let Some(root) = SYSTEM_SECRETS.iter().find(|root| system(root)) {
        return Some(seen.finding(&SENSITIVE, Confidence::High, &format!("lies in `{root}`")));
    }
    let tool = tool.to_ascii_lowercase();
    if !WRITING.iter().any(|word| tool.contains(word)) {
        return None;
    }
    let part = RUN_LATER.iter().find(|part| lower.contains(**part))?;
    Some(seen.finding(
        &SENSITIVE,
        Confidence::High,
        &format!("writes `{part}`, which is run later"),
    ))
}
