//! Where a package comes from, by the package manager's own configuration: the user's, the system's and the usual variables.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use cofferdam_manifest::Endpoint;
use serde_json::Value;

use crate::failure::Failure;

/// A registry and what is needed to trust it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Registry {
    /// Its address, `https://…`, with a slash at its end.
    pub(super) address: String,
    pub(super) endpoint: Endpoint,
    /// Certificate authorities besides the system's.
    pub(super) authorities: Option<PathBuf>,
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
        if text("https-proxy").or(text("proxy")).is_some() {
            return Err(
                Failure::misconfigured("npm is configured to use a proxy, which installs do not use so far")
                    .help("install the package yourself and name its program"),
            );
        }
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
        let variable = std::env::var_os("NODE_EXTRA_CA_CERTS").map(PathBuf::from);
        let authorities = text("cafile").map(PathBuf::from).or(variable);
        Ok(Self {
            address: format!("{}/", address.trim_end_matches('/')),
            endpoint,
            authorities: authorities.filter(|path| path.is_absolute()),
        })
    }
}

/// Host and port of an `https://` address.
pub(super) fn endpoint(address: &str) -> Option<Endpoint> {
    let rest = address.strip_prefix("https://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let whole = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:443")
    };
    whole.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Registry, endpoint};

    #[test]
    fn the_scope_of_a_package_chooses_its_registry() {
        let settings = json!({"registry": "https://public.example/", "@ours:registry": "https://ours.example:8443/npm", "strict-ssl": true, "proxy": null});
        let of = |package| Registry::of_settings(package, &settings).unwrap();
        assert_eq!(of("server").address, "https://public.example/");
        assert_eq!(of("@theirs/server").endpoint.to_string(), "public.example:443");
        assert_eq!(of("@ours/server").address, "https://ours.example:8443/npm/");
        assert_eq!(of("@ours/server").endpoint.to_string(), "ours.example:8443");
    }

    #[test]
    fn what_cannot_be_kept_to_is_refused() {
        for settings in [
            json!({}),
            json!({"registry": "http://plain.example/"}),
            json!({"registry": "https://user:word@host.example/"}),
            json!({"registry": "https://169.254.169.254/"}),
            json!({"registry": "https://a.example/", "strict-ssl": false}),
            json!({"registry": "https://a.example/", "https-proxy": "http://proxy.example:3128"}),
        ] {
            assert!(Registry::of_settings("server", &settings).is_err(), "{settings}");
        }
        assert_eq!(
            endpoint("https://[2001:db8::1]/x").map(|endpoint| endpoint.port),
            Some(443)
        );
    }
}
