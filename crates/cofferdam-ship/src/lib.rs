//! Gives every record to the places where an organisation collects its own: at least once, in order within each session.
//!
//! A [`Shipper`] reads what the gates wrote, proven as it is read, and hands it to one [`Sink`] in batches. Where it stands is a
//! cursor on disk, moved only behind what the sink acknowledged: whoever is killed, nothing is lost, and what comes twice has the
//! same id twice. What cannot be delivered waits in the record itself; only what the sink refuses for good is put aside, in a
//! file that keeps it whole.
#![forbid(unsafe_code)]

mod backlog;
mod checkpoint;
mod cursor;
mod event;
mod http;
mod kept;
pub mod ocsf;
mod secret;
mod shipper;
mod sink;
#[cfg(test)]
mod tests;
mod time;
mod tls;

pub use backlog::{Batch, Limits};
pub use cursor::Delivered;
pub use event::{Checkpoint, Event, Filter};
pub use http::Endpoint;
pub use secret::Secret;
pub use shipper::{Folder, Progress, ShipError, Shipper};
pub use sink::file::FileSink;
pub use sink::nats::{Login, Nats, NatsSink};
pub use sink::otlp::{Otlp, OtlpSink};
pub use sink::splunk::{Splunk, SplunkSink};
pub use sink::syslog::{Syslog, SyslogSink};
pub use sink::webhook::{Webhook, WebhookPoster, WebhookSink};
pub use sink::{Sink, Undelivered};
pub use tls::Tls;
