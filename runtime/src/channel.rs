//! Bounded in-memory byte channels between the host and one guest, one each way.
//!
//! A full channel makes its writer wait (back-pressure). The guest's side blocks its own thread;
//! the host's side never blocks except in [`Channels::wait_ready`], whose time is bounded.

use crate::batches::Batches;
use crate::budget::{Budget, MEMORY};
use crate::rewind::Rewind;
use crate::tenant::Tenant;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Readiness bits of the host's side.
pub type Ready = u32;
/// Output of the guest, its end, or its fault can be read.
pub const READABLE: Ready = 1;
/// Input for the guest can be written.
pub const WRITABLE: Ready = 4;

/// Both channels of a sandbox. Shared by the guest's thread and any number of host threads.
#[derive(Debug)]
pub struct Channels {
    state: Mutex<State>,
    pub(crate) guest: Condvar,
    pub(crate) host: Condvar,
    capacity: usize,
    born: Instant,
    /// Microseconds from then until the guest last had what it waited for; 0 while it waits, and
    /// before its first input.
    call: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    input: VecDeque<u8>,
    output: VecDeque<u8>,
    pub(crate) rewind: Rewind,
    /// No more input will come.
    input_ended: bool,
    /// The guest is gone: what is in `output` is all there will be.
    output_ended: bool,
    /// The sandbox is being stopped: blocked guest calls return at once.
    pub(crate) stopped: bool,
    woken: bool,
    /// Of this machine, which the task may connect to, and whether once (see [`crate::callback`]).
    pub(crate) ports: HashMap<u16, bool>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) batches: Batches,
    pub(crate) budget: Budget,
    pub(crate) tenant: Tenant,
}

/// What a guest-side transfer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    Bytes(usize),
    /// Read: end of input. Write: nobody reads any more.
    Ended,
    Stopped,
}

impl Channels {
    /// `capacity`: bytes each direction holds before its writer waits (at least 1).
    pub(crate) fn new(capacity: usize) -> Channels {
        Channels {
            state: Mutex::default(),
            guest: Condvar::new(),
            host: Condvar::new(),
            capacity: capacity.max(1),
            born: Instant::now(),
            call: AtomicU64::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock; a poisoned lock still holds a sound state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Guest: waits for at least one byte of input.
    pub(crate) fn guest_read(&self, into: &mut [u8]) -> Transfer {
        self.outside_calls(|| self.wait_input(into))
    }

    fn wait_input(&self, into: &mut [u8]) -> Transfer {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Transfer::Stopped;
            }
            if into.is_empty() {
                return Transfer::Bytes(0);
            }
            if let Some(again) = state.rewind.again(into) {
                return again;
            }
            if !state.input.is_empty() {
                let was_full = state.input.len() >= self.capacity;
                let n = take(&mut state.input, into);
                state.rewind.keep(&into[..n]);
                // The host sleeps only on a full channel; waking it at every read would cost a
                // switch per call.
                if was_full || state.input.len() * 2 <= self.capacity {
                    self.host.notify_all();
                }
                return Transfer::Bytes(n);
            }
            if state.input_ended {
                return Transfer::Ended;
            }
            state = self.guest.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Guest: waits until at least one byte of `from` is accepted.
    pub(crate) fn guest_write(&self, from: &[u8]) -> Transfer {
        self.outside_calls(|| self.wait_room(from))
    }

    fn wait_room(&self, from: &[u8]) -> Transfer {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return Transfer::Stopped;
            }
            if state.output_ended || state.rewind.replays() {
                return Transfer::Ended;
            }
            let room = self.capacity - state.output.len().min(self.capacity);
            if room > 0 || from.is_empty() {
                let n = room.min(from.len());
                state.output.extend(&from[..n]);
                state.bytes_out += n as u64;
                self.host.notify_all();
                return Transfer::Bytes(n);
            }
            state = self.guest.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Runs what the guest asks of the host: a call of its own ends before and begins after it.
    pub(crate) fn outside_calls<T>(&self, body: impl FnOnce() -> T) -> T {
        self.call.store(0, Ordering::Relaxed);
        let answer = body();
        self.call.store(self.micros().max(1), Ordering::Relaxed);
        answer
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// How long the guest has been at its present call.
    pub(crate) fn call_time(&self) -> Duration {
        match self.call.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => Duration::from_micros(self.micros().saturating_sub(since)),
        }
    }

    /// Bytes the guest has written so far.
    pub fn bytes_out(&self) -> u64 {
        self.lock().bytes_out
    }

    /// Bytes the guest was given so far.
    pub fn bytes_in(&self) -> u64 {
        self.lock().bytes_in
    }

    /// Host: reads what is there. `Some(0)`: nothing now; `None`: the guest is gone and all of its
    /// output was read.
    pub fn read(&self, into: &mut [u8]) -> Option<usize> {
        let mut state = self.lock();
        if state.output.is_empty() {
            return if state.output_ended { None } else { Some(0) };
        }
        let n = take(&mut state.output, into);
        self.guest.notify_all();
        Some(n)
    }

    /// Host: gives input to the guest. `Some(0)`: full now; `None`: the guest is gone or its input
    /// was ended.
    pub fn write(&self, from: &[u8]) -> Option<usize> {
        let mut state = self.lock();
        if state.gone() {
            return None;
        }
        if state.batches.full() {
            return Some(0);
        }
        let n = (self.capacity - state.input.len().min(self.capacity)).min(from.len());
        state.input.extend(&from[..n]);
        state.bytes_in += n as u64;
        if n > 0 {
            state.batches.written(n == from.len());
            self.guest.notify_all();
        }
        Some(n)
    }

    /// Host: no more input will come.
    pub fn end_input(&self) {
        self.lock().input_ended = true;
        self.guest.notify_all();
    }

    /// Host: waits until one of `ops` is ready, somebody calls [`Channels::wake`], or `patience`
    /// is over. Answers the ready ones; 0 for a wake or a time-out.
    pub fn wait_ready(&self, ops: Ready, patience: Duration) -> Ready {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            let ready = state.ready(self.capacity) & ops;
            if ready != 0 {
                return ready;
            }
            if std::mem::take(&mut state.woken) {
                return 0;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return 0;
            }
            state = match self.host.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Makes a waiting [`Channels::wait_ready`] return.
    pub fn wake(&self) {
        self.lock().woken = true;
        self.host.notify_all();
    }

    /// The guest's thread is done.
    pub(crate) fn end_output(&self) {
        self.lock().output_ended = true;
        self.host.notify_all();
        self.guest.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    /// The sandbox is being stopped.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.guest.notify_all();
        self.host.notify_all();
    }

    /// Guest: waits until stopped or `patience` is over; `true` if stopped. A sleep that a kill
    /// ends.
    pub(crate) fn sleep(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while !state.stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = match self.guest.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        true
    }
}

impl State {
    fn ready(&self, capacity: usize) -> Ready {
        let mut ready = 0;
        if !self.output.is_empty() || self.output_ended || self.stopped {
            ready |= READABLE;
        }
        let room = self.input.len() < capacity && !self.batches.full();
        if room || self.output_ended || self.stopped {
            ready |= WRITABLE;
        }
        if self.budget.wants() {
            ready |= MEMORY;
        }
        ready
    }

    /// Nobody takes input any more.
    pub(crate) fn gone(&self) -> bool {
        self.output_ended || self.stopped || self.input_ended
    }
}

impl State {
    /// What the guest has read is to be read once more.
    pub(crate) fn put_back(&mut self, read: Vec<u8>) {
        let rest = std::mem::replace(&mut self.input, read.into());
        self.input.extend(rest);
    }
}

/// Moves bytes from the front of `queue` to the front of `into`; how many.
fn take(queue: &mut VecDeque<u8>, into: &mut [u8]) -> usize {
    let n = queue.len().min(into.len());
    let (front, back) = queue.as_slices();
    let split = front.len().min(n);
    into[..split].copy_from_slice(&front[..split]);
    into[split..n].copy_from_slice(&back[..n - split]);
    queue.drain(..n);
    n
}
