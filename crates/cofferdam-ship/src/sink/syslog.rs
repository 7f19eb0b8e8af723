//! Syslog messages (RFC 5424) over TCP or TLS with octet counting (RFC 6587, RFC 5425).
//!
//! Syslog has no acknowledgement. What comes closest: each batch is a connection of its own, we end our side of it, and only when the
//! other side, having read to our end, ends its own is the batch taken for delivered. A collector that dies before answers with a reset,
//! or not at all, and gets everything again.

use std::io::{self, ErrorKind, Write as _};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::event::Event;
use crate::ocsf::{self, Origin, Severity};
use crate::sink::{Sink, Undelivered};
use crate::time::written;
use crate::tls::Tls;

/// How long a collector may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to read on, and to end its side.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Facility 13: log audit.
const FACILITY: u32 = 13;
/// The name of our structured data; 32473 is the enterprise number of examples (RFC 5612), as we have none.
const STRUCTURED: &str = "cofferdam@32473";
/// The longest value of structured data that we write, in characters.
const VALUE_CHARS_MAX: usize = 128;
/// What a collector says after our end is nothing we wait for: so much of it is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// `HOST:PORT`.
    pub address: String,
    /// The host alone: the collector's certificate must be for it.
    pub host: String,
    /// None sends in the clear.
    pub tls: Option<Tls>,
    /// The longest message, in bytes: payloads are cut to fit.
    pub message_bytes: usize,
}

/// Sends to one collector.
#[derive(Debug)]
pub struct SyslogSink {
    to: Syslog,
    origin: Origin,
}

impl SyslogSink {
    /// A sink for this collector. Nothing is connected yet.
    #[must_use]
    pub const fn new(to: Syslog, origin: Origin) -> Self {
        Self { to, origin }
    }

    fn send(&self, frames: &[u8]) -> Result<(), String> {
        let stream = self.connect().map_err(|cause| cause.to_string())?;
        match &self.to.tls {
            None => over_tcp(stream, frames).map_err(|cause| cause.to_string()),
            Some(tls) => {
                let name = ServerName::try_from(self.to.host.clone()).map_err(|cause| cause.to_string())?;
                let session = ClientConnection::new(tls.config()?, name).map_err(|cause| cause.to_string())?;
                over_tls(StreamOwned::new(session, stream), frames).map_err(|cause| cause.to_string())
            }
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the name has no address");
        for address in self.to.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
                    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
                    return Ok(stream);
                }
                Err(cause) => last = cause,
            }
        }
        Err(last)
    }
}

impl Sink for SyslogSink {
    fn deliver(&mut self, events: &[Event]) -> Result<(), Undelivered> {
        let mut frames = Vec::new();
        for event in events {
            let message = message(event, &self.origin, self.to.message_bytes);
            frames.extend_from_slice(format!("{} ", message.len()).as_bytes());
            frames.extend_from_slice(message.as_bytes());
        }
        self.send(&frames)
            .map_err(|cause| Undelivered::Unavailable(format!("`{}`: {cause}", self.to.address)))
    }
}

fn over_tcp(mut stream: TcpStream, frames: &[u8]) -> io::Result<()> {
    stream.write_all(frames)?;
    stream.shutdown(Shutdown::Write)?;
    wait_for_end(&mut stream)
}

fn over_tls(mut stream: StreamOwned<ClientConnection, TcpStream>, frames: &[u8]) -> io::Result<()> {
    stream.write_all(frames)?;
    stream.conn.send_close_notify();
    while stream.conn.wants_write() {
        stream.conn.write_tls(&mut stream.sock)?;
    }
    stream.sock.shutdown(Shutdown::Write)?;
    wait_for_end(&mut stream)
}

/// Reads until the other side's end.
fn wait_for_end(stream: &mut impl io::Read) -> io::Result<()> {
    let mut buffer = [0; 1024];
    let mut total = 0;
    while total < ANSWER_BYTES_MAX {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            // Many collectors end a connection without saying so in TLS; a reset is another error.
            Err(cause) if cause.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "the collector did not read to the end in time",
                ));
            }
            Err(cause) => return Err(cause),
            Ok(count) => total += count,
        }
    }
    Err(io::Error::other("the collector talks instead of reading"))
}

/// One message, as RFC 5424 has it, of at most `bytes_max` bytes where its facts let it.
fn message(event: &Event, origin: &Origin, bytes_max: usize) -> String {
    let severity = match Severity::of(event) {
        Severity::Informational => 6,
        Severity::Medium => 4,
        Severity::Critical => 1,
    };
    let values = [
        ("id", event.id()),
        ("server", event.server().to_owned()),
        ("kind", event.kind()),
    ];
    let data: String = values
        .iter()
        .map(|(name, value)| format!(" {name}=\"{}\"", quoted(value)))
        .collect();
    let head = format!(
        "<{}>1 {} {} cofferdam - {} [{STRUCTURED}{data}] ",
        FACILITY * 8 + severity,
        written(event.wall_ns()),
        word(&origin.host, 255),
        word(&event.kind(), 32),
    );
    let room = bytes_max.saturating_sub(head.len());
    head + &ocsf::event_within(event, origin, room)
}

/// Printable ASCII without spaces, as a header's words must be.
fn word(text: &str, chars_max: usize) -> String {
    let plain: String = text.chars().filter(char::is_ascii_graphic).take(chars_max).collect();
    if plain.is_empty() { "-".to_owned() } else { plain }
}

fn quoted(value: &str) -> String {
    let mut quoted = String::new();
    for letter in value.chars().take(VALUE_CHARS_MAX) {
        if matches!(letter, '"' | '\\' | ']') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted
}
