//! Sandboxes that start from a snapshot share its state and nothing else.

use crate::guests::{Lab, converse, spec};
use davy_runtime::{Image, Sandbox, SandboxSpec};
use std::sync::Arc;

/// Boot grows memory and writes 7 far up; serve answers [value, own input byte seen before?].
const SERVE: &str = r#"
  (i32.store8 (i32.const 0) (i32.load8_u (i32.const 3000000)))
  (i32.store8 (i32.const 1) (i32.load8_u (i32.const 3000001)))
  (drop (call $read (i32.const 3000001) (i32.const 1)))
  (drop (call $write (i32.const 0) (i32.const 2)))
  i32.const 0"#;
const BOOT: &str = r#"(func (export "davy_boot") (result i32)
  (drop (memory.grow (i32.const 62)))
  (i32.store8 (i32.const 3000000) (i32.const 7))
  i32.const 0)"#;

fn run(image: &Arc<Image>, key: Option<&str>, secret: u8) -> (Vec<u8>, bool) {
    let spec = SandboxSpec { snapshot_key: key.map(str::to_owned), ..spec() };
    let sandbox = Sandbox::start(image, spec).expect("sandbox");
    let (output, end) = converse(&sandbox, &[secret]);
    assert!(end.is_ok(), "{end:?}");
    (output, sandbox.stats().from_snapshot)
}

#[test]
fn boot_state_is_shared_and_writes_are_not() {
    let lab = Lab::new();
    let image = lab.image_with(SERVE, BOOT);
    assert_eq!(run(&image, Some("a"), 99), (vec![7, 0], false));
    for secret in 1..50 {
        assert_eq!(run(&image, Some("a"), secret), (vec![7, 0], true));
    }
    assert_eq!(run(&image, Some("b"), 1), (vec![7, 0], false), "another key boots afresh");
    assert_eq!(run(&image, None, 1), (vec![7, 0], false));
}

#[test]
fn a_guest_with_more_state_than_memory_is_never_shared() {
    let lab = Lab::new();
    let boot = r#"(global $more (mut i32) (i32.const 0))
      (func (export "davy_boot") (result i32) (global.set $more (i32.const 1)) i32.const 0)"#;
    let image = lab.image_with("(drop (global.get $more)) i32.const 0", boot);
    for _ in 0..2 {
        let spec = SandboxSpec { snapshot_key: Some("a".into()), ..spec() };
        let sandbox = Sandbox::start(&image, spec).expect("sandbox");
        assert!(converse(&sandbox, b"").1.is_ok());
        assert!(!sandbox.stats().from_snapshot);
    }
}
