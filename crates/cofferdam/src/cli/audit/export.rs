//! `audit export`: the records that answer a question, in a file for analysts.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cofferdam_audit::{Header, Session, Skimmed};
use serde_json::{Value, json};

use super::args::AuditExport;
use super::ask::ask_segment;
use super::parquet::ParquetFile;
use super::question::Question;
use super::{failure, store, warn, when};
use crate::cli::output::Output;
use crate::failure::{Exit, Failure, file_failure};
use crate::home::Home;
use crate::own_files::shown;

/// The file, in one of its forms.
enum Sheet {
    Parquet(Box<ParquetFile>),
    Lines(BufWriter<File>),
}

/// Writes a file that appears whole or not at all. Exit 3 when no record answers, 1 when a segment could not be read.
pub(super) fn export(home: &Home, args: &AuditExport, output: &mut Output) -> Result<Exit, Failure> {
    if !(output.is_parquet() || output.is_json()) {
        return Err(Failure::usage("`audit export` has no text form").help("say `--format parquet` or `--format json`"));
    }
    if args.file.symlink_metadata().is_ok() {
        return Err(is_there(&args.file));
    }
    let store = store(home)?;
    let question = Question::new(&args.which)?;
    let found = store.sessions().map_err(|error| failure(&error))?;
    warn(found.problems.iter(), output);
    let mut sessions = found.items;
    sessions.retain(|session| question.may_be_in(session));
    sessions.sort_by_key(|session| session.header.wall_ns);
    let draft = Draft::create(&args.file)?;
    let mut sheet = draft.sheet(output.is_parquet())?;
    let (count, unread) = fill(&mut sheet, (&question, &sessions), (&draft, output))?;
    if count == 0 {
        output.say("no record answers that, so nothing was written");
        return Ok(if unread == 0 { Exit::Nothing } else { Exit::Findings });
    }
    sheet.finish().map_err(|cause| draft.failed(&cause))?;
    draft.publish(&args.file)?;
    let end = if count == 1 { "" } else { "s" };
    output.say(&format!("{count} record{end} in `{}`", shown(&args.file)));
    if unread > 0 {
        output.say(&format!(
            "error: {unread} segments could not be read whole: the file is not all there is"
        ));
        return Ok(Exit::Findings);
    }
    Ok(Exit::Fine)
}

/// How many records answered, and how many segments could not be read.
fn fill(
    sheet: &mut Sheet,
    (question, sessions): (&Question<'_>, &[Session]),
    (draft, output): (&Draft, &mut Output),
) -> Result<(u64, u64), Failure> {
    let (mut count, mut unread) = (0_u64, 0_u64);
    for path in sessions.iter().flat_map(|session| &session.segments) {
        let mut each = |header: &Header, record: &Skimmed<'_>| {
            count += 1;
            sheet.add(header, record).map_err(|cause| draft.failed(&cause))
        };
        let problem = ask_segment(path, &|record| question.is_answered_by(record), &mut each)?;
        unread += u64::from(problem.is_some());
        warn(problem.iter(), output);
    }
    Ok((count, unread))
}

impl Sheet {
    fn add(&mut self, header: &Header, record: &Skimmed<'_>) -> io::Result<()> {
        match self {
            Self::Parquet(file) => file.add(header, record),
            Self::Lines(file) => {
                let facts: Value = serde_json::from_slice(record.facts).unwrap_or(Value::Null);
                let payload = (!record.sealed).then(|| String::from_utf8_lossy(record.payload));
                let line = json!({
                    "time": when::written(record.wall_ns), "time_ns": record.wall_ns, "session": header.session, "seq": record.seq,
                    "server": header.server, "principal": header.principal, "kind": record.kind.to_string(), "facts": facts,
                    "payload": payload, "payload_bytes": record.payload.len(), "sealed": record.sealed,
                });
                writeln!(file, "{line}")
            }
        }
    }

    fn finish(self) -> io::Result<()> {
        let file = match self {
            Self::Parquet(file) => file.finish()?,
            Self::Lines(file) => file.into_inner().map_err(io::IntoInnerError::into_error)?,
        };
        file.sync_all()
    }
}

/// The file while it is written, under a name of its own; removed when it comes to nothing.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn create(file: &Path) -> Result<Self, Failure> {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        Ok(Self {
            path: file.with_file_name(name),
        })
    }

    fn sheet(&self, is_parquet: bool) -> Result<Sheet, Failure> {
        let mut options = File::options();
        let file = options.create_new(true).write(true).mode(0o600).open(&self.path);
        let file = file.map_err(|cause| self.failed(&cause))?;
        Ok(if is_parquet {
            Sheet::Parquet(Box::new(ParquetFile::new(file).map_err(|cause| self.failed(&cause))?))
        } else {
            Sheet::Lines(BufWriter::new(file))
        })
    }

    fn publish(&self, file: &Path) -> Result<(), Failure> {
        // A link, since a rename would replace what somebody else put there meanwhile.
        match std::fs::hard_link(&self.path, file) {
            Ok(()) => Ok(()),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Err(is_there(file)),
            // File systems without links.
            Err(_) if file.symlink_metadata().is_ok() => Err(is_there(file)),
            Err(_) => std::fs::rename(&self.path, file).map_err(|cause| file_failure("write", file, &cause)),
        }
    }

    fn failed(&self, cause: &io::Error) -> Failure {
        file_failure("write", &self.path, cause)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After a rename there is nothing of this name.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_there(file: &Path) -> Failure {
    Failure::usage(format!("`{}` is there already", shown(file))).help("name another file, or move that one away")
}
