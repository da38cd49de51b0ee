//! Each limit is a fault with its numbers, or an answer the guest can handle.

use crate::guests::{Lab, Lines, converse, spec, start};
use davy_runtime::{DirGrant, Fault, Grants, LimitKind, Limits, Sandbox, SandboxSpec, TaskLimits};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_deadline_ends_the_task() {
    let lab = Lab::new();
    let image = lab.image("(loop $l (br $l)) i32.const 0");
    let sandbox = start(&image);
    sandbox.begin_task(TaskLimits {
        deadline: Some(Duration::from_millis(80)),
        ..TaskLimits::default()
    });
    let Err(Fault::Limit(exceeded)) = sandbox.wait() else { panic!("no limit fault") };
    assert_eq!((exceeded.limit, exceeded.allowed), (LimitKind::Deadline, 80));
    assert!(exceeded.asked >= 80);
}

#[test]
fn cpu_time_counts_work_and_not_waiting() {
    let lab = Lab::new();
    let image = lab.image("(loop $l (br $l)) i32.const 0");
    let sandbox = start(&image);
    sandbox
        .begin_task(TaskLimits { cpu: Some(Duration::from_millis(60)), ..TaskLimits::default() });
    let Err(Fault::Limit(exceeded)) = sandbox.wait() else { panic!("no limit fault") };
    assert_eq!((exceeded.limit, exceeded.allowed), (LimitKind::Cpu, 60));

    let waiting = start(&lab.image("(call $read (i32.const 0) (i32.const 9))"));
    waiting
        .begin_task(TaskLimits { cpu: Some(Duration::from_millis(30)), ..TaskLimits::default() });
    std::thread::sleep(Duration::from_millis(200));
    assert!(waiting.outcome().is_none(), "waiting is not work");
}

#[test]
fn a_disarmed_deadline_does_not_fire() {
    let lab = Lab::new();
    let sandbox = start(&lab.image("(call $read (i32.const 0) (i32.const 9))"));
    sandbox.begin_task(TaskLimits {
        deadline: Some(Duration::from_millis(30)),
        ..TaskLimits::default()
    });
    sandbox.begin_task(TaskLimits::default());
    std::thread::sleep(Duration::from_millis(150));
    assert!(sandbox.outcome().is_none());
}

#[test]
fn a_call_has_a_deadline_of_its_own() {
    let lab = Lab::new();
    let limits = TaskLimits { call: Some(Duration::from_millis(120)), ..TaskLimits::default() };
    let read = "(drop (call $read (i32.const 0) (i32.const 1)))";
    let endless = start(&lab.image(&format!("{read} (loop $l (br $l)) i32.const 0")));
    endless.begin_task(limits);
    std::thread::sleep(Duration::from_millis(300));
    assert!(endless.outcome().is_none(), "waiting for input is no call");
    endless.channels().write(b"x");
    let Err(Fault::Limit(exceeded)) = endless.wait() else { panic!("no limit fault") };
    assert_eq!((exceeded.limit, exceeded.allowed), (LimitKind::Call, 120));
    assert!(exceeded.asked >= 120);

    let many = start(&lab.image(&format!("(loop $l {read} (br $l)) i32.const 0")));
    many.begin_task(limits);
    for _ in 0..30 {
        many.channels().write(b"x");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        many.outcome().is_none(),
        "each call was short, and waiting for the next input is none"
    );
}

#[test]
fn memory_beyond_the_limit_is_refused_and_the_guest_goes_on() {
    let lab = Lab::new();
    // Answers the page count of which growth was refused, as one byte: grow by 16 pages until -1.
    let image = lab.image(
        r#"(block $no (loop $l
            (br_if $no (i32.eq (memory.grow (i32.const 16)) (i32.const -1))) (br $l)))
           (i32.store8 (i32.const 0) (memory.size))
           (drop (call $write (i32.const 0) (i32.const 1))) i32.const 0"#,
    );
    let limits = Limits { memory_bytes: 8 << 20, ..Limits::default() };
    let sandbox = Sandbox::start(&image, SandboxSpec { limits, ..spec() }).expect("sandbox");
    let (output, end) = converse(&sandbox, b"");
    assert!(end.is_ok(), "{end:?}");
    assert_eq!(output, [2 + 16 * 7], "8 MiB hold 128 pages");
    assert_eq!(sandbox.stats().memory_refused_bytes, (2 + 16 * 8) << 16);
    assert_eq!(sandbox.stats().limits_met, 1, "it was refused, and went on");
}

#[test]
fn a_refused_growth_is_told_with_limit_used_and_asked() {
    let lab = Lab::new();
    // Answers the host's word of it, after wishes of 100 pages, which is the largest, and 90.
    let image = lab.image(
        "(drop (memory.grow (i32.const 100))) (drop (memory.grow (i32.const 90)))
         (drop (call $write (i32.const 300)
           (call $gateway (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 300) (i32.const 200))))
         i32.const 0",
    );
    let limits = Limits { memory_bytes: 4 << 20, ..Limits::default() };
    let sandbox = Sandbox::start(&image, SandboxSpec { limits, ..spec() }).expect("sandbox");
    let (output, end) = converse(&sandbox, b"");
    assert!(end.is_ok(), "{end:?}");
    let told = "limit exceeded: memory: 4.0 MiB allowed, 0.1 MiB used, 6.4 MiB asked in all";
    assert_eq!(String::from_utf8_lossy(&output), told);
}

#[test]
fn output_beyond_the_limit_is_a_fault_with_its_numbers() {
    let lab = Lab::new();
    let image = lab
        .image("(loop $l (drop (call $write (i32.const 0) (i32.const 600))) (br $l)) i32.const 0");
    let limits = Limits { output_bytes: Some(1000), ..Limits::default() };
    let sandbox = Sandbox::start(&image, SandboxSpec { limits, ..spec() }).expect("sandbox");
    let (output, end) = converse(&sandbox, b"");
    assert_eq!(output.len(), 600);
    let text = end.expect_err("a fault").to_string();
    assert_eq!(text, "limit exceeded: output: 1000 bytes allowed, 1200 bytes written");
}

#[test]
fn a_log_flood_is_cut_with_a_notice() {
    let lab = Lab::new();
    let wat = crate::guests::guest(
        // iovec at 0: 100 bytes at 64, the last a line end; written 100 times.
        r#"(local $i i32)
           (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100))
           (i32.store8 (i32.const 163) (i32.const 10))
           (loop $l
             (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
             (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100))))
           i32.const 0"#,
        crate::guests::BOOT,
    )
    .replace(
        "(memory (export",
        r#"(import "wasi_snapshot_preview1" "fd_write"
             (func $fd_write (param i32 i32 i32 i32) (result i32))) (memory (export"#,
    );
    let image = lab.open(&lab.pack(&wat)).expect("image");
    let log = Arc::new(Lines::default());
    let limits = Limits { log_bytes: 450, ..Limits::default() };
    let spec = SandboxSpec { limits, log: Arc::<Lines>::clone(&log), ..spec() };
    let sandbox = Sandbox::start(&image, spec).expect("sandbox");
    assert!(sandbox.wait().is_ok());
    let text = String::from_utf8_lossy(&log.0.lock().expect("log")).into_owned();
    assert!(text.contains("log limit of 450 bytes reached"), "{text}");
    assert_eq!(text.matches("[davy]").count(), 1);
    assert!(text.len() < 600, "{}", text.len());
}

/// A guest whose folder, descriptor 4, has a quota of 64 KiB; `body` may write 4 KiB from address 0
/// to descriptor 5 (`$write_file`), make the file `a` (`$create`) and remove it (`$remove`).
fn storing(body: &str) -> (Vec<u8>, Result<(), Fault>, u64) {
    let lab = Lab::new();
    let wat = crate::guests::guest(
        &format!("{body} (drop (call $write (i32.const 0) (i32.const 1))) i32.const 0"),
        r#"(global $n (mut i32) (i32.const 0)) (data (i32.const 8192) "a")
           (data (i32.const 8200) "\00\00\00\00\00\10\00\00")
           (func $write_file (drop (call $fd_write
             (i32.const 5) (i32.const 8200) (i32.const 1) (i32.const 8216))))
           (func $create (drop (call $path_open (i32.const 4) (i32.const 0) (i32.const 8192)
             (i32.const 1) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0)
             (i32.const 8216))))
           (func $close (drop (call $fd_close (i32.const 5))))
           (func $remove (drop (call $unlink (i32.const 4) (i32.const 8192) (i32.const 1))))
           (func (export "davy_boot") (result i32) i32.const 0)"#,
    )
    .replace(
        r#"(memory (export "memory") 2)"#,
        r#"(import "wasi_snapshot_preview1" "fd_write"
             (func $fd_write (param i32 i32 i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
           (import "wasi_snapshot_preview1" "path_unlink_file"
             (func $unlink (param i32 i32 i32) (result i32)))
           (import "wasi_snapshot_preview1" "path_open"
             (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
           (memory (export "memory") 2)"#,
    );
    let image = lab.open(&lab.pack(&wat)).expect("an image");
    let host = lab.folder.path().join("scratch");
    std::fs::create_dir(&host).expect("a folder");
    let grant = DirGrant {
        host,
        guest: "/s".into(),
        write: true,
        quota_bytes: Some(64 << 10),
        lower: None,
    };
    let grants = Grants { dirs: vec![grant.clone()], ..Grants::default() };
    let sandbox = Sandbox::start(&image, SandboxSpec { grants, ..spec() }).expect("sandbox");
    let (output, end) = converse(&sandbox, b"");
    let stored = std::fs::metadata(grant.host.join("a")).map_or(0, |file| file.len());
    (output, end, stored)
}

fn times(n: u32, body: &str) -> String {
    format!(
        "(global.set $n (i32.const {n})) (loop $l {body}
           (global.set $n (i32.sub (global.get $n) (i32.const 1)))
           (br_if $l (global.get $n)))"
    )
}

#[test]
fn files_beyond_the_quota_end_the_task() {
    let (_, end, stored) = storing(&format!("(call $create) {}", times(17, "(call $write_file)")));
    let Err(Fault::Limit(exceeded)) = end else { panic!("{end:?}") };
    assert_eq!((exceeded.limit, exceeded.allowed), (LimitKind::Disk, 64 << 10));
    assert_eq!(exceeded.asked, 68 << 10);
    assert!(stored <= 64 << 10, "{stored} bytes are stored");
}

#[test]
fn a_removed_file_counts_while_it_is_open() {
    let open = format!("(call $create) (call $remove) {}", times(17, "(call $write_file)"));
    let (_, end, _) = storing(&open);
    assert!(matches!(end, Err(Fault::Limit(e)) if e.limit == LimitKind::Disk), "not counted");
    let turn = "(call $create) (call $write_file) (call $write_file) (call $write_file)
        (call $remove) (call $close)";
    let closed = times(9, turn);
    let (output, end, _) = storing(&closed);
    assert!(end.is_ok() && output.len() == 1, "what is gone counts no more: {end:?}");
}
