//! What package managers are configured with besides an address: tokens and passwords of registries, and proxies. For the compartment of an
//! install alone: never on a command line, never printed, never in the record.

use std::fmt;
use std::fs;
use std::path::Path;

use cofferdam_manifest::Endpoint;

use super::registry::authority;
use crate::egress::Grants;

/// Longest configuration that is read, in bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
/// What stands for a secret in what a package manager said.
const HIDDEN: &str = "(hidden)";
/// A shorter word is no secret whose every appearance could be hidden.
const SECRET_BYTES_MIN: usize = 4;

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hidden(pub(super) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// A proxy through which a package manager reaches its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// As it is configured, possibly with a password.
    pub(super) address: Hidden,
    pub(super) endpoint: Endpoint,
    is_tls: bool,
}

impl Proxy {
    /// A proxy by its address; `None` for one that cannot be granted.
    pub(super) fn of(address: &str) -> Option<Self> {
        let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
        let (port, is_tls) = match scheme {
            "http" => (80, false),
            "https" => (443, true),
            _ => return None,
        };
        Some(Self {
            address: Hidden(address.to_owned()),
            endpoint: authority(rest, port)?.1,
            is_tls,
        })
    }

    /// The proxy of the usual variables, unless `host` is reached without one.
    pub(super) fn of_environment(host: &str) -> Option<Result<Self, ()>> {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let spelled = |name: &str| set(name).or_else(|| set(&name.to_ascii_lowercase()));
        let address = spelled("HTTPS_PROXY").or_else(|| spelled("ALL_PROXY"))?;
        if spelled("NO_PROXY").is_some_and(|list| is_without_proxy(&list, host)) {
            return None;
        }
        Some(Self::of(&address).ok_or(()))
    }

    pub(super) fn grants(&self) -> Grants {
        Grants::of_proxy(&self.endpoint, self.is_tls)
    }

    /// What must not be shown of it.
    pub(super) fn secrets(&self) -> Vec<Hidden> {
        password_in(&self.address.0).into_iter().collect()
    }
}

/// Whether a list of hosts without proxy, as `NO_PROXY` has it, holds `host`.
pub(super) fn is_without_proxy(list: &str, host: &str) -> bool {
    list.split([',', ' ']).map(str::trim).any(|entry| {
        let entry = entry.trim_start_matches("*.").trim_start_matches('.');
        entry == "*" || !entry.is_empty() && (host == entry || host.ends_with(&format!(".{entry}")))
    })
}

/// The password in an address, if there is one.
pub(super) fn password_in(address: &str) -> Option<Hidden> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _host) = authority.rsplit_once('@')?;
    let password = user.split_once(':').map_or(user, |(_, password)| password);
    Some(Hidden(password.to_owned())).filter(|password| !password.0.is_empty())
}

/// Takes secrets out of what was said.
pub(super) fn without_secrets(said: &str, secrets: &[Hidden]) -> String {
    let long = secrets.iter().filter(|secret| secret.0.len() >= SECRET_BYTES_MIN);
    long.fold(said.to_owned(), |said, secret| said.replace(&secret.0, HIDDEN))
}

/// The settings of npm's files that are about credentials of the registry at `address`, as npm takes them from its environment.
pub(super) fn npm_credentials(files: &[&Path], address: &str) -> Vec<(String, Hidden)> {
    const KINDS: [&str; 4] = ["_authToken", "_auth", "username", "_password"];
    let own = format!("//{}/", address.trim_start_matches("https://").trim_end_matches('/'));
    let mut found: Vec<(String, Hidden)> = Vec::new();
    for (key, value) in files.iter().flat_map(|file| settings(file)) {
        let Some((place, kind)) = key.rsplit_once(':') else {
            continue;
        };
        let place = format!("{}/", place.trim_end_matches('/'));
        let is_own = place.starts_with("//") && own.starts_with(&place) && KINDS.contains(&kind);
        let name = format!("npm_config_{place}:{kind}");
        // The user's file is read first, and counts first.
        if is_own && !found.iter().any(|(known, _)| *known == name) {
            found.push((name, Hidden(value)));
        }
    }
    found
}

/// The lines of a configuration as keys and values, `${VAR}` put in as package managers do.
fn settings(file: &Path) -> Vec<(String, String)> {
    let is_short = fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() <= CONFIG_BYTES_MAX);
    let text = is_short
        .then(|| fs::read_to_string(file).ok())
        .flatten()
        .unwrap_or_default();
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', ';', '[']));
    lines
        .filter_map(|line| {
            // A key may hold `=` in no registry's address.
            let (key, value) = line.split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            Some((key.trim().to_owned(), put_in(value)?))
        })
        .collect()
}

/// `None` where a variable is not set: then nobody knows the value.
fn put_in(value: &str) -> Option<String> {
    let mut whole = String::new();
    let mut rest = value;
    while let Some((before, (name, after))) = rest
        .split_once("${")
        .and_then(|(before, behind)| Some((before, behind.split_once('}')?)))
    {
        whole.push_str(before);
        whole.push_str(&std::env::var(name.trim_end_matches('?')).ok()?);
        rest = after;
    }
    whole.push_str(rest);
    Some(whole)
}

/// A setting of npm's files as it is written: what npm tells may have its password replaced.
pub(super) fn npm_setting(files: &[&Path], wanted: &[&str]) -> Option<String> {
    let all: Vec<(String, String)> = files.iter().flat_map(|file| settings(file)).collect();
    let by_name = |name: &&str| all.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    wanted.iter().find_map(by_name)
}

/// The addresses of indexes in pip's own files, for users who have configured pip and not uv.
pub(super) fn pip_indexes(files: &[&Path]) -> Vec<String> {
    let all = files.iter().flat_map(|file| settings(file));
    let named = all.filter(|(key, _)| ["index-url", "index_url"].contains(&key.as_str()));
    named.map(|(_, value)| value).take(1).collect()
}

#[cfg(test)]
mod tests {
    use super::{Hidden, Proxy, is_without_proxy, npm_credentials, password_in, pip_indexes, without_secrets};

    #[test]
    fn credentials_are_those_of_the_registry_and_nobody_elses() {
        let place = tempfile::tempdir().unwrap();
        let (user, global) = (place.path().join("user"), place.path().join("global"));
        std::fs::write(
            &user,
            "; mine\n//ours.example:8443/npm/:_authToken = \"t-1\"\n//other.example/:_authToken=t-2\n//ours.example:8443/npm/deep/:_authToken=t-3\nregistry=https://x.example/\n",
        )
        .unwrap();
        std::fs::write(
            &global,
            "//ours.example:8443/npm/:_authToken=t-4\n//ours.example:8443/:username=u\n",
        )
        .unwrap();
        let found = npm_credentials(&[&user, &global], "https://ours.example:8443/npm/");
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, value)| (name.as_str(), value.0.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("npm_config_//ours.example:8443/npm/:_authToken", "t-1"),
                ("npm_config_//ours.example:8443/:username", "u"),
            ]
        );
        assert!(npm_credentials(&[&user], "https://ours.example:8443.evil.example/").is_empty());
    }

    #[test]
    fn nothing_secret_is_shown() {
        assert_eq!(format!("{:?}", Hidden("t-1".into())), "(hidden)");
        let proxy = Proxy::of("http://me:pass-word@proxy.example:3128").unwrap();
        assert_eq!(proxy.endpoint.to_string(), "proxy.example:3128");
        assert!(!format!("{proxy:?}").contains("pass-word"));
        assert_eq!(
            without_secrets("407 for me:pass-word@", &proxy.secrets()),
            "407 for me:(hidden)@"
        );
        assert_eq!(password_in("https://token@host/simple"), Some(Hidden("token".into())));
        assert_eq!(password_in("https://host/simple@x"), None);
        assert!(Proxy::of("socks5://host:1080").is_none());
    }

    #[test]
    fn hosts_without_proxy_and_pips_index() {
        assert!(is_without_proxy("localhost,.corp.example", "npm.corp.example"));
        assert!(is_without_proxy("*", "any.example"));
        assert!(!is_without_proxy("corp.example", "notcorp.example"));
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("pip.conf");
        std::fs::write(&file, "[global]\nindex-url = https://u:p@pip.example/simple\n").unwrap();
        assert_eq!(pip_indexes(&[&file]), ["https://u:p@pip.example/simple"]);
    }
}
