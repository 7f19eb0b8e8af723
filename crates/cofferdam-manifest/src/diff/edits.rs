//! The fewest removals and additions that lead from one list of words to another, within bounds.

/// Words removed and added that are told apart; texts that differ in more are shown as one replaced by the other.
pub(super) const EDITS_MAX: usize = 256;
/// Words compared, after what both texts begin and end with was set aside.
const WORDS_MAX: usize = 20_000;

/// One step from a list of words to another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edit {
    /// The word is in both.
    Keep,
    /// Only in the first.
    Remove,
    /// Only in the second.
    Add,
}

/// The fewest removals and additions that lead from one list to the other; `None` when the bounds are exceeded.
///
/// Myers, "An O(ND) difference algorithm and its variations" (1986), the forward greedy search. After `d` edits, row
/// `d` holds for each diagonal `k` = -d, -d+2, …, d how many words of `before` were passed at most; the entry of `k`
/// is at `(k + d) / 2`, so its neighbours `k - 1` and `k + 1` in the row before are at the index below and the same one.
pub(super) fn edits(before: &[&str], after: &[&str]) -> Option<Vec<Edit>> {
    if before.len() + after.len() > WORDS_MAX {
        return None;
    }
    let mut rows: Vec<Vec<Option<usize>>> = Vec::new();
    for d in 0..=EDITS_MAX {
        let mut row = Vec::with_capacity(d + 1);
        for index in 0..=d {
            let reached = entry(rows.last(), d, index, before.len(), after.len()).map(|(mut x, _)| {
                let mut y = x + d - 2 * index;
                while before.get(x).is_some_and(|word| after.get(y) == Some(word)) {
                    x += 1;
                    y += 1;
                }
                x
            });
            row.push(reached);
            if reached == Some(before.len()) && before.len() + d == after.len() + 2 * index {
                rows.push(row);
                return Some(trace(&rows, before.len(), after.len()));
            }
        }
        rows.push(row);
    }
    None
}

/// Where the search enters diagonal `index` of row `d`, and by which edit.
fn entry(
    row_before: Option<&Vec<Option<usize>>>,
    d: usize,
    index: usize,
    before: usize,
    after: usize,
) -> Option<(usize, Edit)> {
    let Some(row) = row_before else {
        return Some((0, Edit::Keep));
    };
    let added = row.get(index).copied().flatten();
    let removed = index.checked_sub(1).and_then(|index| row.get(index).copied().flatten());
    let entries = [removed.map(|x| (x + 1, Edit::Remove)), added.map(|x| (x, Edit::Add))];
    let inside = entries
        .into_iter()
        .flatten()
        .filter(|(x, _)| *x <= before && x + d <= after + 2 * index);
    inside.max_by_key(|(x, _)| *x)
}

fn trace(rows: &[Vec<Option<usize>>], before: usize, after: usize) -> Vec<Edit> {
    let mut edits = Vec::new();
    let (mut x, mut y) = (before, after);
    for d in (1..rows.len()).rev() {
        let index = (x + d - y) / 2;
        let Some((entered, edit)) = entry(rows.get(d - 1), d, index, before, after) else {
            break;
        };
        edits.extend(std::iter::repeat_n(Edit::Keep, x - entered));
        edits.push(edit);
        y -= x - entered;
        x = entered;
        if edit == Edit::Remove {
            x -= 1;
        } else {
            y -= 1;
        }
    }
    edits.extend(std::iter::repeat_n(Edit::Keep, x));
    edits.reverse();
    edits
}
