//! `audit ship` to a real rsyslog, in the clear and over TLS.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::driven::installed;
use crate::shipping::{assert_all_arrived, configure, count_of_records, session, ship_once};
use crate::support::{STUCK, Stage, certificate, text};

/// A port of the loopback interface that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process that is gone with the test.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// Starts it, and waits until it listens.
    pub(crate) fn listening(command: &mut Command, port: u16) -> Self {
        let running = Self(command.stdin(Stdio::null()).spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < STUCK, "{command:?} does not listen on {port}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ours, and possibly gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// rsyslog, writing what it understood of each message to a file.
struct Rsyslog {
    folder: PathBuf,
    port: u16,
    certificate: Option<(PathBuf, PathBuf)>,
}

impl Rsyslog {
    fn start(&self) -> Running {
        let root = PathBuf::from(installed("rsyslog"));
        let folder = self.folder.display();
        let (global, driver) = match &self.certificate {
            None => (String::new(), ""),
            Some((certificate, key)) => (
                format!(
                    "global(DefaultNetstreamDriverCAFile=\"{0}\" DefaultNetstreamDriverCertFile=\"{0}\" DefaultNetstreamDriverKeyFile=\"{1}\")\n",
                    certificate.display(),
                    key.display()
                ),
                " StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\"",
            ),
        };
        let configuration = format!(
            "global(workDirectory=\"{folder}\")\n{global}module(load=\"imtcp\"{driver})\n\
             template(name=\"parsed\" type=\"string\" string=\"%hostname% %app-name% %msgid% %syslogfacility% %syslogseverity% %structured-data%%msg%\\n\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{}\")\n\
             action(type=\"omfile\" file=\"{folder}/messages\" template=\"parsed\" asyncWriting=\"off\" flushOnTXEnd=\"on\")\n",
            self.port
        );
        let path = self.folder.join("rsyslog.conf");
        std::fs::write(&path, configuration).unwrap();
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let mut rsyslog = Command::new(root.join("usr/sbin/rsyslogd"));
        rsyslog
            .args(["-n", "-i"])
            .arg(self.folder.join("pid"))
            .arg("-f")
            .arg(&path);
        rsyslog
            .arg("-M")
            .arg(libraries.join("rsyslog"))
            .env("LD_LIBRARY_PATH", &libraries);
        Running::listening(&mut rsyslog, self.port)
    }

    /// Waits until it wrote every record there is: what was read is written in a moment.
    fn wait(&self, stage: &Stage) {
        let (began, records) = (Instant::now(), crate::shipping::recorded(stage).len());
        let arrived = || {
            let events: Vec<Value> = self.messages().into_iter().map(|(_, event)| event).collect();
            count_of_records(&events)
        };
        while arrived() < records && began.elapsed() < STUCK {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// What it wrote: the words before the structured data, and the event.
    fn messages(&self) -> Vec<(String, Value)> {
        let text = std::fs::read_to_string(self.folder.join("messages")).unwrap_or_default();
        let message = |line: &str| {
            let (head, rest) = line
                .split_once(" [cofferdam@32473 ")
                .unwrap_or_else(|| panic!("{line}"));
            let event = rest.get(rest.find('{').unwrap()..).unwrap();
            let event = serde_json::from_str(event).unwrap_or_else(|cause| panic!("{cause}: {line}"));
            (head.to_owned(), event)
        };
        // A line that is being written is none yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(message).collect()
    }
}

/// Two sessions, one of them shipped through a kill -9 of rsyslog.
fn shipped_to_rsyslog(is_tls: bool) {
    let stage = Stage::with_fixture(&[]);
    let folder = tempfile::tempdir().unwrap();
    let rsyslog = Rsyslog {
        folder: folder.path().to_owned(),
        port: free_port(),
        certificate: is_tls.then(|| certificate(folder.path(), "localhost")),
    };
    let how = match &rsyslog.certificate {
        Some((certificate, _)) => format!("ca = \"{}\"", certificate.display()),
        None => "transport = \"tcp\"".to_owned(),
    };
    configure(
        &stage,
        &format!(
            "[[sinks]]\nname = \"syslog\"\ntype = \"syslog\"\naddress = \"localhost:{}\"\n{how}\n",
            rsyslog.port
        ),
    );
    session(&stage, 5);
    let nobody = ship_once(&stage);
    assert_eq!(
        nobody.status.code(),
        Some(5),
        "nobody listens: {}",
        text(&nobody.stderr)
    );
    assert!(text(&nobody.stderr).contains("refused"), "{}", text(&nobody.stderr));
    drop(rsyslog.start());
    let running = rsyslog.start();
    let shipped = ship_once(&stage);
    assert!(shipped.status.success(), "{}", text(&shipped.stderr));
    // What rsyslog read and did not write is lost with it: docs/shipping.md.
    rsyslog.wait(&stage);
    drop(running);
    let running = rsyslog.start();
    session(&stage, 2);
    assert!(ship_once(&stage).status.success());
    rsyslog.wait(&stage);
    drop(running);
    let (heads, events): (Vec<String>, Vec<Value>) = rsyslog.messages().into_iter().unzip();
    assert_all_arrived(&stage, &events);
    for (head, event) in heads.iter().zip(&events) {
        let words: Vec<&str> = head.split(' ').collect();
        assert_eq!(
            words[1..4],
            [
                "cofferdam",
                event["unmapped"]["cofferdam"]["kind"].as_str().unwrap(),
                "13"
            ]
        );
        assert_eq!(words[4] == "4", event["severity_id"] == 3, "{head}");
    }
    assert!(
        heads.iter().any(|head| head.ends_with(" 4")),
        "the refused call is a warning"
    );
}

#[test]
fn rsyslog_gets_every_record_over_tcp() {
    shipped_to_rsyslog(false);
}

#[test]
fn rsyslog_gets_every_record_over_tls() {
    shipped_to_rsyslog(true);
}

#[test]
fn a_collector_whose_certificate_is_not_believed_gets_nothing() {
    let stage = Stage::with_fixture(&[]);
    let folder = tempfile::tempdir().unwrap();
    let rsyslog = Rsyslog {
        folder: folder.path().to_owned(),
        port: free_port(),
        certificate: Some(certificate(folder.path(), "localhost")),
    };
    let _running = rsyslog.start();
    let other = tempfile::tempdir().unwrap();
    let (other, _) = certificate(other.path(), "localhost");
    session(&stage, 1);
    for ca in [format!("ca = \"{}\"", other.display()), String::new()] {
        let port = rsyslog.port;
        configure(
            &stage,
            &format!("[[sinks]]\nname = \"x\"\ntype = \"syslog\"\naddress = \"localhost:{port}\"\n{ca}\n"),
        );
        let shipped = ship_once(&stage);
        assert_eq!(shipped.status.code(), Some(5), "{}", text(&shipped.stderr));
        assert!(
            text(&shipped.stderr).contains("certificate"),
            "{}",
            text(&shipped.stderr)
        );
    }
    assert_eq!(rsyslog.messages(), []);
}
