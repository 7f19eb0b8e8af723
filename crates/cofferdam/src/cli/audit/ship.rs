//! `audit ship`: the record, on its way to the sinks of the settings. A thread for each sink: a slow one holds up no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use cofferdam_audit::{SessionState, Store};
use cofferdam_ledger::CHECKPOINT_FILE;
use cofferdam_ship::ocsf::Origin;
use cofferdam_ship::{
    FileSink, Folder, Limits, Login, Nats, NatsSink, Otlp, OtlpSink, Progress, ShipError, Shipper, Sink, Splunk,
    SplunkSink, SyslogSink, Webhook, WebhookSink,
};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::args::AuditShip;
use super::failure;
use crate::cli::output::Output;
use crate::failure::{Exit, Failure};
use crate::gate::escaped;
use crate::home::Home;
use crate::settings::{Destination, NatsLogin, Settings, SinkSettings};

/// How often a record that was wholly shipped is looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How soon a sleeping thread notices that it is to end.
const NOTICE: Duration = Duration::from_millis(100);
/// How long `--until-idle` has nothing to do before it looks whether it is needed.
const LINGER: Duration = Duration::from_secs(5);
/// How often `--once` tries a sink that takes nothing.
const TRIES_ONCE: u32 = 3;
/// What a sink is given at once.
const LIMITS: Limits = Limits {
    records: 500,
    bytes: 1024 * 1024,
};

/// Ships until it is told to end, or, with `--once`, until everything is delivered.
pub(super) fn ship(home: &Home, args: &AuditShip, output: &mut Output) -> Result<Exit, Failure> {
    let sinks = chosen(Settings::load(home)?.sinks, &args.sinks)?;
    Home::make(&home.audit())?;
    let store = Store::open(&home.audit()).map_err(|error| failure(&error))?;
    let is_told = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&is_told))
            .map_err(|cause| Failure::misconfigured(format!("cannot handle signals: {cause}")))?;
    }
    let service = Service {
        home,
        args,
        store,
        is_told,
    };
    loop {
        let exit = match service.serve(&sinks, output) {
            // The one that runs does what this one would.
            Err(ShipError::InUse) if args.until_idle => return Ok(Exit::Fine),
            Err(error) => return Err(ship_failure(&error)),
            Ok(exit) => exit?,
        };
        // A session that began while this one ended found it still running, and started none.
        if !args.until_idle || exit != Exit::Fine || service.is_told.load(Ordering::Relaxed) || !service.is_in_use() {
            return Ok(exit);
        }
    }
}

/// One process's shipping to all its sinks.
struct Service<'a> {
    home: &'a Home,
    args: &'a AuditShip,
    store: Store,
    /// Whether somebody told it to end.
    is_told: Arc<AtomicBool>,
}

impl Service<'_> {
    /// From taking the folder to giving it back.
    fn serve(&self, sinks: &[SinkSettings], output: &mut Output) -> Result<Result<Exit, Failure>, ShipError> {
        let folder = Folder::take(&self.home.shipping())?;
        let origin = origin();
        let mut shippers = Vec::new();
        for sink in sinks {
            let connected = match connect(sink.clone(), origin.clone()) {
                Ok(connected) => connected,
                Err(failure) => return Ok(Err(failure)),
            };
            let shipper = Shipper::open(
                &sink.name,
                (self.store.clone(), self.home.ledger().join(CHECKPOINT_FILE), &folder),
                (sink.filter.clone(), LIMITS),
                (connected, origin.clone()),
            );
            shippers.push((sink.name.clone(), shipper?));
        }
        if !self.args.once {
            output.say(&format!("shipping to {}", names(sinks)));
        }
        Ok(self.ship(shippers, output))
    }

    fn ship(&self, shippers: Vec<(String, Shipper)>, output: &mut Output) -> Result<Exit, Failure> {
        let (say, said) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let mut idle = Vec::new();
        for (name, shipper) in shippers {
            let way = Way {
                name: name.clone(),
                say: say.clone(),
                is_over: Arc::clone(&is_over),
                is_idle: Arc::new(AtomicBool::new(false)),
                is_once: self.args.once,
            };
            idle.push(Arc::clone(&way.is_idle));
            threads.push((name, std::thread::spawn(move || way.go(shipper))));
        }
        drop(say);
        self.listen(&said, (&is_over, &idle), output);
        let mut exit = Exit::Fine;
        for (name, thread) in threads {
            let outcome = thread
                .join()
                .map_err(|_panic| Failure::not_enforced(format!("shipping to `{name}` ended by itself")))?;
            exit = worse(exit, report(&name, &outcome, output)?);
        }
        Ok(exit)
    }

    /// Prints what the threads say until the last of them is gone; tells them when it is time.
    fn listen(&self, said: &Receiver<String>, (is_over, idle): (&AtomicBool, &[Arc<AtomicBool>]), output: &mut Output) {
        let mut quiet_since = Instant::now();
        loop {
            match said.recv_timeout(NOTICE) {
                Ok(line) => output.say(&line),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if !idle.iter().all(|idle| idle.load(Ordering::Relaxed)) {
                quiet_since = Instant::now();
            }
            let mut is_time = self.is_told.load(Ordering::Relaxed);
            if self.args.until_idle && quiet_since.elapsed() > LINGER {
                is_time = is_time || !self.is_in_use();
                quiet_since = Instant::now();
            }
            if is_time {
                is_over.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether a session runs; also when that cannot be known.
    fn is_in_use(&self) -> bool {
        let sessions = self.store.sessions();
        sessions.map_or(true, |found| {
            found.items.iter().any(|session| session.state == SessionState::Live)
        })
    }
}

fn chosen(sinks: Vec<SinkSettings>, names: &[String]) -> Result<Vec<SinkSettings>, Failure> {
    if sinks.is_empty() {
        return Err(Failure::new(Exit::Nothing, "no sink is configured")
            .help("`[[sinks]]` in cofferdam.toml: docs/shipping.md"));
    }
    for name in names {
        if !sinks.iter().any(|sink| sink.name == *name) {
            let name = escaped(name.as_bytes());
            return Err(Failure::usage(format!("there is no sink `{name}`"))
                .help(format!("the sinks of cofferdam.toml are {}", self::names(&sinks))));
        }
    }
    let is_chosen = |sink: &SinkSettings| names.is_empty() || names.contains(&sink.name);
    Ok(sinks.into_iter().filter(is_chosen).collect())
}

fn names(sinks: &[SinkSettings]) -> String {
    let names: Vec<String> = sinks.iter().map(|sink| format!("`{}`", sink.name)).collect();
    names.join(", ")
}

/// The sink itself, with its credential. Nothing is connected yet.
fn connect(sink: SinkSettings, origin: Origin) -> Result<Box<dyn Sink>, Failure> {
    Ok(match sink.to {
        Destination::File { path } => Box::new(FileSink::new(path, origin)),
        Destination::Syslog(to) => Box::new(SyslogSink::new(to, origin)),
        Destination::Webhook { endpoint, secret } => {
            let secret = secret.load()?;
            Box::new(WebhookSink::new(Webhook { endpoint, secret }, origin))
        }
        Destination::Splunk { endpoint, token, index } => {
            let token = token.load()?;
            Box::new(SplunkSink::new(Splunk { endpoint, token, index }, origin))
        }
        Destination::Otlp { endpoint, token } => {
            let token = token.map(|token| token.load()).transpose()?;
            Box::new(OtlpSink::new(Otlp { endpoint, token }, origin))
        }
        Destination::Nats { nats, login } => {
            let login = match login {
                NatsLogin::None => Login::None,
                NatsLogin::Token(token) => Login::Token(token.load()?),
                NatsLogin::Password(user, password) => Login::Password(user, password.load()?),
                NatsLogin::Credentials(path) => Login::Credentials(path),
            };
            let sink = NatsSink::new(Nats { login, ..nats }, origin);
            Box::new(sink.map_err(|cause| Failure::not_enforced(format!("cannot start an event loop: {cause}")))?)
        }
    })
}

fn origin() -> Origin {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    Origin {
        host: if host.is_empty() { "unknown" } else { host }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// One sink's thread.
struct Way {
    name: String,
    say: Sender<String>,
    is_over: Arc<AtomicBool>,
    /// Whether there was nothing to deliver when it last looked.
    is_idle: Arc<AtomicBool>,
    is_once: bool,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    delivered: usize,
    put_aside: usize,
    /// Sessions whose record was changed.
    broken: usize,
    /// Why the rest waits.
    waits: Option<String>,
}

impl Way {
    fn go(self, mut shipper: Shipper) -> Outcome {
        let mut outcome = Outcome::default();
        let mut tries = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let step = shipper.step();
            self.is_idle.store(matches!(step, Progress::Nothing), Ordering::Relaxed);
            if step == Progress::Nothing && outcome.waits.take().is_some() {
                self.tell("nothing waits any more");
            }
            match step {
                Progress::Nothing if self.is_once => break,
                Progress::Nothing => self.sleep(LOOK_EVERY),
                Progress::Delivered {
                    events,
                    put_aside,
                    broken,
                } => {
                    if broken > 0 {
                        self.tell(
                            "warning: a session's record was changed, and is not shipped on; `audit verify` says where",
                        );
                    }
                    outcome.broken = outcome.broken.saturating_add(broken);
                    outcome.delivered = outcome.delivered.saturating_add(events);
                    outcome.put_aside = outcome.put_aside.saturating_add(put_aside);
                    if events > 0 && outcome.waits.take().is_some() {
                        self.tell("takes records again");
                        tries = 0;
                    }
                    if put_aside > 0 {
                        let path = shipper.aside_path().display().to_string();
                        self.tell(&format!("warning: it refused a record for good, kept in `{path}`"));
                    }
                }
                Progress::Waits { cause, pause } => {
                    if outcome.waits.as_ref() != Some(&cause) {
                        self.tell(&format!("warning: takes nothing, the record waits: {cause}"));
                    }
                    outcome.waits = Some(cause);
                    tries += 1;
                    if self.is_once && tries >= TRIES_ONCE {
                        break;
                    }
                    self.sleep(pause);
                }
            }
        }
        self.is_idle.store(true, Ordering::Relaxed);
        outcome
    }

    fn tell(&self, what: &str) {
        // The other end prints until the last thread is gone.
        let _ = self.say.send(format!("{}: {}", self.name, escaped(what.as_bytes())));
    }

    fn sleep(&self, pause: Duration) {
        let began = Instant::now();
        while began.elapsed() < pause && !self.is_over.load(Ordering::Relaxed) {
            std::thread::sleep(NOTICE.min(pause));
        }
    }
}

fn report(name: &str, outcome: &Outcome, output: &mut Output) -> Result<Exit, Failure> {
    let Outcome {
        delivered,
        put_aside,
        broken,
        waits,
    } = outcome;
    if output.is_json() {
        let line =
            json!({"sink": name, "delivered": delivered, "put_aside": put_aside, "broken": broken, "waits": waits});
        output.line(&line.to_string())?;
    } else {
        let aside = if *put_aside > 0 {
            format!(", {put_aside} put aside")
        } else {
            String::new()
        };
        output.line(&format!("{name}: {delivered} delivered{aside}"))?;
    }
    if let Some(cause) = waits {
        let cause = escaped(cause.as_bytes());
        output.say(&format!("error: not everything was delivered to `{name}`: {cause}"));
        return Ok(Exit::NotEnforced);
    }
    Ok(if *put_aside > 0 || *broken > 0 {
        Exit::Findings
    } else {
        Exit::Fine
    })
}

fn worse(one: Exit, other: Exit) -> Exit {
    if (one as u8) < (other as u8) { other } else { one }
}

fn ship_failure(error: &ShipError) -> Failure {
    match error {
        ShipError::Record(error) => failure(error),
        ShipError::InUse => Failure::new(Exit::Nothing, error.to_string()).help("it serves all gates of this home"),
        error => Failure::misconfigured(error.to_string()),
    }
}
