//! Attacks on what sandboxes share: their number, their threads, the clock that ends them.

use super::{Neighbour, tell};
use crate::guests::{Lab, PATIENCE, converse, start};
use davy_runtime::{Fault, TaskLimits};
use std::time::{Duration, Instant};

/// Sandboxes that never end, a hundred at once, are no hindrance for the next one.
#[test]
fn a_hundred_that_never_end() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let bodies = [
        ("waiting", "(call $read (i32.const 0) (i32.const 9))"),
        ("working", "(loop $l (br $l)) i32.const 0"),
        (
            "writing",
            "(loop $l (drop (call $write (i32.const 0) (i32.const 65536))) (br $l)) i32.const 0",
        ),
    ];
    for (what, body) in bodies {
        let image = lab.image(body);
        let all: Vec<_> =
            (0..if what == "working" { 8 } else { 100 }).map(|_| start(&image)).collect();
        neighbour.answers(what);
        for sandbox in &all {
            sandbox.interrupt().stop(Fault::Stopped { reason: "enough".into() });
        }
        for sandbox in &all {
            assert!(matches!(sandbox.wait(), Err(Fault::Stopped { .. })), "{what}");
        }
        neighbour.answers(what);
        tell(&format!("a crowd that never ends, {what}"), "each is stopped, the neighbour goes on");
    }
}

/// A deadline about when the guest ends: one or the other, never neither, and the host goes on.
#[test]
fn deadlines_about_when_it_ends() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    // Works for a while, then gives all of its memory's first page.
    let image = lab.image(
        "(local $n i32) (loop $l (br_if $l (i32.lt_u
           (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 4000000))))
         (drop (call $write (i32.const 0) (i32.const 60000))) i32.const 0",
    );
    let began = Instant::now();
    assert_eq!(converse(&start(&image), b"").0.len(), 60_000);
    let usual = began.elapsed();
    let (mut whole, mut ended) = (0, 0);
    for n in 0..40 {
        let sandbox = start(&image);
        sandbox.begin_task(TaskLimits { deadline: Some(usual * n / 20), ..TaskLimits::default() });
        match converse(&sandbox, b"") {
            (output, Ok(())) => {
                assert_eq!(output.len(), 60_000, "an end without its output");
                whole += 1;
            }
            (output, Err(Fault::Limit(_))) => {
                assert!(output.is_empty() || output.len() == 60_000);
                ended += 1;
            }
            (_, end) => panic!("{end:?}"),
        }
    }
    assert!(ended > 0, "a deadline of no time is met");
    neighbour.answers("deadlines");
    tell("a deadline about when it ends", &format!("{whole} ended themselves, {ended} were ended"));
}

/// Stops from many threads while a guest is in and out of the host.
#[test]
fn stops_from_all_sides() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let image = lab.image(
        "(loop $l (drop (call $session (i32.const 0) (i32.const 2)))
           (drop (call $write (i32.const 0) (i32.const 0))) (br $l)) i32.const 0",
    );
    for _ in 0..30 {
        let sandbox = start(&image);
        std::thread::scope(|scope| {
            for who in 0..4 {
                let interrupt = sandbox.interrupt();
                scope.spawn(move || {
                    std::thread::sleep(Duration::from_micros(200 * who));
                    interrupt.stop(Fault::Stopped { reason: format!("{who} said so") });
                });
            }
        });
        let began = Instant::now();
        assert!(matches!(sandbox.wait(), Err(Fault::Stopped { .. })));
        assert!(began.elapsed() < PATIENCE);
    }
    neighbour.answers("stops");
    tell("stops from all sides", "one of them ends it");
}
