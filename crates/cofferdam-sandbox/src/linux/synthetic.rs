//! What is made up inside: `/etc`, links in `/dev`, and the files programs count processors and memory by.
//!
//! It is composed by the launching process, because later the host is half covered, and written by the first
//! process of the compartment.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::num::NonZero;
use std::path::{Component, Path, PathBuf};
use std::thread;

use serde::{Deserialize, Serialize};

use super::identity::INSIDE;
use crate::plan::HOME;
use crate::{Limits, Plan};

const ZONES: &str = "/usr/share/zoneinfo";
/// Longest file of the host whose text is taken over.
const COPY_BYTES_MAX: u64 = 64 * 1024;
/// Most processors that are made up.
const PROCESSORS_MAX: usize = 1024;

/// Files and links of the fresh root.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Synthetic {
    pub(super) files: Vec<(PathBuf, String)>,
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Files that are mounted over those of `/proc`, by name.
    pub(super) proc: Vec<(String, String)>,
}

impl Synthetic {
    /// Composes everything for a plan.
    pub(super) fn compose(plan: &Plan) -> Self {
        let mut made = Self {
            proc: proc_files(&plan.limits),
            ..Self::default()
        };
        made.add_etc(&plan.hostname);
        // Any address would do: all of them lead to whoever holds the doors.
        let has_names = !plan.ports.is_empty();
        let resolver = if has_names { "nameserver 127.0.0.1\n" } else { "" };
        made.file("resolv.conf", resolver.to_owned());
        made.add_time_zone(plan);
        made.link("/etc/mtab", "/proc/self/mounts");
        for (name, leads_to) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
            made.link(&format!("/dev/{name}"), &format!("/proc/self/fd{leads_to}"));
        }
        made
    }

    fn link(&mut self, path: &str, leads_to: &str) {
        self.links.push((path.into(), leads_to.into()));
    }

    fn file(&mut self, name: &str, text: String) {
        self.files.push((Path::new("/etc").join(name), text));
    }

    /// `/etc` as a machine has it that nobody uses.
    fn add_etc(&mut self, host: &str) {
        let users = [
            "root:x:0:0:root:/:/usr/sbin/nologin".to_owned(),
            format!("sandbox:x:{INSIDE}:{INSIDE}:sandbox:{HOME}:/bin/sh"),
            "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n".to_owned(),
        ];
        self.file("passwd", users.join("\n"));
        self.file("group", format!("root:x:0:\nsandbox:x:{INSIDE}:\nnogroup:x:65534:\n"));
        self.file(
            "hosts",
            format!("127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 {host}\n"),
        );
        self.file("hostname", format!("{host}\n"));
        self.file("host.conf", "multi on\n".to_owned());
        let databases = ["passwd", "group", "services", "protocols"].map(|name| format!("{name}: files\n"));
        self.file("nsswitch.conf", format!("hosts: files dns\n{}", databases.concat()));
        self.file("shells", "/bin/sh\n".to_owned());
        if let Some(release) = short_text(Path::new("/etc/os-release")) {
            self.file("os-release", release);
        }
    }

    /// The time zone of the plan's `TZ`, or else the host's.
    fn add_time_zone(&mut self, plan: &Plan) {
        let mut variables = plan.environment.iter();
        let named = variables
            .find(|(name, _)| name == "TZ")
            .map(|(_, zone)| Path::new(zone));
        let is_plain = |zone: &&Path| {
            let mut parts = zone.components();
            parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let named = named.filter(is_plain).map(|zone| Path::new(ZONES).join(zone));
        let of_host = || Some(Path::new("/etc").join(fs::read_link("/etc/localtime").ok()?));
        let Some(zone) = named.filter(|zone| zone.is_file()).or_else(of_host) else {
            return;
        };
        // A link that leads elsewhere would lead nowhere inside; the zone is UTC then.
        if let Some(name) = zone.strip_prefix(ZONES).ok().and_then(Path::to_str) {
            self.file("timezone", format!("{name}\n"));
            self.link("/etc/localtime", &format!("{ZONES}/{name}"));
        }
    }
}

/// A short text file of the host, if it is one.
fn short_text(path: &Path) -> Option<String> {
    let mut text = String::new();
    let file = fs::File::open(path).ok()?;
    file.take(COPY_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// `cpuinfo`, `meminfo` and `stat`: as many processors as may be used, as much memory as is granted, no word
/// about the machine.
fn proc_files(limits: &Limits) -> Vec<(String, String)> {
    let processors = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(PROCESSORS_MAX);
    let host = rustix::system::sysinfo();
    let of_host = host.totalram.saturating_mul(host.mem_unit.into()) / 1024;
    let kib = of_host.min(limits.memory_bytes / 1024);
    let (mut cpuinfo, mut stat) = (String::new(), "cpu  0 0 0 0 0 0 0 0 0 0\n".to_owned());
    for number in 0..processors {
        // Writing to a string cannot fail.
        let _ = writeln!(
            cpuinfo,
            "processor\t: {number}\nmodel name\t: virtual\ncpu MHz\t\t: 1000.000\ncpu cores\t: {processors}\n"
        );
        let _ = writeln!(stat, "cpu{number} 0 0 0 0 0 0 0 0 0 0");
    }
    stat.push_str("intr 0\nctxt 0\nbtime 0\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n");
    let total = ["MemTotal", "MemFree", "MemAvailable"].map(|name| format!("{name}: {kib} kB\n"));
    let none = ["Buffers", "Cached", "SwapTotal", "SwapFree", "Shmem"].map(|name| format!("{name}: 0 kB\n"));
    vec![
        ("cpuinfo".to_owned(), cpuinfo),
        ("meminfo".to_owned(), total.concat() + &none.concat()),
        ("stat".to_owned(), stat),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::Synthetic;
    use crate::Plan;

    fn total_kib(meminfo: &str) -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    fn link(made: &Synthetic, path: &str) -> Option<PathBuf> {
        let found = made.links.iter().find(|(link, _)| link == Path::new(path));
        found.map(|(_, leads_to)| leads_to.clone())
    }

    fn with_zone(zone: &str) -> Option<PathBuf> {
        let mut plan = Plan::sealed("/usr/bin/true");
        plan.environment.push(("TZ".into(), zone.into()));
        link(&Synthetic::compose(&plan), "/etc/localtime")
    }

    #[test]
    fn a_named_time_zone_is_used_and_cannot_lead_elsewhere() {
        let tokyo = Path::new("/usr/share/zoneinfo/Asia/Tokyo");
        assert!(tokyo.is_file(), "this test needs the tzdata package");
        assert_eq!(with_zone("Asia/Tokyo").as_deref(), Some(tokyo));
        for strange in ["../../../etc/passwd", "/etc/passwd", "Nowhere/None", ""] {
            assert_ne!(
                with_zone(strange).as_deref(),
                Some(Path::new("/etc/passwd")),
                "{strange}"
            );
        }
    }

    #[test]
    fn memory_is_what_is_granted() {
        let mut plan = Plan::sealed("/usr/bin/true");
        plan.limits.memory_bytes = 64 << 20;
        let made = Synthetic::compose(&plan);
        let meminfo = made
            .proc
            .iter()
            .find(|(name, _)| name == "meminfo")
            .map(|(_, text)| text);
        assert_eq!(meminfo.and_then(|text| total_kib(text)), Some(65_536));
        plan.limits.memory_bytes = u64::MAX;
        let of_host = std::fs::read_to_string("/proc/meminfo").expect("on Linux");
        let made = Synthetic::compose(&plan);
        let shown = made.proc.iter().find(|(name, _)| name == "meminfo");
        assert_eq!(shown.and_then(|(_, text)| total_kib(text)), total_kib(&of_host));
    }
}
