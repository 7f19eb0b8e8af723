//! A notification to whoever sits at the desktop. It leads to a command; a click on it does nothing.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The program that shows notifications. Never looked for on a path that a client or a project could set.
const NOTIFIERS: [&str; 2] = ["/usr/bin/notify-send", "/usr/local/bin/notify-send"];
/// How many seconds it may take, and who ends it then.
const SHOWN_WITHIN_SECONDS: &str = "2";
const TIMEOUT: &str = "/usr/bin/timeout";
const STACK_BYTES: usize = 128 * 1024;

/// Shows a notification where there is a desktop session, beside: nothing waits for it. Both texts must be safe to print; without a
/// session, a program or a thread nothing is shown.
pub(crate) fn show(title: &str, body: &str) {
    let Some((program, bus)) = desktop() else { return };
    let (title, body) = (without_markup(title), without_markup(body));
    let show = move || {
        // `timeout` ends it even where this process is gone by then.
        let _shown = Command::new(TIMEOUT)
            .args(["--kill-after=1", SHOWN_WITHIN_SECONDS, program])
            .args(["--app-name=cofferdam", "--expire-time=20000", "--"])
            .args([title, body])
            .env_clear()
            .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", bus.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    };
    let thread = std::thread::Builder::new().name("notification".to_owned());
    let _started = thread.stack_size(STACK_BYTES).spawn(show);
}

/// The program that shows it, and the session's bus.
fn desktop() -> Option<(&'static str, PathBuf)> {
    let user = nix::unistd::geteuid().as_raw();
    let bus = PathBuf::from(format!("/run/user/{user}/bus"));
    let found = bus.metadata().ok()?;
    let program = NOTIFIERS.into_iter().find(|path| Path::new(path).is_file())?;
    (found.file_type().is_socket() && found.uid() == user).then_some((program, bus))
}

/// Some desktops read a notification's text as markup.
pub(crate) fn without_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
