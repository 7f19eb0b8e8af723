//! The container around a compartment whose files come from an image: made by an engine, spoken to by a socket.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{set_socket_passcred, socket_peercred};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with};
use rustix::process::{Resource, getrlimit};

use super::cgroup::Places;
use super::contained::{SOCKET, SUBCOMMAND};
use super::identity::INSIDE;
use super::wire::{Access, Graft, Order};
use super::{elf, errno, wire};
use crate::image::OURS;
use crate::{Image, SandboxError};

/// How often the engine is looked at while the container's first process is waited for.
const LOOK: Duration = Duration::from_millis(20);
/// How long an engine may take to clean up after a container that has ended.
const CLEANUP_SECONDS_MAX: u64 = 10;
/// Most of what an engine says that is passed on.
const SAID_BYTES_MAX: u64 = 2048;
/// First of the users that containers of root have: above what systemd gives away, as compartments of root have.
const BASE: u32 = 0x7000_0000;
/// How many users a container of root has.
const USERS: u32 = 65_536;
/// Names of this program and of its loader in our folder; its libraries have their own.
const PROGRAM: &str = "program";
const LOADER: &str = "loader";

/// Descriptors, and processes, that the engine's runtime needs beside those of the compartment.
const ENGINE_OWN: u64 = 64;

/// How the names of our folders begin; the number of the launching process follows.
const PREFIX: &str = "oci-";

static COUNT: AtomicU64 = AtomicU64::new(0);

fn failed(doing: &str) -> impl Fn(io::Error) -> SandboxError {
    move |error| SandboxError::Launcher {
        doing: doing.to_owned(),
        errno: errno(&error),
    }
}

/// A container that is being made or has been; dropping it waits until the engine has removed it.
#[derive(Debug)]
pub(super) struct Container {
    /// The engine's client, which ends after the container.
    client: Child,
    /// What it said.
    said: File,
    engine: PathBuf,
    home: PathBuf,
    listener: OwnedFd,
    folder: PathBuf,
    /// Its name in the engine, once there is one.
    id: Option<String>,
}

impl Container {
    /// Has the engine make a container of the image, with these places of ours in it.
    pub(super) fn start(image: &Image, order: &Order) -> Result<Self, SandboxError> {
        let mut command = engine(&image.engine, &image.home)?;
        let program = fs::read_link("/proc/self/exe").map_err(failed("find this program"))?;
        let parts = parts_of(&program)?;
        let folder = make_folder(image, &parts).map_err(failed("make a folder for the container"))?;
        let listener = listener(&folder).map_err(failed("make a socket for the container"))?;
        let said: File = wire::blank().map_err(failed("make a file for what the engine says"))?;
        let stderr = said
            .try_clone()
            .map_err(failed("make a file for what the engine says"))?;
        command.args(arguments(image, order, &folder, &parts));
        let client = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(stderr))
            // What is typed at our terminal is not the engine's.
            .process_group(0)
            .spawn()
            .map_err(|error| SandboxError::Engine {
                engine: image.engine.clone(),
                said: error.to_string(),
            })?;
        Ok(Self {
            client,
            said,
            engine: image.engine.clone(),
            home: image.home.clone(),
            listener,
            folder,
            id: None,
        })
    }

    /// Waits for the container's first process, and puts it into the control groups.
    pub(super) fn connected(&mut self, until: Instant, places: &Places) -> Result<OwnedFd, SandboxError> {
        let control = loop {
            let mut watched = [PollFd::new(&self.listener, PollFlags::IN)];
            let timeout = Timespec::try_from(LOOK).ok();
            let ready = rustix::io::retry_on_intr(|| poll(&mut watched, timeout.as_ref()));
            if ready.map_err(|error| failed("wait for the container")(error.into()))? > 0 {
                let accepted = accept_with(&self.listener, SocketFlags::CLOEXEC);
                break accepted.map_err(|error| failed("hear from the container")(error.into()))?;
            }
            let has_ended = self.client.try_wait().map_err(failed("wait for the engine"))?.is_some();
            if has_ended || Instant::now() > until {
                return Err(self.failed());
            }
        };
        self.id = fs::read_to_string(self.folder.join("id")).ok();
        let peer = socket_peercred(&control).map_err(|error| failed("learn who answered")(error.into()))?;
        let pid = peer.pid.as_raw_nonzero().get();
        let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/pid"));
        let (theirs, ours) = (namespace(&pid.to_string()), namespace("self"));
        if !matches!((&theirs, &ours), (Ok(theirs), Ok(ours)) if theirs != ours) {
            let what = "who answered is not in a container".to_owned();
            return Err(SandboxError::Disagreement { what });
        }
        // The kernel names the sender of each message, so the sealed process is known by a number of ours.
        set_socket_passcred(&control, true).map_err(|error| failed("make a channel")(error.into()))?;
        enter_groups(places, pid)?;
        Ok(control)
    }

    /// Why there is no container, in the engine's words.
    pub(super) fn failed(&mut self) -> SandboxError {
        // What it says last comes when it ends; it has no reason to go on.
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until && matches!(self.client.try_wait(), Ok(None)) {
            thread::sleep(LOOK);
        }
        let mut said = Vec::new();
        let read = self
            .said
            .rewind()
            .and_then(|()| (&self.said).take(SAID_BYTES_MAX).read_to_end(&mut said));
        let text = match read {
            Ok(0) => "it said nothing, and nothing in the container answered in time".to_owned(),
            Ok(_) => String::from_utf8_lossy(&said).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        let calm = |character: char| if character.is_control() { ' ' } else { character };
        SandboxError::Engine {
            engine: self.engine.clone(),
            said: text.chars().map(calm).collect(),
        }
    }

    /// Takes away what only the start needed: nothing of it lies about when the launching process is killed.
    pub(super) fn tidy(&mut self) {
        // It holds our empty files and a socket. What cannot be removed now is removed at the end.
        let _kept = fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let until = Instant::now() + Duration::from_secs(CLEANUP_SECONDS_MAX);
        self.id = self
            .id
            .take()
            .or_else(|| fs::read_to_string(self.folder.join("id")).ok());
        while Instant::now() < until && matches!(self.client.try_wait(), Ok(None)) {
            thread::sleep(LOOK);
        }
        if matches!(self.client.try_wait(), Ok(None)) {
            // It hangs: it is ended, and what it may have left is removed by another one.
            let _ended = self.client.kill();
            let _reaped = self.client.wait();
            if let (Some(id), Ok(mut remove)) = (self.id.as_deref().map(str::trim), engine(&self.engine, &self.home)) {
                remove.args(["rm", "--force", "--time=0", "--", id]);
                let quiet = remove.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                // Nothing of ours is in it any more; the engine's own list shows it if this fails.
                let _removed = quiet.status();
            }
        }
        let _gone = fs::remove_dir_all(&self.folder);
    }
}

/// The number, on this side, of the process behind a descriptor.
pub(super) fn number_here(pidfd: &OwnedFd) -> Option<i32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    number.trim().parse().ok().filter(|pid| *pid > 0)
}

/// An engine that others could have written is not one.
fn judge_engine(engine: &Path) -> Result<(), SandboxError> {
    let refuse = |said: String| {
        Err(SandboxError::Engine {
            engine: engine.to_path_buf(),
            said,
        })
    };
    match fs::metadata(engine) {
        Ok(found) if !found.is_file() => refuse("it is not a program".to_owned()),
        Ok(found) if found.uid() != 0 || found.mode() & 0o022 != 0 => {
            refuse("it is not root's alone to change, so it could be anything".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => refuse("it is not installed".to_owned()),
        Err(error) => refuse(error.to_string()),
    }
}

/// The program of a container engine, ready for its arguments, with an environment of its own: nothing of ours, and
/// nothing a client set, steers it. `home` is where the user's images lie.
///
/// # Errors
/// [`SandboxError::Engine`] when it is not there, or not root's alone to change.
pub fn engine(engine: &Path, home: &Path) -> Result<Command, SandboxError> {
    judge_engine(engine)?;
    let mut command = Command::new(engine);
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/");
    let runtime = PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()));
    if runtime.is_dir() {
        command.env("XDG_RUNTIME_DIR", runtime);
    }
    Ok(command)
}

/// This program, its loader and its libraries: what has to be brought along, since an image may have none of them.
fn parts_of(program: &Path) -> Result<Vec<(String, PathBuf)>, SandboxError> {
    let mut parts = vec![(PROGRAM.to_owned(), program.to_path_buf())];
    let Some(loader) = elf::loader(program) else {
        return Ok(parts);
    };
    let listed = Command::new(&loader)
        .arg("--list")
        .arg(program)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(failed("list this program's libraries"))?;
    parts.push((LOADER.to_owned(), loader));
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let library = |line: &str| {
        let (name, rest) = line.trim().split_once(" => ")?;
        let path = rest.rsplit_once(" (").map_or(rest, |(path, _address)| path);
        Some((name.to_owned(), PathBuf::from(path)))
    };
    parts.extend(listed.lines().filter_map(library));
    match parts.iter().find(|(name, path)| name.contains('/') || !path.is_file()) {
        Some((name, _)) => Err(SandboxError::Launcher {
            doing: format!("find this program's library `{name}`"),
            errno: libc::ENOENT,
        }),
        None => Ok(parts),
    }
}

/// Removes what processes left that were killed while a container of theirs was starting.
fn clear_stale(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if process.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            // Somebody else may have been quicker.
            let _gone = fs::remove_dir_all(entry.path());
        }
    }
}

/// A folder for the container, with an empty file for each part to be mounted on. It covers what the image has there.
fn make_folder(image: &Image, parts: &[(String, PathBuf)]) -> io::Result<PathBuf> {
    clear_stale(&image.folder);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{PREFIX}{}-{count}", std::process::id());
    let folder = image.folder.join(name);
    if fs::symlink_metadata(&folder).is_ok() {
        // Of a process that had our number and was killed.
        fs::remove_dir_all(&folder)?;
    }
    DirBuilder::new().mode(0o755).create(&folder)?;
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    open(&folder)?;
    for (name, _) in parts {
        File::create_new(folder.join(name))?;
    }
    // What a loader would load before anything else is mounted over by this.
    File::create_new(folder.join("nothing"))?;
    Ok(folder)
}

/// The socket on which the container's first process is waited for. Our folder above it is closed to others.
fn listener(folder: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    // A path of any length, by the way of a short one.
    let opened = File::open(folder)?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", opened.as_fd().as_raw_fd());
    bind(&socket, &SocketAddrUnix::new(short)?)?;
    listen(&socket, 1)?;
    fs::set_permissions(folder.join(SOCKET), fs::Permissions::from_mode(0o666))?;
    Ok(socket)
}

/// Puts a process into groups that were made for it.
fn enter_groups(places: &Places, pid: i32) -> Result<(), SandboxError> {
    let v2 = places.v2.iter().map(|folder| folder.join("cgroup.procs"));
    for file in places.v1.iter().cloned().chain(v2) {
        fs::write(&file, pid.to_string()).map_err(|error| SandboxError::ControlGroup {
            path: file.clone(),
            errno: errno(&error),
        })?;
    }
    Ok(())
}

/// One bind mount, as the engine reads it: comma-separated fields, quoted as in a table.
fn mount(from: &Path, to: &Path, is_read_only: bool) -> String {
    let quoted = |field: String| format!("\"{}\"", field.replace('"', "\"\""));
    let fields = [
        "type=bind".to_owned(),
        quoted(format!("source={}", from.display())),
        quoted(format!("target={}", to.display())),
        format!("readonly={is_read_only}"),
        "bind-propagation=rprivate".to_owned(),
    ];
    format!("--mount={}", fields.join(","))
}

/// What every container is made with.
const FIXED: [&str; 25] = [
    "run",
    "--rm",
    "--pull=never",
    "--sig-proxy=false",
    "--log-driver=none",
    "--network=none",
    "--pid=private",
    "--ipc=private",
    "--uts=private",
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    // The compartment inside has a `/proc` of its own, which the kernel gives only where this one is whole.
    "--security-opt=unmask=ALL",
    "--no-hosts",
    "--no-healthcheck",
    "--http-proxy=false",
    "--image-volume=ignore",
    "--systemd=false",
    "--sdnotify=ignore",
    "--passwd=false",
    "--unsetenv-all",
    "--umask=0022",
    "--workdir=/",
    "--restart=no",
];

/// Everything the engine is told: it is to take all away that it can, and the image's own settings do not count.
fn arguments(image: &Image, order: &Order, folder: &Path, parts: &[(String, PathBuf)]) -> Vec<String> {
    let mut all = vec!["--log-level=error".to_owned()];
    all.extend(image.runtime.iter().map(|runtime| format!("--runtime={runtime}")));
    all.extend(FIXED.iter().map(|option| (*option).to_owned()));
    // The engine would raise them, which an ordinary user may not; the compartment's own are lower.
    let limits = [
        ("nofile", Resource::Nofile, order.plan.limits.open_files),
        ("nproc", Resource::Nproc, order.plan.limits.processes),
    ];
    all.extend(limits.map(|(name, resource, wanted)| {
        let wanted = wanted.saturating_add(ENGINE_OWN);
        let most = getrlimit(resource).maximum.map_or(wanted, |hard| hard.min(wanted));
        format!("--ulimit={name}={most}:{most}")
    }));
    if image.runtime.as_deref().is_none_or(|runtime| runtime.ends_with("crun")) {
        // The compartment's own groups hold it; other runtimes than crun cannot do without some of the engine's.
        all.push("--cgroups=disabled".to_owned());
    }
    all.push(format!("--hostname={}", order.plan.hostname));
    all.push(format!("--user={INSIDE}:{INSIDE}"));
    if rustix::process::geteuid().is_root() {
        all.extend(["uidmap", "gidmap"].map(|map| format!("--{map}=0:{BASE}:{USERS}")));
    } else {
        all.push(format!("--userns=keep-id:uid={INSIDE},gid={INSIDE}"));
    }
    all.push(format!("--cidfile={}", folder.join("id").display()));
    let ours = Path::new(OURS);
    all.push(mount(folder, ours, true));
    all.extend(parts.iter().map(|(name, path)| mount(path, &ours.join(name), true)));
    // A loader loads what this file names into whatever it starts.
    all.push(mount(&folder.join("nothing"), Path::new("/etc/ld.so.preload"), true));
    let granted = |graft: &Graft| mount(&graft.source, &graft.target, graft.access != Access::Write);
    all.extend(order.grafts.iter().map(granted));
    all.push(entry_point(parts));
    all.extend([image.reference.clone(), SUBCOMMAND.to_owned()]);
    all
}

/// Our first process, by a loader of ours where it needs one: whatever the image has by these names is not used.
fn entry_point(parts: &[(String, PathBuf)]) -> String {
    let inside = |name: &str| format!("{OURS}/{name}");
    let entry = if parts.iter().any(|(name, _)| name == LOADER) {
        vec![
            inside(LOADER),
            "--inhibit-cache".to_owned(),
            "--library-path".to_owned(),
            OURS.to_owned(),
            inside(PROGRAM),
        ]
    } else {
        vec![inside(PROGRAM)]
    };
    let entry: Vec<String> = entry.into_iter().map(|word| format!("\"{word}\"")).collect();
    format!("--entrypoint=[{}]", entry.join(","))
}
