//! Which bytes of a text are of a kind, one bit each, so that 64 places are looked at together.

/// By byte: whether it is of this kind. What `kind` does must not branch: the compiler then compares many bytes at once.
pub(crate) fn bits_of(bytes: &[u8], kind: impl Fn(u8) -> bool) -> Vec<u64> {
    let chunks = bytes.chunks(64).map(|chunk| {
        let mut marks = [0_u8; 64];
        if let Some(whole) = chunk.first_chunk::<64>() {
            marks
                .iter_mut()
                .zip(whole)
                .for_each(|(mark, byte)| *mark = u8::from(kind(*byte)));
        } else {
            marks
                .iter_mut()
                .zip(chunk)
                .for_each(|(mark, byte)| *mark = u8::from(kind(*byte)));
        }
        packed(&marks)
    });
    chunks.collect()
}

/// Marks that are zero or one, as bits.
fn packed(marks: &[u8; 64]) -> u64 {
    // Each mark is moved to the highest byte, and there to a bit of its own.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let (eights, _) = marks.as_chunks();
    let bytes = eights
        .iter()
        .map(|eight| u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56);
    bytes
        .zip(0_u32..)
        .fold(0, |all, (byte, number)| all | byte << (8 * number))
}

/// The places of the ones, in order.
pub(crate) fn places(bits: impl IntoIterator<Item = u64>) -> impl Iterator<Item = usize> {
    let mut words = bits.into_iter();
    let (mut rest, mut at) = (0_u64, 0_usize);
    let mut next = 0;
    std::iter::from_fn(move || {
        while rest == 0 {
            rest = words.next()?;
            at = next;
            next += 64;
        }
        let place = at + usize::try_from(rest.trailing_zeros()).ok()?;
        rest &= rest - 1;
        Some(place)
    })
}

/// Each word with its bits moved one place up, so that every place holds what the place before it had.
pub(crate) fn before(bits: &[u64]) -> impl Iterator<Item = u64> {
    let mut carried = 0;
    bits.iter().map(move |word| {
        let moved = word << 1 | carried;
        carried = word >> 63;
        moved
    })
}

/// Every longest run of ones of at least `RUN_MIN` (16) places, in order: where it begins and ends.
pub(crate) fn long_runs(bits: &[u64]) -> impl Iterator<Item = std::ops::Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = long_run(bits, at)?;
        at = end_of_run(bits, start + RUN_MIN);
        Some(start..at)
    })
}

/// Places that a run has at least.
pub(crate) const RUN_MIN: usize = 16;

/// Where the first run of at least [`RUN_MIN`] ones begins, at `from` or later.
fn long_run(bits: &[u64], from: usize) -> Option<usize> {
    let mut passed = from % 64;
    for number in from / 64..bits.len() {
        let next = bits.get(number + 1).copied().unwrap_or_default();
        let wide = u128::from(*bits.get(number)?) | u128::from(next) << 64;
        let two = wide & wide >> 1;
        let four = two & two >> 2;
        let eight = four & four >> 4;
        let sixteen = (eight & eight >> 8) >> passed << passed;
        let place = usize::try_from(sixteen.trailing_zeros()).ok()?;
        if place < 64 {
            return Some(number * 64 + place);
        }
        passed = 0;
    }
    None
}

/// Where the ones that stand at `from` end.
fn end_of_run(bits: &[u64], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = bits.get(at / 64) {
        let zeros = !(word >> (at % 64));
        let ones = usize::try_from(zeros.trailing_zeros()).unwrap_or(64);
        let left = 64 - at % 64;
        if ones < left {
            return at + ones;
        }
        at += left;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::{RUN_MIN, before, bits_of, long_runs, places};

    #[test]
    fn bits_say_what_bytes_are() {
        proptest!(|(text in "[ab]{0,300}", run in 0_usize..200, at in 0_usize..300)| {
            let mut bytes = text.into_bytes();
            bytes.splice(at.min(bytes.len())..at.min(bytes.len()), std::iter::repeat_n(b'a', run));
            let bits = bits_of(&bytes, |byte| byte == b'a');
            let ones: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'a').collect();
            prop_assert_eq!(places(bits.iter().copied()).collect::<Vec<_>>(), ones.clone());
            let moved = ones.iter().map(|at| at + 1).filter(|at| at / 64 < bits.len());
            prop_assert_eq!(places(before(&bits)).collect::<Vec<_>>(), moved.collect::<Vec<_>>());

            let mut runs = Vec::new();
            let mut start = 0;
            for piece in bytes.split(|byte| *byte != b'a') {
                if piece.len() >= RUN_MIN {
                    runs.push(start..start + piece.len());
                }
                start += piece.len() + 1;
            }
            prop_assert_eq!(long_runs(&bits).collect::<Vec<_>>(), runs);
        });
    }
}
