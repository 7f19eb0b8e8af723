//! A second, tolerant look at a line that was refused: whose request was it?

use crate::id::Id;
use crate::message::unescaped;
use crate::structure::{Parts, skip_space};
use crate::value::fold;

/// What a refused line lets on about itself. Only good for telling its sender.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Salvaged {
    /// The id, if there is exactly one and no key that a case-folding parser takes for another.
    pub(crate) id: Option<Id>,
    /// Whether anything at the top level may be read as `method`.
    pub(crate) has_method: bool,
}

/// Looks for `id` and `method` at the top level of a line, which may be broken in any way.
pub(crate) fn salvage(line: &[u8]) -> Salvaged {
    let body = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
    let mut parts = Parts::of(body, skip_space(body, 0));
    let mut ids = Vec::new();
    let mut has_method = false;
    while let Some(part) = parts.next_member() {
        let Some(key) = body.get(part.key).map(decoded_key) else {
            continue;
        };
        match &*fold(&key) {
            "id" => ids.push((key == "id").then(|| id_at(body.get(part.value))).flatten()),
            "method" => has_method = true,
            _ => {}
        }
    }
    let is_alone = parts.end().is_some_and(|end| skip_space(body, end) == body.len());
    let id = match ids.as_slice() {
        [Some(id)] if is_alone => Some(id.clone()),
        _ => None,
    };
    Salvaged { id, has_method }
}

/// The key as any parser might read it.
fn decoded_key(raw: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(raw).into_owned();
    if lossy.contains('\\') {
        unescaped(&lossy).unwrap_or(lossy)
    } else {
        lossy
    }
}

fn id_at(raw: Option<&[u8]>) -> Option<Id> {
    Id::from_json(std::str::from_utf8(raw?).ok()?).ok()
}
