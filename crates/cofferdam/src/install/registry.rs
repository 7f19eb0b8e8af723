//! Where a package comes from, by the package manager's own configuration: the user's, the system's and the usual variables.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cofferdam_manifest::Endpoint;
use serde_json::Value;

use super::configured::{Hidden, Proxy, is_without_proxy, npm_credentials, npm_setting};
use crate::failure::Failure;

/// A registry and what is needed to trust it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Registry {
    /// Its address, `https://…`, with a slash at its end.
    pub(super) address: String,
    pub(super) endpoint: Endpoint,
    /// Certificate authorities besides the system's.
    pub(super) authorities: Option<PathBuf>,
    /// Variables that hold its credentials.
    pub(super) credentials: Vec<(String, Hidden)>,
    /// What it is reached through.
    pub(super) proxy: Option<Proxy>,
}

impl Registry {
    /// npm's registry for a package.
    ///
    /// # Errors
    /// npm cannot be asked, or its configuration cannot be kept to here.
    pub(super) fn of_npm(package: &str) -> Result<Self, Failure> {
        // Started in `/`, where no project has a configuration.
        let asked = Command::new("npm")
            .args(["config", "list", "--json"])
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| {
                Failure::misconfigured(format!("npm cannot be started: {cause}"))
                    .help("install npm, or name the server's program")
            })?;
        let settings: Value = serde_json::from_slice(&asked.stdout)
            .map_err(|error| Failure::misconfigured(format!("npm does not tell its configuration: {error}")))?;
        Self::of_settings(package, &settings)
    }

    fn of_settings(package: &str, settings: &Value) -> Result<Self, Failure> {
        let text = |key: &str| {
            settings
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        if settings.get("strict-ssl") == Some(&Value::Bool(false)) {
            return Err(
                Failure::misconfigured("npm is configured not to check certificates (`strict-ssl`)")
                    .help("name the registry's certificate authority with `cafile` instead"),
            );
        }
        let scope = package.split_once('/').map(|(scope, _)| format!("{scope}:registry"));
        let scoped = scope.as_deref().and_then(text);
        let address = scoped.or_else(|| text("registry")).unwrap_or_default();
        let endpoint = endpoint(address)
            .ok_or_else(|| Failure::misconfigured("npm's registry is not an `https://` address that can be granted"))?;
        let files = ["userconfig", "globalconfig"].map(|key| text(key).map(PathBuf::from));
        let files: Vec<&Path> = files.iter().flatten().map(PathBuf::as_path).collect();
        let variable = std::env::var_os("NODE_EXTRA_CA_CERTS").map(PathBuf::from);
        let authorities = text("cafile").map(PathBuf::from).or(variable);
        Ok(Self {
            credentials: npm_credentials(&files, address),
            proxy: proxy(settings, &files, &endpoint.host)?,
            address: format!("{}/", address.trim_end_matches('/')),
            endpoint,
            authorities: authorities.filter(|path| path.is_absolute()),
        })
    }
}

/// npm's proxy for a host: its own setting, which has the usual variables for a default.
fn proxy(settings: &Value, files: &[&Path], host: &str) -> Result<Option<Proxy>, Failure> {
    let keys = ["https-proxy", "proxy"];
    let set = |key: &&str| {
        let text = settings.get(*key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    let told = keys.iter().find_map(set);
    // npm leaves out, or writes with stars, what has a password.
    let is_left_out = keys.iter().any(|key| settings.get(*key).is_none());
    let is_left_out = is_left_out || told.is_some_and(|told| told.contains('*'));
    let without = settings.get("noproxy").map(|list| match list {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.as_str().unwrap_or_default().to_owned(),
    });
    if without.is_some_and(|list| is_without_proxy(&list, host)) {
        return Ok(None);
    }
    let written = || npm_setting(files, &keys).map(|address| Proxy::of(&address).ok_or(()));
    let found = if is_left_out {
        written().or_else(|| Proxy::of_environment(host))
    } else {
        told.map(|told| Proxy::of(told).ok_or(()))
    };
    found.transpose().map_err(|()| unusable_proxy("npm"))
}

pub(super) fn unusable_proxy(whose: &str) -> Failure {
    Failure::misconfigured(format!(
        "{whose} is configured to use a proxy that is no `http://` or `https://` address that can be granted"
    ))
    .help("install the package yourself and name its program")
}

/// Host and port of an `https://` address without a user.
pub(super) fn endpoint(address: &str) -> Option<Endpoint> {
    let (user, endpoint) = authority(address.strip_prefix("https://")?, 443)?;
    user.is_none().then_some(endpoint)
}

/// User, host and port of what stands behind an address's scheme.
pub(super) fn authority(rest: &str, port: u16) -> Option<(Option<&str>, Endpoint)> {
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let whole = if has_port {
        host.to_owned()
    } else {
        format!("{host}:{port}")
    };
    Some((user, whole.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Registry, endpoint};

    #[test]
    fn the_scope_of_a_package_chooses_its_registry() {
        let settings = json!({"registry": "https://public.example/", "@ours:registry": "https://ours.example:8443/npm", "strict-ssl": true, "proxy": null, "https-proxy": null});
        let of = |package| Registry::of_settings(package, &settings).unwrap();
        assert_eq!(of("server").address, "https://public.example/");
        assert_eq!(of("@theirs/server").endpoint.to_string(), "public.example:443");
        assert_eq!(of("@ours/server").address, "https://ours.example:8443/npm/");
        assert_eq!(of("@ours/server").endpoint.to_string(), "ours.example:8443");
    }

    #[test]
    fn a_proxy_is_used_unless_the_host_is_reached_without_one() {
        let settings = json!({"registry": "https://a.example/", "proxy": null, "proxy": null, "https-proxy": "http://proxy.example:3128", "noproxy": ["b.example"], "@b:registry": "https://npm.b.example/"});
        let of = |package| Registry::of_settings(package, &settings).unwrap().proxy;
        assert_eq!(of("server").unwrap().endpoint.to_string(), "proxy.example:3128");
        assert_eq!(of("@b/server"), None);
    }

    #[test]
    fn what_cannot_be_kept_to_is_refused() {
        for settings in [
            json!({}),
            json!({"registry": "http://plain.example/"}),
            json!({"registry": "https://user:word@host.example/"}),
            json!({"registry": "https://169.254.169.254/"}),
            json!({"registry": "https://a.example/", "strict-ssl": false}),
            json!({"registry": "https://a.example/", "proxy": null, "https-proxy": "socks5://proxy.example:1080"}),
        ] {
            assert!(Registry::of_settings("server", &settings).is_err(), "{settings}");
        }
        assert_eq!(
            endpoint("https://[2001:db8::1]/x").map(|endpoint| endpoint.port),
            Some(443)
        );
    }
}
