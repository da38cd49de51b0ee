//! Every host import, called by a guest that takes its calls from the input.

use super::world::SECRET;
use crate::{
    Cache, DirGrant, Engine, Grants, Image, Limits, LogSink, READABLE, Sandbox, SandboxSpec,
    WRITABLE,
};
use std::cell::OnceCell;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Each with its parameters (`i`: i32, `l`: i64). Left out: `poll_oneoff`, which waits and has a
/// target of its own.
const CALLS: &[(&str, &str, &str)] = &[
    ("davy", "channel_read", "ii"),
    ("davy", "channel_write", "ii"),
    ("davy", "session_read", "ii"),
    ("davy", "gateway", "iiiii"),
    ("wasi_snapshot_preview1", "args_get", "ii"),
    ("wasi_snapshot_preview1", "args_sizes_get", "ii"),
    ("wasi_snapshot_preview1", "clock_res_get", "ii"),
    ("wasi_snapshot_preview1", "clock_time_get", "ili"),
    ("wasi_snapshot_preview1", "environ_get", "ii"),
    ("wasi_snapshot_preview1", "environ_sizes_get", "ii"),
    ("wasi_snapshot_preview1", "fd_advise", "illi"),
    ("wasi_snapshot_preview1", "fd_allocate", "ill"),
    ("wasi_snapshot_preview1", "fd_close", "i"),
    ("wasi_snapshot_preview1", "fd_datasync", "i"),
    ("wasi_snapshot_preview1", "fd_fdstat_get", "ii"),
    ("wasi_snapshot_preview1", "fd_fdstat_set_flags", "ii"),
    ("wasi_snapshot_preview1", "fd_filestat_get", "ii"),
    ("wasi_snapshot_preview1", "fd_filestat_set_size", "il"),
    ("wasi_snapshot_preview1", "fd_filestat_set_times", "illi"),
    ("wasi_snapshot_preview1", "fd_pread", "iiili"),
    ("wasi_snapshot_preview1", "fd_prestat_dir_name", "iii"),
    ("wasi_snapshot_preview1", "fd_prestat_get", "ii"),
    ("wasi_snapshot_preview1", "fd_pwrite", "iiili"),
    ("wasi_snapshot_preview1", "fd_read", "iiii"),
    ("wasi_snapshot_preview1", "fd_readdir", "iiili"),
    ("wasi_snapshot_preview1", "fd_renumber", "ii"),
    ("wasi_snapshot_preview1", "fd_seek", "ilii"),
    ("wasi_snapshot_preview1", "fd_sync", "i"),
    ("wasi_snapshot_preview1", "fd_tell", "ii"),
    ("wasi_snapshot_preview1", "fd_write", "iiii"),
    ("wasi_snapshot_preview1", "path_create_directory", "iii"),
    ("wasi_snapshot_preview1", "path_filestat_get", "iiiii"),
    ("wasi_snapshot_preview1", "path_filestat_set_times", "iiiilli"),
    ("wasi_snapshot_preview1", "path_link", "iiiiiii"),
    ("wasi_snapshot_preview1", "path_open", "iiiiillii"),
    ("wasi_snapshot_preview1", "path_readlink", "iiiiii"),
    ("wasi_snapshot_preview1", "path_remove_directory", "iii"),
    ("wasi_snapshot_preview1", "path_rename", "iiiiii"),
    ("wasi_snapshot_preview1", "path_symlink", "iiiii"),
    ("wasi_snapshot_preview1", "path_unlink_file", "iii"),
    ("wasi_snapshot_preview1", "proc_exit", "i"),
    ("wasi_snapshot_preview1", "random_get", "ii"),
    ("wasi_snapshot_preview1", "sched_yield", ""),
];

/// Reads the input to address 0 and makes the calls that it says until it is over: a byte names the
/// function, three bytes each argument (the sign goes on). Then it says what its memory holds.
fn guest() -> String {
    let (mut imports, mut cases) = (String::new(), String::new());
    for (n, (module, name, parameters)) in CALLS.iter().enumerate() {
        let of = |p| if p == 'l' { "i64" } else { "i32" };
        let types: Vec<&str> = parameters.chars().map(of).collect();
        let result = if *name == "proc_exit" { "" } else { "(result i32)" };
        let types = types.join(" ");
        let _ = write!(
            imports,
            r#"(import "{module}" "{name}" (func $f{n} (param {types}) {result}))"#
        );
        let arguments: String = parameters
            .chars()
            .map(|p| if p == 'l' { "(i64.extend_i32_s (call $next))" } else { "(call $next)" })
            .collect();
        let call = format!("(call $f{n} {arguments})");
        let call = if result.is_empty() { call } else { format!("(drop {call})") };
        let _ = write!(cases, "(if (i32.eq (local.get $op) (i32.const {n})) (then {call}))");
    }
    format!(
        r#"(module {imports}
          (memory (export "memory") 2)
          (global $sp (export "__stack_pointer") (mut i32) (i32.const 65536))
          (global $at (mut i32) (i32.const 0))
          (global $end (mut i32) (i32.const 0))
          (func (export "davy_abi") (result i32) i32.const 1)
          (func (export "davy_boot") (result i32) i32.const 0)
          (func $next (result i32)
            (global.set $at (i32.add (global.get $at) (i32.const 3)))
            (i32.shr_s (i32.shl (i32.load (i32.sub (global.get $at) (i32.const 3))) (i32.const 8))
                       (i32.const 8)))
          (func (export "davy_serve") (result i32) (local $op i32)
            (loop $more
              (global.set $end (i32.add (global.get $end) (local.tee $op
                (call $f0 (global.get $end) (i32.sub (i32.const 65536) (global.get $end))))))
              (br_if $more (i32.gt_s (local.get $op) (i32.const 0))))
            (loop $again
              (local.set $op (i32.load8_u (global.get $at)))
              (global.set $at (i32.add (global.get $at) (i32.const 1)))
              {cases}
              (br_if $again (i32.lt_u (global.get $at) (global.get $end))))
            (drop (call $f1 (i32.const 0) (i32.const 16384)))
            i32.const 0))"#
    )
}

struct Nowhere;

impl LogSink for Nowhere {
    fn lines(&self, _text: &[u8]) {}
}

struct Lab {
    folder: tempfile::TempDir,
    image: Arc<Image>,
}

thread_local! {
    static LAB: OnceCell<Lab> = const { OnceCell::new() };
}

fn lab() -> Lab {
    let folder = tempfile::tempdir().expect("a folder");
    let wasm = wat::parse_str(guest()).expect("valid text");
    let path = folder.path().join("image");
    let mut file = std::fs::File::create(&path).expect("a file");
    let empty = tar::Builder::new(Vec::new()).into_inner().expect("a tar");
    crate::pack(&wasm, &empty, 1, &mut file).expect("packed");
    let engine = Engine::new(Cache::new(folder.path().join("cache"), 1 << 30)).expect("an engine");
    let image = Arc::new(Image::open(&engine, &path).expect("an image"));
    for name in ["granted", "scratch"] {
        std::fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    std::fs::write(folder.path().join("granted/file"), "as it was").expect("a file");
    std::fs::write(folder.path().join("secret"), SECRET).expect("a file");
    std::os::unix::fs::symlink("../secret", folder.path().join("granted/link")).expect("a link");
    Lab { folder, image }
}

impl Lab {
    fn start(&self) -> Sandbox {
        let dir = |name: &str, write, quota_bytes| DirGrant {
            host: self.folder.path().join(name),
            guest: format!("/{name}"),
            write,
            quota_bytes,
            lower: None,
        };
        // Descriptors: 3 the image's files, 4 and 5 these.
        let dirs = vec![dir("granted", false, None), dir("scratch", true, Some(1 << 20))];
        let spec = SandboxSpec {
            name: "fuzz".into(),
            session: b"{}".to_vec(),
            limits: Limits { memory_bytes: 1 << 20, open_files: 32, ..Limits::default() },
            grants: Grants { dirs, ..Grants::default() },
            channel_bytes: 1 << 16,
            log: Arc::new(Nowhere),
            snapshot_key: None,
        };
        Sandbox::start(&self.image, spec).expect("a sandbox")
    }

    /// What the guest says to the end, and the fault it ended by.
    fn run(&self, input: &[u8]) -> (Vec<u8>, Option<&'static str>) {
        let sandbox = self.start();
        let channels = sandbox.channels();
        let (mut given, mut output, mut buffer) = (0, Vec::new(), [0; 4096]);
        loop {
            let ops = if given < input.len() { READABLE | WRITABLE } else { READABLE };
            let ready = channels.wait_ready(ops, Duration::from_secs(1));
            if ready & WRITABLE != 0 {
                given += channels.write(&input[given..]).unwrap_or(input.len() - given);
            }
            if given == input.len() {
                channels.end_input();
            }
            if ready & READABLE != 0 {
                match channels.read(&mut buffer) {
                    Some(n) => output.extend_from_slice(&buffer[..n]),
                    None => return (output, sandbox.wait().err().map(|fault| fault.kind())),
                }
            }
        }
    }
}

pub(super) fn run(data: &[u8]) {
    let data = &data[..data.len().min(8 << 10)];
    LAB.with(|cell| {
        let lab = cell.get_or_init(lab);
        let (output, kind) = lab.run(data);
        assert!(matches!(kind, None | Some("guest" | "limit" | "script")), "{kind:?}");
        assert!(!output.windows(SECRET.len()).any(|bytes| bytes == SECRET), "it read a secret");
        let at = |name: &str| lab.folder.path().join(name);
        assert_eq!(std::fs::read(at("secret")).expect("a file"), SECRET);
        assert_eq!(std::fs::read(at("granted/file")).expect("a file"), b"as it was");
        assert_eq!(std::fs::read_dir(at("granted")).map_or(0, Iterator::count), 2);
        let scratch = at("scratch");
        if std::fs::read_dir(&scratch).is_ok_and(|mut list| list.next().is_some()) {
            std::fs::remove_dir_all(&scratch).expect("removed");
            std::fs::create_dir(&scratch).expect("made again");
        }
    });
}
