//! The input of a task that may start again: what was read is kept until that is decided.

use crate::channel::{Channels, Transfer};

/// Most bytes of input that are kept; a task that has read more goes on as it is.
const MOST_KEPT: usize = 64 << 20;

#[derive(Debug, Default)]
pub(crate) struct Rewind {
    /// What the guest has read of the task's input.
    kept: Option<Vec<u8>>,
    /// The same, read once more by a guest that is run beside the task, and how far it has come.
    replay: Option<(Vec<u8>, usize)>,
    /// What became of the task's job snapshot, for its figures.
    outcome: String,
}

impl Rewind {
    pub(crate) fn keep(&mut self, read: &[u8]) {
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(read);
            if kept.len() > MOST_KEPT {
                self.kept = None;
                self.outcome = format!("refused: the command has more than {MOST_KEPT} bytes");
            }
        }
    }

    /// The next bytes of a replay, if there is one.
    pub(crate) fn again(&mut self, into: &mut [u8]) -> Option<Transfer> {
        let (bytes, at) = self.replay.as_mut()?;
        let rest = &bytes[*at..];
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        *at += n;
        Some(if n == 0 { Transfer::Ended } else { Transfer::Bytes(n) })
    }

    pub(crate) fn replays(&self) -> bool {
        self.replay.is_some()
    }
}

impl Channels {
    /// A task begins, whose input is kept for now if it may start again.
    pub(crate) fn begin_input(&self, keep: bool) {
        let rewind = &mut self.lock().rewind;
        // The outcome of the task before stays to be told, until the next one has its own.
        (rewind.kept, rewind.replay) = (keep.then(Vec::new), None);
    }

    pub(crate) fn keeps_input(&self) -> bool {
        self.lock().rewind.kept.is_some()
    }

    /// Asks about what the guest has read of its task; no, if it is not kept.
    pub(crate) fn kept_input(&self, about: impl FnOnce(&[u8]) -> bool) -> bool {
        self.lock().rewind.kept.as_deref().is_some_and(about)
    }

    /// The task will not start again; `outcome` is what became of its snapshot.
    pub(crate) fn forget_input(&self, outcome: &str) {
        let rewind = &mut self.lock().rewind;
        rewind.kept = None;
        rewind.outcome = outcome.into();
    }

    /// The task goes on as it is.
    pub(crate) fn go_on(&self) {
        let rewind = &mut self.lock().rewind;
        if rewind.kept.take().is_some() {
            rewind.outcome.clear();
        }
    }

    /// The guest that runs now reads what was kept, and then the end; what it writes goes nowhere.
    pub(crate) fn replay_input(&self) {
        let rewind = &mut self.lock().rewind;
        rewind.replay = Some((rewind.kept.clone().unwrap_or_default(), 0));
    }

    /// The guest that was run beside the task is done.
    pub(crate) fn end_replay(&self) {
        self.lock().rewind.replay = None;
    }

    /// The guest that runs next reads the task's input from its beginning. The task will not start
    /// again after that, unless the input is kept once more.
    pub(crate) fn rewind_input(&self, outcome: &str, keep: bool) {
        let mut state = self.lock();
        state.rewind.outcome = outcome.into();
        if let Some(read) = state.rewind.kept.take() {
            state.put_back(read);
            state.rewind.kept = keep.then(Vec::new);
        }
    }

    /// What became of the job snapshot of the task that runs; empty if there was no word of one.
    pub(crate) fn job_outcome(&self) -> String {
        self.lock().rewind.outcome.clone()
    }
}
