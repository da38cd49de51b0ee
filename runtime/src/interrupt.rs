//! Stopping a guest from another thread, at once and at no running cost.
//!
//! Stopping makes the guest's linear memory inaccessible: its next load or store traps, and
//! [`crate::instrument`] sees to it that no cycle of its code does without one. Host code must not
//! meet a closed memory, so every crossing between guest and host passes here: while the guest is
//! in the host, a stop only notes its reason, and the way back into the guest ends in a trap. The
//! host calls that can wait (channels, sleeps) end their wait.
//!
//! wasmtime's epochs (a load, a compare and a branch per loop and function) made CPython 17-19 %
//! slower, a store to a page of its own 10 %.
#![allow(unsafe_code)]

use crate::channel::Channels;
use crate::failpoint::step;
use crate::fault::Fault;
use crate::watchdog::Watchdog;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::ffi::c_void;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The switch that stops one sandbox. Any thread may use it, any number of times; the first
/// reason counts.
#[derive(Debug)]
pub struct Interrupt {
    state: Mutex<State>,
    channels: Arc<Channels>,
    /// For the watchdog, which closes what could not be closed at once.
    me: Weak<Interrupt>,
}

#[derive(Debug, Default)]
struct State {
    reason: Option<Fault>,
    memory: Option<LinearMemory>,
    /// That memory, in which a stopped guest ran, is inaccessible. No other is run in after it.
    closed: bool,
    /// Whether compiled code of the guest runs, and nothing else touches its memory.
    in_guest: bool,
}

/// Address of a live linear memory.
#[derive(Debug, Clone, Copy)]
struct LinearMemory(usize);

/// Address space of one linear memory: all that 32-bit addresses reach. The engine reserves it.
pub(crate) const RESERVATION: u64 = 4 << 30;

impl Interrupt {
    pub(crate) fn new(channels: Arc<Channels>) -> Arc<Interrupt> {
        Arc::new_cyclic(|me| Interrupt { state: Mutex::default(), channels, me: Weak::clone(me) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the guest for `reason`. Returns at once; the guest traps at its next memory access.
    pub fn stop(&self, reason: Fault) {
        self.lock().reason.get_or_insert(reason);
        let closed = self.close();
        self.channels.stop();
        if !closed {
            Watchdog::close_later(Weak::clone(&self.me));
        }
    }

    /// Closes the memory of a guest that was stopped, if its code runs; `false` if the system refuses, and
    /// it is to be tried again. A guest that meets the host meanwhile ends there.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.lock();
        if state.reason.is_none() || state.closed || !state.in_guest {
            return true;
        }
        state.closed = state.memory.is_none_or(LinearMemory::close);
        state.closed
    }

    /// Why the guest was stopped, if it was.
    pub fn reason(&self) -> Option<Fault> {
        self.lock().reason.clone()
    }

    /// Control passes from the host into compiled code, or back. An error, the reason of a stop,
    /// must end the call.
    pub(crate) fn cross(&self, into_guest: bool) -> Result<(), Fault> {
        let mut state = self.lock();
        match &state.reason {
            Some(reason) => {
                let reason = reason.clone();
                state.in_guest = false;
                Err(reason)
            }
            None => {
                state.in_guest = into_guest;
                Ok(())
            }
        }
    }

    /// Arms the switch with the linear memory at `address`, until the returned guard is dropped.
    ///
    /// The caller keeps the store that owns that memory alive longer than the guard.
    /// While a guest is in a host call, another may run on its thread: the innermost one is armed. Both
    /// this and the guard's drop happen in host code of that thread, while `in_guest` is not set.
    pub(crate) fn arm(self: &Arc<Self>, address: *mut u8) -> Armed {
        let outer = self.lock().memory.replace(LinearMemory(address as usize));
        Armed { interrupt: Arc::clone(self), outer }
    }
}

/// While this lives, [`Interrupt::stop`] reaches the guest. Drop it before the store.
#[derive(Debug)]
pub(crate) struct Armed {
    interrupt: Arc<Interrupt>,
    outer: Option<LinearMemory>,
}

impl Drop for Armed {
    fn drop(&mut self) {
        // Under the lock: no stop can use the address after this line.
        self.interrupt.lock().memory = self.outer;
    }
}

impl LinearMemory {
    /// Takes all access away; whether it is gone.
    ///
    /// Protection changes by splitting mappings, of which a process has a bounded number, and for which the
    /// kernel needs memory. One new mapping in place of all of them is had where that fails.
    fn close(self) -> bool {
        step("stop.close").and_then(|()| self.protect().or_else(|_| self.replace())).is_ok()
    }

    fn protect(self) -> std::io::Result<()> {
        step("stop.protect")?;
        // SAFETY: the address is the start of a linear memory whose store outlives its `Armed`
        // guard, and this is called under the lock that the guard's drop takes, so the mapping
        // exists; the engine reserves RESERVATION bytes for it. Taking access away cannot break
        // memory safety: `in_guest` is set, so the thread that owns the store executes compiled
        // code, whose faults wasmtime turns into traps, and every way from there into host code
        // that touches the memory passes `cross`, which fails from now on. wasmtime's own
        // functions that compiled code calls without a crossing do not touch it: the module has
        // no memory.copy, memory.fill or memory.init left (see `instrument`), and memory.grow
        // changes only the protection of new pages.
        let closed = unsafe {
            rustix::mm::mprotect(
                self.0 as *mut c_void,
                RESERVATION as usize,
                MprotectFlags::empty(),
            )
        };
        Ok(closed?)
    }

    fn replace(self) -> std::io::Result<()> {
        // SAFETY: as for `protect`: the same bytes become inaccessible in the same state. What they held
        // is gone, and nobody reads it any more: the stop has a reason, with which every crossing fails.
        // The store unmaps the whole reservation, whatever is mapped there.
        let mapped = unsafe {
            rustix::mm::mmap_anonymous(
                self.0 as *mut c_void,
                RESERVATION as usize,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE,
            )
        };
        mapped.map(|_| ()).map_err(Into::into)
    }
}
