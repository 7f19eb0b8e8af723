//! The system-call filter: an allow-list, and what is looked at in the arguments of listed calls.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::bpf::{Filter, Rule, Test, TooLong, Verdict};
use super::fence::{self, Fence};
use super::syscall_table::{ABSENT, ALLOWED, ARCHITECTURE, CREATING, FOREIGN_FROM, MODE_SETTING, NEWEST, SETRLIMIT};
use super::{errno, syscalls};
use crate::SandboxError;

pub(super) const REFUSED: Verdict = Verdict::Errno(libc::EPERM);
const MISSING: Verdict = Verdict::Errno(libc::ENOSYS);

/// Namespaces a `clone` could make.
const NEW_NAMESPACES: u32 = 0x7e02_0000;
/// Set-user-ID and set-group-ID bits: on a file that belongs to the user outside they would outlive the
/// compartment and lend that user's rights to whoever runs it.
const SET_ID_BITS: u32 = 0o6000;
const SOCKET_TYPE: u32 = 0xf;

const UNIX: u32 = libc::AF_UNIX as u32;
const STREAM: u32 = libc::SOCK_STREAM as u32;
const DATAGRAM: u32 = libc::SOCK_DGRAM as u32;

pub(super) fn equal(argument: u32, value: u32) -> Test {
    Test::Equal {
        argument,
        mask: u32::MAX,
        value,
    }
}

fn socket_type(value: u32) -> Test {
    Test::Equal {
        argument: 1,
        mask: SOCKET_TYPE,
        value,
    }
}

pub(super) fn allow_if(number: i64, cases: Vec<Vec<Test>>) -> Rule {
    Rule {
        number,
        cases,
        then: Verdict::Allow,
        otherwise: REFUSED,
    }
}

pub(super) fn refuse_if(number: i64, cases: Vec<Vec<Test>>) -> Rule {
    Rule {
        number,
        cases,
        then: REFUSED,
        otherwise: Verdict::Allow,
    }
}

/// Sockets that lead at most to the own, empty network: TCP and UDP over IP, and routing tables to read.
/// A pair of UNIX sockets is a pipe, but only of the kinds that cannot be pointed elsewhere afterwards.
fn socket_rules(unix: bool) -> [Rule; 2] {
    const INET: u32 = libc::AF_INET as u32;
    const INET6: u32 = libc::AF_INET6 as u32;
    const NETLINK: u32 = libc::AF_NETLINK as u32;
    const TCP: u32 = libc::IPPROTO_TCP as u32;
    const UDP: u32 = libc::IPPROTO_UDP as u32;
    const SEQUENCED: u32 = libc::SOCK_SEQPACKET as u32;
    let mut cases = vec![vec![equal(0, NETLINK), equal(2, libc::NETLINK_ROUTE as u32)]];
    for family in [INET, INET6] {
        for (kind, protocol) in [(STREAM, 0), (STREAM, TCP), (DATAGRAM, 0), (DATAGRAM, UDP)] {
            cases.push(vec![equal(0, family), socket_type(kind), equal(2, protocol)]);
        }
    }
    if unix {
        for kind in [STREAM, DATAGRAM, SEQUENCED] {
            cases.push(vec![equal(0, UNIX), socket_type(kind)]);
        }
    }
    let pairs = [STREAM, SEQUENCED].map(|kind| vec![equal(0, UNIX), socket_type(kind)]);
    [
        allow_if(libc::SYS_socket, cases),
        allow_if(libc::SYS_socketpair, pairs.into()),
    ]
}

/// Calls that are allowed or refused by an argument.
fn argument_rules(unix: bool, is_browser: bool) -> Vec<Rule> {
    const PR_SET_SECCOMP: u32 = libc::PR_SET_SECCOMP as u32;
    const PR_SET_MM: u32 = libc::PR_SET_MM as u32;
    let any_bit = |argument, mask| vec![Test::AnyBit { argument, mask }];
    let commands = [libc::TIOCSTI, libc::TIOCLINUX, libc::TIOCSETD];
    // The kernel takes 32 bits of a command, so the constants are compared as such.
    let commands = commands
        .iter()
        .filter_map(|command| u32::try_from(*command).ok())
        .map(|command| vec![equal(1, command)]);
    const CORE: u32 = libc::RLIMIT_CORE;
    const F_SETLEASE: u32 = libc::F_SETLEASE as u32;
    let mut rules = vec![
        // The limit that keeps crashes away from a handler outside cannot be lowered to 0, where it would not.
        refuse_if(
            libc::SYS_prlimit64,
            vec![vec![equal(1, CORE), Test::NotNull { argument: 2 }]],
        ),
        refuse_if(SETRLIMIT, vec![vec![equal(0, CORE)]]),
        // A lease on a file would hold up whoever opens it outside.
        refuse_if(libc::SYS_fcntl, vec![vec![equal(1, F_SETLEASE)]]),
        refuse_if(libc::SYS_clone, vec![any_bit(0, refused_namespaces(is_browser))]),
        refuse_if(libc::SYS_ioctl, commands.collect()),
        refuse_if(libc::SYS_execveat, vec![any_bit(4, libc::AT_EMPTY_PATH as u32)]),
        refuse_if(
            libc::SYS_prctl,
            [PR_SET_MM, PR_SET_SECCOMP]
                .into_iter()
                .filter(|what| !is_browser || *what != PR_SET_SECCOMP)
                .map(|what| vec![equal(0, what)])
                .collect(),
        ),
    ];
    rules.extend(
        MODE_SETTING
            .iter()
            .map(|(number, mode)| refuse_if(*number, vec![any_bit(*mode, SET_ID_BITS)])),
    );
    for (number, flags, mode) in CREATING {
        let creates = [libc::O_CREAT as u32, (libc::O_TMPFILE & !libc::O_DIRECTORY) as u32];
        let case = |bit| {
            vec![
                Test::AnyBit {
                    argument: *flags,
                    mask: bit,
                },
                Test::AnyBit {
                    argument: *mode,
                    mask: SET_ID_BITS,
                },
            ]
        };
        rules.push(refuse_if(*number, creates.map(case).into()));
    }
    rules.extend(socket_rules(unix));
    rules
}

/// Namespaces that cannot be made.
fn refused_namespaces(is_browser: bool) -> u32 {
    const OF_BROWSERS: u32 = (libc::CLONE_NEWUSER | libc::CLONE_NEWPID | libc::CLONE_NEWNET).cast_unsigned();
    if is_browser {
        NEW_NAMESPACES & !OF_BROWSERS
    } else {
        NEW_NAMESPACES
    }
}

/// With the rights of an inner namespace these would leave capabilities on files that outlive the compartment.
const LENDING_RIGHTS: [i64; 3] = [libc::SYS_setxattr, libc::SYS_lsetxattr, libc::SYS_fsetxattr];

/// How a browser confines its own processes. What they get rights over is their own namespaces, in which nothing
/// can be mounted.
fn browser_rules() -> [Rule; 3] {
    let flags = vec![Test::AnyBit {
        argument: 0,
        // Of clone's flags this one is part of a signal's number, so only here it is a namespace.
        mask: refused_namespaces(true) | libc::CLONE_NEWTIME.cast_unsigned(),
    }];
    [
        refuse_if(libc::SYS_unshare, vec![flags]),
        Rule::always(libc::SYS_chroot, Verdict::Allow),
        Rule::always(libc::SYS_seccomp, Verdict::Allow),
    ]
}

/// Memory files only with the seal that they are never executable.
fn memory_file_rule(refuse_executable: bool) -> Rule {
    const MFD_NOEXEC_SEAL: u32 = 8;
    if refuse_executable {
        allow_if(
            libc::SYS_memfd_create,
            vec![vec![Test::AnyBit {
                argument: 1,
                mask: MFD_NOEXEC_SEAL,
            }]],
        )
    } else {
        Rule::always(libc::SYS_memfd_create, Verdict::Allow)
    }
}

/// Calls that are allowed and worth telling.
const TELLING: [i64; 3] = [libc::SYS_execve, libc::SYS_execveat, libc::SYS_connect];
/// Calls that are refused and not told: the measurement makes them itself, before anybody observes.
const UNTOLD: [i64; 2] = [libc::SYS_personality, libc::SYS_memfd_create];
/// Calls that are absent and told all the same: no runtime needs them to start.
const TOLD_ABSENT: [i64; 3] = [
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// The same filter with an observer: what is refused, and what is worth telling, goes to it. Nothing is allowed
/// by that: without an observer such calls fail, and its answer is [`answer`].
pub(super) fn observed(plain: Filter) -> Filter {
    let told = |number: i64, verdict: Verdict| match verdict {
        Verdict::Allow if TELLING.contains(&number) => Verdict::Observe,
        MISSING if TOLD_ABSENT.contains(&number) => Verdict::Observe,
        REFUSED if !UNTOLD.contains(&number) => Verdict::Observe,
        other => other,
    };
    let rules = plain.rules.into_iter().map(|rule| Rule {
        then: told(rule.number, rule.then),
        otherwise: told(rule.number, rule.otherwise),
        ..rule
    });
    Filter {
        rules: rules.collect(),
        unlisted: Verdict::Observe,
        ..plain
    }
}

/// What an observed call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The kernel goes on with it, and Landlock and the mount table decide.
    GoOn,
    /// It is refused with this number of the kernel.
    Refuse(i32),
}

/// The answer to an observed call: what the filter without an observer says. Nothing but the three calls that
/// every filter allows can ever go on.
pub(super) fn answer(plain: &Filter, number: i32, arguments: &[u64; 6]) -> Answer {
    let verdict = u32::try_from(number).map_or(REFUSED, |number| plain.verdict(number, arguments));
    match verdict {
        Verdict::Allow if TELLING.contains(&i64::from(number)) => Answer::GoOn,
        Verdict::Errno(errno) => Answer::Refuse(errno),
        Verdict::Allow | Verdict::Kill | Verdict::Observe => Answer::Refuse(libc::EPERM),
    }
}

/// What of the filter depends on the compartment.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Variant {
    /// Memory files that could be executed are refused: the kernel's own setting could not be made.
    pub(super) refuses_memory_files: bool,
    /// UNIX sockets can be made, since some may be connected to.
    pub(super) has_unix_sockets: bool,
    /// Namespaces of three kinds can be made, and further filters be stacked.
    pub(super) is_browser: bool,
    /// No namespace keeps sockets, processes and files of others away.
    pub(super) fence: Option<Fence>,
}

/// The filter of this architecture.
pub(super) fn filter(variant: Variant) -> Filter {
    let mut rules = argument_rules(variant.has_unix_sockets, variant.is_browser);
    if variant.is_browser {
        rules.extend(browser_rules());
    }
    rules.push(memory_file_rule(variant.refuses_memory_files));
    rules.push(Rule::always(libc::SYS_personality, REFUSED));
    let is_refused = |number: &&i64| variant.is_browser && LENDING_RIGHTS.contains(*number);
    let allowed = ALLOWED.iter().filter(|number| !is_refused(number));
    rules.extend(allowed.map(|number| Rule::always(*number, Verdict::Allow)));
    rules.extend(ABSENT.iter().map(|number| Rule::always(*number, MISSING)));
    if let Some(fence) = variant.fence {
        let stricter = fence::rules(fence);
        rules.retain(|rule| stricter.iter().all(|other| other.number != rule.number));
        rules.extend(stricter);
    }
    Filter {
        architecture: ARCHITECTURE,
        foreign_from: FOREIGN_FROM,
        rules,
        newest: NEWEST,
        unlisted: REFUSED,
        unknown: MISSING,
    }
}

/// Installs the filter in this process, for good. Gives what an observer listens on, if there is to be one.
pub(super) fn install(variant: Variant, is_observed: bool) -> Result<Option<OwnedFd>, SandboxError> {
    let plain = filter(variant);
    let filter = if is_observed { observed(plain) } else { plain };
    let mut program = filter
        .assemble()
        .map_err(|TooLong| SandboxError::Seccomp { errno: libc::E2BIG })?;
    let failed = |error: std::io::Error| SandboxError::Seccomp { errno: errno(&error) };
    if is_observed {
        syscalls::install_observed_seccomp(&mut program)
            .map(Some)
            .map_err(failed)
    } else {
        syscalls::install_seccomp(&mut program).map(|()| None).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Answer, TELLING, Variant, answer, filter, observed};
    use crate::linux::bpf::{Verdict, tests::run};
    use crate::linux::syscall_table::ARCHITECTURE;

    const STRICT: Variant = Variant {
        refuses_memory_files: true,
        has_unix_sockets: false,
        is_browser: false,
        fence: None,
    };

    #[test]
    fn no_call_has_two_rules() {
        let rules = filter(STRICT).rules;
        let numbers: BTreeSet<i64> = rules.iter().map(|rule| rule.number).collect();
        assert_eq!(numbers.len(), rules.len());
    }

    /// Arguments around every value that any rule looks at.
    fn arguments(seed: u64) -> [u64; 6] {
        const VALUES: [u64; 12] = [
            0,
            1,
            2,
            4,
            10,
            16,
            0x1000,
            0x1_0000_0001,
            0x5412,
            0x1000_0000,
            0o4755,
            u64::MAX,
        ];
        std::array::from_fn(|at| {
            let mixed = seed
                .wrapping_mul(0x9e37_79b9)
                .wrapping_add(at as u64)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                >> 32;
            VALUES[(mixed % 12) as usize]
        })
    }

    /// Observing never enforces and never allows: whatever is told is answered as it would be without an observer.
    #[test]
    fn an_observed_call_gets_the_answer_of_the_filter_without_an_observer() {
        let plain = filter(STRICT);
        let (alone, told) = (
            filter(STRICT).assemble().expect("assembled"),
            observed(filter(STRICT)).assemble().expect("assembled"),
        );
        let mut answers = BTreeSet::new();
        for number in (0..470).chain([0x4000_0000]) {
            for arguments in (0..64).map(arguments) {
                let without = run(&alone, ARCHITECTURE, number, arguments);
                let with = run(&told, ARCHITECTURE, number, arguments);
                if with != libc::SECCOMP_RET_USER_NOTIF {
                    assert_eq!(with, without, "{number} {arguments:x?}");
                    continue;
                }
                let answer = answer(&plain, i32::try_from(number).expect("small"), &arguments);
                let expected = match answer {
                    Answer::GoOn => libc::SECCOMP_RET_ALLOW,
                    Answer::Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(),
                };
                assert_eq!(without, expected, "{number} {arguments:x?}");
                assert!(answer != Answer::GoOn || TELLING.contains(&i64::from(number)));
                answers.insert(expected);
            }
        }
        assert_eq!(
            answers.len(),
            3,
            "allowed, refused and absent calls are told: {answers:x?}"
        );
    }

    #[test]
    fn the_filter_fits_the_kernel() {
        let program = filter(STRICT).assemble().expect("assembled");
        assert!(program.len() < 4096, "{}", program.len());
    }

    #[test]
    fn calls_that_reach_other_processes_or_the_kernel_have_no_rule() {
        let plain = filter(STRICT);
        let never = [
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_kcmp,
            libc::SYS_pidfd_getfd,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_init_module,
            libc::SYS_kexec_load,
            libc::SYS_open_by_handle_at,
            libc::SYS_fanotify_init,
            libc::SYS_personality,
            libc::SYS_syslog,
            libc::SYS_open_tree,
            libc::SYS_move_mount,
            libc::SYS_fsopen,
            libc::SYS_mount_setattr,
            libc::SYS_seccomp,
        ];
        for number in never {
            let number = u32::try_from(number).expect("a number of the kernel");
            assert_eq!(plain.verdict(number, &[0; 6]), Verdict::Errno(libc::EPERM), "{number}");
        }
    }
}
