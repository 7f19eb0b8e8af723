//! `[[sinks]]` of `cofferdam.toml`: where the record is shipped to.

mod credential;
mod keys;

use std::collections::HashSet;
use std::path::PathBuf;

use cofferdam_audit::Kind;
use cofferdam_ship::{Endpoint, Filter, Login, Nats, Syslog, Tls, Webhook};
use toml::Table;

use super::FILE_NAME;
use crate::failure::Failure;
use credential::Credential;
use keys::Keys;

/// Most sinks.
const SINKS_MAX: usize = 16;
/// What is shipped of each payload, unless a sink says otherwise.
const PAYLOAD_BYTES: usize = 16 * 1024;
/// The most that can be asked for: a batch is held in memory.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
/// The longest syslog message, unless the settings say otherwise: what RFC 5425 wants every collector to take, and rsyslog does.
const SYSLOG_MESSAGE_BYTES: usize = 8 * 1024;
/// The shortest that can be asked for: a decision must fit.
const SYSLOG_MESSAGE_BYTES_MIN: usize = 4 * 1024;

/// One place the record is shipped to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SinkSettings {
    pub(crate) name: String,
    pub(crate) filter: Filter,
    pub(crate) to: Destination,
}

/// How it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    File {
        path: PathBuf,
    },
    Syslog(Syslog),
    Webhook {
        endpoint: Endpoint,
        secret: Credential,
    },
    Splunk {
        endpoint: Endpoint,
        token: Credential,
        index: Option<String>,
    },
    Otlp {
        endpoint: Endpoint,
        token: Option<Credential>,
    },
    Nats {
        /// With nobody as login.
        nats: Nats,
        login: NatsLogin,
    },
}

/// Where questions are posted to when they are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApprovalsWebhook {
    endpoint: Endpoint,
    secret: Credential,
}

impl ApprovalsWebhook {
    /// With its secret.
    ///
    /// # Errors
    /// The secret cannot be read.
    pub(crate) fn load(self) -> Result<Webhook, Failure> {
        let secret = self.secret.load()?;
        let endpoint = self.endpoint;
        Ok(Webhook { endpoint, secret })
    }
}

/// As whom a NATS server knows us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NatsLogin {
    None,
    Token(Credential),
    Password(String, Credential),
    Credentials(PathBuf),
}

impl Destination {
    /// The variable that holds its credential.
    pub(crate) fn variable(&self) -> Option<&str> {
        let credential = match self {
            Self::Webhook { secret, .. } => Some(secret),
            Self::Splunk { token, .. } => Some(token),
            Self::Otlp { token, .. } => token.as_ref(),
            Self::Nats { login, .. } => match login {
                NatsLogin::Token(credential) | NatsLogin::Password(_, credential) => Some(credential),
                NatsLogin::None | NatsLogin::Credentials(_) => None,
            },
            Self::File { .. } | Self::Syslog(_) => None,
        };
        match credential? {
            Credential::Variable(name) => Some(name),
            Credential::File(_) => None,
        }
    }
}

/// All sinks of both files.
///
/// # Errors
/// Which one is not as it must be, and why.
pub(super) fn read(tables: Vec<Table>) -> Result<Vec<SinkSettings>, Failure> {
    if tables.len() > SINKS_MAX {
        return Err(Failure::misconfigured(format!(
            "more than {SINKS_MAX} sinks in {FILE_NAME}"
        )));
    }
    let mut names = HashSet::new();
    let mut sinks = Vec::new();
    for table in tables {
        let sink = sink(Keys::new(table)?)?;
        if !names.insert(sink.name.clone()) {
            return Err(
                Failure::misconfigured(format!("two sinks are named `{}` in {FILE_NAME}", sink.name))
                    .help("the organisation's file counts too; each name says where its shipping stands"),
            );
        }
        sinks.push(sink);
    }
    Ok(sinks)
}

/// The webhook of `[approvals.webhook]`.
///
/// # Errors
/// What of it is not as it must be.
pub(super) fn approvals_webhook(mut table: Table) -> Result<ApprovalsWebhook, Failure> {
    let name = "approvals.webhook";
    if table.insert("name".to_owned(), "approvals".into()).is_some() {
        return Err(Failure::misconfigured(format!(
            "`name` is no key of `{name}` in {FILE_NAME}"
        )));
    }
    let mut keys = Keys::new(table)?;
    let webhook = ApprovalsWebhook {
        endpoint: endpoint(&mut keys)?,
        secret: keys.required_credential("secret")?,
    };
    keys.finish("webhook")?;
    Ok(webhook)
}

fn sink(mut keys: Keys) -> Result<SinkSettings, Failure> {
    let filter = filter(&mut keys)?;
    let kind = keys
        .text("type")?
        .ok_or_else(|| keys.wrong("it has no `type`").help(TYPES))?;
    let to = match kind.as_str() {
        "file" => Destination::File {
            path: keys.required_path("path")?,
        },
        "syslog" => Destination::Syslog(syslog(&mut keys)?),
        "webhook" => Destination::Webhook {
            endpoint: endpoint(&mut keys)?,
            secret: keys.required_credential("secret")?,
        },
        "splunk" => Destination::Splunk {
            endpoint: endpoint(&mut keys)?,
            token: keys.required_credential("token")?,
            index: keys.text("index")?,
        },
        "otlp" => Destination::Otlp {
            endpoint: endpoint(&mut keys)?,
            token: keys.credential("token")?,
        },
        "nats" => nats(&mut keys)?,
        other => return Err(keys.wrong(&format!("there is no type `{other}`")).help(TYPES)),
    };
    let name = keys.finish(&kind)?;
    Ok(SinkSettings { name, filter, to })
}

const TYPES: &str = "the types are `file`, `syslog`, `webhook`, `splunk`, `otlp` and `nats`: docs/shipping.md";

fn filter(keys: &mut Keys) -> Result<Filter, Failure> {
    let payload_bytes = keys.bytes("payload", 0..=PAYLOAD_BYTES_MAX)?.unwrap_or(PAYLOAD_BYTES);
    let mut without_payload = Vec::new();
    for word in keys.words("without_payload")? {
        let mut kinds = (0..=u8::MAX).map(Kind::from_code);
        let kind = kinds.find(|kind| !matches!(kind, Kind::Other(_)) && kind.to_string() == word);
        without_payload.push(kind.ok_or_else(|| {
            keys.wrong(&format!("`without_payload` has `{word}`, which is no kind of record"))
                .help("docs/audit-format.md section 5 lists them")
        })?);
    }
    Ok(Filter {
        payload_bytes,
        without_payload,
    })
}

fn syslog(keys: &mut Keys) -> Result<Syslog, Failure> {
    let address = keys.required_text("address")?;
    let host = keys.host_of(&address)?;
    let transport = keys.text("transport")?;
    let tls = match transport.as_deref() {
        None | Some("tls") => Some(tls(keys)?),
        Some("tcp") => None,
        Some(other) => return Err(keys.wrong(&format!("`transport` is `tls` or `tcp`, not `{other}`"))),
    };
    let lengths = SYSLOG_MESSAGE_BYTES_MIN..=PAYLOAD_BYTES_MAX;
    Ok(Syslog {
        address,
        host,
        tls,
        message_bytes: keys.bytes("message", lengths)?.unwrap_or(SYSLOG_MESSAGE_BYTES),
    })
}

fn endpoint(keys: &mut Keys) -> Result<Endpoint, Failure> {
    let url = keys.required_text("url")?;
    let tls = tls(keys)?;
    Endpoint::new(&url, tls).map_err(|cause| keys.wrong(&format!("`url`: {cause}")))
}

fn nats(keys: &mut Keys) -> Result<Destination, Failure> {
    let nats = Nats {
        servers: keys.words("servers")?,
        subject: keys.text("subject")?.unwrap_or_else(|| "cofferdam".to_owned()),
        stream: keys.text("stream")?,
        login: Login::None,
        tls: tls(keys)?,
    };
    nats.check().map_err(|cause| keys.wrong(&cause))?;
    let logins = (
        keys.credential("token")?,
        keys.text("user")?,
        keys.credential("password")?,
        keys.path("credentials")?,
    );
    let login = match logins {
        (None, None, None, None) => NatsLogin::None,
        (Some(token), None, None, None) => NatsLogin::Token(token),
        (None, Some(user), Some(password), None) => NatsLogin::Password(user, password),
        (None, None, None, Some(path)) => NatsLogin::Credentials(path),
        _ => {
            return Err(keys.wrong("more than one way to log in, or half of one").help(
                "`token_file`, or `user` and `password_file`, or `credentials` with a NATS credentials file, or nothing",
            ));
        }
    };
    Ok(Destination::Nats { nats, login })
}

fn tls(keys: &mut Keys) -> Result<Tls, Failure> {
    let identity = match (keys.path("certificate")?, keys.path("key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(keys.wrong("`certificate` and `key` go together")),
    };
    Ok(Tls {
        authorities: keys.path("ca")?,
        identity,
    })
}
