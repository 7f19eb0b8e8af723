//! Where shipping to one sink stands, on disk: a line for each step, appended after the sink acknowledged it.
//!
//! A line that is lost, cut or damaged takes the cursor back, never ahead: what it stood for is shipped once more.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use cofferdam_audit::{Digest, Kind, Position};
use sha2::{Digest as _, Sha256};

use crate::kept;

/// First line of the file.
const FORM: &str = "cofferdam cursor 1";
/// When the file has so many lines more than sessions, it is written anew.
const SPARE_LINES_MAX: usize = 50_000;
/// The longest cursor file that is read, in bytes: a million sessions.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Stands for "no record before".
const NOTHING: &str = "-";

/// A place in one session's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which segment.
    pub(crate) index: u32,
    /// Where in it; `None` at its beginning.
    pub(crate) position: Option<Position>,
}

/// The places of all sessions, and their file.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    /// `None` after a write that failed: part of a line may stand at its end, so that it is written anew.
    file: Option<File>,
    places: HashMap<String, Place>,
    lines: usize,
}

/// What one sink has, as its cursor says. Reading it disturbs no shipper.
#[derive(Debug)]
pub struct Delivered(HashMap<String, Place>);

impl Delivered {
    /// Reads the cursor of the sink `name` in the shippers' folder; without one it has nothing.
    ///
    /// # Errors
    /// The cursor cannot be read, or is none.
    pub fn read(folder: &Path, name: &str) -> io::Result<Self> {
        places(&folder.join(format!("{name}.cursor"))).map(Self)
    }

    /// Whether the sink has every record of a session up to number `last`.
    #[must_use]
    pub fn has(&self, session: &str, last: u64) -> bool {
        let position = self.0.get(session).and_then(|place| place.position);
        position.is_some_and(|position| position.seq > last)
    }
}

impl Cursor {
    /// Reads the cursor and writes it anew, without what it need not keep.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut cursor = Self {
            path: path.to_owned(),
            file: None,
            places: places(path)?,
            lines: 0,
        };
        cursor.write_anew()?;
        Ok(cursor)
    }

    pub(crate) fn place(&self, session: &str) -> Option<Place> {
        self.places.get(session).copied()
    }

    /// Moves on. Once this returns, no kill of ours takes it back; a machine that fails may. After an error it may be tried again.
    pub(crate) fn advance(&mut self, steps: &HashMap<String, Place>) -> io::Result<()> {
        let mut text = String::new();
        for (session, place) in steps {
            text.push_str(&line(session, place));
            self.places.insert(session.clone(), *place);
        }
        let Some(mut file) = self.file.take() else {
            return self.write_anew();
        };
        file.write_all(text.as_bytes())?;
        self.file = Some(file);
        self.lines = self.lines.saturating_add(steps.len());
        if self.lines > self.places.len().saturating_add(SPARE_LINES_MAX) {
            return self.write_anew();
        }
        Ok(())
    }

    fn write_anew(&mut self) -> io::Result<()> {
        // Where this fails behind the renaming, the open file has no name any more.
        self.file = None;
        let mut text = format!("{FORM}\n");
        for (session, place) in &self.places {
            text.push_str(&line(session, place));
        }
        self.file = Some(kept::put(&self.path, text.as_bytes())?);
        self.lines = 0;
        Ok(())
    }

    /// Forgets sessions that are not there any more, when the file is next written anew.
    pub(crate) fn keep_only(&mut self, is_there: impl Fn(&str) -> bool) {
        self.places.retain(|session, _| is_there(session));
    }
}

/// The places in a cursor's file, up to the first line that is not whole.
fn places(path: &Path) -> io::Result<HashMap<String, Place>> {
    let text = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Err(io::Error::other("it is too large")),
        Ok(_) => String::from_utf8_lossy(&std::fs::read(path)?).into_owned(),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
        Err(cause) => return Err(cause),
    };
    let mut lines = text.split_inclusive('\n');
    let first = lines.next();
    if first.is_some_and(|first| !first.starts_with(FORM)) {
        return Err(io::Error::other("it is not in the form of a cursor"));
    }
    let mut places = HashMap::new();
    for line in lines {
        let Some((session, place)) = parse(line) else {
            break;
        };
        places.insert(session, place);
    }
    Ok(places)
}

fn line(session: &str, place: &Place) -> String {
    let mut line = format!("{session} {}", place.index);
    if let Some(position) = &place.position {
        let after = position
            .after
            .map_or_else(|| NOTHING.to_owned(), |kind| kind.code().to_string());
        line.push_str(&format!(
            " {} {} {} {} {after}",
            position.offset, position.seq, position.hash, position.boot_ns
        ));
    }
    let sum = sum(&line);
    format!("{line} {sum}\n")
}

fn parse(text: &str) -> Option<(String, Place)> {
    let (line, found) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if found != sum(line) {
        return None;
    }
    let mut words = line.split(' ');
    let (session, index) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let position = match words.next() {
        None => None,
        Some(offset) => Some(Position {
            offset: offset.parse().ok()?,
            seq: words.next()?.parse().ok()?,
            hash: Digest::parse(words.next()?)?,
            boot_ns: words.next()?.parse().ok()?,
            after: match words.next()? {
                NOTHING => None,
                code => Some(Kind::from_code(code.parse().ok()?)),
            },
        }),
    };
    words.next().is_none().then_some((session, Place { index, position }))
}

/// Tells a whole line from one that was cut or damaged.
fn sum(line: &str) -> String {
    let digest = Sha256::digest(line.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: u64) -> Place {
        Place {
            index: 2,
            position: Some(Position {
                offset: seq * 100,
                seq,
                hash: Digest::of_payload(&seq.to_le_bytes()),
                boot_ns: 7,
                after: Some(Kind::ClientLine),
            }),
        }
    }

    fn step(session: &str, seq: u64) -> HashMap<String, Place> {
        HashMap::from([(session.to_owned(), place(seq))])
    }

    #[test]
    fn what_was_acknowledged_is_found_again_and_what_was_cut_takes_it_back_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.cursor");
        let mut cursor = Cursor::open(&path).unwrap();
        for seq in 1..=3 {
            cursor.advance(&step("aa", seq)).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let known = match Cursor::open(&path) {
                Ok(cursor) => cursor.place("aa"),
                // A first line that was cut is no cursor: nobody guesses.
                Err(_) => {
                    assert!(cut < FORM.len(), "{cut}");
                    continue;
                }
            };
            let seq = known
                .and_then(|place| place.position)
                .map_or(0, |position| position.seq);
            assert!(known.is_none_or(|known| known == place(seq)), "{cut}");
            assert!(cut < whole.len() || seq == 3);
        }
    }

    #[test]
    fn a_damaged_line_ends_what_is_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.cursor");
        let mut cursor = Cursor::open(&path).unwrap();
        for seq in 1..=3 {
            cursor.advance(&step("aa", seq)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let second = text.lines().nth(2).unwrap();
        std::fs::write(&path, text.replace(second, &second.replace(" 200 ", " 999 "))).unwrap();
        assert_eq!(Cursor::open(&path).unwrap().place("aa"), Some(place(1)));
        std::fs::write(&path, "something else\n").unwrap();
        assert!(Cursor::open(&path).is_err());
    }
}
