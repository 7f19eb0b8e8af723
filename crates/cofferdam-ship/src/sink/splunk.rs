//! Splunk's HTTP event collector, with indexer acknowledgement: an event is delivered when it is indexed, not when it is received.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::event::Event;
use crate::http::{Answer, Client, Endpoint};
use crate::ocsf::{self, Origin};
use crate::secret::Secret;
use crate::sink::{Sink, Undelivered};

/// How long an indexer may take to acknowledge.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// The collector's own codes for data that it will never take: malformed, without an event, an empty one, wrong fields.
const REFUSALS: [u64; 4] = [6, 12, 13, 15];

/// Where, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splunk {
    /// The collector, without `/services/collector`.
    pub endpoint: Endpoint,
    /// Its token, with indexer acknowledgement switched on.
    pub token: Secret,
    /// The index, where it is not the token's own.
    pub index: Option<String>,
}

/// Posts batches of events.
#[derive(Debug)]
pub struct SplunkSink {
    client: Client,
    authorization: Secret,
    channel: String,
    index: Option<String>,
    origin: Origin,
}

impl SplunkSink {
    /// A sink for this collector. Nothing is connected yet.
    #[must_use]
    pub fn new(to: Splunk, origin: Origin) -> Self {
        Self {
            client: Client::new(to.endpoint),
            authorization: to.token,
            channel: channel(),
            index: to.index,
            origin,
        }
    }

    fn body(&self, events: &[Event]) -> String {
        let mut body = String::new();
        for event in events {
            let (seconds, millis) = (event.wall_ns() / 1_000_000_000, event.wall_ns() / 1_000_000 % 1_000);
            let mut wrapped = json!({
                "time": format!("{seconds}.{millis:03}"), "host": self.origin.host, "source": "cofferdam", "sourcetype": "cofferdam:ocsf",
                "event": ocsf::event(event, &self.origin),
                "fields": {"id": event.id(), "session": event.session(), "server": event.server(), "kind": event.kind()},
            });
            if let (Some(index), Some(wrapped)) = (&self.index, wrapped.as_object_mut()) {
                wrapped.insert("index".to_owned(), json!(index));
            }
            body.push_str(&wrapped.to_string());
            body.push('\n');
        }
        body
    }

    fn post(&mut self, path: &str, body: &str) -> Result<Answer, Undelivered> {
        let authorization = format!("Splunk {}", self.authorization.expose());
        let headers = [
            ("authorization", authorization.as_str()),
            ("x-splunk-request-channel", &self.channel),
            ("content-type", "application/json"),
        ];
        self.client.post(path, &headers, body.as_bytes())
    }

    fn wait_until_indexed(&mut self, number: u64) -> Result<(), Undelivered> {
        let began = Instant::now();
        let path = format!("/services/collector/ack?channel={}", self.channel);
        while began.elapsed() < ACKNOWLEDGE_TIMEOUT {
            let answer = self.post(&path, &json!({"acks": [number]}).to_string())?;
            if !answer.is_success() {
                return Err(Undelivered::Unavailable(answer.in_words(self.client.url())));
            }
            let said: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
            let is_indexed = said.get("acks").and_then(|acks| acks.get(number.to_string()));
            if is_indexed.and_then(Value::as_bool) == Some(true) {
                return Ok(());
            }
            std::thread::sleep(ASK_EVERY);
        }
        Err(Undelivered::Unavailable(format!(
            "`{}` took the events and does not acknowledge that they are indexed",
            self.client.url()
        )))
    }
}

impl Sink for SplunkSink {
    fn deliver(&mut self, events: &[Event]) -> Result<(), Undelivered> {
        let body = self.body(events);
        let answer = self.post("/services/collector/event", &body)?;
        let said: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        let words = answer.in_words(self.client.url());
        if !answer.is_success() {
            let code = said.get("code").and_then(Value::as_u64);
            let is_final = answer.status == 413 || code.is_some_and(|code| REFUSALS.contains(&code));
            return Err(if is_final {
                Undelivered::Refused(words)
            } else {
                Undelivered::Unavailable(words)
            });
        }
        match said.get("ackId").and_then(Value::as_u64) {
            Some(number) => self.wait_until_indexed(number),
            None => Err(Undelivered::Unavailable(format!(
                "{words}: it gives no acknowledgement; switch on indexer acknowledgement for this token"
            ))),
        }
    }
}

/// A random UUID (version 4): acknowledgements of two shippers never mix.
fn channel() -> String {
    let random = || RandomState::new().build_hasher().finish();
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}
