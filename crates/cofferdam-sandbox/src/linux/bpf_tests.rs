//! Tests of the assembler, by running what it makes.

use libc::sock_filter;

use super::{Filter, Rule, Test, TooLong, Verdict, give};

/// What the kernel's interpreter does with the few instructions used here.
pub(in crate::linux) fn run(program: &[sock_filter], architecture: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_le_bytes());
    data.extend(architecture.to_le_bytes());
    data.extend(0_u64.to_le_bytes());
    arguments
        .iter()
        .for_each(|argument| data.extend(argument.to_le_bytes()));
    let (mut at, mut accumulator) = (0, 0_u32);
    loop {
        let instruction = program[at];
        at += 1;
        let code = u32::from(instruction.code);
        let mut branch = |condition: bool| {
            at += usize::from(if condition { instruction.jt } else { instruction.jf });
        };
        if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS {
            let offset = instruction.k as usize;
            accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().expect("four bytes"));
        } else if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K {
            accumulator &= instruction.k;
        } else if code == libc::BPF_RET | libc::BPF_K {
            return instruction.k;
        } else {
            match code & 0xf0 {
                libc::BPF_JEQ => branch(accumulator == instruction.k),
                libc::BPF_JGE => branch(accumulator >= instruction.k),
                libc::BPF_JA => at += instruction.k as usize,
                libc::BPF_JSET => branch(accumulator & instruction.k != 0),
                other => panic!("instruction {other:#x}"),
            }
        }
    }
}

const ARCHITECTURE: u32 = 0xC000_003E;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

fn filter() -> Filter {
    let even_and_flag = vec![
        Test::Equal {
            argument: 0,
            mask: 1,
            value: 0,
        },
        Test::AnyBit {
            argument: 2,
            mask: 0x30,
        },
    ];
    let seven = vec![Test::Equal {
        argument: 1,
        mask: u32::MAX,
        value: 7,
    }];
    Filter {
        architecture: ARCHITECTURE,
        foreign_from: Some(0x4000_0000),
        rules: vec![
            Rule {
                number: 10,
                cases: vec![even_and_flag, seven],
                then: Verdict::Errno(1),
                otherwise: Verdict::Allow,
            },
            Rule::always(11, Verdict::Allow),
            Rule::always(12, Verdict::Errno(38)),
        ],
        newest: 450,
        unlisted: Verdict::Errno(1),
        unknown: Verdict::Errno(38),
    }
}

#[test]
fn calls_are_judged_by_number_and_architecture() {
    let program = filter().assemble().expect("assembled");
    let judge = |architecture, number| run(&program, architecture, number, [0; 6]);
    assert_eq!(judge(ARCHITECTURE, 11), ALLOW);
    assert_eq!(judge(ARCHITECTURE, 12), libc::SECCOMP_RET_ERRNO | 38);
    assert_eq!(judge(ARCHITECTURE, 13), libc::SECCOMP_RET_ERRNO | 1);
    assert_eq!(judge(ARCHITECTURE, 450), libc::SECCOMP_RET_ERRNO | 1);
    assert_eq!(judge(ARCHITECTURE, 451), libc::SECCOMP_RET_ERRNO | 38);
    assert_eq!(judge(ARCHITECTURE, 0x4000_000b), KILL);
    assert_eq!(judge(ARCHITECTURE, u32::MAX), KILL);
    assert_eq!(judge(0x4000_0003, 11), KILL);
}

#[test]
fn every_number_gets_the_verdict_of_its_rule_however_many_there_are() {
    let mut many = filter();
    // Each a range of its own, and together too long for short jumps.
    let rules = (20..440).step_by(3).map(|number| Rule {
        number,
        cases: vec![vec![Test::AnyBit { argument: 0, mask: 1 }]],
        then: Verdict::Errno(7),
        otherwise: Verdict::Allow,
    });
    many.rules.extend(rules);
    let program = many.assemble().expect("assembled");
    for number in (0..500).chain([0x3fff_ffff, 0x4000_0000]) {
        for arguments in [[0; 6], [1; 6]] {
            let expected = give(many.verdict(number, &arguments)).k;
            assert_eq!(run(&program, ARCHITECTURE, number, arguments), expected, "{number}");
        }
    }
}

#[test]
fn cases_are_joined_by_or_and_tests_by_and() {
    let program = filter().assemble().expect("assembled");
    let refused = |arguments| run(&program, ARCHITECTURE, 10, arguments) != ALLOW;
    assert!(refused([2, 0, 0x10, 0, 0, 0]));
    assert!(refused([2, 0, 0x20, 0, 0, 0]));
    assert!(!refused([3, 0, 0x10, 0, 0, 0]));
    assert!(!refused([2, 0, 0x40, 0, 0, 0]));
    assert!(refused([3, 7, 0, 0, 0, 0]));
}

#[test]
fn the_upper_half_of_an_argument_changes_nothing() {
    let program = filter().assemble().expect("assembled");
    let refused = |arguments| run(&program, ARCHITECTURE, 10, arguments) != ALLOW;
    assert!(refused([3, 0xdead_beef_0000_0007, 0, 0, 0, 0]));
}

#[test]
fn a_pointer_is_null_only_when_both_halves_are() {
    let case = vec![
        Test::Equal {
            argument: 0,
            mask: u32::MAX,
            value: 4,
        },
        Test::NotNull { argument: 1 },
    ];
    let mut with_pointer = filter();
    with_pointer.rules = vec![Rule {
        number: 1,
        cases: vec![case],
        then: Verdict::Errno(1),
        otherwise: Verdict::Allow,
    }];
    let program = with_pointer.assemble().expect("assembled");
    let refused = |first, second| run(&program, ARCHITECTURE, 1, [first, second, 0, 0, 0, 0]) != ALLOW;
    assert!(refused(4, 1));
    assert!(refused(4, 1 << 32));
    assert!(!refused(4, 0));
    assert!(!refused(5, 1 << 32));
}

#[test]
fn a_rule_too_long_for_a_jump_is_an_error() {
    let case = vec![Test::AnyBit { argument: 0, mask: 1 }; 200];
    let rule = Rule {
        number: 1,
        cases: vec![case],
        then: Verdict::Allow,
        otherwise: Verdict::Allow,
    };
    let mut long = filter();
    long.rules.push(rule);
    assert_eq!(long.assemble().err(), Some(TooLong));
}
