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
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;

/// A filter that does not fit the jumps of classic BPF.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Filter {
    /// The program of this filter. The number is found by halving, because the kernel reads the program once for
    /// every number there is when it is installed, and again for each call it could not judge then.
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
        program.extend(halved(&self.ranges()?)?);
        Ok(program)
    }
}

/// Numbers from one on, up to the next range, and what is done with them.
struct Range<'filter> {
    first: u32,
    judged: Judged<'filter>,
}

#[derive(Clone, Copy)]
enum Judged<'filter> {
    Always(Verdict),
    ByArguments(&'filter Rule),
}

/// A program that finds the range of the number in the accumulator. Every path through it ends in a verdict.
fn halved(ranges: &[Range<'_>]) -> Result<Vec<sock_filter>, TooLong> {
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    let (Some(first), false) = (upper.first(), lower.is_empty()) else {
        return match ranges.first().map(|range| range.judged) {
            Some(Judged::ByArguments(rule)) => rule.assemble(),
            Some(Judged::Always(verdict)) => Ok(vec![give(verdict)]),
            None => Ok(vec![give(Verdict::Kill)]),
        };
    };
    let (lower, upper) = (halved(lower)?, halved(upper)?);
    // Only a jump without a condition goes further than 255.
    let over = u32::try_from(lower.len()).map_err(|_over| TooLong)?;
    let mut program = match u8::try_from(over) {
        Ok(over) => vec![jump(JUMP_FROM, first.first, over, 0)],
        Err(_far) => vec![jump(JUMP_FROM, first.first, 0, 1), statement(JUMP, over)],
    };
    program.extend(lower);
    program.extend(upper);
    Ok(program)
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

    /// All numbers from 0 on, in ranges: neighbours that are always treated alike are one.
    fn ranges(&self) -> Result<Vec<Range<'_>>, TooLong> {
        let mut rules: Vec<&Rule> = self.rules.iter().collect();
        rules.sort_by_key(|rule| rule.number);
        let mut ranges: Vec<Range<'_>> = Vec::new();
        let mut add = |first, judged| {
            let before = ranges.last().map(|range| range.judged);
            match (before, judged) {
                (Some(Judged::Always(before)), Judged::Always(verdict)) if before == verdict => {}
                _ => ranges.push(Range { first, judged }),
            }
        };
        let mut next = 0;
        for rule in rules {
            let number = u32::try_from(rule.number).map_err(|_over| TooLong)?;
            if next < number {
                add(next, Judged::Always(self.unlisted));
            }
            let is_judged = !rule.cases.is_empty();
            let always = Judged::Always(rule.otherwise);
            add(number, if is_judged { Judged::ByArguments(rule) } else { always });
            next = number + 1;
        }
        if next <= self.newest {
            add(next, Judged::Always(self.unlisted));
        }
        add(next.max(self.newest + 1), Judged::Always(self.unknown));
        Ok(ranges)
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
