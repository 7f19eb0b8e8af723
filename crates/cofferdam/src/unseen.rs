//! Files and sockets of this machine that a server was not given, and that it or its caller names: what `status` and `audit show` propose.

use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use cofferdam_manifest::{Access, Manifest, forbidden_grant};

use crate::home::Home;

/// What programs say of a file that is not there for them.
const NOT_THERE: [&str; 7] = [
    "no such file",
    "enoent",
    "not found",
    "does not exist",
    "denied",
    "outside",
    "not allowed",
];
/// Bytes of an answer that are searched for these words.
const SAID_BYTES_MAX: usize = 4096;
/// Sockets of its launch line and variables that are remembered.
const NAMED_MAX: usize = 16;

/// What a server was given of this machine by path.
#[derive(Debug, Default)]
pub(crate) struct Given {
    files: Vec<PathBuf>,
    sockets: Vec<PathBuf>,
    /// Absolute paths of its launch line and variables, as they could name a socket.
    named: Vec<String>,
    /// Folders of ours, which can never be granted.
    own: Vec<PathBuf>,
}

impl Given {
    /// Of a resolved manifest; `environment` is the server's whole environment.
    pub(crate) fn of(home: &Home, manifest: &Manifest, environment: &[(String, String)]) -> Self {
        let files = &manifest.filesystem;
        let words = manifest.launch.command.iter();
        let words = words.chain(environment.iter().map(|(_, value)| value));
        Self {
            files: [&files.read, &files.write, &manifest.launch.program]
                .into_iter()
                .flatten()
                .cloned()
                .collect(),
            sockets: manifest.sockets.allow.clone(),
            named: words.filter_map(|word| socket_in(word)).take(NAMED_MAX).collect(),
            own: home.own_folders(),
        }
    }

    /// The same where the server does not run: of its variables those that the manifest itself has.
    pub(crate) fn written(home: &Home, manifest: &Manifest) -> Self {
        let set: Vec<_> = manifest.environment.set.clone().into_iter().collect();
        Self::of(home, manifest, &set)
    }

    /// Whether the server was given this file or folder, by the spelling of its path.
    pub(crate) fn has_file(&self, path: &Path) -> bool {
        self.files.iter().any(|root| path.starts_with(root))
    }

    /// Whether it is there on this machine, is not given, and could be.
    pub(crate) fn lacks_file(&self, path: &str) -> bool {
        let path = Path::new(path);
        path.is_absolute()
            && !self.has_file(path)
            && forbidden_grant(path, Access::Read, &self.own).is_none()
            && path.exists()
    }

    /// Whether somebody could listen there on this machine, and it is not given, and could be.
    pub(crate) fn lacks_socket(&self, path: &str) -> bool {
        let path = Path::new(path);
        path.is_absolute()
            && !self.sockets.iter().any(|given| given == path)
            && forbidden_grant(path, Access::Connect, &self.own).is_none()
            && path.metadata().is_ok_and(|found| found.file_type().is_socket())
    }

    /// The socket that the server most likely wants, among those that its calls, its launch line and its variables name.
    pub(crate) fn socket_wanted(&self, in_calls: &[String]) -> Option<String> {
        let mut named = in_calls.iter().chain(&self.named);
        named.find(|path| self.lacks_socket(path)).cloned()
    }
}

/// The path of a word such as `/run/x.sock` or `unix:///run/x.sock`.
fn socket_in(word: &str) -> Option<String> {
    let path = word.strip_prefix("unix:").unwrap_or(word);
    let path = path.strip_prefix("//").unwrap_or(path);
    (path.starts_with('/') && path.len() > 1).then(|| path.to_owned())
}

/// Whether an answer says that something is not there, or not for whoever asked.
pub(crate) fn says_not_there(answer: &[u8]) -> bool {
    let beginning = answer.get(..SAID_BYTES_MAX).unwrap_or(answer);
    let said = String::from_utf8_lossy(beginning).to_ascii_lowercase();
    NOT_THERE.iter().any(|words| said.contains(words))
}

#[cfg(test)]
mod tests {
    use super::{Given, says_not_there, socket_in};

    #[test]
    fn only_what_is_there_and_can_be_granted_is_lacked() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
        std::fs::write(path("plan"), "x").unwrap();
        std::fs::create_dir(path("given")).unwrap();
        std::fs::write(path("given/plan"), "x").unwrap();
        let _listening = std::os::unix::net::UnixListener::bind(path("s.sock")).unwrap();
        let _engine = std::os::unix::net::UnixListener::bind(path("docker.sock")).unwrap();
        let given = Given {
            files: vec![path("given").into()],
            sockets: Vec::new(),
            named: vec![path("docker.sock"), path("s.sock")],
            own: vec![place.path().join("ours")],
        };
        std::fs::create_dir(path("ours")).unwrap();
        assert!(given.lacks_file(&path("plan")));
        for other in [
            path("given/plan"),
            path("nowhere"),
            path("ours"),
            "plan".to_owned(),
            "/proc/1".to_owned(),
        ] {
            assert!(!given.lacks_file(&other), "{other}");
        }
        assert!(given.lacks_socket(&path("s.sock")));
        for other in [path("docker.sock"), path("plan"), path("nowhere")] {
            assert!(!given.lacks_socket(&other), "{other}");
        }
        assert_eq!(given.socket_wanted(&[path("plan")]), Some(path("s.sock")));
    }

    #[test]
    fn a_sockets_path_is_found_in_an_address() {
        for (word, expected) in [
            ("/run/x.sock", Some("/run/x.sock")),
            ("unix:///run/x.sock", Some("/run/x.sock")),
            ("unix:/run/x.sock", Some("/run/x.sock")),
            ("/", None),
            ("x", None),
            ("postgres://me:word@host/x", None),
        ] {
            assert_eq!(socket_in(word).as_deref(), expected, "{word}");
        }
    }

    #[test]
    fn what_is_not_there_is_said_in_many_ways_at_the_beginning() {
        assert!(says_not_there(b"ENOENT: no such file or directory"));
        assert!(says_not_there(b"Access denied - path outside allowed directories"));
        assert!(!says_not_there(b"hello"));
        assert!(!says_not_there(
            &[vec![b'x'; super::SAID_BYTES_MAX], b"ENOENT".to_vec()].concat()
        ));
    }
}
