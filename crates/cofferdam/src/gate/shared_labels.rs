//! What the user's sessions tell each other of their labels: one small file a session, in the user's runtime folder, which no compartment reaches.
//!
//! A file has one size for ever and is written in one piece, so that telling needs no room on a disk once it is there, and a reader sees all of it or
//! tries again. What cannot be read counts as both labels: damage never makes a chain disappear. Everything ends by itself, by the clock.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cofferdam_inspect::{Brought, Labels, Shared};
use cofferdam_manifest::Digest;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use serde_json::{Value, json};

/// How long what one session was brought counts for the user's others, in seconds.
const COUNTS_S: i64 = 600;
/// How old what was told may get before the same is told again.
const TELL_AGAIN_S: i64 = 30;
/// Bytes of a file, whatever it says.
const FILE_BYTES: usize = 2_048;
/// Files of other sessions; with more, nobody can tell, and both labels count.
const FILES_MAX: usize = 256;
/// Times that a file is read before it counts as damaged: it may be being written.
const TRIES: usize = 3;
/// A folder that changed this lately may have changed again without showing it: clocks of file systems tick slowly. In seconds.
const TICK_S: i64 = 2;
/// How the files' names end.
const ENDING: &str = ".labels";
/// Permission bits that let the group or everybody else write.
const OTHERS_WRITE: u32 = 0o022;

/// One session's part.
#[derive(Debug)]
pub(super) struct SharedLabels {
    /// `None` where nobody is told.
    folder: Option<PathBuf>,
    /// The name of this session's own file.
    name: String,
    own: Mutex<Own>,
    seen: Mutex<Seen>,
}

/// What this session told.
#[derive(Debug, Default)]
struct Own {
    file: Option<File>,
    untrusted: Option<(Brought, i64)>,
    private: Option<(Brought, i64)>,
}

/// The others' files, as they lay when the folder was last looked at.
#[derive(Debug, Default)]
struct Seen {
    /// When the folder last changed; `None` where that says nothing.
    changed: Option<(i64, i64)>,
    files: Vec<(String, File)>,
    /// More files than are read, or a file that is no file of ours.
    is_damaged: bool,
}

impl SharedLabels {
    pub(super) fn new(folder: Option<PathBuf>, session: &str) -> Self {
        Self {
            folder,
            name: format!("{}{ENDING}", session.get(..16).unwrap_or(session)),
            own: Mutex::default(),
            seen: Mutex::default(),
        }
    }

    /// Tells the others what the answer to a call brings, before it goes out.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) fn tell(&self, by: &Brought, labels: Labels, now_s: i64) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let Own {
            file,
            untrusted,
            private,
        } = &mut *own;
        let mut is_news = file.as_ref().is_none_or(|file| !is_linked(file));
        for (brings, told) in [(labels.untrusted, untrusted), (labels.private, private)] {
            let is_known = told
                .as_ref()
                .is_some_and(|(_, at)| (0..TELL_AGAIN_S).contains(&(now_s - at)));
            if brings && !is_known {
                *told = Some((by.clone(), now_s));
                is_news = true;
            }
        }
        if !is_news {
            return Ok(());
        }
        let content = content(&own);
        let told = match own.file.as_ref().filter(|file| is_linked(file)) {
            // Others remove what is over, perhaps at this very moment.
            Some(file) if file.write_all_at(&content, 0).is_ok() && is_linked(file) => Ok(()),
            _ => self.create(folder, &content).map(|file| own.file = Some(file)),
        };
        // Told again with the next answer.
        told.inspect_err(|_cause| *own = Own::default())
    }

    /// A file that is whole from the moment it has its name.
    fn create(&self, folder: &Path, content: &[u8]) -> io::Result<File> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
        let opened = opened(folder)?;
        let inside = |name: &str| PathBuf::from(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()));
        let new = inside(&format!(".{}", self.name));
        match std::fs::remove_file(&new) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all_at(content, 0)?;
        std::fs::rename(&new, inside(&self.name))?;
        Ok(file)
    }

    /// What other sessions were brought lately. Where that cannot be told, both.
    pub(super) fn others(&self, now_s: i64) -> Shared {
        let Some(folder) = &self.folder else {
            return Shared::default();
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(cause) = seen.look(folder, &self.name, now_s) {
            return match cause.kind() {
                io::ErrorKind::NotFound => Shared::default(),
                _ => damaged("the folder of labels"),
            };
        }
        let mut newest = Newest {
            now_s,
            ..Newest::default()
        };
        for (name, file) in &seen.files {
            match read(file, now_s) {
                Ok(told) => newest.take(told),
                Err(_unreadable) => newest.take_damaged(name),
            }
        }
        if seen.is_damaged {
            newest.take_damaged("the folder of labels");
        }
        newest.shared()
    }
}

/// A call that stands for one nobody can name.
fn damaged(what: &str) -> Shared {
    let brought = Brought {
        server: "unknown".to_owned(),
        session: "unknown".to_owned(),
        tool: format!("{what}, which cannot be read"),
        id: "unknown".to_owned(),
    };
    Shared {
        untrusted: Some(brought.clone()),
        private: Some(brought),
    }
}

impl Seen {
    /// Opens what is new in the folder, where it changed.
    fn look(&mut self, folder: &Path, own: &str, now_s: i64) -> io::Result<()> {
        let metadata = std::fs::symlink_metadata(folder)?;
        let changed = (metadata.mtime(), metadata.mtime_nsec());
        if self.changed == Some(changed) {
            return Ok(());
        }
        let opened = opened(folder)?;
        *self = Self::default();
        for entry in std::fs::read_dir(format!("/proc/self/fd/{}", opened.as_raw_fd()))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name == own || name.starts_with('.') || !name.ends_with(ENDING) {
                continue;
            }
            if self.files.len() >= FILES_MAX {
                self.is_damaged = true;
                break;
            }
            let path = PathBuf::from(format!("/proc/self/fd/{}/{name}", opened.as_raw_fd()));
            let file = File::options()
                .read(true)
                .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
                .open(&path);
            match file.and_then(|file| Ok((file.metadata()?, file))) {
                Ok((metadata, _)) if is_over(&metadata, now_s) => {
                    // Its session, if it still runs, makes another when it has something to tell.
                    let _ = std::fs::remove_file(&path);
                }
                Ok((metadata, file)) if metadata.is_file() && metadata.uid() == geteuid().as_raw() => {
                    self.files.push((name, file));
                }
                Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
                _ => self.is_damaged = true,
            }
        }
        // Only what has stood still for longer than the clock ticks is known to be the same while it looks the same.
        self.changed = Some(changed).filter(|(at, _)| now_s - at >= TICK_S);
        Ok(())
    }
}

/// Whether what a file says no longer counts, whatever it says.
fn is_over(metadata: &Metadata, now_s: i64) -> bool {
    metadata.is_file() && (now_s - metadata.mtime()).abs() > COUNTS_S + TELL_AGAIN_S
}

/// The folder itself: no link, ours, written by nobody else.
fn opened(folder: &Path) -> io::Result<File> {
    let opened = File::options()
        .read(true)
        .custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits())
        .open(folder)?;
    let metadata = opened.metadata()?;
    if metadata.uid() == geteuid().as_raw() && metadata.mode() & OTHERS_WRITE == 0 {
        Ok(opened)
    } else {
        Err(io::Error::other("the folder of labels is not ours alone"))
    }
}

fn is_linked(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.nlink() > 0)
}

/// A digest over the rest, a line break, and JSON that is filled up with spaces.
fn content(own: &Own) -> Vec<u8> {
    let label = |told: &Option<(Brought, i64)>| match told {
        None => Value::Null,
        Some((by, at)) => {
            json!({"server": by.server, "session": by.session, "tool": by.tool, "id": by.id, "at": at})
        }
    };
    let json = json!({"untrusted": label(&own.untrusted), "private": label(&own.private)}).to_string();
    let room = FILE_BYTES.saturating_sub(DIGEST_BYTES + 1);
    let body = format!("{json:<room$}");
    let mut content = Digest::of(body.as_bytes()).to_hex().into_bytes();
    content.push(b'\n');
    content.extend_from_slice(body.as_bytes());
    content
}

/// Hexadecimal digits of a digest.
const DIGEST_BYTES: usize = 64;

/// What one file says: each label with the time it was brought.
type Told = [Option<(Brought, i64)>; 2];

fn read(file: &File, now_s: i64) -> io::Result<Told> {
    if is_over(&file.metadata()?, now_s) {
        return Ok([None, None]);
    }
    for _ in 0..TRIES {
        let mut bytes = vec![0; FILE_BYTES + 1];
        let count = file.read_at(&mut bytes, 0)?;
        bytes.truncate(count);
        if let Some(told) = parsed(&bytes) {
            return Ok(told);
        }
    }
    // Nobody can tell what it said, until it is over whatever it said.
    Err(io::ErrorKind::InvalidData.into())
}

fn parsed(bytes: &[u8]) -> Option<Told> {
    let (digest, body) = bytes.split_at_checked(DIGEST_BYTES)?;
    let body = body.strip_prefix(b"\n")?;
    if bytes.len() != FILE_BYTES || Digest::of(body).to_hex().as_bytes() != digest {
        return None;
    }
    let whole: Value = serde_json::from_slice(body).ok()?;
    let label = |name: &str| -> Option<Option<(Brought, i64)>> {
        let label = whole.get(name)?;
        if label.is_null() {
            return Some(None);
        }
        let text = |key: &str| label.get(key)?.as_str().map(super::show_briefly);
        let by = Brought {
            server: text("server")?,
            session: text("session")?,
            tool: text("tool")?,
            id: text("id")?,
        };
        Some(Some((by, label.get("at")?.as_i64()?)))
    };
    Some([label("untrusted")?, label("private")?])
}

/// The newest of each label.
#[derive(Debug, Default)]
struct Newest {
    told: Told,
    damaged: Option<String>,
    now_s: i64,
}

impl Newest {
    fn take(&mut self, told: Told) {
        for (mine, other) in self.told.iter_mut().zip(told) {
            let at = |told: &Option<(Brought, i64)>| told.as_ref().map(|(_, at)| *at);
            if at(&other) > at(mine) {
                *mine = other;
            }
        }
    }

    fn take_damaged(&mut self, name: &str) {
        self.damaged = Some(super::show_briefly(name));
    }

    fn shared(self) -> Shared {
        let now_s = self.now_s;
        let [untrusted, private] = self.told.map(|told| {
            // One from the future counts: a clock was set back.
            told.filter(|(_, at)| now_s - at < COUNTS_S).map(|(by, _)| by)
        });
        let unknown = self.damaged.map(|name| damaged(&name)).unwrap_or_default();
        Shared {
            untrusted: untrusted.or(unknown.untrusted),
            private: private.or(unknown.private),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use cofferdam_inspect::{Brought, Labels, Shared};

    use super::{COUNTS_S, SharedLabels};

    const BOTH: Labels = Labels {
        untrusted: true,
        private: true,
        sends: false,
    };
    const UNTRUSTED: Labels = Labels { private: false, ..BOTH };

    fn brought(server: &str) -> Brought {
        let [server, session, tool, id] = [server, "abcd", "tool", "1"].map(str::to_owned);
        Brought {
            server,
            session,
            tool,
            id,
        }
    }

    fn now_s() -> i64 {
        crate::cli::unix_seconds()
    }

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn folder(&self) -> std::path::PathBuf {
            self.0.path().join("labels")
        }

        fn session(&self, name: &str) -> SharedLabels {
            SharedLabels::new(Some(self.folder()), name)
        }
    }

    fn servers(shared: &Shared) -> [Option<&str>; 2] {
        [&shared.untrusted, &shared.private].map(|by| by.as_ref().map(|by| by.server.as_str()))
    }

    #[test]
    fn sessions_hear_of_each_other_for_ten_minutes_and_not_of_themselves() {
        let scene = Scene::new();
        let (one, two) = (scene.session("1111"), scene.session("2222"));
        let now = now_s();
        assert_eq!(two.others(now), Shared::default(), "there is not even a folder");
        one.tell(&brought("github"), UNTRUSTED, now).unwrap();
        assert_eq!(servers(&two.others(now)), [Some("github"), None]);
        assert_eq!(one.others(now), Shared::default());
        two.tell(&brought("files"), BOTH, now).unwrap();
        assert_eq!(servers(&one.others(now)), [Some("files"), Some("files")]);
        assert_eq!(servers(&two.others(now + COUNTS_S - 1)), [Some("github"), None]);
        assert_eq!(two.others(now + COUNTS_S), Shared::default());
        one.tell(&brought("github"), BOTH, now + COUNTS_S).unwrap();
        assert_eq!(servers(&two.others(now + COUNTS_S)), [Some("github"), Some("github")]);
        drop(one);
        assert_eq!(
            servers(&two.others(now + COUNTS_S)),
            [Some("github"), Some("github")],
            "its end changes nothing"
        );
    }

    #[test]
    fn what_was_removed_is_told_again() {
        let scene = Scene::new();
        let (one, two) = (scene.session("1111"), scene.session("2222"));
        let now = now_s();
        one.tell(&brought("github"), UNTRUSTED, now).unwrap();
        std::fs::remove_file(scene.folder().join("1111.labels")).unwrap();
        one.tell(&brought("github"), UNTRUSTED, now + 1).unwrap();
        assert_eq!(servers(&two.others(now)), [Some("github"), None]);
    }

    #[test]
    fn damage_counts_as_both_and_ends_too() {
        let scene = Scene::new();
        let (one, two) = (scene.session("1111"), scene.session("2222"));
        let now = now_s();
        one.tell(&brought("github"), UNTRUSTED, now).unwrap();
        let file = scene.folder().join("1111.labels");
        let whole = std::fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[80] ^= 1;
        let longer = [&whole[..], b"x"].concat();
        for damage in [&flipped[..], &whole[..1_000], &longer, b""] {
            std::fs::write(&file, damage).unwrap();
            assert_eq!(
                servers(&two.others(now)),
                [Some("unknown"), Some("unknown")],
                "{} bytes",
                damage.len()
            );
            assert_eq!(
                scene.session("3333").others(now + 2 * COUNTS_S),
                Shared::default(),
                "over"
            );
            std::fs::write(&file, &whole).unwrap();
        }
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert_eq!(
            servers(&scene.session("3333").others(now)),
            [Some("unknown"), Some("unknown")],
            "a link"
        );
    }

    #[test]
    fn a_folder_of_others_or_with_too_many_files_counts_as_both() {
        let scene = Scene::new();
        let (one, two) = (scene.session("1111"), scene.session("2222"));
        let now = now_s();
        one.tell(&brought("github"), UNTRUSTED, now).unwrap();
        for number in 0..300 {
            std::fs::write(scene.folder().join(format!("{number}.labels")), "").unwrap();
        }
        assert!(two.others(now).private.is_some());
        std::fs::remove_dir_all(scene.folder()).unwrap();
        std::fs::create_dir(scene.folder()).unwrap();
        std::fs::set_permissions(scene.folder(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(two.others(now).private.is_some());
        assert!(scene.session("3333").tell(&brought("x"), BOTH, now).is_err());
        std::fs::remove_dir(scene.folder()).unwrap();
        std::os::unix::fs::symlink("/tmp", scene.folder()).unwrap();
        assert!(scene.session("3333").tell(&brought("x"), BOTH, now).is_err());
    }
}
