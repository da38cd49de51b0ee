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
    /// The bound met last, of the fixed limit the largest wish; and the embedder's words if it refused.
    met: Option<(LimitExceeded, Option<String>)>,
}

impl MemoryLimit {
    pub(crate) fn new(meter: Arc<Meter>, bytes: u64, channels: Arc<Channels>) -> MemoryLimit {
        let bytes = bytes.min(MAX_MEMORY);
        MemoryLimit { meter, bytes, channels, shared: 0, held: 0, met: None }
    }

    /// Counts the memory that an instance has from its start, of which `shared` bytes will be those
    /// of a snapshot.
    pub(crate) fn adopt(&mut self, asked: u64, shared: u64) -> Result<(), Fault> {
        if asked > self.bytes {
            let limit = LimitKind::Memory;
            return Err(LimitExceeded { limit, allowed: self.bytes, used: 0, asked }.into());
        }
        self.shared = shared;
        match self.hold(asked) {
            Growth::Granted => Ok(()),
            Growth::Refused { granted: allowed, asked, .. } => {
                let (limit, used) = (LimitKind::Granted, self.held);
                Err(LimitExceeded { limit, allowed, used, asked }.into())
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
        self.met.as_ref().map(|(exceeded, _)| exceeded.clone())
    }

    /// The same as a sentence.
    pub(crate) fn sentence(&self) -> Option<String> {
        let (exceeded, why) = self.met.as_ref()?;
        Some(why.clone().unwrap_or_else(|| exceeded.to_string()))
    }

    fn meet(&mut self, used: u64, asked: u64) {
        let limit = LimitKind::Memory;
        let before = self.met.as_ref().map(|(met, _)| met);
        // An allocator that was refused much tries with less, which says less.
        if before.is_none_or(|met| met.limit != limit || met.asked <= asked) {
            self.met = Some((LimitExceeded { limit, allowed: self.bytes, used, asked }, None));
        }
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
            self.meet(current as u64, desired);
            return Ok(false);
        }
        match self.hold(desired) {
            Growth::Granted => Ok(step("memory.grow").is_ok()),
            Growth::Refused { why, granted: allowed, asked } => {
                let (limit, used) = (LimitKind::Granted, self.held);
                self.met = Some((LimitExceeded { limit, allowed, used, asked }, Some(why)));
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
