//! A file of OCSF events, one a line, for a collector on this machine.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::event::Event;
use crate::ocsf::{self, Origin};
use crate::sink::{Sink, Undelivered};

/// How much of an unfinished line is looked through at once.
const LOOK_BACK_BYTES: usize = 64 * 1024;

/// Appends to a file that it opens for each batch, so that it may be rotated away at any time.
#[derive(Debug)]
pub struct FileSink {
    path: PathBuf,
    origin: Origin,
}

impl FileSink {
    /// A sink that appends to `path`; the file is made, readable by the user alone, where it is not there.
    #[must_use]
    pub const fn new(path: PathBuf, origin: Origin) -> Self {
        Self { path, origin }
    }

    fn append(&self, lines: &[u8]) -> io::Result<()> {
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            // A pipe that nobody reads must not keep us waiting, nor a link lead elsewhere.
            .custom_flags(
                i32::try_from((rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits()).unwrap_or(0),
            )
            .open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let whole = end_of_lines(&mut file)?;
        if whole != file.metadata()?.len() {
            file.set_len(whole)?;
        }
        if let Err(cause) = file.write_all(lines).and_then(|()| file.sync_data()) {
            // What a full disk took of it is no event.
            let _ = file.set_len(whole);
            return Err(cause);
        }
        Ok(())
    }
}

impl Sink for FileSink {
    fn deliver(&mut self, events: &[Event]) -> Result<(), Undelivered> {
        let mut lines = String::new();
        for event in events {
            lines.push_str(&ocsf::event(event, &self.origin).to_string());
            lines.push('\n');
        }
        self.append(lines.as_bytes())
            .map_err(|cause| Undelivered::Unavailable(format!("cannot append to `{}`: {cause}", self.path.display())))
    }
}

/// Where the last whole line ends: whoever was killed while writing leaves part of one.
fn end_of_lines(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut buffer = vec![0; LOOK_BACK_BYTES];
    while end > 0 {
        let begin = end.saturating_sub(LOOK_BACK_BYTES as u64);
        let length = usize::try_from(end - begin).unwrap_or(LOOK_BACK_BYTES);
        let (part, _) = buffer.split_at_mut(length);
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(part)?;
        if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}
