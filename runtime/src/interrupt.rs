//! Stopping a guest from another thread, at once and at next to no running cost.
//!
//! Every loop and every non-leaf function of a guest stores a byte to a one-page *poll memory*
//! (see [`crate::instrument`]). Stopping makes that page inaccessible: the next store traps. The
//! poll memory is a second wasm memory that no other instruction and no host function ever
//! touches, so a host call or a bulk copy in progress is never disturbed; a guest inside a host
//! call traps at its first poll after it, and the host calls that can wait (channels, sleeps) end
//! their wait. wasmtime's epochs do the same with a load, a compare and a branch per poll, which
//! made CPython 17-19 % slower.
#![allow(unsafe_code)]

use crate::channel::Channels;
use crate::fault::Fault;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The switch that stops one sandbox. Any thread may use it, any number of times; the first
/// reason counts.
#[derive(Debug)]
pub struct Interrupt {
    state: Mutex<State>,
    channels: Arc<Channels>,
}

#[derive(Debug, Default)]
struct State {
    reason: Option<Fault>,
    page: Option<PollPage>,
}

/// Address of a live poll memory. Only its first operating-system page is used.
#[derive(Debug, Clone, Copy)]
struct PollPage(usize);

/// The smallest operating-system page; mprotect rounds up to the real one, and the poll memory has
/// 64 KiB.
const PAGE_BYTES: usize = 4096;

impl Interrupt {
    pub(crate) fn new(channels: Arc<Channels>) -> Arc<Interrupt> {
        Arc::new(Interrupt { state: Mutex::default(), channels })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the guest for `reason`. Returns at once; the guest traps at its next poll.
    pub fn stop(&self, reason: Fault) {
        let mut state = self.lock();
        if state.reason.is_none() {
            state.reason = Some(reason);
            if let Some(page) = state.page {
                page.close();
            }
        }
        drop(state);
        self.channels.stop();
    }

    /// Why the guest was stopped, if it was.
    pub fn reason(&self) -> Option<Fault> {
        self.lock().reason.clone()
    }

    /// Arms the switch with the poll memory at `address`, until the returned guard is dropped.
    ///
    /// The caller keeps the store that owns that memory alive longer than the guard.
    pub(crate) fn arm(self: &Arc<Self>, address: *mut u8) -> Armed {
        let page = PollPage(address as usize);
        let mut state = self.lock();
        state.page = Some(page);
        if state.reason.is_some() {
            page.close(); // stopped before it started
        }
        drop(state);
        Armed(Arc::clone(self))
    }
}

/// While this lives, [`Interrupt::stop`] reaches the guest. Drop it before the store.
#[derive(Debug)]
pub(crate) struct Armed(Arc<Interrupt>);

impl Drop for Armed {
    fn drop(&mut self) {
        // Under the lock: no stop can use the address after this line.
        self.0.lock().page = None;
    }
}

impl PollPage {
    fn close(self) {
        // SAFETY: the address is the start of a poll memory whose store outlives its `Armed`
        // guard, and this is called under the lock that the guard's drop takes, so the mapping
        // exists. Taking access away cannot break memory safety: only wasm stores of the guest
        // touch the page, and wasmtime turns their faults into traps; no Rust reference to it is
        // ever made.
        let closed = unsafe {
            rustix::mm::mprotect(
                self.0 as *mut c_void,
                PAGE_BYTES,
                rustix::mm::MprotectFlags::empty(),
            )
        };
        debug_assert!(closed.is_ok(), "closing the poll page: {closed:?}");
    }
}
