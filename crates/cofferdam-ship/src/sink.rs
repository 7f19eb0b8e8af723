//! Where records are delivered to.

pub(crate) mod file;
pub(crate) mod nats;
pub(crate) mod otlp;
pub(crate) mod splunk;
pub(crate) mod syslog;
pub(crate) mod webhook;

use std::fmt;

use crate::event::Event;

/// A place that takes records.
pub trait Sink: fmt::Debug + Send {
    /// Delivers events, in this order. Returns once the other side has said that it has all of them, as surely as its protocol lets
    /// it. After an error any number of them may have arrived: they are delivered again.
    ///
    /// # Errors
    /// Nobody took them, or somebody will never take them.
    fn deliver(&mut self, events: &[Event]) -> Result<(), Undelivered>;
}

/// Why events were not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// Not now: trying again may help.
    Unavailable(String),
    /// Never: the other side answered that it does not take what these events say.
    Refused(String),
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(cause) | Self::Refused(cause) => f.write_str(cause),
        }
    }
}
