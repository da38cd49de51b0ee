//! Guests that take all they can get: stacks, memory, time, streams, descriptors.

use super::{Comes, Neighbour, answer, attack};
use crate::guests::{BOOT, Lab, Lines, guest, spec};
use davy_runtime::{DirGrant, Limits, Sandbox, TaskLimits};
use std::sync::Arc;
use std::time::Duration;

/// Host functions that the guests here import as well.
const MORE: &str = r#"
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 2)"#;

/// Functions and data that bodies use: `$deep` calls a host function so many frames down.
const PARTS: &str = r#"
  (table 2 2 funcref) (tag $t (param i32))
  (elem (i32.const 0) $one)
  (type $other (func (param i64) (result i64)))
  (func $one (result i32) i32.const 1)
  (func $forever (result i32) (i32.add (i32.const 1) (call $forever)))
  (func $deep (param $n i32) (param $what i32) (result i32)
    (if (result i32) (local.get $n)
      (then (i32.add (call $deep (i32.sub (local.get $n) (i32.const 1)) (local.get $what)) (i32.const 0)))
      (else (if (result i32) (i32.eqz (local.get $what))
        (then (call $random (i32.const 0) (i32.const 65536)))
        (else (if (result i32) (i32.eq (local.get $what) (i32.const 1))
          (then (call $open (i32.const 4) (i32.const 1) (i32.const 200) (i32.const 1) (i32.const 0)
                  (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 300)))
          (else (call $fd_write (i32.const 2) (i32.const 100) (i32.const 1) (i32.const 300)))))))))
  (data (i32.const 100) "\00\10\00\00\40\00\00\00") (data (i32.const 108) "\00\10\00\00\ff\ff\ff\ff")
  (data (i32.const 116) "\f0\ff\ff\ff\40\00\00\00") (data (i32.const 200) "a")
  (data (i32.const 400) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\00\00\00\00\ff\ff\ff\ff\ff\ff\ff\7f")"#;

fn forever(body: &str) -> String {
    format!("(loop $l {body} (br $l)) i32.const 0")
}

fn deep(frames: u32, what: u32) -> String {
    answer(&format!("(call $deep (i32.const {frames}) (i32.const {what}))"))
}

#[test]
fn guests_that_take_all_they_can_get() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let host = lab.folder.path().join("granted");
    std::fs::create_dir(&host).expect("a folder");
    std::fs::write(host.join("a"), "a").expect("a file");
    use Comes::{Answers, Fault, SaysNoMore};
    let stack = Fault("limit", "stack: 6.0 MiB allowed");
    let deadline = Fault("limit", "deadline: the task may run 300 ms and ran");
    let poll = "(drop (call $poll (i32.const 400) (i32.const 600) (i32.const 1) (i32.const 700)))";
    let open = "(call $open (i32.const 4) (i32.const 0) (i32.const 200) (i32.const 1) (i32.const 0)
                  (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 300))";
    let attacks: Vec<(&str, String, Comes<'_>)> = vec![
        ("recursion without end", "(call $forever)".into(), stack),
        ("a host call from very deep, for random bytes", deep(10_000_000, 0), stack),
        ("a host call from very deep, for a file", deep(10_000_000, 1), stack),
        ("a host call from very deep, for the log", deep(10_000_000, 2), stack),
        ("a host call from 30,000 frames, for random bytes", deep(30_000, 0), Answers(0)),
        ("a host call from 30,000 frames, for a file", deep(30_000, 1), Answers(0)),
        ("a host call from 30,000 frames, for the log", deep(30_000, 2), Answers(0)),
        ("memory until none is left", answer(
            "(i32.sub (block $no (result i32) (loop $l (br_if $no (i32.const 0)
               (i32.eq (memory.grow (i32.const 16)) (i32.const -1))) (drop) (br $l)) (i32.const 0)) (i32.const 9))",
        ), Answers(-9)),
        ("all memory at once", answer("(memory.grow (i32.const 65534))"), Answers(-1)),
        ("a negative number of pages", answer("(memory.grow (i32.const -1))"), Answers(-1)),
        ("a table until none is left", answer("(table.grow (ref.null func) (i32.const 0x7fffffff))"), Answers(-1)),
        ("output without end", forever("(drop (call $write (i32.const 0) (i32.const 65536)))"),
            Fault("limit", "output: 1048576 bytes allowed, ")),
        ("the log without end, 4,000 times", "(local $n i32) (loop $l (drop (call $fd_write (i32.const 2) (i32.const 100) (i32.const 1) (i32.const 300)))
            (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 4000)))) i32.const 0".into(), SaysNoMore("")),
        ("a log line of 4 GiB", answer("(call $fd_write (i32.const 2) (i32.const 108) (i32.const 1) (i32.const 300))"), Answers(48)),
        ("log lines from outside memory", answer("(call $fd_write (i32.const 1) (i32.const 116) (i32.const 1) (i32.const 300))"), Fault("guest", "wrong value")),
        ("four billion log lines at once", answer("(call $fd_write (i32.const 1) (i32.const 100) (i32.const -1) (i32.const 300))"), Answers(48)),
        ("descriptors without end", forever(&format!("(drop {open})")), Fault("limit", "open files: 32 allowed, 33 asked")),
        ("closing every descriptor", "(local $n i32) (loop $l (drop (call $fd_close (local.get $n)))
            (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000))))
            (i32.store (i32.const 0) (call $fd_write (i32.const 2) (i32.const 100) (i32.const 1) (i32.const 300)))
            (drop (call $write (i32.const 0) (i32.const 4))) i32.const 0".into(), Answers(8)),
        ("a folder in the log's place", answer("(i32.add (i32.mul (call $renumber (i32.const 4) (i32.const 2)) (i32.const 1000))
            (call $fd_write (i32.const 2) (i32.const 100) (i32.const 1) (i32.const 300)))"), Answers(8)),
        ("random bytes over all memory", answer("(call $random (i32.const 0) (i32.const 131072))"), Answers(0)),
        ("random bytes without end", forever("(drop (call $random (i32.const 0) (i32.const 131072)))"), deadline),
        ("sleep without end", format!("{poll} i32.const 0"), deadline),
        ("sleep without end, again and again", forever(poll), deadline),
        ("work without end", forever(""), deadline),
        ("waiting for input that does not come", "(loop $l (drop (call $poll (i32.const 400) (i32.const 600) (i32.const 1) (i32.const 700))) (br $l)) i32.const 0".into(), deadline),
        ("environment of the executor", answer("(block (result i32) (drop (call $environ (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))"), Answers(0)),
        ("arguments of the executor", answer("(block (result i32) (drop (call $args (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))"), Answers(0)),
        ("an exception that nobody catches", "(throw $t (i32.const 1))".into(), Fault("script", "that nobody caught")),
        ("a call of nothing", "(call_indirect (result i32) (i32.const 1))".into(), Fault("guest", "uninitialized element")),
        ("a call beyond the table", "(call_indirect (result i32) (i32.const 9))".into(), Fault("guest", "out of bounds")),
        ("a call of another type", "(i32.wrap_i64 (call_indirect (type $other) (i64.const 1) (i32.const 0)))".into(), Fault("guest", "indirect call type mismatch")),
        ("a division by zero", "(i32.div_u (i32.const 1) (i32.const 0))".into(), Fault("guest", "divide by zero")),
        ("a division that overflows", "(i32.div_s (i32.const 0x80000000) (i32.const -1))".into(), Fault("guest", "overflow")),
        ("a number that is none, as an integer", "(i32.trunc_f64_s (f64.const nan))".into(), Fault("guest", "conversion to integer")),
        ("a load beyond memory", "(i32.load (i32.const 131069))".into(), Fault("guest", "out of bounds")),
        ("a load beyond what wasm32 has", "(i32.load offset=0xffffffff (i32.const -1))".into(), Fault("guest", "out of bounds")),
        ("a copy beyond memory", "(memory.copy (i32.const 131000) (i32.const 0) (i32.const 73)) i32.const 0".into(), Fault("script", "aborted")),
        ("a fill beyond memory", "(memory.fill (i32.const 0) (i32.const 0) (i32.const -1)) i32.const 0".into(), Fault("script", "aborted")),
        ("an exit with a code beyond all", "(call $exit (i32.const -1)) i32.const 0".into(), Fault("script", "exit code")),
        ("an exit with success, before the end", "(call $exit (i32.const 0)) i32.const 0".into(), Fault("script", "exit code 0")),
    ];
    for (name, body, comes) in attacks {
        let wat = guest(&body, &format!("{BOOT} {PARTS}"))
            .replace(r#"(memory (export "memory") 2)"#, MORE);
        let image = lab.open(&lab.pack(&wat)).expect(name);
        let mut spec = spec();
        let log = Arc::new(Lines::default());
        spec.log = Arc::<Lines>::clone(&log);
        spec.limits = Limits {
            memory_bytes: 64 << 20,
            output_bytes: Some(1 << 20),
            log_bytes: 10_000,
            open_files: 32,
        };
        let (host, guest) = (host.clone(), "/granted".into());
        spec.grants.dirs =
            vec![DirGrant { host, guest, write: true, quota_bytes: None, lower: None }];
        let sandbox = Sandbox::start(&image, spec).expect("a sandbox");
        let endless = matches!(comes, Fault(_, words) if words.starts_with("deadline"));
        let patience = if endless { Duration::from_millis(300) } else { super::LONG };
        sandbox.begin_task(TaskLimits { deadline: Some(patience), ..TaskLimits::default() });
        attack(name, &sandbox, b"", &neighbour, comes);
        assert!(log.0.lock().expect("log").len() < 10_200, "{name}: the log has no bound");
    }
}
