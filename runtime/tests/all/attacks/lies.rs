//! Every host import with every pointer, length and descriptor that lies, one at a time: the other
//! arguments are such that the call is served.

use super::{Neighbour, tell};
use crate::guests::{BOOT, Lab, converse, guest, spec};
use davy_runtime::{DirGrant, Fault, Image, Sandbox};
use std::path::Path;
use std::sync::Arc;

/// Each import with what its parameters are and values that are right: `p` an address, `n` a length or
/// a count of what lies at an address, `f` a descriptor, `x` any other i32, `l` an i64.
///
/// There lie: an open file 5 and its folder 4, the names "a" at 1024 and "b" at 1032, one buffer of 64
/// bytes at 2048, a subscription to no time at 3072, and room from 8192 on.
const IMPORTS: &[(&str, &str, &[i64])] = &[
    ("davy.channel_read", "pn", &[8192, 8]),
    ("davy.channel_write", "pn", &[8192, 8]),
    ("davy.session_read", "pn", &[8192, 8]),
    ("davy.gateway", "xpnpn", &[11, 8192, 8, 9000, 64]),
    ("args_get", "pp", &[8192, 9000]),
    ("args_sizes_get", "pp", &[8192, 9000]),
    ("clock_res_get", "xp", &[1, 8192]),
    ("clock_time_get", "xlp", &[1, 0, 8192]),
    ("environ_get", "pp", &[8192, 9000]),
    ("environ_sizes_get", "pp", &[8192, 9000]),
    ("fd_advise", "fllx", &[5, 0, 1, 0]),
    ("fd_allocate", "fll", &[5, 0, 1]),
    ("fd_close", "f", &[5]),
    ("fd_datasync", "f", &[5]),
    ("fd_fdstat_get", "fp", &[5, 8192]),
    ("fd_fdstat_set_flags", "fx", &[5, 0]),
    ("fd_filestat_get", "fp", &[5, 8192]),
    ("fd_filestat_set_size", "fl", &[5, 9]),
    ("fd_filestat_set_times", "fllx", &[5, 0, 0, 0]),
    ("fd_pread", "fpnlp", &[5, 2048, 1, 0, 8192]),
    ("fd_prestat_dir_name", "fpn", &[4, 8192, 8]),
    ("fd_prestat_get", "fp", &[4, 8192]),
    ("fd_pwrite", "fpnlp", &[5, 2048, 1, 0, 8192]),
    ("fd_read", "fpnp", &[5, 2048, 1, 8192]),
    ("fd_readdir", "fpnlp", &[4, 8192, 256, 0, 9000]),
    ("fd_renumber", "ff", &[5, 4]),
    ("fd_seek", "flxp", &[5, 0, 0, 8192]),
    ("fd_sync", "f", &[5]),
    ("fd_tell", "fp", &[5, 8192]),
    ("fd_write", "fpnp", &[5, 2048, 1, 8192]),
    ("path_create_directory", "fpn", &[4, 1032, 1]),
    ("path_filestat_get", "fxpnp", &[4, 0, 1024, 1, 8192]),
    ("path_filestat_set_times", "fxpnllx", &[4, 0, 1024, 1, 0, 0, 0]),
    ("path_link", "fxpnfpn", &[4, 0, 1024, 1, 4, 1032, 1]),
    ("path_open", "fxpnxllxp", &[4, 0, 1024, 1, 0, RIGHTS, RIGHTS, 0, 8192]),
    ("path_readlink", "fpnpnp", &[4, 1040, 1, 8192, 64, 9000]),
    ("path_remove_directory", "fpn", &[4, 1048, 1]),
    ("path_rename", "fpnfpn", &[4, 1024, 1, 4, 1032, 1]),
    ("path_symlink", "pnfpn", &[1024, 1, 4, 1032, 1]),
    ("path_unlink_file", "fpn", &[4, 1024, 1]),
    ("poll_oneoff", "ppnp", &[3072, 8192, 1, 9000]),
    ("proc_exit", "x", &[0]),
    ("random_get", "pn", &[8192, 64]),
    ("sched_yield", "", &[]),
];

/// All there are of a file and of a folder.
const RIGHTS: i64 = 0x1fff_ffff;

/// Memory has 131072 bytes.
const ADDRESSES: [i64; 6] = [131_072, 131_071, 0x7fff_ffff, 0x8000_0000, 0xffff_ff00, 0xffff_ffff];
const LENGTHS: [i64; 4] = [131_073, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const DESCRIPTORS: [i64; 4] = [99, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const FLAGS: [i64; 3] = [0x7fff_ffff, 0x8000_0000, 0xffff_ffff];
const LONGS: [i64; 3] = [-1, i64::MIN, i64::MAX];

/// Answers of a call that has no result, and of one that did not come back.
const NONE: i32 = -1;

/// A guest that calls the import with the arguments that it reads, 8 bytes each, and says the answer.
fn caller(import: &str, parameters: &str) -> String {
    let (module, name) = import.split_once('.').unwrap_or(("wasi_snapshot_preview1", import));
    let of = |p| if p == 'l' { "i64" } else { "i32" };
    let types: Vec<&str> = parameters.chars().map(of).collect();
    let types = types.join(" ");
    let arguments: String = (0..)
        .zip(parameters.chars())
        .map(|(n, p)| format!("({}.load (i32.const {}))", of(p), 60_000 + 8 * n))
        .collect();
    let exits = name == "proc_exit";
    let result = if exits { "" } else { "(result i32)" };
    let call = format!("(call $import {arguments})");
    let call = if exits { format!("(block (result i32) {call} (i32.const {NONE}))") } else { call };
    let body = format!(
        r#"(drop (call $open (i32.const 4) (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 0)
             (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 8192)))
           (drop (call $read (i32.const 60000) (i32.const 200)))
           (i32.store (i32.const 60000) {call})
           (drop (call $write (i32.const 60000) (i32.const 4))) i32.const 0"#
    );
    let more = format!(
        r#"{BOOT} (data (i32.const 1024) "a") (data (i32.const 1032) "b") (data (i32.const 1040) "l")
           (data (i32.const 1048) "d") (data (i32.const 2048) "\00\10\00\00\40\00\00\00")
           (data (i32.const 3088) "\01")"#
    );
    guest(&body, &more).replace(
        r#"(memory (export "memory") 2)"#,
        &format!(
            r#"(import "wasi_snapshot_preview1" "path_open"
                 (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
               (import "{module}" "{name}" (func $import (param {types}) {result}))
               (memory (export "memory") 2)"#
        ),
    )
}

/// The answer of one call, in a sandbox of its own with a folder of its own.
fn call(image: &Arc<Image>, host: &Path, arguments: &[i64]) -> Result<i32, Fault> {
    let _ = std::fs::remove_dir_all(host);
    std::fs::create_dir_all(host.join("d")).expect("a folder");
    std::fs::write(host.join("a"), [7; 100]).expect("a file");
    std::os::unix::fs::symlink("nowhere", host.join("l")).expect("a link");
    let grant = DirGrant {
        host: host.into(),
        guest: "/granted".into(),
        write: true,
        quota_bytes: None,
        lower: None,
    };
    let mut spec = spec();
    spec.grants.dirs = vec![grant];
    let sandbox = Sandbox::start(image, spec).expect("a sandbox");
    let mut input: Vec<u8> = arguments.iter().flat_map(|a| a.to_le_bytes()).collect();
    input.resize(200, 0);
    let (output, end) = converse(&sandbox, &input);
    end.map(|()| i32::from_le_bytes(output[..4].try_into().expect("an answer")))
}

#[test]
fn every_argument_of_every_import() {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let host = lab.folder.path().join("granted");
    for &(name, parameters, right) in IMPORTS {
        let image = lab.open(&lab.pack(&caller(name, parameters))).expect(name);
        let usual = call(&image, &host, right);
        let served = match &usual {
            Ok(_) if name.starts_with("davy.") => true,
            // wasmtime serves nobody with it.
            Ok(code) => *code == 0 || (name, *code) == ("fd_allocate", 58),
            Err(fault) => fault.kind() == "script" && name == "proc_exit",
        };
        assert!(served, "{name}: {usual:?}");
        let (mut faults, mut refusals, mut served) = (0, 0, 0);
        for (at, parameter) in parameters.char_indices() {
            let lies: &[i64] = match parameter {
                'p' => &ADDRESSES,
                'n' => &LENGTHS,
                'f' => &DESCRIPTORS,
                'l' => &LONGS,
                _ => &FLAGS,
            };
            for &lie in lies {
                let mut arguments = right.to_vec();
                arguments[at] = lie;
                let end = call(&image, &host, &arguments);
                let shown = format!("{name}, argument {at} is {lie:#x}: {end:?}");
                match (parameter, &end) {
                    (_, Err(fault)) if fault.kind() == "guest" => {
                        let text = fault.to_string();
                        let words = ["outside its memory", "it passed WASI a wrong value"];
                        assert!(words.iter().any(|w| text.contains(w)), "{shown}");
                        faults += 1;
                    }
                    (_, Err(fault)) => {
                        assert!(name == "proc_exit" && fault.kind() == "script", "{shown}")
                    }
                    // A descriptor that is none is one answer everywhere.
                    ('f', Ok(code)) => {
                        assert!(*code == 8 || name == "fd_allocate", "{shown}");
                        refusals += 1;
                    }
                    // Nothing that lies outside can be read or written.
                    ('p', Ok(code)) => {
                        assert!(*code != 0 || NOTHING_THERE.contains(&name), "{shown}");
                        refusals += 1;
                    }
                    // A length is harmless where only what there is moves.
                    (_, Ok(0)) => served += 1,
                    (_, Ok(_)) => refusals += 1,
                }
            }
        }
        neighbour.answers(name);
        let all = faults + refusals + served;
        tell(
            &format!("lies to {name}"),
            &format!("{all}: {faults} faults, {refusals} refused, {served} harmless"),
        );
    }
}

/// No environment and no arguments: these write nothing anywhere.
const NOTHING_THERE: [&str; 2] = ["args_get", "environ_get"];
