//! `poll_oneoff`: its subscriptions, and where it writes events.

use super::{Input, blames_the_guest};
use crate::imports::GuestState;
use crate::poll_oneoff::poll;
use std::cell::OnceCell;

const MEMORY: usize = 8 << 10;

thread_local! {
    static STATE: OnceCell<GuestState> = const { OnceCell::new() };
}

/// The input is four arguments, then the memory.
pub(super) fn run(data: &[u8]) {
    let mut input = Input(data);
    let arguments = (input.word(), input.word(), input.word(), input.word());
    let mut memory = input.bytes(MEMORY).to_vec();
    memory.resize(MEMORY, 0);
    let before = memory.clone();
    let answered = STATE.with(|cell| {
        let state = cell.get_or_init(GuestState::blank);
        // No time passes in the sleep: whoever waits for longest is asked for all the same.
        poll(&mut memory, state, arguments, |_| false)
    });
    let (_, events, count, ready) = arguments;
    let (events, ready) = (events as usize, ready as usize);
    let places = [events..events.saturating_add(32 * count as usize), ready..ready + 4];
    for (at, (old, new)) in std::iter::zip(&before, &memory).enumerate() {
        assert!(old == new || places.iter().any(|place| place.contains(&at)), "{at} is written");
    }
    match answered {
        Ok(0) => {
            let fired = u32::from_le_bytes(memory[ready..ready + 4].try_into().expect("4 bytes"));
            assert!((1..=count).contains(&fired), "{fired} of {count}");
        }
        Ok(errno) => assert_eq!(errno, 28),
        Err(error) => blames_the_guest(&error),
    }
}
