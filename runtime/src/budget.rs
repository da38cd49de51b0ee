//! Memory that the embedder grants a sandbox, below the fixed limit: to grow past it the guest waits
//! until the embedder has raised the grant or refused.
//!
//! The guest's thread asks and waits here; the embedder hears of it from
//! [`Channels::wait_ready`] ([`MEMORY`]) on whatever thread it waits, and answers there. Nothing calls
//! back into the embedder from the guest's thread. A sandbox without a grant is only counted.
//!
//! What counts is a guest's own memory: its linear memory less what it shares with all others that
//! start from the same snapshot. The pages of the snapshot that it changes are not counted.

use crate::channel::{Channels, Ready};
use std::sync::PoisonError;

/// The guest waits for memory.
pub const MEMORY: Ready = 2;

/// What a sandbox holds of its own, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Now.
    pub bytes: u64,
    /// Most since the grant was last set from nothing.
    pub peak: u64,
    /// What the guest waits for, in all; 0 if it does not wait.
    pub wanted: u64,
}

/// The part of the channels' state that is about memory.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    held: u64,
    peak: u64,
    granted: Option<u64>,
    wanted: u64,
    refusal: Option<String>,
}

impl Budget {
    pub(crate) fn wants(&self) -> bool {
        self.wanted > 0
    }
}

/// What became of a wish for memory.
#[derive(Debug)]
pub(crate) enum Growth {
    Granted,
    /// The embedder's sentence, and what it has granted and was asked for.
    Refused {
        why: String,
        granted: u64,
        asked: u64,
    },
    Stopped,
}

impl Channels {
    /// Guest: holds `more` bytes from now on; waits for the embedder if that is beyond its grant.
    pub(crate) fn guest_grow(&self, more: u64) -> Growth {
        let mut state = self.lock();
        loop {
            let asked = state.budget.held.saturating_add(more);
            let granted = state.budget.granted;
            if granted.is_none_or(|granted| asked <= granted) || more == 0 {
                let budget = &mut state.budget;
                (budget.held, budget.wanted, budget.refusal) = (asked, 0, None);
                budget.peak = budget.peak.max(asked);
                return Growth::Granted;
            }
            if state.stopped {
                state.budget.wanted = 0;
                return Growth::Stopped;
            }
            if let Some(why) = state.budget.refusal.take() {
                state.budget.wanted = 0;
                return Growth::Refused { why, granted: granted.unwrap_or_default(), asked };
            }
            state.budget.wanted = asked;
            self.host.notify_all();
            state = self.guest.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Guest: holds `less` bytes less from now on.
    pub(crate) fn guest_shrink(&self, less: u64) {
        let mut state = self.lock();
        state.budget.held = state.budget.held.saturating_sub(less);
    }

    /// Sets what the guest may hold in all, bytes; `None` bounds nothing. What it holds already it
    /// keeps. Answers what that is.
    pub fn grant_memory(&self, bytes: Option<u64>) -> u64 {
        let mut state = self.lock();
        let budget = &mut state.budget;
        if budget.granted.is_none() {
            budget.peak = budget.held;
        }
        budget.granted = bytes;
        let held = budget.held;
        drop(state);
        self.guest.notify_all();
        held
    }

    /// Refuses what the guest waits for: it sees `MemoryError`, whose message is `why`.
    pub fn refuse_memory(&self, why: &str) {
        let mut state = self.lock();
        if state.budget.wants() {
            // Asked for again, it is asked of the embedder again.
            state.budget.wanted = 0;
            state.budget.refusal = Some(why.into());
        }
        drop(state);
        self.guest.notify_all();
    }

    /// What the sandbox holds now.
    pub fn memory_held(&self) -> Held {
        let Budget { held, peak, wanted, .. } = &self.lock().budget;
        Held { bytes: *held, peak: *peak, wanted: *wanted }
    }
}

#[cfg(test)]
mod tests {
    use super::{Growth, Held, MEMORY};
    use crate::channel::{Channels, READABLE};
    use std::time::Duration;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_guest_waits_until_it_is_answered() {
        let channels = Channels::new(1);
        assert!(matches!(channels.guest_grow(100), Growth::Granted), "nothing bounds it yet");
        assert_eq!(channels.grant_memory(Some(0)), 100);
        std::thread::scope(|scope| {
            let guest = scope.spawn(|| [channels.guest_grow(50), channels.guest_grow(7)]);
            assert_eq!(channels.wait_ready(READABLE | MEMORY, SOON), MEMORY);
            assert_eq!(channels.memory_held(), Held { bytes: 100, peak: 100, wanted: 150 });
            channels.grant_memory(Some(150));
            while channels.memory_held().wanted != 157 {
                channels.wait_ready(MEMORY, SOON);
            }
            channels.refuse_memory("no");
            let answers = guest.join().expect("the guest's thread");
            let [Growth::Granted, Growth::Refused { why, granted: 150, asked: 157 }] = answers
            else {
                panic!("{answers:?}")
            };
            assert_eq!(why, "no");
        });
        channels.guest_shrink(120);
        assert_eq!(channels.memory_held(), Held { bytes: 30, peak: 150, wanted: 0 });
        assert_eq!((channels.grant_memory(None), channels.memory_held().peak), (30, 150));
        channels.grant_memory(Some(0));
        assert_eq!(channels.memory_held().peak, 30, "the next task's");
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let channels = Channels::new(1);
        channels.grant_memory(Some(0));
        std::thread::scope(|scope| {
            let guest = scope.spawn(|| channels.guest_grow(1));
            channels.wait_ready(MEMORY, SOON);
            channels.stop();
            assert!(matches!(guest.join().expect("the guest's thread"), Growth::Stopped));
        });
        assert_eq!(channels.memory_held().bytes, 0);
    }
}
