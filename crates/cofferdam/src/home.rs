//! Where Cofferdam keeps its own: configuration, state and data, by the user's passwd entry or under one `--home` folder.
//!
//! Never by XDG variables: an MCP client passes on six variables, and two processes must agree on these folders.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};

use crate::failure::{Failure, file_failure};
use crate::own_files::{check_folder, check_parents, shown};

/// Variable that stands in for `--home`.
pub(crate) const HOME_VARIABLE: &str = "COFFERDAM_HOME";

/// Where configuration lies in the user's home folder.
const CONFIG_IN_HOME: &str = ".config/cofferdam";
/// Where state lies there.
const STATE_IN_HOME: &str = ".local/state/cofferdam";
/// Where data lies there.
const DATA_IN_HOME: &str = ".local/share/cofferdam";

/// Cofferdam's own folders, and whose they are.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    config: PathBuf,
    state: PathBuf,
    data: PathBuf,
    /// `--home`, where given; recorded with every session.
    pub(crate) explicit: Option<PathBuf>,
    /// The user's home folder, from the passwd entry.
    pub(crate) user_home: PathBuf,
    /// The user's name, from the passwd entry.
    pub(crate) user_name: String,
}

impl Home {
    /// The folders for this user; `explicit` is `--home`.
    ///
    /// # Errors
    /// The user has no passwd entry; `explicit` is not ours alone, or lies where a server, a repository or another user could reach it; or
    /// a folder that is there already is not ours, or others can write to it.
    pub(crate) fn find(explicit: Option<PathBuf>) -> Result<Self, Failure> {
        let uid = geteuid();
        let user = User::from_uid(uid).ok().flatten();
        let user = user.ok_or_else(|| {
            Failure::misconfigured(format!("user {uid} has no passwd entry"))
                .help("add the user to the passwd database")
        })?;
        let (user_home, user_name) = (user.dir, user.name);
        let explicit = explicit.as_deref().map(own_folder).transpose()?;
        let [config, state, data] = match &explicit {
            Some(home) => ["config", "state", "data"].map(|folder| home.join(folder)),
            None => [CONFIG_IN_HOME, STATE_IN_HOME, DATA_IN_HOME].map(|folder| user_home.join(folder)),
        };
        let home = Self {
            config,
            state,
            data,
            explicit,
            user_home,
            user_name,
        };
        for folder in [
            &home.config,
            &home.servers(),
            &home.keys(),
            &home.projects(),
            &home.state,
            &home.audit(),
            &home.shipping(),
            &home.data,
            &home.store(),
        ] {
            check_folder(folder)?;
        }
        Ok(home)
    }

    /// Installed packages. Servers read those they were accepted with; nobody is granted to write here.
    pub(crate) fn store(&self) -> PathBuf {
        self.data.join("store")
    }

    /// One folder for each server's manifest, definitions and program pins.
    pub(crate) fn servers(&self) -> PathBuf {
        self.config.join("servers")
    }

    /// Public keys the user trusts, a `.pub` file each.
    pub(crate) fn keys(&self) -> PathBuf {
        self.config.join("keys")
    }

    /// Which manifests of projects the user accepted, one line each.
    pub(crate) fn accepted_projects(&self) -> PathBuf {
        self.config.join("accepted-projects")
    }

    /// What these manifests said when they were accepted, one folder each.
    pub(crate) fn projects(&self) -> PathBuf {
        self.config.join("projects")
    }

    /// What changes while we run.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// How Cofferdam itself works, where the user says so.
    pub(crate) fn settings(&self) -> PathBuf {
        self.config.join(crate::settings::FILE_NAME)
    }

    /// The user's policies.
    pub(crate) fn policy(&self) -> PathBuf {
        self.config.join("policy")
    }

    /// The user's approver key, without its passphrase.
    pub(crate) fn approver(&self) -> PathBuf {
        self.config.join("approver.json")
    }

    /// The user's list of accepted policy files of projects.
    pub(crate) fn accepted_policies(&self) -> PathBuf {
        self.config.join("accepted-policies")
    }

    /// Sockets of running gates: where the system keeps them for this user, or else beside our state.
    pub(crate) fn runtime(&self) -> PathBuf {
        let [first, second] = self.runtimes();
        let is_there = first.parent().is_some_and(Path::is_dir);
        if is_there { first } else { second }
    }

    /// Everywhere the sockets of this user's gates may lie.
    pub(crate) fn runtimes(&self) -> [PathBuf; 2] {
        let beside = self.state.join("run");
        match &self.explicit {
            Some(_) => [beside.clone(), beside],
            None => [PathBuf::from(format!("/run/user/{}/cofferdam", geteuid())), beside],
        }
    }

    /// Grants that outlive a session, a file each.
    pub(crate) fn grants(&self) -> PathBuf {
        self.state.join("grants")
    }

    /// The record.
    pub(crate) fn audit(&self) -> PathBuf {
        self.state.join("audit")
    }

    /// The ledger of the record: no server's name begins with a dot.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.audit().join(".ledger")
    }

    /// Where shipping the record stands, for each sink.
    pub(crate) fn shipping(&self) -> PathBuf {
        self.state.join("ship")
    }

    /// Folders that can never be granted to a server.
    pub(crate) fn own_folders(&self) -> Vec<PathBuf> {
        // The user's own ones too, whatever `--home` says: another gate uses them.
        let usual = [CONFIG_IN_HOME, STATE_IN_HOME].map(|folder| self.user_home.join(folder));
        let mut own = vec![self.config.clone(), self.state.clone()];
        own.extend(usual);
        own.push(PathBuf::from(format!("/run/user/{}/cofferdam", geteuid())));
        // Where approvers who are other users answer.
        own.push(PathBuf::from("/var/lib/cofferdam"));
        // Not `--home` itself: the store under `data` can be read. Everything else below it lies in `config` and `state`.
        own
    }

    /// Folders that a server may read of, and that no server can be granted to write.
    pub(crate) fn data_folders(&self) -> [PathBuf; 2] {
        [self.data.clone(), self.user_home.join(DATA_IN_HOME)]
    }

    /// Makes a folder of ours, with its parents, for the user alone.
    pub(crate) fn make(folder: &Path) -> Result<(), Failure> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|cause| file_failure("make the folder", folder, &cause))
    }
}

/// `--home`: ours, mode 0700, outside the working directory, below folders that nobody else can change. Made if it is not there.
fn own_folder(home: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(home).map_err(|cause| file_failure("resolve", home, &cause))?;
    check_parents(&absolute)?;
    if !absolute.exists() {
        Home::make(&absolute)?;
    }
    let real = absolute
        .canonicalize()
        .map_err(|cause| file_failure("resolve", &absolute, &cause))?;
    check_parents(&real)?;
    let metadata = std::fs::metadata(&real).map_err(|cause| file_failure("look at", &real, &cause))?;
    let shown = shown(&real);
    if !metadata.is_dir() {
        return Err(Failure::misconfigured(format!("`{shown}` is not a folder")));
    }
    if metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(
            Failure::misconfigured(format!("the folder `{shown}` is not yours alone"))
                .help(format!("chown it to yourself and run `chmod 700 {shown}`")),
        );
    }
    let here = std::env::current_dir().map_err(|cause| file_failure("find", Path::new("."), &cause))?;
    if here != Path::new("/") && real.starts_with(&here) {
        return Err(Failure::misconfigured(format!(
            "the folder `{shown}` lies inside the working directory, where a repository could supply it"
        ))
        .help("choose a folder outside the working directory"));
    }
    Ok(real)
}
