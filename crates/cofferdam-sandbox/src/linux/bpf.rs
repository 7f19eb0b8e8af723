//! A small assembler of classic BPF for system-call filters (seccomp(2)).

use libc::sock_filter;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// What to do with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allow,
    /// Refuse with this number of the kernel.
    Errno(i32),
    /// End the whole process.
    Kill,
    /// Tell the observer, which gives the answer that [`Filter::verdict`] has for the same call.
    Observe,
}

/// A test of one argument. What is compared is the lower 32 bits: each such argument is an `int` to the
/// kernel, which ignores the upper half as well.
#[derive(Clone, Copy, Debug)]
pub(super) enum Test {
    /// Equal, after this mask.
    Equal { argument: u32, mask: u32, value: u32 },
    /// Any of these bits is set.
    AnyBit { argument: u32, mask: u32 },
    /// A pointer that is not null; both halves are looked at.
    NotNull { argument: u32 },
}

/// What to do with one call: `then` when all tests of any of the cases hold, `otherwise` when none do.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) number: i64,
    pub(super) cases: Vec<Vec<Test>>,
    pub(super) then: Verdict,
    pub(super) otherwise: Verdict,
}

/// A filter for one architecture.
pub(super) struct Filter {
    /// `AUDIT_ARCH_…`; calls of any other end the process.
    pub(super) architecture: u32,
    /// Numbers from here on end the process (the x32 numbers of x86-64).
    pub(super) foreign_from: Option<u32>,
    pub(super) rules: Vec<Rule>,
    /// The highest number known here: what is above it does not exist.
    pub(super) newest: u32,
    /// For a known number without a rule.
    pub(super) unlisted: Verdict,
    pub(super) unknown: Verdict,
}

fn statement(code: u32, value: u32) -> sock_filter {
    jump(code, value, 0, 0)
}

fn jump(code: u32, value: u32, if_true: u8, if_false: u8) -> sock_filter {
    // The codes are below 256, so nothing is lost.
    let code = u16::try_from(code).unwrap_or(u16::MAX);
    sock_filter {
        code,
        jt: if_true,
        jf: if_false,
        k: value,
    }
}

fn load(offset: u32) -> sock_filter {
    statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset)
}

fn give(verdict: Verdict) -> sock_filter {
    let value = match verdict {
        Verdict::Allow => libc::SECCOMP_RET_ALLOW,
        Verdict::Errno(number) => libc::SECCOMP_RET_ERRNO | (number.unsigned_abs() & libc::SECCOMP_RET_DATA),
        Verdict::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        Verdict::Observe => libc::SECCOMP_RET_USER_NOTIF,
    };
    statement(libc::BPF_RET | libc::BPF_K, value)
}

const JUMP_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_FROM: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_ABOVE: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const JUMP_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// A filter that does not fit the jumps of classic BPF.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Filter {
    /// The program of this filter. None of its jumps goes further than one rule.
    pub(super) fn assemble(&self) -> Result<Vec<sock_filter>, TooLong> {
        let mut program = vec![
            load(ARCHITECTURE),
            jump(JUMP_EQUAL, self.architecture, 1, 0),
            give(Verdict::Kill),
            load(NUMBER),
        ];
        if let Some(foreign) = self.foreign_from {
            program.extend([jump(JUMP_FROM, foreign, 0, 1), give(Verdict::Kill)]);
        }
        let (ranges, judged) = self.ranges()?;
        for (first, last, verdict) in ranges {
            program.extend([
                jump(JUMP_FROM, first, 0, 2),
                jump(JUMP_ABOVE, last, 1, 0),
                give(verdict),
            ]);
        }
        for rule in judged {
            let body = rule.assemble()?;
            let length = u8::try_from(body.len()).map_err(|_over| TooLong)?;
            let number = u32::try_from(rule.number).map_err(|_over| TooLong)?;
            program.push(jump(JUMP_EQUAL, number, 0, length));
            program.extend(body);
        }
        program.extend([
            jump(JUMP_ABOVE, self.newest, 0, 1),
            give(self.unknown),
            give(self.unlisted),
        ]);
        Ok(program)
    }
}

impl Filter {
    /// What the assembled program says about a call of its own architecture, without running it.
    pub(super) fn verdict(&self, number: u32, arguments: &[u64; 6]) -> Verdict {
        if self.foreign_from.is_some_and(|foreign| number >= foreign) {
            return Verdict::Kill;
        }
        match self.rules.iter().find(|rule| rule.number == i64::from(number)) {
            Some(rule) if rule.holds(arguments) => rule.then,
            Some(rule) => rule.otherwise,
            None if number > self.newest => self.unknown,
            None => self.unlisted,
        }
    }

    /// Neighbouring numbers that are always treated alike, as first, last and verdict; and the other rules.
    /// Ranges keep the program short, which the kernel reads once for every number there is.
    #[expect(clippy::type_complexity, reason = "two lists that are taken apart at once")]
    fn ranges(&self) -> Result<(Vec<(u32, u32, Verdict)>, Vec<&Rule>), TooLong> {
        let (mut always, judged): (Vec<&Rule>, Vec<&Rule>) = self.rules.iter().partition(|rule| rule.cases.is_empty());
        always.sort_by_key(|rule| rule.number);
        let mut ranges: Vec<(u32, u32, Verdict)> = Vec::new();
        for rule in always {
            let number = u32::try_from(rule.number).map_err(|_over| TooLong)?;
            match ranges.last_mut() {
                Some((_, last, verdict)) if *last + 1 == number && *verdict == rule.otherwise => *last = number,
                _ => ranges.push((number, number, rule.otherwise)),
            }
        }
        Ok((ranges, judged))
    }
}

impl Rule {
    /// A call that is always treated alike.
    pub(super) fn always(number: i64, verdict: Verdict) -> Self {
        Self {
            number,
            cases: Vec::new(),
            then: verdict,
            otherwise: verdict,
        }
    }

    /// Whether all tests of any of the cases hold.
    fn holds(&self, arguments: &[u64; 6]) -> bool {
        self.cases
            .iter()
            .any(|case| case.iter().all(|test| test.holds(arguments)))
    }

    /// What follows the comparison of the number. It always ends in a verdict, so the accumulator may change.
    fn assemble(&self) -> Result<Vec<sock_filter>, TooLong> {
        let mut body = Vec::new();
        for case in &self.cases {
            let mut tests = Vec::new();
            // From the last to the first, because each has to know how much follows it.
            let mut follows: u8 = 1;
            for test in case.iter().rev() {
                let piece = test.assemble(follows);
                follows = follows
                    .checked_add(u8::try_from(piece.len()).map_err(|_over| TooLong)?)
                    .ok_or(TooLong)?;
                tests.splice(0..0, piece);
            }
            body.extend(tests);
            body.push(give(self.then));
        }
        body.push(give(self.otherwise));
        Ok(body)
    }
}

impl Test {
    fn holds(self, arguments: &[u64; 6]) -> bool {
        let (Self::Equal { argument, .. } | Self::AnyBit { argument, .. } | Self::NotNull { argument }) = self;
        let index = usize::try_from(argument).unwrap_or(usize::MAX);
        let value = arguments.get(index).copied().unwrap_or(0);
        match self {
            Self::Equal {
                mask, value: wanted, ..
            } => value & u64::from(mask) == u64::from(wanted),
            Self::AnyBit { mask, .. } => value & u64::from(mask) != 0,
            Self::NotNull { .. } => value != 0,
        }
    }

    /// Goes on when the test holds, and jumps over what follows when not.
    fn assemble(self, follows: u8) -> Vec<sock_filter> {
        match self {
            // The lower half of a word comes first on the little-endian machines this runs on.
            Self::Equal { argument, mask, value } => vec![
                load(ARGUMENTS + 8 * argument),
                statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask),
                jump(JUMP_EQUAL, value, 0, follows),
            ],
            Self::AnyBit { argument, mask } => {
                vec![load(ARGUMENTS + 8 * argument), jump(JUMP_ANY_BIT, mask, 0, follows)]
            }
            Self::NotNull { argument } => vec![
                load(ARGUMENTS + 8 * argument),
                jump(JUMP_ANY_BIT, u32::MAX, 2, 0),
                load(ARGUMENTS + 8 * argument + 4),
                jump(JUMP_ANY_BIT, u32::MAX, 0, follows),
            ],
        }
    }
}

#[cfg(test)]
#[path = "bpf_tests.rs"]
pub(super) mod tests;
