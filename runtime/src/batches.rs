//! Arrow batches between the host and one guest, beside the byte channels: a frame on a channel
//! announces each batch, the batch itself is copied once.
//!
//! In: the embedder puts a batch, whose buffers stay its own; the guest takes it, and its bytes go
//! straight into linear memory. Out: the guest gives a batch ([`crate::columns`] copies and
//! validates it), the host takes it. Both queues are short: a full one makes its writer wait.

use crate::channel::{Channels, Transfer};
use crate::columns::{OutputBatch, Spent};
use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Instant;

/// Announced batches that wait for the guest before the input channel counts as full.
const MOST_ANNOUNCED: usize = 2;
/// Batches and schemas that wait for the host before the guest waits.
const MOST_GIVEN: usize = 3;

/// One batch for the guest, in memory of the embedder's.
pub trait InputBatch: Send {
    /// Bytes of the batch as the guest sees it.
    fn bytes(&self) -> usize;
    /// Writes exactly [`InputBatch::bytes`] bytes.
    fn copy_to(&self, into: &mut [u8]);
}

/// What a guest gives: a stream's schema, then its batches.
#[derive(Debug)]
pub enum Output {
    /// An Arrow schema message, encoded by the host after it had read the guest's.
    Schema(Vec<u8>),
    /// A validated batch.
    Batch(OutputBatch),
}

/// The part of the channels' state that is about batches.
#[derive(Default)]
pub(crate) struct Batches {
    /// The task passes batches.
    passes: bool,
    pending: VecDeque<Box<dyn InputBatch>>,
    /// Those of `pending` whose frames the guest has, or can read. One write may announce many.
    announced: usize,
    /// The last write was accepted in part: what is left of it never waits for batches, which it
    /// may be the first to announce.
    within_write: bool,
    /// The guest's thread copies a batch now, outside of the lock.
    taking: bool,
    taken: u64,
    given: VecDeque<Output>,
    spent: Spent,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Batches { passes, pending, announced, within_write: _, taking, taken, given, spent } =
            self;
        write!(
            f,
            "passes {passes}, pending {}, announced {announced}, taking {taking}, taken {taken}, given {}, spent {spent:?}",
            pending.len(),
            given.len()
        )
    }
}

impl Batches {
    /// Whether the frames that announce more batches have to wait.
    pub(crate) fn full(&self) -> bool {
        !self.within_write && self.announced >= MOST_ANNOUNCED
    }

    /// A write to the channel was accepted, `whole` or in part.
    pub(crate) fn written(&mut self, whole: bool) {
        self.within_write = !whole;
        if whole {
            self.announced = self.pending.len();
        }
    }
}

impl Channels {
    /// Host: whether the task that begins passes batches, before its first byte.
    pub fn pass_batches(&self, passes: bool) {
        self.lock().batches.passes = passes;
    }

    pub(crate) fn passes_batches(&self) -> bool {
        self.lock().batches.passes
    }

    /// Host: puts a batch; its frame is written to the channel after it. `false` if the guest is
    /// gone, or no task passes batches now.
    pub fn put_batch(&self, batch: Box<dyn InputBatch>) -> bool {
        let mut state = self.lock();
        if state.gone() || !state.batches.passes {
            return false;
        }
        state.bytes_in += batch.bytes() as u64;
        state.batches.pending.push_back(batch);
        true
    }

    /// Host: how many batches the guest has taken; their memory is the embedder's again.
    pub fn batches_taken(&self) -> u64 {
        self.lock().batches.taken
    }

    /// Host: takes back what the guest has not taken, and ends the passing. After it no batch's
    /// memory is read.
    pub fn withdraw_batches(&self) {
        let mut state = self.lock();
        state.batches.passes = false;
        state.batches.pending.clear();
        state.batches.announced = 0;
        state.batches.within_write = false;
        while state.batches.taking {
            state = self.host.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Host: the next schema or batch that the guest has given.
    pub fn take_output(&self) -> Option<Output> {
        let output = self.lock().batches.given.pop_front();
        self.guest.notify_all();
        output
    }

    /// Batches that the guest has given and the host has not taken yet, and their bytes.
    pub fn batches_given(&self) -> (usize, u64) {
        let state = self.lock();
        let batches = state.batches.given.iter().filter_map(|output| match output {
            Output::Batch(batch) => Some(batch.bytes() as u64),
            Output::Schema(_) => None,
        });
        batches.fold((0, 0), |(count, bytes), more| (count + 1, bytes + more))
    }

    /// Time spent on batches so far.
    pub(crate) fn spent(&self) -> Spent {
        self.lock().batches.spent
    }

    /// Guest: takes the next batch. `Ended` if there is none, or `into` has not its size.
    pub(crate) fn guest_take(&self, into: &mut [u8]) -> Transfer {
        let mut state = self.lock();
        if state.stopped {
            return Transfer::Stopped;
        }
        match state.batches.pending.front() {
            Some(batch) if batch.bytes() == into.len() => {}
            _ => return Transfer::Ended,
        }
        let Some(batch) = state.batches.pending.pop_front() else { return Transfer::Ended };
        state.batches.announced = state.batches.announced.saturating_sub(1);
        state.batches.taking = true;
        drop(state);
        let began = Instant::now();
        batch.copy_to(into);
        let copying = began.elapsed();
        let mut state = self.lock();
        state.batches.spent.copying_in += copying;
        state.batches.taking = false;
        state.batches.taken += 1;
        drop(state);
        self.host.notify_all();
        Transfer::Bytes(into.len())
    }

    /// Guest: gives a schema or a batch; waits while the host has enough of them.
    pub(crate) fn guest_give(&self, output: Output) -> Transfer {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Transfer::Stopped;
            }
            if state.batches.given.len() < MOST_GIVEN {
                let bytes = if let Output::Batch(batch) = &output {
                    state.batches.spent += batch.spent;
                    batch.bytes()
                } else {
                    0
                };
                state.bytes_out += bytes as u64;
                state.batches.given.push_back(output);
                return Transfer::Bytes(bytes);
            }
            state = self.guest.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
