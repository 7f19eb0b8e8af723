//! A webhook, signed as Standard Webhooks has it: HMAC-SHA256 over id, time and body, so that nobody can change, make or replay one.

use base64ct::{Base64, Encoding as _};
use cofferdam_audit::{Clock as _, SystemClock};
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::event::Event;
use crate::http::{Client, Endpoint};
use crate::ocsf::{self, Origin};
use crate::secret::Secret;
use crate::sink::{Sink, Undelivered};

/// What secrets begin with when their bytes are written in base64.
const ENCODED: &str = "whsec_";

/// Where, and what is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where it is posted to.
    pub endpoint: Endpoint,
    /// The key of signatures: `whsec_` and base64, or the bytes themselves.
    pub secret: Secret,
}

/// Posts batches of events.
#[derive(Debug)]
pub struct WebhookSink {
    poster: WebhookPoster,
    origin: Origin,
}

impl WebhookSink {
    /// A sink for this webhook. Nothing is connected yet.
    #[must_use]
    pub fn new(to: Webhook, origin: Origin) -> Self {
        Self {
            poster: WebhookPoster::new(to),
            origin,
        }
    }
}

/// Posts messages to a webhook, each signed.
#[derive(Debug)]
pub struct WebhookPoster {
    client: Client,
    secret: Secret,
}

impl WebhookPoster {
    /// Nothing is connected yet.
    #[must_use]
    pub fn new(to: Webhook) -> Self {
        Self {
            client: Client::new(to.endpoint),
            secret: to.secret,
        }
    }

    /// Posts a body of JSON. Its id is the same however often it is sent.
    ///
    /// # Errors
    /// It was not answered with 2xx: refused for good where that was 400, 413 or 422.
    pub fn post(&mut self, id: &str, body: &str) -> Result<(), Undelivered> {
        let seconds = (SystemClock.now().0 / 1_000_000_000).to_string();
        let signature = self.signature(format!("{id}.{seconds}.{body}").as_bytes())?;
        let headers = [
            ("content-type", "application/json"),
            ("webhook-id", id),
            ("webhook-timestamp", seconds.as_str()),
            ("webhook-signature", &format!("v1,{signature}")),
        ];
        let answer = self.client.post("", &headers, body.as_bytes())?;
        let words = || answer.in_words(self.client.url());
        match answer.status {
            _ if answer.is_success() => Ok(()),
            400 | 413 | 422 => Err(Undelivered::Refused(words())),
            _ => Err(Undelivered::Unavailable(words())),
        }
    }

    fn signature(&self, signed: &[u8]) -> Result<String, Undelivered> {
        let text = self.secret.expose();
        let key = match text.strip_prefix(ENCODED) {
            Some(encoded) => Base64::decode_vec(encoded)
                .map_err(|_cause| Undelivered::Unavailable(format!("the secret is not base64 behind `{ENCODED}`")))?,
            None => text.as_bytes().to_vec(),
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)
            .map_err(|cause| Undelivered::Unavailable(format!("the secret cannot sign: {cause}")))?;
        mac.update(signed);
        Ok(Base64::encode_string(&mac.finalize().into_bytes()))
    }
}

impl Sink for WebhookSink {
    fn deliver(&mut self, events: &[Event]) -> Result<(), Undelivered> {
        let listed: Vec<Value> = events.iter().map(|event| ocsf::event(event, &self.origin)).collect();
        let body = json!({"type": "cofferdam.records", "data": listed}).to_string();
        self.poster.post(&id_of(events), &body)
    }
}

/// The same for the same events, however often they are sent.
fn id_of(events: &[Event]) -> String {
    let mut hash = Sha256::new();
    for event in events {
        hash.update(event.id());
        hash.update([0]);
    }
    let digest = hash.finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
