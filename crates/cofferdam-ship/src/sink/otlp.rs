//! OpenTelemetry logs: OTLP 1.x over HTTP, in its JSON encoding.

use serde_json::{Value, json};

use crate::event::Event;
use crate::http::{Client, Endpoint};
use crate::ocsf::{self, Origin, Severity};
use crate::secret::Secret;
use crate::sink::{Sink, Undelivered};

/// Where, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// The collector, without `/v1/logs`.
    pub endpoint: Endpoint,
    /// A bearer token, where it asks for one.
    pub token: Option<Secret>,
}

/// Posts batches of log records.
#[derive(Debug)]
pub struct OtlpSink {
    client: Client,
    token: Option<Secret>,
    origin: Origin,
}

impl OtlpSink {
    /// A sink for this collector. Nothing is connected yet.
    #[must_use]
    pub fn new(to: Otlp, origin: Origin) -> Self {
        Self {
            client: Client::new(to.endpoint),
            token: to.token,
            origin,
        }
    }

    fn body(&self, events: &[Event]) -> Value {
        let records: Vec<Value> = events.iter().map(|event| log_record(event, &self.origin)).collect();
        let resource = [
            ("service.name", "cofferdam"),
            ("service.version", &self.origin.version),
            ("host.name", &self.origin.host),
        ];
        let resource: Vec<Value> = resource.iter().map(|(key, value)| attribute(key, value)).collect();
        json!({"resourceLogs": [{
            "resource": {"attributes": resource},
            "scopeLogs": [{"scope": {"name": "cofferdam", "version": self.origin.version}, "logRecords": records}],
        }]})
    }
}

impl Sink for OtlpSink {
    fn deliver(&mut self, events: &[Event]) -> Result<(), Undelivered> {
        let body = self.body(events).to_string();
        let authorization = self.token.as_ref().map(|token| format!("Bearer {}", token.expose()));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        let answer = self.client.post("/v1/logs", &headers, body.as_bytes())?;
        let words = answer.in_words(self.client.url());
        if !answer.is_success() {
            return Err(match answer.status {
                400 | 413 => Undelivered::Refused(words),
                _ => Undelivered::Unavailable(words),
            });
        }
        let said: Value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        let rejected = said
            .get("partialSuccess")
            .and_then(|part| part.get("rejectedLogRecords"));
        // A 64-bit number is a text in this encoding, and some write a number.
        let rejected = rejected.map(|count| count.to_string().trim_matches('"') != "0");
        if rejected == Some(true) {
            return Err(Undelivered::Refused(words));
        }
        Ok(())
    }
}

fn log_record(event: &Event, origin: &Origin) -> Value {
    let (number, text) = match Severity::of(event) {
        Severity::Informational => (9, "INFO"),
        Severity::Medium => (13, "WARN"),
        Severity::Critical => (21, "FATAL"),
    };
    let ocsf = ocsf::event(event, origin);
    let facts = ocsf.pointer("/unmapped/cofferdam/facts");
    let fact = |name: &str| facts?.get(name)?.as_str().map(str::to_owned);
    let (id, kind) = (event.id(), event.kind());
    let mut attributes = vec![
        attribute("log.record.uid", &id),
        attribute("cofferdam.session", event.session()),
        attribute("cofferdam.server", event.server()),
        attribute("cofferdam.kind", &kind),
    ];
    // The conventions for MCP, where there is one.
    for (name, key) in [
        ("method", "mcp.method.name"),
        ("tool", "gen_ai.tool.name"),
        ("id", "jsonrpc.request.id"),
        ("decision", "cofferdam.decision"),
        ("rule", "cofferdam.rule"),
    ] {
        attributes.extend(fact(name).map(|value| attribute(key, &value)));
    }
    json!({
        "timeUnixNano": event.wall_ns().to_string(), "observedTimeUnixNano": event.wall_ns().to_string(),
        "severityNumber": number, "severityText": text, "eventName": format!("cofferdam.{kind}"),
        "body": {"stringValue": ocsf.to_string()}, "attributes": attributes,
    })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
