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

/// WASI's functions that a guest may import, and their parameters: `i` an i32, `l` an i64.
const WASI: [(&str, &str); 40] = [
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "ili"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("fd_advise", "illi"),
    ("fd_allocate", "ill"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "il"),
    ("fd_filestat_set_times", "illi"),
    ("fd_pread", "iiili"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_prestat_get", "ii"),
    ("fd_pwrite", "iiili"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiili"),
    ("fd_renumber", "ii"),
    ("fd_seek", "ilii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiilli"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiillii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("random_get", "ii"),
    ("sched_yield", ""),
];

#[test]
fn no_wasi_call_with_wild_values_is_the_hosts_fault() {
    let lab = Lab::new();
    // Descriptors: 0-2 streams, 3 a folder. Addresses: in memory, at its end, far outside.
    let wild = ["0", "1", "3", "131071", "0x7fffffff", "-1"];
    for (name, parameters) in WASI {
        let of = |p| if p == 'l' { "i64" } else { "i32" };
        let types: Vec<&str> = parameters.chars().map(of).collect();
        let result = if name == "proc_exit" { "" } else { "(result i32)" };
        let import = format!(
            r#"(import "wasi_snapshot_preview1" "{name}" (func $wild (param {}) {result}))
               (memory (export "memory") 2)"#,
            types.join(" ")
        );
        // Each sandbox makes one call after another until one ends it; then the rest in a new one.
        for turn in 0..wild.len() {
            let mut body = String::new();
            for first in wild {
                let arguments = types.iter().enumerate().map(|(at, ty)| {
                    let value = if at == 0 { first } else { wild[(turn + at * turn) % wild.len()] };
                    format!("({ty}.const {value})")
                });
                let call = format!("(call $wild {})", arguments.collect::<Vec<_>>().join(" "));
                body.push_str(&if result.is_empty() { call } else { format!("(drop {call})") });
            }
            let wat = crate::guests::guest(&format!("{body} i32.const 0"), crate::guests::BOOT)
                .replace(r#"(memory (export "memory") 2)"#, &import);
            let end = outcome(&lab.open(&lab.pack(&wat)).expect(name));
            let kind = end.as_ref().map_or_else(davy_runtime::Fault::kind, |()| "none");
            let expected = if name == "proc_exit" { "script" } else { "guest" };
            assert!(kind == "none" || kind == expected, "{name}, turn {turn}: {end:?}");
        }
    }
}
