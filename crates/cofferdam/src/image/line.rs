//! Launch lines of container engines: `docker run …`, `podman run …`.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::gate::escaped;

/// What such a line asks for, as far as it can be had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageLine {
    /// The image, as the line names it.
    pub(crate) reference: String,
    /// Another program than the image's entry point.
    pub(crate) entry: Option<String>,
    pub(crate) arguments: Vec<String>,
    /// `NAME=VALUE` or `NAME`.
    pub(crate) variables: Vec<String>,
    pub(crate) read: Vec<PathBuf>,
    pub(crate) write: Vec<PathBuf>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) runtime: Option<String>,
    /// What a person should know, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// Engines whose `run` is understood.
const ENGINES: [&str; 3] = ["docker", "podman", "nerdctl"];
/// Options without a value that change nothing here.
const HARMLESS: [&str; 12] = [
    "-i",
    "--interactive",
    "--rm",
    "--init",
    "--read-only",
    "--no-healthcheck",
    "--quiet",
    "-q",
    "--sig-proxy",
    "--no-hosts",
    "--read-only-tmpfs",
    "--tls-verify",
];
/// Options with a value that only take away, or name things: a container of ours has less, and no name.
const REPLACED: [&str; 30] = [
    "--name",
    "--label",
    "-l",
    "--hostname",
    "-h",
    "--user",
    "-u",
    "--memory",
    "-m",
    "--memory-swap",
    "--cpus",
    "--pids-limit",
    "--ulimit",
    "--shm-size",
    "--tmpfs",
    "--cap-drop",
    "--platform",
    "--log-driver",
    "--log-opt",
    "--stop-signal",
    "--stop-timeout",
    "--pull",
    "--restart",
    "--add-host",
    "--dns",
    "--umask",
    "--cidfile",
    "--health-cmd",
    "--log-level",
    "--timeout",
];
/// Options that open the container, with a value; `host` or not, there is no honest way to grant them.
const OPENING: [&str; 14] = [
    "--device",
    "--cap-add",
    "--volumes-from",
    "--gpus",
    "--group-add",
    "--cgroup-parent",
    "--device-cgroup-rule",
    "--publish",
    "-p",
    "--sysctl",
    "--env-file",
    "--mount",
    "--security-opt",
    "--link",
];
/// Options about a namespace: `private`, `none` and nothing are what there is.
const NAMESPACES: [&str; 6] = ["--pid", "--ipc", "--uts", "--userns", "--cgroupns", "--cgroups"];

/// The image that a line of a container engine starts; `None` for another line.
///
/// # Errors
/// It is such a line, and asks for something that a sealed container never has, or that is not understood.
pub(crate) fn image_line(command: &[String]) -> Result<Option<ImageLine>, Failure> {
    let Some((program, words)) = command.split_first() else {
        return Ok(None);
    };
    let name = program.rsplit('/').next().unwrap_or(program);
    if !ENGINES.contains(&name) {
        return Ok(None);
    }
    let words = match words {
        [first, rest @ ..] if first == "run" => rest,
        [first, second, rest @ ..] if first == "container" && second == "run" => rest,
        _ => return Err(not_understood(name, words.first().map_or("", String::as_str))),
    };
    let mut line = ImageLine::default();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if !word.starts_with('-') {
            line.reference = word.to_owned();
            break;
        }
        let (option, value) = match word.split_once('=').filter(|_| word.starts_with("--")) {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        line.take(name, option, value, &mut words)?;
    }
    line.arguments = words.map(str::to_owned).collect();
    if line.reference.is_empty() {
        return Err(Failure::usage(format!("`{name} run` names no image")));
    }
    let ours = "the network, limits and mounts of the line are replaced by those of the manifest".to_owned();
    line.notes.insert(0, ours);
    Ok(Some(line))
}

impl ImageLine {
    fn take<'w>(
        &mut self,
        engine: &str,
        option: &str,
        value: Option<&'w str>,
        words: &mut impl Iterator<Item = &'w str>,
    ) -> Result<(), Failure> {
        if HARMLESS.contains(&option) {
            return Ok(());
        }
        if matches!(option, "-t" | "--tty" | "-it" | "-ti") {
            self.notes
                .push("there is no terminal: MCP speaks over plain pipes".to_owned());
            return Ok(());
        }
        if option == "--privileged" {
            return Err(opens(
                "--privileged",
                "it is no container any more: every capability, every device",
            ));
        }
        let has_value = [&REPLACED[..], &OPENING, &NAMESPACES, &["--network", "--net"], &OWN];
        if !has_value.iter().any(|known| known.contains(&option)) {
            return Err(not_understood(engine, option));
        }
        let Some(value) = value.or_else(|| words.next()) else {
            return Err(Failure::usage(format!("`{option}` of `{engine} run` has no value")));
        };
        match option {
            "-e" | "--env" => self.variables.push(value.to_owned()),
            "-w" | "--workdir" => self.directory = Some(PathBuf::from(value)),
            "--entrypoint" => self.entry = Some(value.to_owned()),
            "--runtime" => self.runtime = Some(value.to_owned()),
            "-v" | "--volume" => return self.volume(value),
            "--network" | "--net" => return network(value),
            "--security-opt" if value.starts_with("no-new-privileges") => {}
            _ if NAMESPACES.contains(&option) => return namespace(option, value),
            _ if OPENING.contains(&option) => return Err(opening(option, value)),
            _ => {}
        }
        Ok(())
    }

    /// A volume is a grant where both sides have one name: what is granted keeps its path.
    fn volume(&mut self, value: &str) -> Result<(), Failure> {
        let mut parts = value.split(':');
        let (from, to, how) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let shown = escaped(value.as_bytes());
        if is_engine_socket(value) {
            return Err(opens(
                &format!("-v {shown}"),
                "whoever holds the engine's socket is root on this machine",
            ));
        }
        let Some(to) = to else {
            return Err(Failure::usage(format!(
                "`-v {shown}` makes a volume of the engine's own, which is not kept here"
            ))
            .help("leave it out: `/tmp` is private and writable; or grant a folder: `-v DIR:DIR`"));
        };
        if !from.starts_with('/') {
            return Err(
                Failure::usage(format!("`-v {shown}` names no folder by its absolute path"))
                    .help("grant a folder of yours by its path: `-v /DIR:/DIR`"),
            );
        }
        if Path::new(from) != Path::new(to) {
            return Err(
                Failure::usage(format!("`-v {shown}` shows a folder under another path")).help(format!(
                    "what is granted keeps its path: write `-v {0}:{0}`, and name that path in the arguments",
                    escaped(from.as_bytes())
                )),
            );
        }
        let is_read_only = how.is_some_and(|how| how.split(',').any(|word| word == "ro"));
        let grants = if is_read_only { &mut self.read } else { &mut self.write };
        grants.push(PathBuf::from(from));
        Ok(())
    }
}

/// Options whose value is taken over.
const OWN: [&str; 8] = [
    "-e",
    "--env",
    "-w",
    "--workdir",
    "--entrypoint",
    "--runtime",
    "-v",
    "--volume",
];

fn is_engine_socket(value: &str) -> bool {
    const NAMES: [&str; 5] = [
        "docker.sock",
        "podman.sock",
        "containerd.sock",
        "crio.sock",
        "buildkitd.sock",
    ];
    NAMES.iter().any(|name| value.contains(name))
}

fn network(value: &str) -> Result<(), Failure> {
    if value == "none" {
        return Ok(());
    }
    let shown = escaped(value.as_bytes());
    if value == "host" {
        return Err(opens(
            "--network host",
            "it has this machine's own network, its loopback and metadata addresses",
        ));
    }
    Err(
        Failure::usage(format!("`--network {shown}` is not to be had: nothing is routed"))
            .help("leave it out, and name what the server may reach: `cofferdam add NAME --network HOST:PORT -- …`"),
    )
}

fn namespace(option: &str, value: &str) -> Result<(), Failure> {
    let is_own = matches!(value, "private" | "none" | "shareable" | "auto")
        || (option == "--userns" && value.starts_with("keep-id"));
    if is_own {
        return Ok(());
    }
    let shown = escaped(value.as_bytes());
    Err(opens(
        &format!("{option} {shown}"),
        "it shares a namespace of this machine or of another container",
    ))
}

fn opening(option: &str, value: &str) -> Failure {
    let why = match option {
        _ if is_engine_socket(value) => "whoever holds the engine's socket is root on this machine",
        "--device" | "--gpus" | "--device-cgroup-rule" => "a device is a way around every wall",
        "--cap-add" => "a sealed container has no capability at all",
        "--security-opt" => "the walls of a sealed container are not taken down",
        "--publish" | "-p" => "nothing inside can be reached from outside: a server speaks over its pipes",
        "--mount" | "--volumes-from" => "folders are granted one by one, by `--read DIR` and `--write DIR`",
        "--env-file" => "a file of variables may hold secrets: name each with `--env` or `--secret`",
        _ => "a sealed container is given nothing of the machine",
    };
    opens(&format!("{option} {}", escaped(value.as_bytes())), why)
}

fn opens(what: &str, why: &str) -> Failure {
    Failure::misconfigured(format!("`{what}` is never granted: {why}"))
        .help("take it out of the launch line; a server that cannot live without it cannot run sealed")
}

fn not_understood(engine: &str, option: &str) -> Failure {
    Failure::usage(format!("`{engine} {}` is not understood", escaped(option.as_bytes())))
        .help("write `docker run [-e NAME[=VALUE]] [-v DIR:DIR[:ro]] [-w DIR] [--entrypoint PROGRAM] IMAGE@sha256:… ARGUMENTS`")
}

#[cfg(test)]
mod tests {
    use super::{ImageLine, image_line};

    fn line(words: &str) -> Result<Option<ImageLine>, String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        image_line(&words).map_err(|failure| failure.what)
    }

    #[test]
    fn what_can_be_had_is_taken_over() {
        let found = line(
            "docker run -i --rm -e TOKEN -e A=b --volume=/srv/a:/srv/a:ro -v /srv/b:/srv/b -w /app --name x image@sha256:1 --flag -v",
        );
        let found = found.unwrap().unwrap();
        assert_eq!(found.reference, "image@sha256:1");
        assert_eq!(found.arguments, ["--flag", "-v"]);
        assert_eq!(found.variables, ["TOKEN", "A=b"]);
        assert_eq!(found.read, [std::path::PathBuf::from("/srv/a")]);
        assert_eq!(found.write, [std::path::PathBuf::from("/srv/b")]);
        assert_eq!(found.directory.unwrap(), std::path::PathBuf::from("/app"));
        assert_eq!(line("node server.js"), Ok(None));
    }

    #[test]
    fn what_opens_a_container_is_refused_by_its_name() {
        for open in [
            "--privileged",
            "--network host",
            "--net=host",
            "--pid host",
            "--ipc=host",
            "--userns=host",
            "--device /dev/kvm",
            "--cap-add SYS_ADMIN",
            "--security-opt seccomp=unconfined",
            "-v /var/run/docker.sock:/var/run/docker.sock",
            "--mount type=bind,src=/run/podman/podman.sock,dst=/x",
            "--pid container:other",
            "-p 80:80",
        ] {
            let refused = line(&format!("docker run -i {open} image")).unwrap_err();
            let named = open
                .split([' ', '='])
                .next()
                .unwrap()
                .replace("--net", "--network")
                .replace("--networkwork", "--network");
            assert!(
                refused.contains(&named) && refused.contains("never granted"),
                "{open}: {refused}"
            );
        }
    }

    #[test]
    fn what_is_not_understood_is_not_guessed() {
        for odd in [
            "--no-such-option",
            "-v /a:/b",
            "-v name:/a",
            "-v /a",
            "--network mine",
            "-e",
        ] {
            assert!(line(&format!("docker run {odd}")).is_err(), "{odd}");
        }
        assert!(line("docker exec x y").is_err());
        assert!(line("docker run -i").is_err());
        // The value of a replaced option is never taken for the image.
        assert_eq!(line("docker run --user image real").unwrap().unwrap().reference, "real");
    }
}
