//! `cofferdam.toml`: how Cofferdam itself works, for all servers. The organisation's in `/etc/cofferdam`, the user's in the configuration
//! folder; the user's can only be stricter where it matters.

mod sinks;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cofferdam_audit::{Durability, Options, Quota, Rotation, Sealing, SystemClock};
use cofferdam_manifest::parse_bytes;
use nix::unistd::Uid;
use serde::Deserialize;

use crate::failure::Failure;
use crate::home::Home;
use crate::own_files::{read_file_of, read_own_file};
use crate::sealing::Recipients;
pub(crate) use sinks::{ApprovalsWebhook, Destination, NatsLogin, SinkSettings};

/// The organisation's file. It must belong to root.
const ORGANISATION: &str = "/etc/cofferdam/cofferdam.toml";
/// The user's file, in the configuration folder.
pub(crate) const FILE_NAME: &str = "cofferdam.toml";
/// The longest settings that are read, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// The smallest and the largest segment that can be asked for, in bytes.
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=4 * 1024 * 1024 * 1024;
/// Free space on the record's disk below which people are warned, unless the settings say otherwise.
const WARN_BELOW: u64 = 1024 * 1024 * 1024;
/// The variable that continuous integration sets. It makes everything stricter, so anybody may set it.
const CI_VARIABLE: &str = "CI";
/// How long a question for consent stays open unless the settings say otherwise, in milliseconds.
const QUESTION_MS: u64 = 120_000;
/// The shortest and the longest time it can, in seconds.
const QUESTION_SECONDS: std::ops::RangeInclusive<u64> = 5..=3_600;
/// The shortest and the longest time a segment is written to, in hours.
const SEGMENT_HOURS: std::ops::RangeInclusive<u64> = 1..=24 * 31;

/// How Cofferdam works, from both files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// When an entry counts as recorded.
    durability: Durability,
    /// When a segment is followed by another.
    rotation: Rotation,
    /// Whom payloads are sealed to.
    recipients: Option<Recipients>,
    /// Free bytes on the disk of the record below which people are warned.
    pub(crate) warn_below: u64,
    /// A file that the ledger's checkpoints are appended to.
    pub(crate) publish: Option<PathBuf>,
    /// Where the record is shipped to.
    pub(crate) sinks: Vec<SinkSettings>,
    /// Whether `run` starts the shipper.
    pub(crate) ship_with_run: bool,
    /// Whether this is continuous integration: there is nobody to ask. No variable takes that back.
    pub(crate) is_ci: bool,
    /// How long a question for consent stays open, in milliseconds.
    pub(crate) question_ms: u64,
    /// Where questions for consent are posted to.
    pub(crate) approvals_webhook: Option<ApprovalsWebhook>,
}

/// One file, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    record: WrittenRecord,
    ledger: WrittenLedger,
    sinks: Vec<toml::Table>,
    shipping: WrittenShipping,
    approvals: WrittenApprovals,
    profile: WrittenProfile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenProfile {
    ci: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenApprovals {
    expires_seconds: Option<u64>,
    webhook: Option<toml::Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenShipping {
    with_run: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLedger {
    publish: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRecord {
    durability: Option<WrittenDurability>,
    segment: Option<String>,
    segment_hours: Option<u64>,
    #[serde(default)]
    recipients: Vec<String>,
    warn_below: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenDurability {
    Written,
    Synced,
}

impl Settings {
    /// What both files say; a file that is not there says nothing.
    ///
    /// # Errors
    /// A file cannot be read, can be written by others, or says something that is not known.
    pub(crate) fn load(home: &Home) -> Result<Self, Failure> {
        Self::read(Path::new(ORGANISATION), &home.settings())
    }

    fn read(organisation: &Path, user: &Path) -> Result<Self, Failure> {
        let organisation_text = if organisation.exists() {
            Some(read_roots_file(organisation)?)
        } else {
            None
        };
        let user_text = if user.symlink_metadata().is_ok() {
            Some(read_own_file(user, FILE_BYTES_MAX)?)
        } else {
            None
        };
        let (above, own) = (
            parse(organisation_text.as_deref(), organisation)?,
            parse(user_text.as_deref(), user)?,
        );
        let publish = above.ledger.publish.or(own.ledger.publish);
        let with_run = above.shipping.with_run.or(own.shipping.with_run);
        let sinks = above.sinks.into_iter().chain(own.sinks).collect();
        // The shorter one: a question that waits long is answered by whoever comes along.
        let expires_seconds = [above.approvals.expires_seconds, own.approvals.expires_seconds];
        let expires_seconds = expires_seconds.into_iter().flatten().min();
        let webhook = above.approvals.webhook.or(own.approvals.webhook);
        let durability = above.record.durability.max(own.record.durability);
        Ok(Self {
            durability: match durability {
                Some(WrittenDurability::Synced) => Durability::Synced,
                Some(WrittenDurability::Written) | None => Durability::Written,
            },
            rotation: Rotation {
                bytes: segment_bytes(above.record.segment.or(own.record.segment).as_deref())?,
                age: segment_age(above.record.segment_hours.or(own.record.segment_hours))?,
            },
            recipients: Recipients::parse(&[above.record.recipients, own.record.recipients].concat())?,
            warn_below: warn_below(own.record.warn_below.or(above.record.warn_below).as_deref())?,
            publish: publish.map(absolute).transpose()?,
            sinks: sinks::read(sinks)?,
            ship_with_run: with_run.unwrap_or(false),
            is_ci: above.profile.ci || own.profile.ci || is_variable_set(CI_VARIABLE),
            question_ms: question_ms(expires_seconds)?,
            approvals_webhook: webhook.map(sinks::approvals_webhook).transpose()?,
        })
    }

    /// How a log of a server with this quota works.
    pub(crate) fn record_options(&self, bytes_per_hour: u64) -> Options {
        Options {
            durability: self.durability,
            quota: Quota { bytes_per_hour },
            clock: Arc::new(SystemClock),
            rotation: self.rotation,
            sealing: self
                .recipients
                .clone()
                .map(|recipients| Arc::new(recipients) as Arc<dyn Sealing>),
        }
    }
}

fn parse(text: Option<&str>, path: &Path) -> Result<Written, Failure> {
    let Some(text) = text else {
        return Ok(Written::default());
    };
    toml::from_str(text).map_err(|error| {
        let text = error.to_string();
        Failure::misconfigured(format!("cannot read `{}`: {}", path.display(), text.trim_end()))
            .help("the known keys are in docs/settings.md; nothing runs until it is right")
    })
}

fn segment_bytes(text: Option<&str>) -> Result<u64, Failure> {
    let Some(text) = text else {
        return Ok(Rotation::STANDARD.bytes);
    };
    let bytes = parse_bytes(text)
        .map_err(|cause| Failure::misconfigured(format!("`segment = \"{text}\"` in {FILE_NAME}: {cause}")))?;
    if SEGMENT_BYTES.contains(&bytes) {
        Ok(bytes)
    } else {
        Err(out_of_range("segment", text, "64KiB", "4GiB"))
    }
}

fn warn_below(text: Option<&str>) -> Result<u64, Failure> {
    text.map_or(Ok(WARN_BELOW), |text| {
        parse_bytes(text)
            .map_err(|cause| Failure::misconfigured(format!("`warn_below = \"{text}\"` in {FILE_NAME}: {cause}")))
    })
}

/// Whether a variable says yes: anything but nothing, `0` and `false`.
fn is_variable_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0" && value != "false")
}

fn question_ms(seconds: Option<u64>) -> Result<u64, Failure> {
    match seconds {
        None => Ok(QUESTION_MS),
        Some(seconds) if QUESTION_SECONDS.contains(&seconds) => Ok(seconds.saturating_mul(1_000)),
        Some(seconds) => Err(out_of_range("expires_seconds", &seconds.to_string(), "5", "3600")),
    }
}

fn segment_age(hours: Option<u64>) -> Result<Duration, Failure> {
    match hours {
        None => Ok(Rotation::STANDARD.age),
        Some(hours) if SEGMENT_HOURS.contains(&hours) => Ok(Duration::from_secs(hours.saturating_mul(60 * 60))),
        Some(hours) => Err(out_of_range("segment_hours", &hours.to_string(), "1", "744")),
    }
}

fn absolute(path: PathBuf) -> Result<PathBuf, Failure> {
    if path.is_absolute() {
        Ok(path)
    } else {
        let shown = path.display();
        Err(Failure::misconfigured(format!(
            "`publish = \"{shown}\"` in {FILE_NAME} is not an absolute path"
        )))
    }
}

fn out_of_range(key: &str, value: &str, least: &str, most: &str) -> Failure {
    Failure::misconfigured(format!("`{key}` is {value} in {FILE_NAME}"))
        .help(format!("choose between {least} and {most}"))
}

/// Reads a file that only root can have written.
fn read_roots_file(path: &Path) -> Result<String, Failure> {
    let bytes = read_file_of(path, Uid::from_raw(0), FILE_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_cause| Failure::misconfigured(format!("`{}` is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(organisation: Option<&str>, user: Option<&str>) -> Result<Settings, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["organisation.toml", "user.toml"].map(|name| folder.path().join(name));
        for (path, text) in paths.iter().zip([organisation, user]) {
            if let Some(text) = text {
                std::fs::write(path, text).unwrap();
            }
        }
        let [organisation, user] = &paths;
        Settings::read(organisation, user)
    }

    #[test]
    fn nothing_said_is_the_standard() {
        let settings = read(None, None).unwrap();
        assert_eq!(settings.durability, Durability::Written);
        assert_eq!(settings.rotation, Rotation::STANDARD);
    }

    #[test]
    fn a_user_can_be_stricter_than_the_organisation_and_never_laxer() {
        let synced = "[record]\ndurability = \"synced\"\n";
        let written = "[record]\ndurability = \"written\"\n";
        for (above, own) in [(synced, written), (written, synced), (synced, synced)] {
            if nix::unistd::geteuid().is_root() {
                assert_eq!(read(Some(above), Some(own)).unwrap().durability, Durability::Synced);
            } else {
                assert!(
                    read(Some(above), Some(own)).is_err(),
                    "the organisation's file is root's"
                );
            }
        }
        assert_eq!(read(None, Some(synced)).unwrap().durability, Durability::Synced);
    }

    #[test]
    fn what_is_not_known_or_out_of_range_is_refused_by_name() {
        for (text, word) in [
            ("[record]\ndurabilty = \"synced\"\n", "durabilty"),
            ("[record]\ndurability = \"maybe\"\n", "maybe"),
            ("[recrod]\n", "recrod"),
            ("[record]\nsegment = \"1KiB\"\n", "segment"),
            ("[record]\nsegment = \"much\"\n", "much"),
            ("[record]\nsegment_hours = 0\n", "segment_hours"),
            ("[[sinks]]\nname = \"../x\"\ntype = \"file\"\n", "../x"),
            ("[[sinks]]\nname = \"x\"\ntype = \"fax\"\n", "`fax`"),
            ("[[sinks]]\nname = \"x\"\ntype = \"file\"\n", "`path`"),
            ("[[sinks]]\nname = \"x\"\ntype = \"file\"\npath = \"x\"\n", "absolute"),
            (
                "[[sinks]]\nname = \"x\"\ntype = \"file\"\npath = \"/x\"\nwithout_payload = [\"decisions\"]\n",
                "`decisions`",
            ),
            (
                "[[sinks]]\nname = \"x\"\ntype = \"file\"\npath = \"/x\"\nurl = \"x\"\n",
                "`url`",
            ),
            (
                "[[sinks]]\nname = \"x\"\ntype = \"syslog\"\naddress = \"x\"\n",
                "HOST:PORT",
            ),
            (
                "[[sinks]]\nname = \"x\"\ntype = \"file\"\npath = \"/x\"\n[[sinks]]\nname = \"x\"\ntype = \"file\"\npath = \"/y\"\n",
                "two sinks",
            ),
        ] {
            let failure = read(None, Some(text)).unwrap_err();
            assert!(failure.what.contains(word), "{text}: {}", failure.what);
        }
        let settings = read(None, Some("[record]\nsegment = \"1MiB\"\nsegment_hours = 2\n")).unwrap();
        assert_eq!(settings.rotation.bytes, 1024 * 1024);
        assert_eq!(settings.rotation.age, Duration::from_secs(7200));
    }
}
