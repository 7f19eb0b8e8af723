//! Who the program is on the host: the caller, or, when the caller is root, an unprivileged user of its own.

use std::fs;
use std::io;

use crate::{IdMap, SandboxError};

/// User and group inside every compartment.
pub(super) const INSIDE: u32 = 65_532;
/// First of the users that compartments of root run as: above what systemd gives to containers and below
/// what it leaves alone, so that nobody else has them. The process number is added.
const BASE: u32 = 0x7000_0000;
/// Largest process number of Linux.
const PID_MAX: u32 = 1 << 22;

/// User and group on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Whether the caller has users to give away. An ordinary user, and the root of a container that has been
/// given a single user, have none but their own.
pub(super) fn can_choose(effective: u32, uid_map: &[IdMap]) -> bool {
    effective == 0 && uid_map.iter().any(|range| range.count > 1)
}

/// The identity of the compartment whose first process has this number.
pub(super) fn choose(own: Identity, pid: i32, maps: [&[IdMap]; 2]) -> Identity {
    let [uid_map, gid_map] = maps;
    if can_choose(own.uid, uid_map) {
        Identity {
            uid: unprivileged(pid, uid_map),
            gid: unprivileged(pid, gid_map),
        }
    } else {
        own
    }
}

/// A number that is nobody's: in the upper half of the widest range when the base is not ours to give, as in
/// a container that has users of its own.
fn unprivileged(pid: i32, map: &[IdMap]) -> u32 {
    let pid = pid.unsigned_abs() % PID_MAX;
    let wanted = BASE + pid;
    let has = |range: &&IdMap| wanted >= range.inside && wanted - range.inside < range.count;
    if map.iter().any(|range| has(&range)) {
        return wanted;
    }
    let widest = map.iter().max_by_key(|range| range.count);
    widest.map_or(wanted, |range| {
        range.inside + range.count / 2 + pid % (range.count / 2).max(1)
    })
}

/// The user or group map of a process, as the kernel shows it.
pub(super) fn read_map(process: &str, name: &str) -> Result<Vec<IdMap>, SandboxError> {
    let path = format!("/proc/{process}/{name}");
    let failed = |error: io::Error| SandboxError::Identity {
        doing: format!("read `{path}`"),
        errno: error.raw_os_error().unwrap_or(0),
    };
    Ok(parse_map(&fs::read_to_string(&path).map_err(failed)?))
}

/// Translates what a map leads to by our own map: where we are root of a user namespace ourselves, number 0
/// here is an ordinary user further out.
pub(super) fn seen_further_out(map: &mut [IdMap], own: &[IdMap]) {
    for line in map {
        let range = own.iter().find(|range| {
            line.outside
                .checked_sub(range.inside)
                .is_some_and(|above| above < range.count)
        });
        if let Some(range) = range {
            line.outside = range.outside.wrapping_add(line.outside - range.inside);
        }
    }
}

/// Lines of three numbers.
pub(super) fn parse_map(text: &str) -> Vec<IdMap> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
        let mut next = || numbers.next().flatten();
        Some(IdMap {
            inside: next()?,
            outside: next()?,
            count: next()?,
        })
    };
    text.lines().filter_map(line).collect()
}

/// Writes both maps of a process that waits in a fresh user namespace, and reads them back.
pub(super) fn write_maps(pid: i32, who: Identity, drops: bool) -> Result<(), SandboxError> {
    let write = |name: &str, text: &str| {
        fs::write(format!("/proc/{pid}/{name}"), text).map_err(|error| SandboxError::Identity {
            doing: format!("write `{name}` of the user namespace"),
            errno: error.raw_os_error().unwrap_or(0),
        })
    };
    if !drops {
        write("setgroups", "deny")?;
    }
    write("uid_map", &format!("{INSIDE} {} 1", who.uid))?;
    write("gid_map", &format!("{INSIDE} {} 1", who.gid))?;
    for (name, outside) in [("uid_map", who.uid), ("gid_map", who.gid)] {
        if read_map(&pid.to_string(), name)?
            != [IdMap {
                inside: INSIDE,
                outside,
                count: 1,
            }]
        {
            return Err(SandboxError::Identity {
                doing: format!("find in `{name}` what was written"),
                errno: 0,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Identity, choose, parse_map, seen_further_out};
    use crate::IdMap;

    const ALL: &[IdMap] = &[IdMap {
        inside: 0,
        outside: 0,
        count: u32::MAX,
    }];

    #[test]
    fn root_becomes_a_user_that_differs_per_compartment() {
        let root = Identity { uid: 0, gid: 0 };
        let first = choose(root, 100, [ALL, ALL]);
        assert_eq!(
            first,
            Identity {
                uid: 0x7000_0064,
                gid: 0x7000_0064
            }
        );
        assert_ne!(first, choose(root, 101, [ALL, ALL]));
    }

    #[test]
    fn an_ordinary_user_stays_who_they_are() {
        let own = Identity { uid: 1001, gid: 1002 };
        assert_eq!(choose(own, 100, [ALL, ALL]), own);
    }

    #[test]
    fn root_of_a_container_gives_a_user_the_container_has() {
        let few = &[IdMap {
            inside: 0,
            outside: 100_000,
            count: 65_536,
        }];
        let who = choose(Identity { uid: 0, gid: 0 }, 40_000, [few, few]);
        assert!(who.uid >= 32_768 && who.uid < 65_536, "{who:?}");
    }

    #[test]
    fn root_of_a_namespace_is_an_ordinary_user_further_out() {
        let mut map = [IdMap {
            inside: 65_532,
            outside: 0,
            count: 1,
        }];
        seen_further_out(
            &mut map,
            &[IdMap {
                inside: 0,
                outside: 1001,
                count: 1,
            }],
        );
        assert_eq!(map[0].outside, 1001);
        let mut host = [IdMap {
            inside: 65_532,
            outside: 0,
            count: 1,
        }];
        seen_further_out(&mut host, ALL);
        assert_eq!(host[0].outside, 0);
    }

    #[test]
    fn maps_are_read_as_the_kernel_writes_them() {
        assert_eq!(
            parse_map("     65532       1001          1\n"),
            [IdMap {
                inside: 65_532,
                outside: 1001,
                count: 1
            }]
        );
        assert_eq!(parse_map("nonsense\n"), []);
    }
}
