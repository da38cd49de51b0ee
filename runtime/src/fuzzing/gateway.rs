//! All gateway verbs, in any order, with any request and place of the answer.
//!
//! Whatever is asked, no byte of the guest's memory changes but where the answer is wanted, and nothing
//! that was not granted is admitted.

use super::world::{self, SOCKET, World};
use super::{Input, blames_the_guest};
use crate::admission::Admission;
use crate::batches::{InputBatch, Output};
use crate::callback::Callbacks;
use crate::channel::Channels;
use crate::imports::{GuestState, control};
use crate::job::{Desk, JobKey, Jobs, Loader, Role, Shared};
use crate::memory_limit::MemoryLimit;
use crate::snapshot::Snapshot;
use std::cell::OnceCell;
use std::sync::Arc;

const MEMORY: usize = 16 << 10;
/// Calls of one input.
const MOST_CALLS: usize = 24;
/// Where a call's request is put that does not name a place of its own.
const REQUEST: u32 = 8 << 10;

struct Bytes(usize);

impl InputBatch for Bytes {
    fn bytes(&self) -> usize {
        self.0
    }
    fn copy_to(&self, into: &mut [u8]) {
        into.fill(7);
    }
}

struct Lab {
    world: World,
    jobs: Arc<Jobs>,
}

thread_local! {
    static LAB: OnceCell<Lab> = const { OnceCell::new() };
}

fn lab() -> Lab {
    let world = World::new();
    world.serve();
    Lab { world, jobs: Arc::default() }
}

/// How things stand, in the input's first bytes.
fn state(lab: &Lab, input: &mut Input<'_>) -> GuestState {
    let (setup, role) = (input.byte(), input.byte());
    let channels = Arc::new(Channels::new(64));
    channels.begin_input(setup & 1 != 0);
    channels.pass_batches(setup & 2 != 0);
    for n in 0..usize::from(setup >> 2 & 3) {
        channels.put_batch(Box::new(Bytes(16 << n)));
    }
    let loader: Loader = match setup >> 4 & 3 {
        0 => Arc::new(|_, _| Ok(Err("because".into()))),
        1 => Arc::new(|_, _| Err(crate::fault::Fault::guest("it cannot be loaded"))),
        _ => Arc::new(|_, _| Ok(Ok(Arc::new(Snapshot::take(&[1; 8192], 0).expect("a snapshot"))))),
    };
    lab.jobs.forget_all();
    let shared = Shared { jobs: Arc::clone(&lab.jobs), worker: "w".into(), loader };
    let key = JobKey::of("w", [role; 32]);
    let role = match role % 4 {
        0 | 1 => Role::Serve,
        2 => Role::Prepare { key, named: false, done: false },
        _ => Role::Resume { key, guessed: setup & 1 != 0 },
    };
    let shared = (setup & 0x40 == 0).then_some(shared);
    let admission = if setup & 0x80 == 0 { &[lab.world.rule()][..] } else { &[] };
    GuestState {
        memory_limit: MemoryLimit::new(Arc::default(), 1 << 20, Arc::clone(&channels)),
        channels,
        admission: Admission::new(admission).expect("a folder"),
        callbacks: Callbacks::new(Some(lab.world.sockets())),
        job: Desk::new(shared, role, input.part().to_vec()),
        output_limit: Some(1 << 20),
        ..GuestState::blank()
    }
}

pub(super) fn run(data: &[u8]) {
    LAB.with(|cell| {
        let lab = cell.get_or_init(lab);
        let mut input = Input(data);
        let mut state = state(lab, &mut input);
        let mut memory = vec![0; MEMORY];
        for _ in 0..MOST_CALLS {
            if input.is_empty() || !call(lab, &mut state, &mut memory, &mut input) {
                break;
            }
        }
        if let Some(admission) = &state.admission {
            assert!(world::shows_no_secret(admission.folder()), "a secret is admitted");
        }
    });
}

/// One call; whether the guest lives on.
fn call(lab: &Lab, state: &mut GuestState, memory: &mut [u8], input: &mut Input<'_>) -> bool {
    let (verb, how) = (u32::from(input.byte()), input.byte());
    let request = match how & 3 {
        0 => (input.word(), input.word()),
        n => {
            let bytes = match n {
                1 => input.part().to_vec(),
                2 => lab.world.path(input.part()),
                _ => lab.world.path(format!("\u{1}{SOCKET}").as_bytes()),
            };
            let bytes = &bytes[..bytes.len().min(MEMORY - REQUEST as usize)];
            memory[REQUEST as usize..][..bytes.len()].copy_from_slice(bytes);
            (REQUEST, bytes.len() as u32)
        }
    };
    let response = match how & 4 {
        0 => (u32::from(how >> 3) * 64, u32::from(input.byte())),
        _ => (input.word(), input.word()),
    };
    let before = memory.to_vec();
    let answered = control(memory, state, verb, request, response);
    let place = response.0 as usize..(response.0 as usize).saturating_add(response.1 as usize);
    let elsewhere = std::iter::zip(&before, &*memory).enumerate();
    let changed = elsewhere.filter(|(at, (old, new))| old != new && !place.contains(at)).count();
    assert_eq!(changed, 0, "verb {verb} writes where no answer is wanted");
    while let Some(output) = state.channels.take_output() {
        if let Output::Batch(batch) = output {
            assert!(batch.bytes() <= 1 << 20);
        }
    }
    match answered {
        Ok(answer) => assert!(answer > -100, "verb {verb} answers {answer}"),
        Err(error) => {
            blames_the_guest(&error);
            return false;
        }
    }
    true
}
