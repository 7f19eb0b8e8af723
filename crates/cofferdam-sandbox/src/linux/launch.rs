//! The launching side: starts the launcher, hears its reports, judges the measurement, gives the word.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_passcred;

use super::cgroup::ControlGroup;
use super::channel::{self, Message, REPORT_BYTES_MAX, Report};
use super::compartment::{Compartment, Init};
use super::engine::{self, Container};
use super::launcher::HANDED_OVER;
use super::masker::Namespaces;
use super::seccomp::Variant;
use super::secrets::Secrets;
use super::synthetic::Synthetic;
use super::wire::{self, Order, SUBCOMMAND};
use super::{errno, init, mask_watch, measure, network, observe, seccomp, secrets, sources};
use crate::{Doors, Enforced, Image, Observer, Plan, SandboxError};

/// How long a start may take. A granted folder on a dead network mount would hold it for ever.
const START_SECONDS_MAX: u64 = 30;
/// The same where an engine has to unpack an image for another user first.
const CONTAINER_SECONDS_MAX: u64 = 120;

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Launcher {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

/// Starts the program of a plan in a compartment of its own.
///
/// May be called from a process with threads, and by several of them at once. The program runs only when
/// everything the plan requires was found on the very process that runs it.
///
/// # Errors
/// Whatever step failed, with the kernel's number; [`SandboxError::NotEnforced`] when all succeeded and
/// something required is missing all the same.
pub fn launch(plan: &Plan) -> Result<Compartment, SandboxError> {
    start(plan, None)
}

/// The same, and tells `observer` what the program executes, connects to, and is refused.
///
/// Observing never enforces: what is refused is refused by the filter's own rules, and what goes on is judged by
/// the kernel, Landlock and the mount table afterwards. `observer` is called from a thread of its own while the
/// call waits, so it should be quick; it is dropped when the compartment has ended.
///
/// # Errors
/// As [`launch`], and when no thread can be made.
pub fn launch_observed(plan: &Plan, observer: Observer) -> Result<Compartment, SandboxError> {
    start(plan, Some(observer))
}

fn start(plan: &Plan, observer: Option<Observer>) -> Result<Compartment, SandboxError> {
    plan.check()?;
    if let Some(image) = &plan.image {
        return start_in_image(plan, image, observer);
    }
    // The launcher starts while the plan is being prepared, and waits for it.
    let (mut launching, handed) = Launching::start()?;
    let watching = Watching {
        observer: observer.map(|observer| Arc::new(Mutex::new(observer))),
        secrets: None,
    };
    let (heard, group) = match prepare(plan, watching) {
        Ok((order, group, watching)) => {
            let heard = launching.hand_over(&order, handed);
            (heard.and_then(|()| launching.follow(plan, &group, watching)), group)
        }
        Err(error) => (Err(error), ControlGroup::default()),
    };
    launching.finish(heard, group)
}

/// The same in a container of the image: its first process stands in for the launcher.
fn start_in_image(plan: &Plan, image: &Image, observer: Option<Observer>) -> Result<Compartment, SandboxError> {
    let watching = Watching {
        observer: observer.map(|observer| Arc::new(Mutex::new(observer))),
        secrets: None,
    };
    let (mut order, group, watching) = prepare(plan, watching)?;
    let until = Instant::now() + Duration::from_secs(CONTAINER_SECONDS_MAX);
    let mut container = Container::start(image, &order)?;
    let control = container.connected(until, &std::mem::take(&mut order.control_groups))?;
    let (mut launching, handed) = Launching::with(control, until)?;
    let heard = launching.hand_over(&order, handed);
    let heard = heard.and_then(|()| launching.follow(plan, &group, watching));
    // What it ended with says more than that it ended.
    let heard = match heard {
        Err(SandboxError::LauncherEnded) => Err(container.failed()),
        heard => heard,
    };
    let compartment = launching.finish(heard, group)?;
    container.tidy();
    Ok(compartment.within(container))
}

/// What goes on beside the program while it runs.
struct Watching {
    observer: Option<mask_watch::Shared>,
    secrets: Option<Secrets>,
}

/// Resolves everything the plan names, finds what is to be masked, and makes the control groups.
fn prepare(plan: &Plan, mut watching: Watching) -> Result<(Order, ControlGroup, Watching), SandboxError> {
    let sources = sources::resolve(plan)?;
    watching.secrets = secrets::find(plan, &sources.grafts)?;
    let masks = watching.secrets.as_mut().map(Secrets::take_found).unwrap_or_default();
    let group = ControlGroup::make(&plan.limits);
    let order = Order {
        plan: plan.clone(),
        grafts: sources.grafts,
        masks,
        links: sources.links,
        synthetic: Synthetic::compose(plan),
        executables: sources.executables,
        control_groups: group.places(),
        memory_is_capped: group.memory.is_some(),
        is_observed: watching.observer.is_some(),
    };
    Ok((order, group, watching))
}

/// What the sealed process sent.
struct Measured {
    enforced: Enforced,
    pid: i32,
    variant: Variant,
    /// What an observer listens on.
    listener: Option<OwnedFd>,
}

/// A launcher at work.
struct Launching {
    /// None where a container's first process does its work.
    launcher: Option<Child>,
    /// The memory file that it has as descriptor 0, or is sent to a container.
    order: File,
    control: OwnedFd,
    lifeline: OwnedFd,
    pipes: [File; 3],
    init: Option<Init>,
    doors: Option<Doors>,
    until: Instant,
}

impl Launching {
    /// Starts the launcher. Gives the ends of the pipes and of the lifeline that it will be handed.
    fn start() -> Result<(Self, [OwnedFd; HANDED_OVER]), SandboxError> {
        let (control, theirs) = channel::pair().map_err(failed("make a channel"))?;
        let until = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        let (mut launching, handed) = Self::with(control, until)?;
        let stdin = launching
            .order
            .try_clone()
            .map_err(failed("make a file for the plan"))?;
        let launcher = Command::new("/proc/self/exe")
            .arg(SUBCOMMAND)
            .env_clear()
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(theirs))
            .stderr(Stdio::null())
            .spawn();
        launching.launcher = Some(launcher.map_err(failed("start the launcher"))?);
        Ok((launching, handed))
    }

    /// What a launcher, or what stands in for it, is spoken to by.
    fn with(control: OwnedFd, until: Instant) -> Result<(Self, [OwnedFd; HANDED_OVER]), SandboxError> {
        let order = wire::blank().map_err(failed("make a file for the plan"))?;
        // The kernel names the sender of each message, so the sealed process is known by a number of ours.
        set_socket_passcred(&control, true).map_err(|error| failed("make a channel")(error.into()))?;
        let (lifeline, life) = channel::pair().map_err(failed("make a lifeline"))?;
        let pipe = || io::pipe().map_err(failed("make pipes"));
        let ((input, to_stdin), (from_stdout, output), (from_stderr, errors)) = (pipe()?, pipe()?, pipe()?);
        let pipes = [to_stdin.into(), from_stdout.into(), from_stderr.into()].map(|end: OwnedFd| File::from(end));
        let launching = Self {
            launcher: None,
            order,
            control,
            lifeline,
            pipes,
            init: None,
            doors: None,
            until,
        };
        Ok((launching, [input.into(), output.into(), errors.into(), life]))
    }

    /// Seals the order, and hands the launcher what it waits for. Our copies of it are closed with this.
    fn hand_over(&self, order: &Order, handed: [OwnedFd; HANDED_OVER]) -> Result<(), SandboxError> {
        wire::seal(order, &self.order).map_err(failed("seal the plan"))?;
        let mut beside = handed.each_ref().map(OwnedFd::as_fd).to_vec();
        if self.launcher.is_none() {
            beside.push(self.order.as_fd());
        }
        match channel::send(&self.control, b"pipes", &beside) {
            // A program that does not know the launcher's part has ended or closed the channel.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(SandboxError::LauncherEnded),
            sent => sent.map_err(failed("hand over the pipes")),
        }
    }

    /// Hears the reports until the program runs.
    fn follow(&mut self, plan: &Plan, group: &ControlGroup, watching: Watching) -> Result<Enforced, SandboxError> {
        let Measured {
            mut enforced,
            pid,
            variant,
            listener,
        } = self.measured(plan)?;
        measure::confirm(&mut enforced, pid, plan.image.is_some())?;
        measure::confirm_ports(&enforced, plan)?;
        enforced.memory = group.memory.clone();
        enforced.cpu_percent = group.cpu_percent;
        enforced.not_enforced = group.reasons.clone();
        if !enforced.groups.is_empty() {
            let kept = "supplementary groups: kept: only root can give them up".to_owned();
            enforced.not_enforced.push(kept);
        }
        let missing = enforced.missing(&plan.require);
        if !missing.is_empty() {
            return Err(SandboxError::NotEnforced {
                missing,
                reasons: enforced.not_enforced,
            });
        }
        let until = || {
            let nobody = || io::Error::from(io::ErrorKind::InvalidData);
            self.init.as_ref().ok_or_else(nobody)?.pidfd.try_clone()
        };
        let Watching { observer, secrets } = watching;
        if let Some(secrets) = secrets {
            let inside = Namespaces::of(pid).map_err(failed("keep the namespaces"))?;
            let until = until().map_err(failed("watch for secrets"))?;
            mask_watch::start(secrets, inside, until, observer.clone()).map_err(failed("watch for secrets"))?;
        }
        if let Some(observer) = observer {
            let nothing = || failed("hear what to listen on")(io::ErrorKind::InvalidData.into());
            let filter = seccomp::filter(variant);
            let until = until().map_err(failed("observe"))?;
            observe::start(listener.ok_or_else(nothing)?, until, filter, observer).map_err(failed("observe"))?;
            enforced.is_observed = true;
        }
        channel::send(&self.control, init::RUN, &[]).map_err(failed("give the word"))?;
        let last = self.receive()?;
        if !last.bytes.is_empty() {
            return Err(match parse(&last)? {
                Report::Failed(error) => error,
                Report::Started { .. } | Report::Doors | Report::Measured { .. } => {
                    failed("hear a report that makes sense")(io::ErrorKind::InvalidData.into())
                }
            });
        }
        measure::confirm_after_start(&mut enforced, pid)?;
        Ok(enforced)
    }

    /// Waits for the measurement of the sealed process, and for the number of that process.
    fn measured(&mut self, plan: &Plan) -> Result<Measured, SandboxError> {
        loop {
            let message = self.receive()?;
            if message.bytes.is_empty() {
                return Err(SandboxError::LauncherEnded);
            }
            let sender = message.sender;
            match parse(&message)? {
                Report::Failed(error) => return Err(error),
                Report::Started { pid } => {
                    let known = |pidfd: OwnedFd| {
                        // A container counts its processes by itself.
                        let pid = if plan.image.is_some() {
                            engine::number_here(&pidfd)?
                        } else {
                            pid
                        };
                        Some(Init { pid, pidfd })
                    };
                    self.init = message.descriptors.into_iter().next().and_then(known);
                }
                Report::Doors => self.doors = Some(network::doors(&plan.ports, message.descriptors)?),
                Report::Measured { enforced, variant } => {
                    let nobody = || failed("learn who sent the measurement")(io::ErrorKind::InvalidData.into());
                    return Ok(Measured {
                        enforced: *enforced,
                        pid: sender.ok_or_else(nobody)?,
                        variant,
                        listener: message.descriptors.into_iter().next(),
                    });
                }
            }
        }
    }

    /// The next report, or an empty message when everybody has closed the channel.
    fn receive(&self) -> Result<Message, SandboxError> {
        let left = self.until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|error| failed("wait")(io::Error::other(error)))?;
        let mut watched = [PollFd::new(&self.control, PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut watched, Some(&timeout)));
        match ready.map_err(|error| failed("hear from the launcher")(error.into()))? {
            0 => Err(SandboxError::Launcher {
                doing: "hear from the launcher in time".to_owned(),
                errno: libc::ETIMEDOUT,
            }),
            _ => channel::receive(&self.control, REPORT_BYTES_MAX).map_err(failed("hear from the launcher")),
        }
    }

    /// Turns a start into a compartment, or cleans up after one that failed.
    fn finish(self, heard: Result<Enforced, SandboxError>, group: ControlGroup) -> Result<Compartment, SandboxError> {
        let Self {
            mut launcher,
            control,
            lifeline,
            pipes,
            init,
            doors,
            ..
        } = self;
        // Whoever still waits for a word hears that none will come.
        drop(control);
        let compartment = init.map(|init| Compartment::new(init, lifeline, pipes, group));
        if let Some(launcher) = &mut launcher {
            if heard.is_err() {
                // It may hang in a path that does not answer. An error is that it has ended.
                let _ended = launcher.kill();
            }
            // If it cannot be waited for, somebody else has done so.
            let _reaped = launcher.wait();
        }
        match (heard, compartment) {
            (Ok(enforced), Some(compartment)) => Ok(compartment.with(enforced, doors)),
            // Dropping a compartment kills and reaps what is in it.
            (Err(error), _) => Err(error),
            (Ok(_), None) => Err(SandboxError::LauncherEnded),
        }
    }
}

fn parse(message: &Message) -> Result<Report, SandboxError> {
    serde_json::from_slice(&message.bytes).map_err(|error| failed("read a report")(io::Error::other(error)))
}
