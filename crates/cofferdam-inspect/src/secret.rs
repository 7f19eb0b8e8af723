//! Live secret values in every encoding, and tokens of well-known forms.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64ct::{Base64, Base64Url, Encoding as _};

use crate::finding::is_invisible;
use crate::text::encoded::decoded;
use crate::text::hidden::may_hide;

/// Shorter values are in too many honest texts.
const VALUE_BYTES_MIN: usize = 8;
/// The same for a value that is one word of letters.
const WORD_BYTES_MIN: usize = 16;
/// Different bytes that a value has at least.
const DISTINCT_BYTES_MIN: usize = 5;
/// Bytes of a line that is secret by itself, in a value of several lines.
const LINE_BYTES_MIN: usize = 24;
/// Tokens by how they begin: what stands there, its beginning, and how many further characters it has at least.
const TOKENS: [(&str, &str, usize); 30] = [
    ("an AWS access key", "AKIA", 12),
    ("an AWS access key", "ASIA", 12),
    ("a GitHub token", "ghp_", 30),
    ("a GitHub token", "gho_", 30),
    ("a GitHub token", "ghs_", 30),
    ("a GitHub token", "ghu_", 30),
    ("a GitHub token", "github_pat_", 22),
    ("a GitLab token", "glpat-", 18),
    ("an Anthropic key", "sk-ant-", 20),
    ("an OpenAI key", "sk-proj-", 20),
    ("an OpenAI key", "sk-", 32),
    ("a Stripe key", "sk_live_", 16),
    ("a Stripe key", "sk_test_", 16),
    ("a Stripe key", "rk_live_", 16),
    ("a Slack token", "xoxb-", 16),
    ("a Slack token", "xoxp-", 16),
    ("a Slack token", "xapp-", 16),
    ("a Google key", "AIza", 35),
    ("a Google token", "ya29.", 20),
    ("an npm token", "npm_", 30),
    ("a PyPI token", "pypi-AgE", 40),
    ("a SendGrid key", "SG.", 40),
    ("a Hugging Face token", "hf_", 30),
    ("a DigitalOcean token", "dop_v1_", 40),
    ("a Vault token", "hvs.", 20),
    ("a Shopify token", "shpat_", 28),
    ("a Notion token", "ntn_", 40),
    ("a Linear key", "lin_api_", 32),
    ("a Doppler token", "dp.pt.", 30),
    ("a Salesforce session", "00D", 60),
];

/// The values of live secrets, searched for in all the ways they are usually encoded.
#[derive(Debug, Default)]
pub struct SecretValues {
    automaton: Option<AhoCorasick>,
    /// By pattern: the secret's index.
    owners: Vec<usize>,
    names: Vec<String>,
    unsearched: Vec<String>,
}

static NO_SECRETS: SecretValues = SecretValues {
    automaton: None,
    owners: Vec::new(),
    names: Vec::new(),
    unsearched: Vec::new(),
};

impl SecretValues {
    /// No secrets, for as long as anybody needs them.
    pub const NONE: &'static Self = &NO_SECRETS;

    /// No secrets.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Secrets by name. Values that are too short or too plain are not searched for, since they stand in honest texts: see
    /// [`SecretValues::unsearched`].
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let (mut patterns, mut owners, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let mut unsearched = Vec::new();
        for (name, value) in secrets {
            let parts = parts(value);
            if parts.is_empty() {
                unsearched.push(name.to_owned());
                continue;
            }
            for form in parts.into_iter().flat_map(forms) {
                patterns.push(form);
                owners.push(names.len());
            }
            names.push(name.to_owned());
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(patterns)
            .ok();
        Self {
            automaton: automaton.filter(|_| !names.is_empty()),
            owners,
            names,
            unsearched,
        }
    }

    /// Names of secrets whose values are too short or too plain to be searched for.
    #[must_use]
    pub fn unsearched(&self) -> &[String] {
        &self.unsearched
    }

    /// Whether nothing is searched for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.automaton.is_none()
    }

    /// The name of the first secret in `bytes`.
    #[must_use]
    pub fn first_in(&self, bytes: &[u8]) -> Option<&str> {
        let hit = self.automaton.as_ref()?.find(bytes)?;
        self.name(hit.pattern().as_usize())
    }

    /// Every place in `bytes` that holds a secret, in order and without overlap, with the secret's name.
    #[must_use]
    pub fn all_in(&self, bytes: &[u8]) -> Vec<(std::ops::Range<usize>, &str)> {
        let found = self.automaton.iter().flat_map(|automaton| automaton.find_iter(bytes));
        found
            .filter_map(|hit| Some((hit.range(), self.name(hit.pattern().as_usize())?)))
            .collect()
    }

    fn name(&self, pattern: usize) -> Option<&str> {
        self.names.get(*self.owners.get(pattern)?).map(String::as_str)
    }
}

/// Whether `value` is long and random enough that finding it in an answer means something: a word such as `production` is in too many
/// honest texts.
fn is_searchable(value: &[u8]) -> bool {
    let mut distinct = value.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let is_word = value.iter().all(u8::is_ascii_lowercase) || value.iter().all(u8::is_ascii_uppercase);
    let is_capitalised =
        value.first().is_some_and(u8::is_ascii_uppercase) && value.iter().skip(1).all(u8::is_ascii_lowercase);
    let bytes_min = if is_word || is_capitalised {
        WORD_BYTES_MIN
    } else {
        VALUE_BYTES_MIN
    };
    value.len() >= bytes_min && distinct.len() >= DISTINCT_BYTES_MIN
}

/// What of `value` is secret by itself: the whole, each long line of it, and the password of a connection string.
fn parts(value: &[u8]) -> Vec<&[u8]> {
    let mut parts = vec![value];
    let lines = value.split(|byte| *byte == b'\n');
    parts.extend(lines.filter(|line| line.len() >= LINE_BYTES_MIN && !line.starts_with(b"-----")));
    let password = std::str::from_utf8(value).ok().and_then(|text| {
        let (_, rest) = text.split_once("://")?;
        let (userinfo, _) = rest.split(['/', '?', '#']).next()?.rsplit_once('@')?;
        userinfo.split_once(':').map(|(_, password)| password)
    });
    parts.extend(password.map(str::as_bytes));
    parts.retain(|part| is_searchable(part));
    parts
}

/// `value` as it is and as it is usually written: base64 (both alphabets, all alignments), hexadecimal, percent, JSON and HTML escapes,
/// reversed.
fn forms(value: &[u8]) -> Vec<Vec<u8>> {
    let closed: Vec<u8> = value
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let mut forms = vec![value.to_vec(), closed];
    for skip in 0..3_usize {
        let mut padded = vec![0; skip];
        padded.extend_from_slice(value);
        // Characters that depend on what stands before or behind the value are left out.
        let from = [0, 2, 3].get(skip).copied().unwrap_or_default();
        let to = padded.len() * 8 / 6;
        for encoded in [Base64::encode_string(&padded), Base64Url::encode_string(&padded)] {
            forms.extend(encoded.get(from..to).map(|encoded| encoded.as_bytes().to_vec()));
        }
    }
    let hex = |digits: fn(u8) -> String, between: &str| -> Vec<u8> {
        let digits: Vec<String> = value.iter().map(|byte| digits(*byte)).collect();
        digits.join(between).into_bytes()
    };
    for between in ["", ":", "-", "%", "\\x"] {
        forms.push(hex(|byte| format!("{byte:02x}"), between));
        forms.push(hex(|byte| format!("{byte:02X}"), between));
    }
    for (kept, space) in [("-_.~", "%20"), ("-_.~/", "%20"), ("-_.~!'()*", "%20"), ("-_.*", "+")] {
        forms.push(percent(value, kept, space, |byte| format!("%{byte:02X}")));
        forms.push(percent(value, kept, space, |byte| format!("%{byte:02x}")));
    }
    if let Ok(text) = std::str::from_utf8(value) {
        forms.push(text.chars().rev().collect::<String>().into_bytes());
        let once = json_escaped(text);
        forms.extend([once.clone(), once.replace('/', "\\/"), json_escaped(&once)].map(String::into_bytes));
        let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let quoted = html.replace('"', "&quot;");
        forms.extend([html, quoted.replace('\'', "&#39;"), quoted.replace('\'', "&#x27;")].map(String::into_bytes));
    }
    forms.sort();
    forms.dedup();
    forms.retain(|form| form.len() >= VALUE_BYTES_MIN);
    forms
}

fn percent(value: &[u8], kept: &str, space: &str, escaped: fn(u8) -> String) -> Vec<u8> {
    let written = value.iter().map(|byte| match byte {
        b' ' => space.to_owned(),
        _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(byte) => char::from(*byte).to_string(),
        _ => escaped(*byte),
    });
    written.collect::<String>().into_bytes()
}

/// `text` as it stands inside a JSON string.
fn json_escaped(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or_default().to_owned()
}

/// What kind of well-known token `text` holds, plain, encoded, or broken up by invisible characters.
#[must_use]
pub fn token_kind(text: &str) -> Option<&'static str> {
    token_kind_with(text, &decoded(text))
}

/// The same, with what stands encoded in the text (see [`decoded`]).
pub(crate) fn token_kind_with(text: &str, decoded: &[String]) -> Option<&'static str> {
    if let Some(kind) = plain_token(text) {
        return Some(kind);
    }
    if !text.is_ascii() && may_hide(text.as_bytes()) {
        let visible: String = text.chars().filter(|character| !is_invisible(*character)).collect();
        if let Some(kind) = plain_token(&visible) {
            return Some(kind);
        }
    }
    decoded.iter().find_map(|text| plain_token(text))
}

/// What a token without a prefix of its own is told by.
const SIGNS: [&str; 3] = ["PRIVATE KEY-----", "://", "eyJ"];

/// Finds what a token may begin with: nearly every text is done after one pass, which compares many bytes at once.
static BEGINNINGS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let beginnings = TOKENS.iter().map(|(_, prefix, _)| *prefix).chain(SIGNS);
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostFirst)
        .build(beginnings)
        .ok()
});

fn plain_token(text: &str) -> Option<&'static str> {
    let Some(beginnings) = BEGINNINGS.as_ref() else {
        // No text causes this.
        return Some("what could not be looked for");
    };
    beginnings.find_iter(text).find_map(|hit| {
        let (before, here) = text.split_at_checked(hit.start())?;
        if here.starts_with("PRIVATE KEY-----") {
            return text.contains("-----BEGIN ").then_some("a private key");
        }
        if let Some(rest) = here.strip_prefix("://") {
            return has_password(rest).then_some("a connection string with its password");
        }
        let is_inside = before.chars().next_back().is_some_and(is_token_byte);
        if here.starts_with("eyJ") && !is_inside && is_jwt(run(here)) {
            return Some("a signed token (JWT)");
        }
        let is_word = before
            .bytes()
            .next_back()
            .is_some_and(|before| before.is_ascii_alphanumeric());
        let kinds = TOKENS.iter().filter(|_| !is_word);
        kinds
            .filter(|(_, prefix, more)| has_token(here, prefix, *more))
            .map(|(kind, _, _)| *kind)
            .next()
    })
}

/// Whether `text` begins with a token of this prefix and at least `more` further characters.
fn has_token(text: &str, prefix: &str, more: usize) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        let rest = rest.split('.').next().map(run).unwrap_or_default();
        let digits = prefix.len() == 4 || rest.bytes().any(|byte| byte.is_ascii_digit());
        rest.len() >= more && digits
    })
}

/// The characters of a token at the beginning of `text`.
fn run(text: &str) -> &str {
    text.split(|character| !is_token_byte(character))
        .next()
        .unwrap_or_default()
}

/// `scheme://user:password@host`, from behind the slashes, unless the password is a placeholder.
fn has_password(rest: &str) -> bool {
    let authority = rest
        .split(['/', '?', '#', ' ', '"', '\'', '\n'])
        .next()
        .unwrap_or_default();
    let password = authority
        .rsplit_once('@')
        .and_then(|(userinfo, _)| userinfo.split_once(':'))
        .map(|(_, password)| password);
    password.is_some_and(|password| {
        password.len() >= 8
            && password.bytes().any(|byte| byte.is_ascii_digit())
            && !password.contains(['$', '{', '<', '*', '['])
    })
}

fn is_token_byte(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.')
}

fn is_jwt(run: &str) -> bool {
    let parts: Vec<&str> = run.split('.').collect();
    matches!(parts.as_slice(), [header, payload, signature] if header.starts_with("eyJ") && payload.starts_with("eyJ") && signature.len() >= 16)
}

#[cfg(test)]
mod tests {
    use super::{SecretValues, token_kind};

    const VALUE: &[u8] = b"s3cr3t/with \"quotes\"+42";

    #[test]
    fn every_encoding_is_found() {
        let secrets = SecretValues::new([("key", VALUE), ("short", b"abc")]);
        for text in [
            "x s3cr3t/with \"quotes\"+42 y",
            "x s3cr3t/with \\\"quotes\\\"+42 y",
            "a=s3cr3t%2Fwith%20%22quotes%22%2B42",
            "czNjcjN0L3dpdGggInF1b3RlcyIrNDI=",
            // one and two bytes in front
            "eHMzY3IzdC93aXRoICJxdW90ZXMiKzQy",
            "eHhzM2NyM3Qvd2l0aCAicXVvdGVzIis0Mg==",
            "x=7333637233742f77697468202271756f746573222b3432",
        ] {
            let found = secrets.first_in(text.as_bytes());
            assert_eq!(found, Some("key"), "{text}");
        }
        assert_eq!(secrets.first_in(b"abc abc abc"), None);
        assert_eq!(secrets.unsearched(), ["short"]);
        let plain = SecretValues::new([
            ("a", b"production".as_slice()),
            ("b", b"xxxxxxxx1x"),
            ("c", b"Postgres"),
        ]);
        assert!(plain.is_empty() && plain.unsearched().len() == 3);
    }

    #[test]
    fn a_part_that_is_secret_by_itself_is_found() {
        let secrets = SecretValues::new([
            ("url", b"postgres://app:hunter2-x9@db.example/prod".as_slice()),
            (
                "pem",
                b"-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END KEY-----",
            ),
        ]);
        assert_eq!(secrets.first_in(b"password=hunter2-x9"), Some("url"));
        assert_eq!(secrets.first_in(b"db.example/prod"), None);
        assert_eq!(secrets.first_in(b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"), Some("pem"));
    }

    #[test]
    fn tokens_are_known_by_their_form() {
        let aws = format!("AKIA{}", "ABCDEFGHIJKLMNOP");
        let github = format!("ghp_{}", "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8");
        for token in [aws.as_str(), github.as_str(), "-----BEGIN RSA PRIVATE KEY-----"] {
            assert!(token_kind(&format!("x={token} y")).is_some(), "{token}");
        }
        let split: String = aws.chars().flat_map(|character| [character, '\u{200b}']).collect();
        assert!(token_kind(&split).is_some());
        for honest in [
            "skip-this-long-option-name-that-has-many-parts",
            "550e8400-e29b-41d4-a716-446655440000",
            "asking",
        ] {
            assert_eq!(token_kind(honest), None, "{honest}");
        }
    }
}
