//! Whether one guest's linear memory may grow: the fixed limit, then what the embedder grants.

use crate::budget::Growth;
use crate::channel::Channels;
use crate::failpoint::step;
use crate::fault::{Fault, LimitExceeded};
use crate::imports::Raised;
use crate::limits::{LimitKind, MAX_MEMORY};
use crate::sandbox::Meter;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Function table entries a guest may have.
pub(crate) const MAX_TABLE: usize = 1 << 20;

/// Refuses growth past the limit; Python then raises `MemoryError`.
pub(crate) struct MemoryLimit {
    meter: Arc<Meter>,
    pub(crate) bytes: u64,
    channels: Arc<Channels>,
    /// Bytes of the snapshot beneath: they are everybody's.
    shared: u64,
    /// Bytes counted in the sandbox's budget for this guest.
    held: u64,
    /// What the embedder refused, in its words.
    refused: Option<(LimitExceeded, String)>,
}

impl MemoryLimit {
    pub(crate) fn new(meter: Arc<Meter>, bytes: u64, channels: Arc<Channels>) -> MemoryLimit {
        let bytes = bytes.min(MAX_MEMORY);
        MemoryLimit { meter, bytes, channels, shared: 0, held: 0, refused: None }
    }

    /// Counts the memory that an instance has from its start, of which `shared` bytes will be those
    /// of a snapshot.
    pub(crate) fn adopt(&mut self, asked: u64, shared: u64) -> Result<(), Fault> {
        if asked > self.bytes {
            let limit = LimitKind::Memory;
            return Err(LimitExceeded { limit, allowed: self.bytes, asked }.into());
        }
        self.shared = shared;
        match self.hold(asked) {
            Growth::Granted => Ok(()),
            Growth::Refused { granted: allowed, asked, .. } => {
                Err(LimitExceeded { limit: LimitKind::Granted, allowed, asked }.into())
            }
            Growth::Stopped => Err(Fault::Stopped { reason: "stopped".into() }),
        }
    }

    /// Asks the budget for what a memory of `size` bytes takes.
    fn hold(&mut self, size: u64) -> Growth {
        let more = size.saturating_sub(self.shared).saturating_sub(self.held);
        let growth = self.channels.guest_grow(more);
        if matches!(growth, Growth::Granted) {
            self.held += more;
            self.meter.memory.fetch_max(size, Ordering::Relaxed);
        }
        growth
    }

    /// Allows no growth from now on.
    pub(crate) fn freeze(&mut self) {
        self.bytes = self.meter.memory.load(Ordering::Relaxed);
    }

    /// The last bound that was met and what was asked beyond it, if anything ever was.
    pub(crate) fn exceeded(&self) -> Option<LimitExceeded> {
        if let Some((exceeded, _)) = &self.refused {
            return Some(exceeded.clone());
        }
        let asked = self.meter.refused.load(Ordering::Relaxed);
        let limit = LimitKind::Memory;
        (asked > 0).then_some(LimitExceeded { limit, allowed: self.bytes, asked })
    }

    /// The same as a sentence.
    pub(crate) fn sentence(&self) -> Option<String> {
        let refused = self.refused.as_ref().map(|(_, why)| why.clone());
        refused.or_else(|| self.exceeded().map(|exceeded| exceeded.to_string()))
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.channels.guest_shrink(self.held);
    }
}

impl wasmtime::ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        // What the system failed to give after it was granted.
        let given = (current as u64).saturating_sub(self.shared);
        self.channels.guest_shrink(self.held.saturating_sub(given));
        self.held = self.held.min(given);
        let desired = desired as u64;
        if desired > self.bytes {
            self.meter.refused.fetch_max(desired, Ordering::Relaxed);
            self.meter.refusals.fetch_add(1, Ordering::Relaxed);
            self.refused = None;
            return Ok(false);
        }
        match self.hold(desired) {
            Growth::Granted => Ok(step("memory.grow").is_ok()),
            Growth::Refused { why, granted: allowed, asked } => {
                let exceeded = LimitExceeded { limit: LimitKind::Granted, allowed, asked };
                self.refused = Some((exceeded, why));
                self.meter.refusals.fetch_add(1, Ordering::Relaxed);
                Ok(false)
            }
            Growth::Stopped => Err(Raised::stopped()),
        }
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE)
    }
}
