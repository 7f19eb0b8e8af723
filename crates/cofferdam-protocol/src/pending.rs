//! The requests of one side: unanswered, given up, answered. Bounded in every part.

use std::collections::{BTreeMap, VecDeque};

use crate::id::Id;
use crate::reason::Reason;
use crate::revision::Era;

/// Ids of settled requests that are remembered for each side.
pub const SETTLED_MAX: usize = 4096;

/// A request that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its method.
    pub method: Box<str>,
    /// Its era, which is that of its answer.
    pub era: Era,
    /// `tools/call`: the tool's name, unless it is longer than [`crate::TOOL_NAME_BYTES_MAX`].
    pub tool: Option<Box<str>>,
    /// The gate itself asked.
    pub by_gate: bool,
    /// Its sender no longer waits; an answer may still come.
    pub cancelled: bool,
    /// The caller's clock when it was admitted, in milliseconds; 0 for the gate's own.
    pub started: u64,
    /// A list request that carried a `cursor`.
    pub is_continuation: bool,
    /// It went out to the peer, who may now answer it. An answer to a request that was never sent is none.
    pub is_sent: bool,
    /// Counts the requests of one side: tells apart two requests that used the same id one after the other.
    pub number: u64,
}

/// What became of a request that is no longer in flight.
#[derive(Debug, Clone)]
enum Settled {
    /// Cancelled by its sender: one late answer may still pass.
    Cancelled(Pending),
    /// By the peer, or by the gate in its stead: nothing may pass any more.
    Answered,
}

/// The requests of one side.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    in_flight: BTreeMap<Id, Pending>,
    /// How many of `in_flight` are the gate's own.
    by_gate: usize,
    /// The number is the age, to drop the oldest.
    settled: BTreeMap<Id, (u64, Settled)>,
    /// Ages and ids in order; may name ids that have been reused since, whose age then differs.
    ages: VecDeque<(u64, Id)>,
    next_age: u64,
    next_number: u64,
}

impl Asked {
    /// Whether a request with this id may be sent now, with at most `limit` in flight.
    pub(crate) fn check_new(&self, id: &Id, limit: usize) -> Result<(), Reason> {
        // A cancelled request may still be answered: the answer must not be taken for that of another.
        let is_open = matches!(self.settled.get(id), Some((_, Settled::Cancelled(_))));
        if is_open || self.in_flight.contains_key(id) {
            return Err(Reason::IdInFlight);
        }
        if self.count() >= limit {
            Err(Reason::TooManyInFlight)
        } else {
            Ok(())
        }
    }

    /// Registers a request and gives its number.
    pub(crate) fn register(&mut self, id: Id, mut pending: Pending) -> u64 {
        self.next_number = self.next_number.wrapping_add(1);
        pending.number = self.next_number;
        self.settled.remove(&id);
        let _replaced = self.remove(&id);
        self.by_gate = self.by_gate.saturating_add(usize::from(pending.by_gate));
        self.in_flight.insert(id, pending);
        self.next_number
    }

    /// From now on the peer may answer this request.
    pub(crate) fn sent(&mut self, id: &Id, number: u64) {
        if let Some(pending) = self.in_flight.get_mut(id).filter(|pending| pending.number == number) {
            pending.is_sent = true;
        }
    }

    /// Puts back a request whose answer could not be passed on.
    pub(crate) fn reopen(&mut self, id: Id, pending: Pending) {
        if !self.in_flight.contains_key(&id) && !pending.cancelled {
            self.settled.remove(&id);
            self.by_gate = self.by_gate.saturating_add(usize::from(pending.by_gate));
            self.in_flight.insert(id, pending);
        }
    }

    /// Takes the request that a response answers. It can be answered once.
    pub(crate) fn answer(&mut self, id: &Id) -> Result<Pending, Reason> {
        if self.in_flight.get(id).is_some_and(|pending| !pending.is_sent) {
            return Err(Reason::UnknownResponse);
        }
        if let Some(pending) = self.remove(id) {
            self.settle(id, Settled::Answered);
            return Ok(pending);
        }
        match self
            .settled
            .get_mut(id)
            .map(|(_, settled)| std::mem::replace(settled, Settled::Answered))
        {
            None => Err(Reason::UnknownResponse),
            Some(Settled::Cancelled(pending)) => Ok(pending),
            Some(Settled::Answered) => Err(Reason::DuplicateResponse),
        }
    }

    /// Its sender gave it up. The gate's own requests are nobody else's to give up.
    pub(crate) fn cancel(&mut self, id: &Id) {
        if self.find(id).is_some_and(|pending| !pending.by_gate)
            && let Some(pending) = self.remove(id)
        {
            let settled = if pending.is_sent {
                Settled::Cancelled(Pending {
                    cancelled: true,
                    ..pending
                })
            } else {
                // The peer never saw it: no answer can be late.
                Settled::Answered
            };
            self.settle(id, settled);
        }
    }

    /// Forgets a request as in flight; a later answer is a duplicate. Gives it back if it was in flight and not cancelled.
    pub(crate) fn retire(&mut self, id: &Id) -> Option<Pending> {
        let pending = self.remove(id);
        if pending.is_some() {
            self.settle(id, Settled::Answered);
        } else if let Some((_, settled)) = self.settled.get_mut(id) {
            *settled = Settled::Answered;
        }
        pending
    }

    /// Their peer is gone: nothing that went out to it can be answered any more. Gives what still waited.
    pub(crate) fn forget_sent(&mut self) -> Vec<(Id, Pending)> {
        for (_, settled) in self.settled.values_mut() {
            *settled = Settled::Answered;
        }
        let sent = self.in_flight.iter().filter(|(_, pending)| pending.is_sent);
        let sent: Vec<Id> = sent.map(|(id, _)| id.clone()).collect();
        let forgotten = sent.into_iter().map(|id| (self.retire(&id), id));
        forgotten.filter_map(|(pending, id)| Some((id, pending?))).collect()
    }

    pub(crate) fn find(&self, id: &Id) -> Option<&Pending> {
        self.in_flight.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Id, &Pending)> {
        self.in_flight.iter()
    }

    /// Requests in flight, the gate's own not counted.
    pub(crate) fn count(&self) -> usize {
        self.in_flight.len().saturating_sub(self.by_gate)
    }

    fn remove(&mut self, id: &Id) -> Option<Pending> {
        let pending = self.in_flight.remove(id)?;
        self.by_gate = self.by_gate.saturating_sub(usize::from(pending.by_gate));
        Some(pending)
    }

    fn settle(&mut self, id: &Id, settled: Settled) {
        let age = self.next_age;
        self.next_age = age.wrapping_add(1);
        self.settled.insert(id.clone(), (age, settled));
        self.ages.push_back((age, id.clone()));
        while self.ages.len() > SETTLED_MAX {
            let Some((age, id)) = self.ages.pop_front() else { return };
            if self.settled.get(&id).is_some_and(|(current, _)| *current == age) {
                self.settled.remove(&id);
            }
        }
    }
}
