//! Guests that lie to the host: a guest fault each, and the host goes on.

use crate::guests::{ECHO, Lab, converse, outcome, start};

#[test]
fn addresses_outside_memory_are_guest_faults() {
    let lab = Lab::new();
    // Memory has 131072 bytes.
    let pairs = [
        ("131072", "1"),
        ("131071", "2"),
        ("0", "131073"),
        ("-1", "1"),
        ("-1", "-1"),
        ("1", "-1"),
        ("65536", "0x7fffffff"),
        ("0x80000000", "0x80000000"),
    ];
    for (ptr, len) in pairs {
        let mut calls = vec![
            format!("(call $write (i32.const {ptr}) (i32.const {len}))"),
            format!("(call $read (i32.const {ptr}) (i32.const {len}))"),
        ];
        if ptr != "0" && ptr != "1" && ptr != "65536" {
            calls.push(format!(
                "(call $poll (i32.const {ptr}) (i32.const {ptr}) (i32.const 1) (i32.const {ptr}))"
            ));
        }
        for call in calls {
            let fault = outcome(&lab.image(&call)).expect_err(&call);
            assert_eq!(fault.kind(), "guest", "{call}: {fault}");
            assert!(fault.to_string().contains("outside its memory"), "{call}: {fault}");
        }
    }
}

#[test]
fn the_gateway_answers_lies_with_errors() {
    let lab = Lab::new();
    let byte = |call: &str| {
        // The negated answer as one byte of output.
        let body = format!(
            "(i32.store8 (i32.const 0) (i32.sub (i32.const 0) {call}))
             (drop (call $write (i32.const 0) (i32.const 1))) i32.const 0"
        );
        let (output, end) = converse(&start(&lab.image(&body)), b"");
        end.map(|()| output[0])
    };
    let call = |verb: &str, ptr: &str, len: &str| {
        format!(
            "(call $gateway (i32.const {verb}) (i32.const {ptr}) (i32.const {len}) (i32.const 0) (i32.const 0))"
        )
    };
    assert_eq!(byte(&call("99", "0", "4")).expect("nosys"), 52);
    assert_eq!(byte(&call("1", "0", "70000")).expect("too long"), 28);
    assert_eq!(byte(&call("1", "0", "4")).expect("no rules: denied"), 2);
    assert_eq!(byte(&call("1", "131070", "4")).expect_err("lie").kind(), "guest");
}

#[test]
fn the_host_goes_on_after_every_lie() {
    let lab = Lab::new();
    let liar = lab.image("(call $write (i32.const -1) (i32.const -1))");
    let echo = lab.image(ECHO);
    for _ in 0..100 {
        assert!(outcome(&liar).is_err());
    }
    assert_eq!(converse(&start(&echo), b"fine").0, b"fine");
}

#[test]
fn poll_oneoff_bounds_its_work() {
    let lab = Lab::new();
    for (count, errno) in [("0", 28), ("1025", 28), ("-1", 28)] {
        let body = format!(
            "(i32.store8 (i32.const 0)
               (call $poll (i32.const 0) (i32.const 64) (i32.const {count}) (i32.const 8)))
             (drop (call $write (i32.const 0) (i32.const 1))) i32.const 0"
        );
        let (output, end) = converse(&start(&lab.image(&body)), b"");
        assert!(end.is_ok());
        assert_eq!(output, [errno]);
    }
}
