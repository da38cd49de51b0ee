//! `poll_oneoff`, WASI's sleep and select, served by hand: wasmtime's sleeps in the kernel, where
//! no kill reaches it. Here a kill ends the wait. Files are always ready.

use crate::imports::{GuestState, Raised, memory_of, region, region_mut};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wasmtime::{Caller, Result};

const SUBSCRIPTION_BYTES: u32 = 48;
const EVENT_BYTES: u32 = 32;
/// More at once than any C library asks for; bounds the host's work per call.
const MAX_SUBSCRIPTIONS: u32 = 1024;

const SUCCESS: i32 = 0;
const INVAL: i32 = 28;
const CLOCK_REALTIME: u32 = 0;
const ABSOLUTE: u16 = 1;

struct Subscription {
    userdata: [u8; 8],
    tag: u8,
    clock: u32,
    timeout: u64,
    flags: u16,
}

impl Subscription {
    fn parse(raw: &[u8]) -> Subscription {
        let bytes = |at: usize| <[u8; 8]>::try_from(&raw[at..at + 8]).unwrap_or_default();
        Subscription {
            userdata: bytes(0),
            tag: raw[8],
            clock: u64::from_le_bytes(bytes(16)) as u32,
            timeout: u64::from_le_bytes(bytes(24)),
            flags: u64::from_le_bytes(bytes(40)) as u16,
        }
    }

    fn is_clock(&self) -> bool {
        self.tag == 0
    }

    fn left(&self, state: &GuestState) -> Duration {
        let timeout = Duration::from_nanos(self.timeout);
        if self.flags & ABSOLUTE == 0 {
            return timeout;
        }
        let now = match self.clock {
            CLOCK_REALTIME => {
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
            }
            _ => state.began.elapsed(),
        };
        timeout.saturating_sub(now)
    }
}

pub(crate) fn poll_oneoff(
    mut caller: Caller<'_, GuestState>,
    subscriptions: u32,
    events: u32,
    count: u32,
    ready: u32,
) -> Result<i32> {
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    let sleep = |patience| state.channels.sleep(patience);
    poll(data, state, (subscriptions, events, count, ready), sleep)
}

/// `sleep` answers whether a stop ended it.
pub(crate) fn poll(
    data: &mut [u8],
    state: &GuestState,
    (subscriptions, events, count, ready): (u32, u32, u32, u32),
    sleep: impl FnOnce(Duration) -> bool,
) -> Result<i32> {
    if count == 0 || count > MAX_SUBSCRIPTIONS {
        return Ok(INVAL);
    }
    let asked: Vec<Subscription> = region(data, subscriptions, count * SUBSCRIPTION_BYTES)?
        .chunks_exact(SUBSCRIPTION_BYTES as usize)
        .map(Subscription::parse)
        .collect();
    let mut fired: Vec<&Subscription> = asked.iter().filter(|s| !s.is_clock()).collect();
    if fired.is_empty() {
        let soonest = asked.iter().map(|s| s.left(state)).min().unwrap_or_default();
        if sleep(soonest) {
            return Err(Raised::stopped());
        }
        fired = asked.iter().filter(|s| s.left(state) <= soonest).collect();
        if fired.is_empty() {
            fired = asked.iter().take(1).collect();
        }
    }
    for (i, subscription) in (0u32..).zip(&fired) {
        let at = events.checked_add(i * EVENT_BYTES).ok_or_else(|| Raised::lie("poll events"))?;
        let event = region_mut(data, at, EVENT_BYTES)?;
        event.fill(0);
        event[..8].copy_from_slice(&subscription.userdata);
        event[10] = subscription.tag;
        if !subscription.is_clock() {
            event[16] = 1; // at least one byte can be moved
        }
    }
    let n = (fired.len() as u32).to_le_bytes();
    region_mut(data, ready, 4)?.copy_from_slice(&n);
    Ok(SUCCESS)
}
