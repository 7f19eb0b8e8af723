//! The launching side: starts the launcher, hears its reports, judges the measurement, gives the word.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, test_kill_process};

use super::cgroup::ControlGroup;
use super::channel::{self, Message, REPORT_BYTES_MAX, Report};
use super::compartment::{Compartment, Init};
use super::engine::{self, Container};
use super::launcher::{Beginning, HANDED_OVER, ORDERED};
use super::masker::Namespaces;
use super::measure::Outside;
use super::seccomp::Variant;
use super::secrets::Secrets;
use super::synthetic::Synthetic;
use super::wire::{self, Access, Graft, Order, SUBCOMMAND};
use super::{errno, init, mask_watch, measure, network, observe, seccomp, secrets, sources};
use crate::{Doors, Enforced, Image, Limits, Observer, Plan, SandboxError, Tier};

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
    plan.check()?;
    match &plan.image {
        Some(image) => start_in_image(plan, image, None),
        None => Prepared::new(plan)?.launch(plan, None),
    }
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
    plan.check()?;
    match &plan.image {
        Some(image) => start_in_image(plan, image, Some(observer)),
        None => Prepared::new(plan)?.launch(plan, Some(observer)),
    }
}

/// A compartment in the making: what does not depend on a plan is done while the caller does other things.
///
/// The launcher starts and makes the namespaces, in which nothing runs yet, and waits. Dropping it ends both.
#[derive(Debug)]
pub struct Prepared {
    /// None once it was launched.
    parts: Option<(Launching, ControlGroup)>,
    limits: Limits,
    tier: Tier,
}

impl Prepared {
    /// Starts the launcher of a compartment with the limits and of the tier of this plan.
    ///
    /// # Errors
    /// The launcher could not be started.
    pub fn new(plan: &Plan) -> Result<Self, SandboxError> {
        let (launching, handed) = Launching::start(plan.tier)?;
        let group = ControlGroup::make(&plan.limits);
        let handed = launching.hand_over(&group, handed);
        let prepared = Self {
            parts: Some((launching, group)),
            limits: plan.limits,
            tier: plan.tier,
        };
        handed.map(|()| prepared)
    }

    /// Starts the program of a plan, as [`launch`] and, with an observer, [`launch_observed`] do.
    ///
    /// # Errors
    /// As [`launch`], and when the plan has other limits or another tier than it was prepared for.
    pub fn launch(mut self, plan: &Plan, observer: Option<Observer>) -> Result<Compartment, SandboxError> {
        plan.check()?;
        if let Some(image) = &plan.image {
            // What was prepared is of no use in a container, and ends with this.
            drop(self);
            return start_in_image(plan, image, observer);
        }
        let other_limits = || SandboxError::Plan {
            problem: "it has other limits or another tier than were prepared for".to_owned(),
        };
        if (plan.limits, plan.tier) != (self.limits, self.tier) {
            return Err(other_limits());
        }
        let (mut launching, group) = self.parts.take().ok_or_else(other_limits)?;
        launching.until = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        let prepared = prepare(plan, &group, observer);
        let heard = prepared.and_then(|(order, watching)| {
            launching.order(&order)?;
            launching.follow(plan, &group, watching)
        });
        launching.finish(heard, group)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some((launching, group)) = self.parts.take() {
            // What was called off is cleaned up by its own error.
            let _called_off = launching.finish(Err(SandboxError::LauncherEnded), group);
        }
    }
}

/// The same in a container of the image: its first process stands in for the launcher.
fn start_in_image(plan: &Plan, image: &Image, observer: Option<Observer>) -> Result<Compartment, SandboxError> {
    let group = ControlGroup::make(&plan.limits);
    let (order, watching) = prepare(plan, &group, observer)?;
    let until = Instant::now() + Duration::from_secs(CONTAINER_SECONDS_MAX);
    let mut container = Container::start(image, &order)?;
    let control = container.connected(until, &group.places())?;
    let (mut launching, handed) = Launching::with(control, until, Tier::Sealed)?;
    // The groups were entered from out here, where they are.
    let heard = launching.hand_over(&ControlGroup::default(), handed);
    let heard = heard.and_then(|()| {
        launching.order(&order)?;
        launching.follow(plan, &group, watching)
    });
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

/// Resolves everything the plan names, and finds what is to be masked.
fn prepare(plan: &Plan, group: &ControlGroup, observer: Option<Observer>) -> Result<(Order, Watching), SandboxError> {
    let sources = sources::resolve(plan)?;
    if plan.shows_snapshots() {
        refuse_written_folders(&sources.grafts)?;
    }
    let mut watching = Watching {
        observer: observer.map(|observer| Arc::new(Mutex::new(observer))),
        secrets: secrets::find(plan, &sources.grafts)?,
    };
    let masks = watching.secrets.as_mut().map(Secrets::take_found).unwrap_or_default();
    if let (Tier::Landlocked, Some(mask)) = (plan.tier, masks.first()) {
        let path = mask.target.clone();
        return Err(SandboxError::SecretInSight { path });
    }
    if plan.shows_snapshots() {
        // Nothing that happens in a granted folder appears inside.
        watching.secrets = None;
    }
    let order = Order {
        plan: plan.clone(),
        grafts: sources.grafts,
        masks,
        links: sources.links,
        synthetic: Synthetic::compose(plan),
        executables: sources.executables,
        memory_is_capped: group.memory.is_some(),
        is_observed: watching.observer.is_some(),
    };
    Ok((order, watching))
}

/// The sealed process, before it has measured itself.
struct Sealed {
    pid: i32,
    variant: Variant,
    /// What an observer listens on.
    listener: Option<OwnedFd>,
    outside: Outside,
}

/// What is written has to be the folder itself, and in the folder itself others can take a mask off.
fn refuse_written_folders(grafts: &[Graft]) -> Result<(), SandboxError> {
    let is_written = |graft: &&Graft| graft.is_folder && graft.access == Access::Write;
    match grafts.iter().find(is_written) {
        None => Ok(()),
        Some(graft) => {
            let folder = graft.target.display();
            let problem = format!(
                "`mask-strict` is required, and the folder `{folder}` is granted for writing: what others change in \
                 it appears inside, also a secret before it is masked"
            );
            Err(SandboxError::Plan { problem })
        }
    }
}

/// A launcher at work.
#[derive(Debug)]
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
    tier: Tier,
}

impl Launching {
    /// Starts the launcher. Gives the ends of the pipes and of the lifeline that it will be handed.
    fn start(tier: Tier) -> Result<(Self, [OwnedFd; HANDED_OVER]), SandboxError> {
        let (control, theirs) = channel::pair().map_err(failed("make a channel"))?;
        let until = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
        let (mut launching, handed) = Self::with(control, until, tier)?;
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
    fn with(control: OwnedFd, until: Instant, tier: Tier) -> Result<(Self, [OwnedFd; HANDED_OVER]), SandboxError> {
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
            tier,
        };
        Ok((launching, [input.into(), output.into(), errors.into(), life]))
    }

    /// Hands the launcher what it needs to make the namespaces. Our copies of it are closed with this.
    fn hand_over(&self, group: &ControlGroup, handed: [OwnedFd; HANDED_OVER]) -> Result<(), SandboxError> {
        let beginning = Beginning {
            places: group.places(),
            tier: self.tier,
        };
        let beginning = serde_json::to_vec(&beginning).map_err(|error| failed("name the groups")(error.into()))?;
        let mut beside = handed.each_ref().map(OwnedFd::as_fd).to_vec();
        if self.launcher.is_none() {
            beside.push(self.order.as_fd());
        }
        self.send(&beginning, &beside)
    }

    /// Seals the order and says so.
    fn order(&self, order: &Order) -> Result<(), SandboxError> {
        wire::seal(order, &self.order).map_err(failed("seal the plan"))?;
        self.send(ORDERED, &[])
    }

    fn send(&self, word: &[u8], beside: &[BorrowedFd<'_>]) -> Result<(), SandboxError> {
        match channel::send(&self.control, word, beside) {
            // It failed before it heard this, or the program does not know the launcher's part.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(self.last_report()),
            sent => sent.map_err(failed("send a word to the launcher")),
        }
    }

    /// A supervisor that became another user can be told to end only by a root that may signal other users.
    fn can_end(&self) -> Result<(), SandboxError> {
        let pid = self
            .init
            .as_ref()
            .and_then(|init| Pid::from_raw(init.pid))
            .ok_or_else(senseless)?;
        test_kill_process(pid).map_err(|error| failed("signal the supervisor, which is another user")(error.into()))
    }

    /// What the launcher said last, when it has ended.
    fn last_report(&self) -> SandboxError {
        while let Ok(message) = self.receive() {
            if message.bytes.is_empty() {
                break;
            }
            if let Ok(Report::Failed(error)) = parse(&message) {
                return error;
            }
        }
        SandboxError::LauncherEnded
    }

    /// Hears the reports until the program runs.
    fn follow(&mut self, plan: &Plan, group: &ControlGroup, watching: Watching) -> Result<Enforced, SandboxError> {
        let (sealed, mut enforced) = self.measured(plan)?;
        let Sealed {
            pid,
            variant,
            listener,
            outside,
        } = sealed;
        measure::confirm(&mut enforced, outside, plan.image.is_some())?;
        measure::confirm_ports(&enforced, plan)?;
        enforced.memory = group.memory.clone();
        enforced.cpu_percent = group.cpu_percent;
        enforced.not_enforced.extend_from_slice(&group.reasons);
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
        if self.tier == Tier::Landlocked {
            self.can_end()?;
        }
        let until = || {
            let nobody = || io::Error::from(io::ErrorKind::InvalidData);
            self.init.as_ref().ok_or_else(nobody)?.pidfd.try_clone()
        };
        let Watching { observer, secrets } = watching;
        if let Some(secrets) = secrets {
            let inside = (self.tier == Tier::Sealed).then(|| Namespaces::of(pid)).transpose();
            let inside = inside.map_err(failed("keep the namespaces"))?;
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
                _ => senseless(),
            });
        }
        measure::confirm_after_start(&mut enforced, pid)?;
        Ok(enforced)
    }

    /// Waits for the sealed process, looks at it, and waits for what it measured itself.
    fn measured(&mut self, plan: &Plan) -> Result<(Sealed, Enforced), SandboxError> {
        let mut sealed = None;
        loop {
            let message = self.receive()?;
            if message.bytes.is_empty() {
                return Err(SandboxError::LauncherEnded);
            }
            let sender = message.sender;
            match parse(&message)? {
                Report::Failed(error) => return Err(error),
                Report::Started { pid } => self.init = self.first_process(pid, message.descriptors),
                Report::Doors => self.doors = Some(network::doors(&plan.ports, message.descriptors)?),
                Report::Sealed { variant } => {
                    let pid = sender.ok_or_else(senseless)?;
                    sealed = Some(Sealed {
                        pid,
                        variant,
                        listener: message.descriptors.into_iter().next(),
                        outside: Outside::of(pid, self.tier)?,
                    });
                }
                Report::Measured { enforced } => {
                    let who_sent_it = |sealed: &Sealed| Some(sealed.pid) == sender;
                    let sealed = sealed.filter(who_sent_it).ok_or_else(senseless)?;
                    return Ok((sealed, *enforced));
                }
            }
        }
    }

    /// The compartment's first process, by the number it was told to have and its descriptor.
    fn first_process(&self, told: i32, descriptors: Vec<OwnedFd>) -> Option<Init> {
        let pidfd = descriptors.into_iter().next()?;
        // A container counts its processes by itself, so the number is none of ours.
        let pid = match &self.launcher {
            Some(_) => told,
            None => engine::number_here(&pidfd)?,
        };
        let tier = self.tier;
        Some(Init { pid, pidfd, tier })
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
            _ => {
                // Who ended without having read our last word is told apart once; what it said before is still there.
                let once_more = |error: io::Error| match error.kind() {
                    io::ErrorKind::ConnectionReset => channel::receive(&self.control, REPORT_BYTES_MAX),
                    _ => Err(error),
                };
                let received = channel::receive(&self.control, REPORT_BYTES_MAX).or_else(once_more);
                received.map_err(failed("hear from the launcher"))
            }
        }
    }

    /// Tells whoever waits for a word that none will come, and learns of the first process if it exists: it is a
    /// child of ours and has to be reaped.
    fn call_off(&mut self) {
        // Nobody may be there any more.
        let _ended = shutdown(&self.control, Shutdown::Write);
        while let (None, Ok(message)) = (&self.init, self.receive()) {
            if message.bytes.is_empty() {
                return;
            }
            if let Ok(Report::Started { pid }) = parse(&message) {
                self.init = self.first_process(pid, message.descriptors);
            }
        }
    }

    /// Turns a start into a compartment, or cleans up after one that failed.
    fn finish(
        mut self,
        heard: Result<Enforced, SandboxError>,
        group: ControlGroup,
    ) -> Result<Compartment, SandboxError> {
        if heard.is_err() {
            self.call_off();
        }
        let Self {
            mut launcher,
            control,
            lifeline,
            pipes,
            init,
            doors,
            ..
        } = self;
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

fn senseless() -> SandboxError {
    failed("hear a report that makes sense")(io::ErrorKind::InvalidData.into())
}

fn parse(message: &Message) -> Result<Report, SandboxError> {
    serde_json::from_slice(&message.bytes).map_err(|error| failed("read a report")(io::Error::other(error)))
}
