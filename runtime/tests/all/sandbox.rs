//! Channels, stops and ends of a sandbox.

use crate::guests::{ECHO, Lab, PATIENCE, converse, outcome, spec, start};
use davy_runtime::{Fault, Sandbox, SandboxSpec};
use std::time::{Duration, Instant};

#[test]
fn bytes_arrive_in_order_through_small_channels() {
    let lab = Lab::new();
    let image = lab.image(ECHO);
    let input: Vec<u8> =
        (0..3_000_000u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    for channel_bytes in [1, 7, 4096, 1 << 20] {
        let part = if channel_bytes < 100 { &input[..20_000] } else { &input[..] };
        let sandbox =
            Sandbox::start(&image, SandboxSpec { channel_bytes, ..spec() }).expect("sandbox");
        let (output, end) = converse(&sandbox, part);
        assert!(output == part, "capacity {channel_bytes}");
        assert!(end.is_ok(), "{end:?}");
        assert_eq!(sandbox.stats().bytes_out, part.len() as u64);
    }
}

#[test]
fn a_stop_reaches_the_guest_wherever_it_is() {
    let lab = Lab::new();
    let fib = r#"(func $fib (param i32) (result i32)
        (if (result i32) (i32.lt_s (local.get 0) (i32.const 2)) (then (i32.const 1))
          (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                         (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func (export "davy_boot") (result i32) i32.const 0)"#;
    let plain = crate::guests::BOOT;
    // A subscription at 0: relative monotonic clock, one hour.
    let sleep = r#"(i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))) i32.const 0"#;
    let cases = [
        ("a loop without memory accesses", "(loop $l (br $l)) i32.const 0", plain),
        (
            "a loop of stores",
            "(loop $l (i32.store (i32.const 0) (i32.const 1)) (br $l)) i32.const 0",
            plain,
        ),
        ("recursion without loops", "(call $fib (i32.const 100))", fib),
        ("a read that waits", "(call $read (i32.const 0) (i32.const 9))", plain),
        (
            "a write that waits",
            "(loop $l (drop (call $write (i32.const 0) (i32.const 65536))) (br $l)) i32.const 0",
            plain,
        ),
        ("a sleep", sleep, plain),
        (
            "bulk copies",
            "(loop $l (memory.copy (i32.const 0) (i32.const 9) (i32.const 90000)) (br $l)) i32.const 0",
            plain,
        ),
    ];
    for (what, body, more) in cases {
        let image = lab.image_with(body, more);
        let sandbox = start(&image);
        std::thread::sleep(Duration::from_millis(50));
        assert!(sandbox.outcome().is_none(), "{what}: {:?}", sandbox.outcome());
        let asked = Instant::now();
        sandbox.interrupt().stop(Fault::Stopped { reason: "the test said so".into() });
        while sandbox.outcome().is_none() {
            assert!(asked.elapsed() < PATIENCE, "{what} is not stopped");
            std::thread::sleep(Duration::from_millis(1));
        }
        let end = sandbox.wait();
        let Err(Fault::Stopped { reason }) = &end else { panic!("{what}: {end:?}") };
        assert_eq!(reason, "the test said so");
        assert!(end.expect_err("a fault").poisons());
    }
}

#[test]
fn a_stop_before_the_start_holds() {
    let lab = Lab::new();
    let image = lab.image("(loop $l (br $l)) i32.const 0");
    for _ in 0..50 {
        let sandbox = start(&image);
        sandbox.interrupt().stop(Fault::Stopped { reason: "at once".into() });
        assert!(matches!(sandbox.wait(), Err(Fault::Stopped { .. })));
    }
}

#[test]
fn a_dropped_sandbox_ends_and_leaves_no_thread() {
    let lab = Lab::new();
    let image = lab.image("(loop $l (br $l)) i32.const 0");
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .expect("proc")
            .flatten()
            .filter(|t| {
                std::fs::read_to_string(t.path().join("comm"))
                    .is_ok_and(|name| name.starts_with("davy drop"))
            })
            .count()
    };
    for _ in 0..20 {
        drop(
            Sandbox::start(&image, SandboxSpec { name: "drop".into(), ..spec() }).expect("sandbox"),
        );
    }
    let until = Instant::now() + PATIENCE;
    while threads() > 0 {
        assert!(Instant::now() < until, "{} threads are left", threads());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn abrupt_ends_say_whose_fault_they_are() {
    let lab = Lab::new();
    let deep = r#"(func $deep (param i32) (result i32)
        (i32.add (i32.const 1) (call $deep (i32.add (local.get 0) (i32.const 1)))))
        (func (export "davy_boot") (result i32) i32.const 0)"#;
    let plain = crate::guests::BOOT;
    let cases = [
        ("(call $exit (i32.const 3)) i32.const 0", plain, "script", "exit code 3"),
        ("unreachable", plain, "script", "aborted"),
        ("(call $deep (i32.const 0))", deep, "limit", "stack: 6.0 MiB allowed"),
        ("(i32.div_s (i32.const 1) (i32.const 0))", plain, "guest", "divide by zero"),
        ("(i32.load (i32.const 0x7fffffff))", plain, "guest", "out of bounds"),
        (
            "i32.const 0",
            r#"(func (export "davy_boot") (result i32) i32.const 1)"#,
            "guest",
            "did not start",
        ),
        ("i32.const 0", "", "guest", "does not export davy_boot"),
    ];
    for (body, more, kind, text) in cases {
        let fault = outcome(&lab.image_with(body, more)).expect_err(body);
        assert_eq!(fault.kind(), kind, "{body}: {fault}");
        assert!(fault.to_string().contains(text), "{body}: {fault}");
    }
}

#[test]
fn output_before_a_fault_is_delivered() {
    let lab = Lab::new();
    let image = lab.image(r#"(drop (call $write (i32.const 0) (i32.const 1000))) unreachable"#);
    let (output, end) = converse(&start(&image), b"");
    assert_eq!(output.len(), 1000);
    assert!(end.is_err());
}

#[test]
fn neighbours_go_on() {
    let lab = Lab::new();
    let (echo, bad) = (lab.image(ECHO), lab.image("unreachable"));
    let sandboxes: Vec<_> = (0..8).map(|_| (start(&echo), start(&bad))).collect();
    for (good, bad) in &sandboxes {
        assert_eq!(converse(good, b"still here").0, b"still here");
        assert!(bad.wait().is_err());
    }
}
