//! Sandboxes that start from a snapshot share its state and nothing else.

use crate::guests::{Lab, converse, spec};
use davy_runtime::{Image, Sandbox, SandboxSpec, SnapshotKey};
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
    let on_disk = key.is_some_and(|key| key.starts_with("disk"));
    let snapshot_key = key.map(|key| SnapshotKey { key: key.into(), on_disk, jobs: false });
    let spec = SandboxSpec { snapshot_key, ..spec() };
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
fn a_snapshot_on_disk_serves_the_next_process_unless_it_is_damaged() {
    let lab = Lab::new();
    let path = lab.pack(&crate::guests::guest(SERVE, BOOT));
    let open = || lab.open(&path).expect("an image");
    assert_eq!(run(&open(), Some("disk"), 99), (vec![7, 0], false));
    let saved = || {
        let cache = std::fs::read_dir(lab.folder.path().join("cache")).expect("cache");
        let done = |e: &std::fs::DirEntry| e.file_name().to_string_lossy().starts_with("snapshot-");
        let files = cache.flatten().filter(done).map(|e| e.path().join("memory.snapshot"));
        files.into_iter().find(|p| p.exists())
    };
    let until = std::time::Instant::now() + crate::guests::PATIENCE;
    let file = loop {
        assert!(std::time::Instant::now() < until, "the snapshot is not saved");
        match saved() {
            Some(file) => break file,
            None => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    };
    // Another `Image` stands for another process: nothing but the disk is shared.
    assert_eq!(run(&open(), Some("disk"), 98), (vec![7, 0], true));
    let mut bytes = std::fs::read(&file).expect("snapshot");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("damage");
    assert_eq!(run(&open(), Some("disk"), 97), (vec![7, 0], false), "a damaged one is not used");
}

#[test]
fn a_guest_with_more_state_than_memory_is_never_shared() {
    let lab = Lab::new();
    let boot = r#"(global $more (mut i32) (i32.const 0))
      (func (export "davy_boot") (result i32) (global.set $more (i32.const 1)) i32.const 0)"#;
    let image = lab.image_with("(drop (global.get $more)) i32.const 0", boot);
    for _ in 0..2 {
        let spec = SandboxSpec {
            snapshot_key: Some(SnapshotKey { key: "a".into(), on_disk: false, jobs: false }),
            ..spec()
        };
        let sandbox = Sandbox::start(&image, spec).expect("sandbox");
        assert!(converse(&sandbox, b"").1.is_ok());
        assert!(!sandbox.stats().from_snapshot);
    }
}
