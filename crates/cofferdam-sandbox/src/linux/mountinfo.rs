//! Lines of `/proc/PID/mountinfo` (proc(5)).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use crate::Mount;

/// One line as a mount. None when it is not one.
pub(super) fn parse(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let path = unescaped(fields.nth(4)?);
    let options: Vec<&str> = fields.next()?.split(',').collect();
    let kind = fields.skip_while(|field| *field != "-").nth(1)?.to_owned();
    let has = |option: &str| options.contains(&option);
    Some(Mount {
        path,
        source: None,
        kind,
        read_only: has("ro"),
        noexec: has("noexec"),
        nosuid: has("nosuid"),
        nodev: has("nodev"),
        idmapped: has("idmapped"),
    })
}

/// The kernel writes blanks and backslashes as a backslash and three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let mut parts = field.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let escape = part
            .split_at_checked(3)
            .and_then(|(digits, rest)| Some((u8::from_str_radix(digits, 8).ok()?, rest)));
        let (byte, rest) = escape.unwrap_or((b'\\', part));
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let mount = parse("36 35 98:0 /mnt1 /mnt\\0402 ro,nosuid,idmapped - ext3 /dev/root rw,errors=continue")
            .expect("a mount");
        assert_eq!(mount.path.to_str(), Some("/mnt 2"));
        assert_eq!(mount.kind, "ext3");
        assert!(mount.read_only && mount.nosuid && mount.idmapped && !mount.noexec && !mount.nodev);
        let shared = parse("1 2 0:1 / /a rw master:1 shared:2 - tmpfs tmpfs rw").expect("a mount");
        assert_eq!((shared.kind.as_str(), shared.read_only), ("tmpfs", false));
        assert!(parse("").is_none() && parse("1 2 3").is_none());
    }
}
