//! Job snapshots: a command is loaded once and shared, or not at all; no guest gets another's.

use crate::guests::{BOOT, Lab, converse, guest, spec};
use davy_runtime::{Fault, Image, LimitKind, Sandbox, SandboxSpec, SnapshotKey, TaskLimits};
use std::sync::Arc;
use std::time::Duration;

const LOADED: &str =
    "(call $gateway (i32.const 14) (i32.const 500) (i32.const 0) (i32.const 200) (i32.const 8))";
const MAKE: &str =
    "(call $gateway (i32.const 13) (i32.const 100) (i32.const 32) (i32.const 201) (i32.const 8))";

/// A worker that loads its command (one more at 400), and answers how often that happened in its
/// memory, its role, and how often it has served. `prepared` is what it does with the loaded command
/// in the role `p`, `made` in the role `s`; `named` runs before it names the command.
fn worker(named: &str, prepared: &str, made: &str) -> String {
    let body = format!(
        r#"(local $role i32)
        (drop (call $gateway (i32.const 11) (i32.const 0) (i32.const 0) (i32.const 200) (i32.const 64)))
        (local.set $role (i32.load8_u (i32.const 200)))
        (drop (call $read (i32.const 1000) (i32.const 200)))
        {named}
        (drop (call $gateway (i32.const 12) (i32.const 100) (i32.const 32) (i32.const 201) (i32.const 8)))
        (if (i32.ne (local.get $role) (i32.const 114)) (then
          (i32.store8 (i32.const 400) (i32.add (i32.load8_u (i32.const 400)) (i32.const 1)))))
        (if (i32.eq (local.get $role) (i32.const 112)) (then {prepared} (return (i32.const 0))))
        (if (i32.eq (i32.load8_u (i32.const 201)) (i32.const 117)) (then {made}))
        (i32.store8 (i32.const 401) (local.get $role))
        (i32.store8 (i32.const 402) (i32.add (i32.load8_u (i32.const 402)) (i32.const 1)))
        (drop (call $write (i32.const 400) (i32.const 3)))
        i32.const 0"#
    );
    let because = r#"(data (i32.const 600) "because")"#;
    guest(&body, &format!("{BOOT} {because} {DEEP}"))
}

/// Calls the gateway from so many frames down.
const DEEP: &str = r#"(func $deep (param $n i32) (param $verb i32) (result i32)
  (if (result i32) (local.get $n)
    (then (i32.add (call $deep (i32.sub (local.get $n) (i32.const 1)) (local.get $verb)) (i32.const 1)))
    (else (call $gateway (local.get $verb) (i32.const 100)
      (select (i32.const 32) (i32.const 0) (i32.eq (local.get $verb) (i32.const 13)))
      (i32.const 201) (i32.const 8)))))"#;

fn drops(call: &str) -> String {
    format!("(drop {call})")
}

fn start(image: &Arc<Image>, jobs: bool) -> Sandbox {
    let key = SnapshotKey { key: "k".into(), on_disk: false, jobs };
    let sandbox = Sandbox::start(image, SandboxSpec { snapshot_key: Some(key), ..spec() });
    sandbox.expect("a sandbox")
}

/// Runs one task: what the guest answered, what became of the snapshot, how it ended.
fn task(image: &Arc<Image>, jobs: bool) -> (Vec<u8>, String, Result<(), Fault>) {
    asked(image, jobs, b"x")
}

fn asked(image: &Arc<Image>, jobs: bool, input: &[u8]) -> (Vec<u8>, String, Result<(), Fault>) {
    let sandbox = start(image, jobs);
    sandbox.begin_task(TaskLimits::default());
    let (output, end) = converse(&sandbox, input);
    (output, sandbox.stats().job_snapshot, end)
}

/// As `task`, of one that serves to its end.
fn served(image: &Arc<Image>, jobs: bool) -> (Vec<u8>, String) {
    let (output, outcome, end) = task(image, jobs);
    assert!(end.is_ok(), "{end:?}");
    (output, outcome)
}

#[test]
fn a_command_is_loaded_once_and_what_tasks_write_is_their_own() {
    let lab = Lab::new();
    let wat = worker("", &drops(LOADED), &drops(MAKE));
    let image = lab.open(&lab.pack(&wat)).expect("an image");
    assert_eq!(served(&image, false), (vec![1, b's', 1], String::new()));
    assert_eq!(served(&image, true), (vec![1, b'r', 1], "made".into()));
    for _ in 0..20 {
        assert_eq!(served(&image, true), (vec![1, b'r', 1], "used".into()));
    }
    let never_begun = start(&image, true);
    assert_eq!(converse(&never_begun, b"x").0, [1, b's', 1], "its input was not kept");
}

#[test]
fn each_tenant_has_its_own() {
    let lab = Lab::new();
    let command = "(drop (call $gateway (i32.const 16) (i32.const 1000) (i32.const 100) (i32.const 0) (i32.const 0)))";
    let wat = worker("", &drops(LOADED), &format!("{command} {}", drops(MAKE)));
    let image = lab.open(&lab.pack(&wat)).expect("an image");
    let of = |tenant: Option<&str>| {
        let sandbox = start(&image, true);
        if let Some(tenant) = tenant {
            sandbox.channels().belong_to(tenant).expect("nobody's yet");
        }
        sandbox.begin_task(TaskLimits::default());
        let (output, end) = converse(&sandbox, &[7; 100]);
        assert!(end.is_ok() && output == [1, b'r', 1], "{output:?} {end:?}");
        sandbox.stats().job_snapshot
    };
    for tenant in [Some("one"), Some("two"), None] {
        assert_eq!([of(tenant), of(tenant)], ["made", "used"], "{tenant:?}");
    }
    assert_eq!(of(Some("one")), "used");
}

/// What a task gets of a sandbox that was started for its tenant and had started before it.
fn ahead(image: &Arc<Image>, tenant: &str, input: &[u8]) -> (Vec<u8>, String, Result<(), Fault>) {
    let key = SnapshotKey { key: "k".into(), on_disk: false, jobs: true };
    let spec = SandboxSpec { snapshot_key: Some(key), ..spec() };
    let sandbox = Sandbox::start_for(image, spec, tenant).expect("a sandbox");
    while sandbox.stats().start_us == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(sandbox.channels().belong_to("somebody else").is_err());
    sandbox.begin_task(TaskLimits::default());
    let (output, end) = converse(&sandbox, input);
    (output, sandbox.stats().job_snapshot, end)
}

#[test]
fn one_that_starts_for_a_tenant_has_loaded_what_the_tenants_last_task_had() {
    let lab = Lab::new();
    // The command follows the first byte, its digest is its own first byte. `2`: in the role `s` it ends. `3`: it
    // is not worth a snapshot. `4`: one that has a command loaded names that one, whatever it reads.
    let named = "(if (i32.eq (i32.load8_u (i32.const 1000)) (i32.const 50)) (then
          (if (i32.eq (local.get $role) (i32.const 115)) (then unreachable))))
        (if (i32.or (i32.ne (i32.load8_u (i32.const 1000)) (i32.const 52)) (i32.ne (local.get $role) (i32.const 114)))
          (then (i32.store8 (i32.const 100) (i32.load8_u (i32.const 1001)))))";
    let command = "(drop (call $gateway (i32.const 16) (i32.const 1001) (i32.const 100) (i32.const 0) (i32.const 0)))";
    let made = format!(
        "(if (i32.ne (i32.load8_u (i32.const 1000)) (i32.const 51)) (then {command} {}))",
        drops(MAKE)
    );
    // Read by itself, the first byte tells the host nothing.
    let all = "(drop (call $read (i32.const 1000) (i32.const 200)))";
    let apart = "(drop (call $read (i32.const 1000) (i32.const 1))) (drop (call $read (i32.const 1001) (i32.const 199)))";
    let wat = worker(named, &drops(LOADED), &made).replace(all, apart);
    let image = lab.open(&lab.pack(&wat)).expect("an image");
    let ask =
        |tenant, how: u8, what: u8| ahead(&image, tenant, &[&[how], &[what; 100][..]].concat());
    let served = |tenant, how, what| {
        let (output, outcome, end) = ask(tenant, how, what);
        assert!(end.is_ok(), "{end:?}");
        (output, outcome)
    };
    let ends_in_s = |tenant, what| matches!(ask(tenant, b'2', what).2, Err(Fault::Script { .. }));
    let resumed = |outcome: &str| (vec![1, b'r', 1], outcome.to_owned());
    assert!(ends_in_s("one", 7), "nothing is kept");
    assert_eq!(served("one", b'1', 7), resumed("made"));
    for _ in 0..3 {
        assert_eq!(served("one", b'2', 7), resumed("used"));
    }
    assert!(ends_in_s("two", 7), "it is another tenant's");
    assert_eq!(served("one", b'2', 7), resumed("used"));
    assert_eq!(served("one", b'1', 8), resumed("made"), "a wrong guess is no harm");
    assert!(ends_in_s("one", 7), "the last is another command");
    assert_eq!(served("one", b'1', 7), resumed("used"));
    assert_eq!(served("one", b'2', 7), resumed("used"));
    assert_eq!(served("one", b'4', 9), resumed("made"), "it is not believed");
    assert_eq!(served("one", b'3', 10), (vec![1, b's', 1], String::new()));
    assert!(ends_in_s("one", 9), "the last has no snapshot");
}

/// Commands in the input of tasks: the first byte says how the worker behaves, the rest is the command.
#[test]
fn a_command_in_the_first_bytes_starts_from_its_snapshot_at_once() {
    let lab = Lab::new();
    // `2`: to be asked in the role `s` is the end. `3`: it names another command. `4`: so does a guest that was
    // given a snapshot. `5`: that says first that it goes on.
    let named = "(if (i32.eq (i32.load8_u (i32.const 1000)) (i32.const 50)) (then
          (if (i32.eq (local.get $role) (i32.const 115)) (then unreachable))))
        (if (i32.ge_u (i32.load8_u (i32.const 1000)) (i32.const 51)) (then (i32.store8 (i32.const 100) (i32.const 9))))
        (if (i32.eq (i32.load8_u (i32.const 1000)) (i32.const 53)) (then
          (drop (call $gateway (i32.const 15) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
          (i32.store8 (i32.const 100) (i32.const 7))))
        (if (i32.eq (i32.load8_u (i32.const 1000)) (i32.const 52)) (then
          (if (i32.eq (local.get $role) (i32.const 114)) (then (i32.store8 (i32.const 100) (i32.const 8))))))";
    let command = "(drop (call $gateway (i32.const 16) (i32.const 1001) (i32.const 100) (i32.const 0) (i32.const 0)))";
    let wat = worker(named, &drops(LOADED), &format!("{command} {}", drops(MAKE)));
    let image = lab.open(&lab.pack(&wat)).expect("an image");
    let input = |how: u8, what: u8| [&[how], &[what; 100][..], b"rows"].concat();
    let ask = |how, what| {
        let (output, outcome, end) = asked(&image, true, &input(how, what));
        assert!(end.is_ok(), "{end:?}");
        (output, outcome)
    };
    let resumed = |outcome: &str| (vec![1, b'r', 1], outcome.to_owned());
    assert_eq!(ask(b'1', 7), resumed("made"));
    for _ in 0..20 {
        assert_eq!(ask(b'2', 7), resumed("used"));
    }
    let (_, _, end) = asked(&image, true, &input(b'2', 6));
    assert!(
        matches!(end, Err(Fault::Script { .. })),
        "another command is none that is kept: {end:?}"
    );
    // What it was guessed to be it is not: it starts anew, and makes its own snapshot.
    assert_eq!(ask(b'3', 7), resumed("made"));
    assert_eq!(ask(b'3', 7), resumed("used"));
    // It names one command in a fresh guest, and another in the one that it was given.
    for lie in [input(b'4', 5), input(b'5', 7)] {
        match asked(&image, true, &lie).2 {
            Err(Fault::Guest { what }) => {
                assert!(what.contains("another command than it was given"), "{what}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn sixteen_tasks_at_once_load_it_once() {
    let lab = Lab::new();
    let slow = format!("(loop $again (i32.store (i32.const 700) (i32.add (i32.load (i32.const 700)) (i32.const 1)))
        (br_if $again (i32.lt_u (i32.load (i32.const 700)) (i32.const 20000000)))) {}", drops(LOADED));
    let image = lab.open(&lab.pack(&worker("", &slow, &drops(MAKE)))).expect("an image");
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let image = Arc::clone(&image);
            std::thread::spawn(move || served(&image, true))
        })
        .collect();
    let ended = threads.into_iter().map(|thread| thread.join().expect("a task"));
    let made = ended.filter(|(output, outcome)| {
        assert_eq!(output[..], [1, b'r', 1]);
        outcome == "made"
    });
    assert_eq!(made.count(), 1);
}

#[test]
fn what_cannot_be_shared_is_refused_and_its_task_goes_on() {
    let lab = Lab::new();
    let reason = LOADED.replace("(i32.const 500) (i32.const 0)", "(i32.const 600) (i32.const 7)");
    let other = "(if (i32.eq (local.get $role) (i32.const 112)) (then (i32.store8 (i32.const 100) (i32.const 9))))";
    let cases = [
        ("", drops(&reason), "because"),
        ("", "unreachable".into(), "loading it failed"),
        ("", "(drop (i32.load (i32.const -8)))".into(), "loading it failed"),
        ("", "(call $exit (i32.const 3))".into(), "loading it failed"),
        ("", String::new(), "its guest ended before it was loaded"),
        ("", drops(MAKE), "its guest ended before it was loaded"),
        (other, drops(LOADED), "its guest named another command"),
        ("(if (i32.eq (local.get $role) (i32.const 112)) (then (drop (call $gateway (i32.const 14) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0)))))", String::new(), "its guest named no command"),
    ];
    for (named, prepared, why) in cases {
        let wat = worker(named, &prepared, &drops(MAKE));
        let image = lab.open(&lab.pack(&wat)).expect("an image");
        for first in [true, false] {
            let (output, outcome) = served(&image, true);
            assert_eq!(output, [1, b's', 1], "{why}");
            let told = if first { "refused" } else { "refused before" };
            assert!(outcome.starts_with(&format!("{told}: {why}")), "{why}: {outcome}");
        }
    }
}

#[test]
fn a_lie_about_a_command_is_the_guests_fault() {
    let lab = Lab::new();
    let resumed = "(if (i32.eq (local.get $role) (i32.const 114)) (then (i32.store8 (i32.const 100) (i32.const 9))))";
    let cases = [
        (resumed, drops(LOADED), drops(MAKE), "another command than it was given"),
        ("", drops(LOADED), drops(LOADED), "was not asked to load"),
        (
            "",
            drops(LOADED),
            drops(&MAKE.replace("(i32.const 32)", "(i32.const 31)")),
            "without a digest",
        ),
        (
            "",
            drops(LOADED),
            drops(&MAKE.replace("(i32.const 100)", "(i32.const -9)")),
            "outside its memory",
        ),
    ];
    for (named, prepared, made, why) in cases {
        let image = lab.open(&lab.pack(&worker(named, &prepared, &made))).expect("an image");
        match task(&image, true).2 {
            Err(Fault::Guest { what }) => assert!(what.contains(why), "{what}"),
            other => panic!("{why}: {other:?}"),
        }
    }
}

#[test]
fn a_task_that_ends_while_it_loads_for_others_leaves_them_to_it() {
    let lab = Lab::new();
    let endless = "(loop $again (br $again))";
    let image = lab.open(&lab.pack(&worker("", endless, &drops(MAKE)))).expect("an image");
    let first = start(&image, true);
    first.begin_task(TaskLimits {
        deadline: Some(Duration::from_millis(300)),
        ..TaskLimits::default()
    });
    let second = start(&image, true);
    second.begin_task(TaskLimits::default());
    let (output, end) = converse(&first, b"x");
    let limit = |fault: &Fault| matches!(fault, Fault::Limit(l) if l.limit == LimitKind::Deadline);
    assert!(output.is_empty() && end.as_ref().is_err_and(limit), "{end:?}");
    // It waited for the first, and loads now itself.
    second.channels().write(b"x");
    std::thread::sleep(Duration::from_millis(100));
    assert!(second.outcome().is_none());
    second.interrupt().stop(Fault::Stopped { reason: "enough".into() });
    assert!(matches!(second.wait(), Err(Fault::Stopped { reason }) if reason == "enough"));
}

#[test]
fn asking_from_deep_down_overflows_no_stack_of_the_hosts() {
    let lab = Lab::new();
    for depth in [1_000, 30_000, 60_000, 90_000, 120_000, 200_000] {
        let deep = |verb| format!("(drop (call $deep (i32.const {depth}) (i32.const {verb})))");
        let image = lab.open(&lab.pack(&worker("", &deep(14), &deep(13)))).expect("an image");
        let (output, outcome, end) = task(&image, true);
        match end {
            Ok(()) => assert!(output[1] == b'r' && outcome == "made", "{depth}: {outcome}"),
            Err(Fault::Limit(l)) => assert_eq!(l.limit, LimitKind::Stack),
            Err(other) => panic!("{depth}: {other:?}"),
        }
    }
}
