//! Unguessable names.

use std::fmt::Write as _;

/// `bytes` random bytes of the kernel, as lowercase hexadecimal digits.
///
/// # Errors
/// The kernel gives none.
pub(crate) fn hex(bytes: usize) -> Result<String, getrandom::Error> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)?;
    Ok(random.iter().fold(String::with_capacity(bytes * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// 32 random bytes of the kernel, for a key.
///
/// # Errors
/// The kernel gives none.
pub(crate) fn seed() -> Result<[u8; 32], getrandom::Error> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    Ok(random)
}
