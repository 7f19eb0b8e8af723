//! What looks like a secret: well-known token formats, and names people give to credentials.

/// Endings of an environment variable's name that say credential, after the last `_` or alone.
const SECRET_ENDINGS: &[&str] = &[
    "TOKEN",
    "KEY",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PWD",
    "PAT",
    "CREDENTIAL",
    "CREDENTIALS",
    "APIKEY",
    "SECRETS",
    "PASS",
];
/// Names with such an ending that say nothing secret.
const PLAIN_NAMES: &[&str] = &[
    "PWD",
    "OLDPWD",
    "PUBLIC_KEY",
    "SORT_KEY",
    "PRIMARY_KEY",
    "PARTITION_KEY",
];

/// Prefix, least characters after it, and what such a value is called.
const TOKENS: &[(&str, usize, &str)] = &[
    ("ghp_", 20, "a GitHub token"),
    ("gho_", 20, "a GitHub token"),
    ("ghu_", 20, "a GitHub token"),
    ("ghs_", 20, "a GitHub token"),
    ("ghr_", 20, "a GitHub token"),
    ("github_pat_", 20, "a GitHub token"),
    ("glpat-", 16, "a GitLab token"),
    ("sk-", 20, "an API key"),
    ("sk_live_", 16, "an API key"),
    ("sk_test_", 16, "an API key"),
    ("rk_live_", 16, "an API key"),
    ("xoxb-", 10, "a Slack token"),
    ("xoxp-", 10, "a Slack token"),
    ("xoxa-", 10, "a Slack token"),
    ("xoxs-", 10, "a Slack token"),
    ("xapp-", 10, "a Slack token"),
    ("AKIA", 16, "an AWS access key"),
    ("ASIA", 16, "an AWS access key"),
    ("AIza", 30, "a Google API key"),
    ("ya29.", 20, "a Google access token"),
    ("npm_", 30, "an npm token"),
    ("pypi-", 30, "a PyPI token"),
    ("hf_", 20, "a Hugging Face token"),
    ("dop_v1_", 30, "a DigitalOcean token"),
    ("ntn_", 20, "a Notion token"),
    ("tvly-", 16, "a Tavily key"),
    ("lin_api_", 20, "a Linear key"),
    ("hvs.", 20, "a Vault token"),
    ("AGE-SECRET-KEY-1", 20, "an age key"),
];

/// What a value looks like, such as `a GitHub token`, also inside a longer text like `--token=…` or a URL.
pub(crate) fn secret_like_value(value: &str) -> Option<&'static str> {
    if value.contains("-----BEGIN ") && value.contains("PRIVATE KEY") {
        return Some("a private key");
    }
    if value.split("://").skip(1).any(has_password) {
        return Some("a URL with a password");
    }
    let is_edge = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    value.split(is_edge).find_map(token)
}

/// What an environment setting looks like, by its name and its value.
pub(crate) fn secret_like_setting(name: &str, value: &str) -> Option<&'static str> {
    // A path, a number or a switch under such a name is a reference, not the secret itself.
    let harmless = value.is_empty()
        || value.starts_with(['/', '~'])
        || value.bytes().all(|byte| byte.is_ascii_digit())
        || matches!(value, "true" | "false" | "yes" | "no" | "on" | "off" | "none");
    secret_like_value(value).or_else(|| (secret_like_name(name) && !harmless).then_some("a secret, by its name"))
}

/// What a variable looks like that a person would not want to see written down, such as `a GitHub token`; `None` for plain settings.
#[must_use]
pub fn looks_secret(name: &str, value: &str) -> Option<&'static str> {
    secret_like_setting(name, value).or_else(|| secret_like_name(name).then_some("a secret, by its name"))
}

/// True when a variable's name says that its value is a credential.
pub(crate) fn secret_like_name(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    let last = upper.rsplit('_').next().unwrap_or(&upper);
    let plain = PLAIN_NAMES
        .iter()
        .any(|plain| upper == *plain || upper.ends_with(&format!("_{plain}")) && *plain != "PWD");
    !plain && (SECRET_ENDINGS.contains(&last) || ["PASSWORD", "APIKEY", "SECRET"].iter().any(|end| last.ends_with(end)))
}

fn token(word: &str) -> Option<&'static str> {
    let known = TOKENS.iter().find_map(|(prefix, least, kind)| {
        let rest = word.strip_prefix(prefix)?;
        let body = rest.len() >= *least && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        // Prose such as `sk-learn-…` has no digit in it.
        (body && rest.bytes().any(|b| b.is_ascii_digit())).then_some(*kind)
    });
    known.or_else(|| is_web_token(word).then_some("a JSON web token"))
}

fn is_web_token(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    word.starts_with("eyJ") && parts.len() == 3 && parts.iter().take(2).all(|part| part.len() >= 10)
}

/// `user:password@host…`
fn has_password(authority: &str) -> bool {
    let authority = authority.split(['/', '?', '#']).next().unwrap_or("");
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.and_then(|user| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::{secret_like_name, secret_like_setting, secret_like_value};

    #[test]
    fn names_that_say_credential() {
        for name in [
            "GITHUB_TOKEN",
            "API_KEY",
            "OPENAI_API_KEY",
            "DB_PASSWORD",
            "PGPASSWORD",
            "MY_SECRET",
            "token",
            "GH_PAT",
        ] {
            assert!(secret_like_name(name), "{name}");
        }
        for name in [
            "HOME",
            "MAX_TOKENS",
            "KEYBOARD",
            "MONKEY",
            "PWD",
            "PUBLIC_KEY",
            "SSH_PUBLIC_KEY",
            "TOKEN_LIMIT",
        ] {
            assert!(!secret_like_name(name), "{name}");
        }
    }

    #[test]
    fn values_that_are_tokens() {
        let digits = "0123456789abcdefABCDEF0123456789";
        for (value, kind) in [
            (format!("ghp_{digits}"), "a GitHub token"),
            (format!("--token=glpat-{digits}"), "a GitLab token"),
            (format!("Bearer sk-proj-{digits}"), "an API key"),
            (format!("eyJhbGciOiJI.eyJzdWIiOiIx.{digits}"), "a JSON web token"),
            (String::from("postgres://me:hunter2@db/x"), "a URL with a password"),
        ] {
            assert_eq!(secret_like_value(&value), Some(kind), "{value}");
        }
        for value in [
            "sk-learn-is-a-python-library-name",
            "postgres://me@db/x",
            "https://a.b/c:d@e",
            "/home/u/ghp_",
            "",
        ] {
            assert_eq!(secret_like_value(value), None, "{value}");
        }
    }

    #[test]
    fn a_reference_under_a_secret_name_is_fine() {
        assert_eq!(secret_like_setting("TLS_KEY", "/etc/tls/key.pem"), None);
        assert_eq!(secret_like_setting("USE_TOKEN", "true"), None);
        assert!(secret_like_setting("API_KEY", "hunter2").is_some());
    }
}
