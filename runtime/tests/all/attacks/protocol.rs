//! Guests that break the contract with the host: wrong order, wrong shapes, wrong lengths.

use super::{Comes, Neighbour, answer, attack};
use crate::guests::{BOOT, Lab, guest, outcome, spec};
use davy_runtime::{Sandbox, SandboxSpec, SnapshotKey, TaskLimits};

const OUTSIDE: &str = "outside its memory";

fn gateway(verb: i32, ptr: i32, len: i32, to: i32, cap: i32) -> String {
    format!(
        "(call $gateway (i32.const {verb}) (i32.const {ptr}) (i32.const {len}) (i32.const {to}) (i32.const {cap}))"
    )
}

/// Requests in the wrong order, of the wrong size, of nobody's verb.
#[test]
fn requests_out_of_order() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let data = r#"(data (i32.const 100) "/etc/passwd/var/run/docker.sock\ff\fe") (data (i32.const 200) "\01\00\00\00\10\00\00\00")"#;
    use Comes::{Answers, Fault};
    let attacks = [
        (
            "a batch before its schema",
            gateway(9, 0, 4, 0, 0),
            Fault("guest", "a batch before its schema"),
        ),
        ("a batch named by three bytes", gateway(9, 0, 3, 0, 0), Fault("guest", OUTSIDE)),
        ("a batch named by nothing", gateway(9, 0, 0, 0, 0), Fault("guest", OUTSIDE)),
        ("a schema of zeros", gateway(8, 1000, 64, 0, 0), Fault("guest", "its schema is wrong")),
        ("a schema of no bytes", gateway(8, 0, 0, 0, 0), Fault("guest", "its schema is wrong")),
        ("a schema of words", gateway(8, 100, 30, 0, 0), Fault("guest", "its schema is wrong")),
        ("a schema of 2 GiB", gateway(8, 0, i32::MAX, 0, 0), Fault("guest", OUTSIDE)),
        ("a schema of negative length", gateway(8, 0, -1, 0, 0), Fault("guest", OUTSIDE)),
        ("a batch that was not put", gateway(7, 0, 0, 1000, 8), Answers(-28)),
        ("a batch to negative room", gateway(7, 0, 0, 1000, -8), Fault("guest", OUTSIDE)),
        (
            "word of a command nobody asked for",
            gateway(14, 0, 0, 0, 0),
            Fault("guest", "it was not asked to load"),
        ),
        (
            "a command of 31 bytes",
            gateway(12, 100, 31, 0, 8),
            Fault("guest", "a command without a digest"),
        ),
        (
            "a snapshot of no command",
            gateway(13, 0, 0, 0, 8),
            Fault("guest", "a command without a digest"),
        ),
        ("a snapshot where none is wanted", gateway(13, 100, 32, 1000, 8), Answers(1)),
        ("a command of more bytes than a request has", gateway(12, 0, 65537, 0, 8), Answers(-28)),
        ("going on before the start", gateway(15, 0, 0, 0, 0), Answers(0)),
        ("a command told before it is asked for", gateway(16, 100, 32, 0, 0), Answers(0)),
        ("a command told of 64 KiB and a byte", gateway(16, 0, 65537, 0, 0), Answers(-28)),
        ("a command told from outside", gateway(16, i32::MAX, 64, 0, 0), Fault("guest", OUTSIDE)),
        ("a verb of nobody's", gateway(17, 0, 0, 0, 0), Answers(-52)),
        ("a negative verb", gateway(-1, 0, 0, 0, 0), Answers(-52)),
        ("a request of 64 KiB and a byte", gateway(2, 0, 65537, 0, 0), Answers(-28)),
        ("a request of negative length", gateway(2, 0, -1, 0, 0), Answers(-28)),
        ("a request outside memory", gateway(2, -4, 8, 0, 0), Fault("guest", OUTSIDE)),
        ("the role to outside memory", gateway(11, 0, 0, -4, 64), Fault("guest", OUTSIDE)),
        ("the role to no room", gateway(11, 0, 0, 1000, 0), Answers(1)),
        ("admission of /etc/passwd", gateway(1, 100, 11, 1000, 64), Answers(-2)),
        ("admission of no text", gateway(1, 131, 2, 1000, 64), Answers(-28)),
        ("admission of nothing", gateway(1, 0, 0, 1000, 64), Answers(-2)),
        ("a call-back to docker.sock", gateway(3, 111, 20, 1000, 4), Answers(-2)),
        ("a call-back to no text", gateway(3, 131, 2, 1000, 4), Answers(-28)),
        ("receiving from nobody", gateway(4, 200, 8, 1000, 64), Answers(-8)),
        ("receiving by half a request", gateway(4, 200, 7, 1000, 64), Answers(-28)),
        ("sending to nobody", gateway(5, 200, 8, 0, 0), Answers(-8)),
        ("sending by half a handle", gateway(5, 200, 3, 0, 0), Answers(-28)),
        ("closing what was never open", gateway(6, 200, 4, 0, 0), Answers(-8)),
    ];
    for (name, call, comes) in attacks {
        let image = lab.image_with(&answer(&call), &format!("{BOOT} {data}"));
        let sandbox = Sandbox::start(&image, spec()).expect("a sandbox");
        attack(name, &sandbox, b"", &neighbour, comes);
    }
}

/// The byte channel: reads and writes that lie, or never end.
#[test]
fn frames_that_lie() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    use Comes::{Answers, Fault, Says, SaysNoMore};
    let attacks = [
        (
            "a frame of negative length",
            answer("(call $write (i32.const 0) (i32.const -1))"),
            Fault("guest", OUTSIDE),
        ),
        (
            "a frame of 2 GiB",
            answer("(call $write (i32.const 0) (i32.const 0x7fffffff))"),
            Fault("guest", OUTSIDE),
        ),
        (
            "a frame across the end",
            answer("(call $write (i32.const 131064) (i32.const 9))"),
            Fault("guest", OUTSIDE),
        ),
        (
            "an empty frame at the end",
            answer("(call $write (i32.const 131072) (i32.const 0))"),
            Answers(0),
        ),
        (
            "an empty frame beyond the end",
            answer("(call $write (i32.const 131073) (i32.const 0))"),
            Fault("guest", OUTSIDE),
        ),
        (
            "a read of negative length",
            answer("(call $read (i32.const 0) (i32.const -1))"),
            Fault("guest", OUTSIDE),
        ),
        (
            "a read across the end",
            answer("(call $read (i32.const 131064) (i32.const 9))"),
            Fault("guest", OUTSIDE),
        ),
        (
            "a read after the end of input",
            answer(
                "(i32.add (call $read (i32.const 0) (i32.const 9)) (i32.add (call $read (i32.const 0) (i32.const 9)) (call $read (i32.const 0) (i32.const 9))))",
            ),
            Answers(0),
        ),
        (
            "a session document to outside memory",
            answer("(call $session (i32.const 131071) (i32.const 2))"),
            Fault("guest", OUTSIDE),
        ),
        (
            "a session document of negative length",
            answer("(call $session (i32.const -1) (i32.const -1))"),
            Fault("guest", OUTSIDE),
        ),
        (
            "a session document to no room",
            answer("(call $session (i32.const 0) (i32.const 0))"),
            Answers(2),
        ),
        (
            "half a frame, then the end",
            "(drop (call $write (i32.const 100) (i32.const 3))) i32.const 0".into(),
            Says("hal"),
        ),
        (
            "half a frame, then a trap",
            "(drop (call $write (i32.const 100) (i32.const 3))) unreachable".into(),
            Fault("script", "aborted"),
        ),
        ("an end that says it failed", "i32.const 77".into(), SaysNoMore("")),
        (
            "a write after the end of the task",
            "(drop (call $read (i32.const 0) (i32.const 1)))
            (drop (call $write (i32.const 100) (i32.const 4))) i32.const 0"
                .into(),
            Says("half"),
        ),
    ];
    for (name, body, comes) in attacks {
        let image = lab.image_with(&body, &format!(r#"{BOOT} (data (i32.const 100) "half")"#));
        let sandbox = Sandbox::start(&image, spec()).expect("a sandbox");
        attack(name, &sandbox, b"", &neighbour, comes);
    }
}

/// Modules that do not keep to the contract's exports.
#[test]
fn modules_of_another_shape() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let whole = guest("i32.const 0", BOOT);
    let abi = r#"(func (export "davy_abi") (result i32) i32.const 1)"#;
    let serve = r#"(func (export "davy_serve") (result i32) i32.const 0)"#;
    let memory = r#"(memory (export "memory") 2)"#;
    let pointer = r#"(global $sp (export "__stack_pointer") (mut i32) (i32.const 65536))"#;
    let boot = |body: &str| format!(r#"(func (export "davy_boot") (result i32) {body})"#);
    let init = |body: &str| format!(r#"(func (export "_initialize") {body}) {BOOT}"#);
    let attacks: Vec<(&str, &str, String, &str, &str)> = vec![
        (
            "another contract",
            abi,
            abi.replace("const 1", "const 2"),
            "guest",
            "it speaks contract 2, the host 1",
        ),
        (
            "a negative contract",
            abi,
            abi.replace("const 1", "const -1"),
            "guest",
            "it speaks contract -1",
        ),
        (
            "a contract that traps",
            abi,
            abi.replace("i32.const 1", "unreachable"),
            "script",
            "aborted",
        ),
        ("no contract", abi, String::new(), "guest", "it does not export davy_abi() -> i32"),
        (
            "nothing to serve with",
            serve,
            String::new(),
            "guest",
            "it does not export davy_serve() -> i32",
        ),
        (
            "serving with an argument",
            serve,
            serve.replace("(result", "(param i32) (result"),
            "guest",
            "does not export davy_serve",
        ),
        (
            "serving without an answer",
            serve,
            serve.replace("(result i32) i32.const 0", ""),
            "guest",
            "does not export davy_serve",
        ),
        (
            "serving as a memory",
            memory,
            r#"(memory (export "memory") (export "davy_boots") 2)"#.into(),
            "",
            "",
        ),
        ("no memory to be seen", memory, "(memory 2)".into(), "guest", "it exports no memory"),
        (
            "memory that is a global",
            memory,
            r#"(memory 2) (global (export "memory") i32 (i32.const 0))"#.into(),
            "guest",
            "it exports no memory",
        ),
        (
            "no stack pointer",
            pointer,
            "(global $sp (mut i32) (i32.const 0))".into(),
            "guest",
            "it exports no __stack_pointer",
        ),
        (
            "a stack pointer of 64 bits",
            pointer,
            pointer.replace("i32", "i64"),
            "guest",
            "it exports no __stack_pointer",
        ),
        ("a boot that fails", BOOT, boot("i32.const 1"), "guest", "its Python did not start"),
        (
            "a boot that ends the interpreter",
            BOOT,
            boot("(call $exit (i32.const 5)) i32.const 0"),
            "script",
            "exit code 5",
        ),
        ("a boot that traps", BOOT, boot("unreachable"), "script", "aborted"),
        (
            "a boot that lies",
            BOOT,
            boot("(call $write (i32.const -1) (i32.const -1))"),
            "guest",
            OUTSIDE,
        ),
        ("initialising without end", BOOT, init("(loop $l (br $l))"), "limit", "deadline"),
        (
            "initialising with a lie",
            BOOT,
            init("(drop (call $read (i32.const -1) (i32.const 9)))"),
            "guest",
            OUTSIDE,
        ),
        ("a boot without end", BOOT, boot("(loop $l (br $l)) i32.const 0"), "limit", "deadline"),
        (
            "a contract without end",
            abi,
            abi.replace("i32.const 1", "(loop $l (br $l)) i32.const 1"),
            "limit",
            "deadline",
        ),
        (
            "data beyond memory",
            BOOT,
            format!(r#"{BOOT} (data (i32.const 131071) "ab")"#),
            "guest",
            "out of bounds",
        ),
        (
            "data at a negative address",
            BOOT,
            format!(r#"{BOOT} (data (i32.const -1) "ab")"#),
            "guest",
            "out of bounds",
        ),
        (
            "functions beyond the table",
            BOOT,
            format!("{BOOT} (table 1 funcref) (elem (i32.const 9) $h) (func $h)"),
            "guest",
            "out of bounds",
        ),
    ];
    for (name, part, instead, kind, words) in attacks {
        assert!(whole.contains(part), "{name}: {part}");
        let image = lab.open(&lab.pack(&whole.replacen(part, &instead, 1))).expect(name);
        let key = SnapshotKey { key: name.into(), on_disk: false, jobs: false };
        let spec = SandboxSpec { snapshot_key: Some(key), ..spec() };
        let sandbox = Sandbox::start(&image, spec).expect("a sandbox");
        let endless = words == "deadline";
        sandbox.begin_task(TaskLimits {
            deadline: endless.then_some(std::time::Duration::from_millis(150)),
            ..TaskLimits::default()
        });
        let comes = if kind.is_empty() { Comes::SaysNoMore("") } else { Comes::Fault(kind, words) };
        attack(name, &sandbox, b"", &neighbour, comes);
    }
}

/// Modules that are refused before they are compiled.
#[test]
fn modules_that_ask_for_more() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let whole = guest("i32.const 0", BOOT);
    let memory = r#"(memory (export "memory") 2)"#;
    let import = |module: &str, name: &str, what: &str| {
        format!(r#"(import "{module}" "{name}" ({what})) {memory}"#)
    };
    let wasi = "wasi_snapshot_preview1";
    let attacks = [
        (
            "a memory of 4 GiB from the start",
            memory.replace("2)", "65536)"),
            "begins with more memory",
        ),
        ("a table of ten million", format!("{memory} (table 10000000 funcref)"), "a larger table"),
        ("import of a socket", import(wasi, "sock_accept", "func"), "never granted"),
        ("import of sending", import(wasi, "sock_send", "func"), "never granted"),
        ("import of a signal", import(wasi, "proc_raise", "func"), "never granted"),
        ("import of a thread", import("wasi", "thread-spawn", "func"), "never granted"),
        ("import of another preview", import("wasi_unstable", "fd_read", "func"), "never granted"),
        ("import of a name with a zero", import(wasi, "fd_read\\00", "func"), "never granted"),
        ("import of the host's own", import("davy", "interrupt", "func"), "never granted"),
        ("import of a memory", import("davy", "memory", "memory 1"), "never granted"),
        ("import of a table", import("env", "table", "table 1 funcref"), "never granted"),
        ("two memories", format!("{memory} (memory 1)"), "exactly one memory"),
        (
            "a memory of 64 bits",
            r#"(memory (export "memory") i64 2)"#.into(),
            "it uses a memory of 64 bits",
        ),
        (
            "a memory for threads",
            r#"(memory (export "memory") 2 2 shared)"#.into(),
            "or one for threads, which cannot be stopped",
        ),
        (
            "code before it can be stopped",
            format!("{memory} (func $s (loop $l (br $l))) (start $s)"),
            "start function",
        ),
    ];
    for (name, instead, words) in attacks {
        let path = lab.pack(&whole.replacen(memory, &instead, 1));
        let fault = lab.open(&path).expect_err(name);
        assert!(fault.kind() == "image" && fault.to_string().contains(words), "{name}: {fault}");
        super::tell(
            name,
            &fault
                .to_string()
                .chars()
                .rev()
                .take(80)
                .collect::<Vec<_>>()
                .iter()
                .rev()
                .collect::<String>(),
        );
        neighbour.answers(name);
    }
    // Import of a known name with another type is no way round the list.
    let typed = whole.replacen(memory, &import(wasi, "fd_read", "func (param i64)"), 1);
    let fault =
        lab.open(&lab.pack(&typed)).map_or_else(|f| f, |image| outcome(&image).expect_err("typed"));
    assert_eq!(fault.kind(), "image", "{fault}");
}
