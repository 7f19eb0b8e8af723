//! Names under which secrets lie in folders that people grant: none of them is readable inside.
//!
//! A name is the last parts of a path, `*` standing for any part of a name.

/// Masked whatever they hold: environment files, stores of keys and credentials, configurations of MCP clients (which
/// hold the environment of every server).
pub const MASKED_NAMES: &[&str] = &[
    // Environments.
    ".env*",
    "*.env",
    // Keys.
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "*.ppk",
    "*.p12",
    "*.pfx",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    ".ssh",
    ".gnupg",
    ".password-store",
    "keyrings",
    // Credentials of tools and clouds.
    ".netrc",
    "_netrc",
    ".git-credentials",
    ".npmrc",
    ".yarnrc.yml",
    ".pypirc",
    ".pgpass",
    ".my.cnf",
    ".htpasswd",
    ".dockercfg",
    ".docker/config.json",
    ".vault-token",
    ".terraformrc",
    "credentials.tfrc.json",
    "*.tfstate",
    "*.tfvars",
    ".cargo/credentials*",
    ".gem/credentials",
    ".aws",
    ".azure",
    ".kube",
    ".boto",
    ".s3cfg",
    ".config/gcloud",
    ".config/gh",
    ".config/glab-cli",
    ".config/op",
    "service-account*.json",
    "service_account*.json",
    // Configurations of MCP clients.
    ".mcp.json",
    "mcp.json",
    "mcp_config.json",
    "mcp_settings.json",
    "cline_mcp_settings.json",
    "claude_desktop_config.json",
    ".claude.json",
    ".claude/settings*.json",
    ".codex/config.toml",
    ".gemini/settings.json",
    ".continue/config.*",
    ".config/zed/settings.json",
    ".zed/settings.json",
    "opencode.json",
    "goose/config.yaml",
];

/// Masked when they hold a private key.
pub const MASKED_IF_KEYS: &[&str] = &["*.pem", "*.key", "*_rsa", "*_ecdsa", "*_ed25519"];

/// Never masked: they show which variables there are, not what is in them.
pub const NOT_MASKED: &[&str] = &[
    ".env.example",
    ".env.sample",
    ".env.template",
    ".env.dist",
    "example.env",
    "sample.env",
];

/// Why `name` cannot be masked, if so: it is the last parts of a path, without `..` and not only a star.
pub(crate) fn mask_fault(name: &str) -> Option<&'static str> {
    let is_wrong = |part: &str| part.is_empty() || part == "." || part == ".." || part.bytes().all(|byte| byte == b'*');
    name.split('/')
        .any(is_wrong)
        .then_some("a mask is the last parts of a path, such as `.env*` or `secrets/tokens.json`")
}

#[cfg(test)]
mod tests {
    use super::{MASKED_IF_KEYS, MASKED_NAMES, NOT_MASKED, mask_fault};

    #[test]
    fn every_default_is_a_mask_and_stands_once() {
        let all: Vec<&str> = [MASKED_NAMES, MASKED_IF_KEYS, NOT_MASKED].concat();
        for (at, name) in all.iter().enumerate() {
            assert_eq!(mask_fault(name), None, "{name}");
            assert!(!all.iter().skip(at + 1).any(|other| other == name), "{name}");
        }
        for wrong in ["", "/x", "x/", "a//b", "../x", "*", "a/**"] {
            assert!(mask_fault(wrong).is_some(), "{wrong}");
        }
    }
}
