//! NATS JetStream, for fleets: one message a record, under the record's id, so that the stream drops what it has already.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::context::{Context, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectOptions, ServerAddr};
use futures_util::future::join_all;
use tokio::runtime::{Builder, Runtime};

use crate::event::Event;
use crate::ocsf::{self, Origin};
use crate::secret::Secret;
use crate::sink::{Sink, Undelivered};
use crate::tls::Tls;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a stream may take to acknowledge one record: all its replicas may have to agree.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(5);
/// What a message has beside the record: subject and headers.
const HEADERS_BYTES: usize = 1024;

/// Where, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nats {
    /// Servers of one cluster: `tls://HOST:PORT`, or `nats://HOST:PORT` on this machine.
    pub servers: Vec<String>,
    /// The beginning of subjects: records go to `SUBJECT.SERVER.KIND`.
    pub subject: String,
    /// The stream that must take them, where it is named.
    pub stream: Option<String>,
    /// As whom.
    pub login: Login,
    /// What TLS stands on.
    pub tls: Tls,
}

/// As whom we connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// As nobody.
    None,
    /// With a token.
    Token(Secret),
    /// With a name and a password.
    Password(String, Secret),
    /// With a file of NATS credentials (a JWT and its key).
    Credentials(PathBuf),
}

impl Nats {
    /// Holds the servers and the subject against what can be used.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.servers.is_empty() {
            return Err("it has no `servers`".to_owned());
        }
        for server in &self.servers {
            let address: ServerAddr = server
                .parse()
                .map_err(|cause| format!("`{server}` is no server: {cause}"))?;
            let is_here = matches!(address.host(), "localhost" | "127.0.0.1" | "::1" | "[::1]");
            if address.has_user_pass() {
                return Err(
                    "a server has a credential in it: name a file with `token_file` or `credentials`".to_owned(),
                );
            }
            match address.scheme() {
                "tls" => {}
                "nats" if is_here => {}
                "nats" => return Err(format!("`{server}` would send the record in the clear: write `tls://`")),
                _ => return Err(format!("`{server}` is not `tls://HOST:PORT`")),
            }
        }
        let is_token = |token: &str| {
            !token.is_empty()
                && token
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        if !self.subject.split('.').all(is_token) {
            return Err(format!("`{}` is no subject that can be published to", self.subject));
        }
        Ok(())
    }
}

/// Publishes to a stream.
pub struct NatsSink {
    to: Nats,
    origin: Origin,
    runtime: Runtime,
    client: Option<Client>,
}

impl std::fmt::Debug for NatsSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsSink").field("to", &self.to).finish_non_exhaustive()
    }
}

impl NatsSink {
    /// A sink for this cluster. Nothing is connected yet.
    ///
    /// # Errors
    /// The system gives no event queue.
    pub fn new(to: Nats, origin: Origin) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            to,
            origin,
            runtime,
            client: None,
        })
    }
}

impl Sink for NatsSink {
    fn deliver(&mut self, events: &[Event]) -> Result<(), Undelivered> {
        let client = self.client.take();
        let delivered = self.runtime.block_on(deliver((client, &self.to, &self.origin), events));
        self.client = Some(delivered?);
        Ok(())
    }
}

/// Gives the connection back when all is acknowledged; after a failure the next one is new.
async fn deliver(
    (client, to, origin): (Option<Client>, &Nats, &Origin),
    events: &[Event],
) -> Result<Client, Undelivered> {
    let client = match client {
        Some(client) => client,
        None => connect(to).await.map_err(Undelivered::Unavailable)?,
    };
    let mut context = jetstream::new(client.clone());
    context.set_timeout(ACKNOWLEDGE_TIMEOUT);
    let room = client.server_info().max_payload.saturating_sub(HEADERS_BYTES);
    let mut sessions = by_session(events);
    // One record of each session at a time: when a leader falls between two records, the second must not be in the stream before
    // the first.
    while !sessions.is_empty() {
        let mut waiting = Vec::new();
        for session in &mut sessions {
            if let Some(event) = session.pop_front() {
                waiting.push(publish(&context, to, event, ocsf::event_within(event, origin, room)));
            }
        }
        for acknowledged in join_all(waiting).await {
            acknowledged?;
        }
        sessions.retain(|session| !session.is_empty());
    }
    Ok(client)
}

fn by_session(events: &[Event]) -> Vec<VecDeque<&Event>> {
    let mut sessions: Vec<VecDeque<&Event>> = Vec::new();
    for event in events {
        let of_same =
            |session: &&mut VecDeque<&Event>| session.front().is_some_and(|first| first.session() == event.session());
        match sessions.iter_mut().find(of_same) {
            Some(session) => session.push_back(event),
            None => sessions.push(VecDeque::from([event])),
        }
    }
    sessions
}

async fn publish(context: &Context, to: &Nats, event: &Event, body: String) -> Result<(), Undelivered> {
    let server = match event.server() {
        "" => "unknown".to_owned(),
        server => server.replace('.', "_"),
    };
    let subject = format!("{}.{server}.{}", to.subject, event.kind());
    let mut message = PublishMessage::build()
        .payload(body.into())
        .message_id(event.id())
        .header("Cofferdam-Session", event.session());
    if let Some(stream) = &to.stream {
        message = message.expected_stream(stream);
    }
    let sent = context.send_publish(subject.clone(), message).await;
    let acknowledged = match sent {
        Ok(acknowledgement) => acknowledgement.await,
        Err(cause) => Err(cause),
    };
    let Err(cause) = acknowledged else {
        return Ok(());
    };
    let words = format!("`{subject}`: {cause}");
    let source = std::error::Error::source(&cause).and_then(|source| source.downcast_ref::<jetstream::Error>());
    let is_final = source.is_some_and(|error| error.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM)
        || cause.kind() == PublishErrorKind::MaxPayloadExceeded;
    Err(if is_final {
        Undelivered::Refused(words)
    } else {
        Undelivered::Unavailable(words)
    })
}

async fn connect(to: &Nats) -> Result<Client, String> {
    let mut options = ConnectOptions::new()
        .name("cofferdam")
        .connection_timeout(CONNECT_TIMEOUT)
        .max_reconnects(3);
    options = match &to.login {
        Login::None => options,
        Login::Token(token) => options.token(token.expose().to_owned()),
        Login::Password(user, password) => options.user_and_password(user.clone(), password.expose().to_owned()),
        Login::Credentials(path) => options
            .credentials_file(path)
            .await
            .map_err(|cause| format!("cannot read the credentials `{}`: {cause}", path.display()))?,
    };
    if to.servers.iter().any(|server| server.starts_with("tls://")) {
        let config = to.tls.config()?;
        options = options.require_tls(true).tls_client_config(config.as_ref().clone());
    }
    let servers: Result<Vec<ServerAddr>, _> = to.servers.iter().map(|server| server.parse()).collect();
    let servers = servers.map_err(|cause: std::io::Error| cause.to_string())?;
    options
        .connect(servers)
        .await
        .map_err(|cause| format!("{}: {cause}", to.servers.join(", ")))
}
