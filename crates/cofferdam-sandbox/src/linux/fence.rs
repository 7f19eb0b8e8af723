//! What the system-call filter refuses where no namespace does: sockets, other processes, and what Landlock does not judge
//! of files (their modes, owners, times and attributes, and who watches them).

use libc::{SYS_fcntl, SYS_ioctl, SYS_prlimit64, SYS_socket};
use serde::{Deserialize, Serialize};

use super::bpf::{Rule, Test, Verdict};
use super::seccomp::{REFUSED, allow_if, equal, refuse_if};
use super::syscall_table::{FCHMODAT2, WITHOUT_MOUNTS};

/// Told apart from other refusals: the measurement makes such a call itself, before anybody observes.
const UNTOLD: Verdict = Verdict::Errno(libc::EACCES);
/// `fcntl` commands of kernels' own that name another process, and those that hold up another.
const F_SETSIG: u32 = 10;
const F_SETOWN_EX: u32 = 15;
/// `ioctl` commands that ask, or set what is of the descriptor alone; `FICLONE` writes to a descriptor opened for writing.
const COMMANDS: [u32; 8] = [
    0x5401,      // TCGETS
    0x802c_542a, // TCGETS2
    0x5413,      // TIOCGWINSZ
    0x541b,      // FIONREAD
    0x5421,      // FIONBIO
    0x5450,      // FIONCLEX
    0x5451,      // FIOCLEX
    0x4004_9409, // FICLONE
];

/// What of the fence depends on the kernel.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Fence {
    /// The number of the sealed process, where Landlock does not judge signals (before Linux 6.12): then it can signal
    /// itself and its process group, and nobody else.
    pub(super) signals_of: Option<u32>,
    /// Landlock does not judge cutting a file short by its name (before Linux 6.2).
    pub(super) refuses_truncate: bool,
}

/// A call that is refused when this argument, the number of a process, is not 0: the caller itself.
fn own_only(number: i64, argument: u32) -> Rule {
    let other = Test::AnyBit {
        argument,
        mask: u32::MAX,
    };
    refuse_if(number, vec![vec![other]])
}

/// The rules that take the place of the filter's own of the same numbers. Each refuses at least what that one does.
pub(super) fn rules(fence: Fence) -> Vec<Rule> {
    const PRIO_PROCESS: u32 = libc::PRIO_PROCESS;
    const IOPRIO_WHO_PROCESS: u32 = 1;
    let mut rules: Vec<Rule> = WITHOUT_MOUNTS
        .iter()
        .map(|number| Rule::always(*number, REFUSED))
        .collect();
    rules.extend([SYS_socket, libc::SYS_fchmod, libc::SYS_fchmodat, FCHMODAT2].map(|call| Rule::always(call, REFUSED)));
    #[cfg(target_arch = "x86_64")]
    rules.push(Rule::always(libc::SYS_chmod, REFUSED));
    rules.extend(
        [
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_setparam,
            libc::SYS_sched_setscheduler,
            libc::SYS_sched_setattr,
        ]
        .map(|call| own_only(call, 0)),
    );
    rules.extend([
        refuse_if(
            SYS_prlimit64,
            vec![
                vec![Test::AnyBit {
                    argument: 0,
                    mask: u32::MAX,
                }],
                vec![equal(1, libc::RLIMIT_CORE), Test::NotNull { argument: 2 }],
            ],
        ),
        allow_if(libc::SYS_setpriority, vec![vec![equal(0, PRIO_PROCESS), equal(1, 0)]]),
        allow_if(
            libc::SYS_ioprio_set,
            vec![vec![equal(0, IOPRIO_WHO_PROCESS), equal(1, 0)]],
        ),
        allow_if(SYS_ioctl, COMMANDS.map(|command| vec![equal(1, command)]).into()),
        refuse_if(
            SYS_fcntl,
            [
                libc::F_SETLEASE.cast_unsigned(),
                libc::F_SETOWN.cast_unsigned(),
                F_SETOWN_EX,
                F_SETSIG,
            ]
            .map(|command| vec![equal(1, command)])
            .into(),
        ),
    ]);
    if fence.refuses_truncate {
        rules.push(Rule::always(libc::SYS_truncate, REFUSED));
    }
    if let Some(own) = fence.signals_of {
        rules.extend(signal_rules(own));
    }
    rules
}

/// Signals to itself and, where a call can mean it, to its own process group.
fn signal_rules(own: u32) -> Vec<Rule> {
    let to_own = |number| Rule {
        number,
        cases: vec![vec![equal(0, own)]],
        then: Verdict::Allow,
        otherwise: UNTOLD,
    };
    let mut rules: Vec<Rule> = [
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_tgkill,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_rt_tgsigqueueinfo,
    ]
    .map(to_own)
    .into();
    if let Some(kill) = rules.first_mut() {
        kill.cases.push(vec![equal(0, 0)]);
    }
    rules.push(Rule::always(libc::SYS_pidfd_send_signal, UNTOLD));
    rules
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Fence;
    use crate::linux::bpf::Verdict;
    use crate::linux::seccomp::{Variant, filter};

    const STRICT: Variant = Variant {
        refuses_memory_files: true,
        has_unix_sockets: false,
        is_browser: false,
        fence: None,
    };
    const FENCED: Variant = Variant {
        fence: Some(Fence {
            signals_of: None,
            refuses_truncate: false,
        }),
        ..STRICT
    };
    const OLD: Variant = Variant {
        fence: Some(Fence {
            signals_of: Some(4711),
            refuses_truncate: true,
        }),
        ..STRICT
    };

    fn is_allowed(variant: Variant, number: i64, arguments: [u64; 6]) -> bool {
        let number = u32::try_from(number).expect("a number of the kernel");
        filter(variant).verdict(number, &arguments) == Verdict::Allow
    }

    #[test]
    fn the_fence_allows_nothing_that_the_filter_without_it_refuses() {
        let values = [
            0,
            1,
            2,
            4,
            10,
            15,
            1024,
            4711,
            0x5401,
            0x5412,
            0x541c,
            0x1_0000_5412,
            0x1000_0000,
            u64::MAX,
        ];
        let (strict, fenced, old) = (filter(STRICT), filter(FENCED), filter(OLD));
        for number in 0..470 {
            for (at, first) in values.iter().enumerate() {
                for second in values {
                    let third = values.get((at * 5) % values.len()).copied().unwrap_or(0);
                    let arguments = [*first, second, third, third, *first, second];
                    for other in [&fenced, &old] {
                        let is_wider = other.verdict(number, &arguments) == Verdict::Allow
                            && strict.verdict(number, &arguments) != Verdict::Allow;
                        assert!(!is_wider, "{number} {arguments:x?}");
                    }
                }
            }
        }
        for variant in [FENCED, OLD] {
            let rules = filter(variant).rules;
            let numbers: BTreeSet<i64> = rules.iter().map(|rule| rule.number).collect();
            assert_eq!(numbers.len(), rules.len(), "no call has two rules");
            assert!(filter(variant).assemble().expect("assembled").len() < 4096);
        }
    }

    #[test]
    fn no_socket_of_any_family_is_made_and_pairs_are() {
        for family in 0..64 {
            for kind in 0..8 {
                for protocol in [0, 6, 17, 255] {
                    assert!(!is_allowed(FENCED, libc::SYS_socket, [family, kind, protocol, 0, 0, 0]));
                }
            }
        }
        assert!(is_allowed(FENCED, libc::SYS_socketpair, [1, 1, 0, 0, 0, 0]));
        assert!(!is_allowed(FENCED, libc::SYS_socketpair, [1, 2, 0, 0, 0, 0]));
    }

    #[test]
    fn other_processes_cannot_be_limited_slowed_or_pinned() {
        let other = [4711, 7, 1, 0, 0, 0];
        for call in [
            libc::SYS_prlimit64,
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_setscheduler,
            libc::SYS_sched_setparam,
            libc::SYS_sched_setattr,
        ] {
            assert!(!is_allowed(FENCED, call, other), "{call}");
            assert!(is_allowed(FENCED, call, [0, 7, 1, 0, 0, 0]), "{call}");
        }
        assert!(!is_allowed(FENCED, libc::SYS_setpriority, [0, 4711, 5, 0, 0, 0]));
        assert!(
            !is_allowed(FENCED, libc::SYS_setpriority, [2, 0, 5, 0, 0, 0]),
            "a whole user"
        );
        assert!(
            !is_allowed(FENCED, libc::SYS_ioprio_set, [3, 0, 0, 0, 0, 0]),
            "a whole user"
        );
    }

    #[test]
    fn what_landlock_does_not_judge_of_files_is_refused() {
        for call in super::WITHOUT_MOUNTS {
            assert!(is_allowed(STRICT, *call, [0; 6]), "{call} is worth refusing");
            assert!(!is_allowed(FENCED, *call, [0; 6]), "{call}");
        }
        for call in [libc::SYS_fchmod, libc::SYS_fchmodat, super::FCHMODAT2] {
            assert!(!is_allowed(FENCED, call, [3, 0o600, 0o600, 0, 0, 0]), "{call}");
        }
        // FS_IOC_SETFLAGS, FS_IOC_ENABLE_VERITY, FS_IOC_FSSETXATTR, FIOSETOWN, TIOCSTI.
        for command in [0x4008_6602, 0x4080_6685, 0x401c_5820, 0x8901, 0x5412] {
            assert!(
                !is_allowed(FENCED, libc::SYS_ioctl, [0, command, 0, 0, 0, 0]),
                "{command:x}"
            );
        }
        assert!(is_allowed(FENCED, libc::SYS_ioctl, [0, 0x5401, 0, 0, 0, 0]));
        assert!(is_allowed(FENCED, libc::SYS_truncate, [0; 6]));
        assert!(!is_allowed(OLD, libc::SYS_truncate, [0; 6]));
    }

    #[test]
    fn before_landlock_judges_signals_they_reach_nobody_else() {
        for call in [
            libc::SYS_kill,
            libc::SYS_tkill,
            libc::SYS_tgkill,
            libc::SYS_rt_sigqueueinfo,
        ] {
            assert!(is_allowed(OLD, call, [4711, 9, 9, 0, 0, 0]), "{call}");
            for other in [1, 4712, u64::from(u32::MAX), 4711_u64.wrapping_neg()] {
                assert!(!is_allowed(OLD, call, [other, 9, 9, 0, 0, 0]), "{call} {other}");
            }
        }
        assert!(is_allowed(OLD, libc::SYS_kill, [0, 9, 0, 0, 0, 0]), "its process group");
        assert!(!is_allowed(OLD, libc::SYS_tgkill, [0, 4711, 9, 0, 0, 0]));
        assert!(!is_allowed(OLD, libc::SYS_pidfd_send_signal, [3, 9, 0, 0, 0, 0]));
        for command in [8, 10, 15, 1024] {
            assert!(!is_allowed(OLD, libc::SYS_fcntl, [3, command, 1, 0, 0, 0]), "{command}");
        }
    }
}
