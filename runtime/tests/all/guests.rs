//! Small guests in WebAssembly text, and the means to run them.

use davy_runtime::{
    Cache, Engine, Fault, Grants, Image, Limits, LogSink, READABLE, Sandbox, SandboxSpec, WRITABLE,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A guest whose `davy_serve` has `body`; `more` adds module fields. `$read`, `$write`, `$session`,
/// `$gateway`, `$exit` and some of WASI are imported, 2 pages of memory.
pub(crate) fn guest(body: &str, more: &str) -> String {
    format!(
        r#"(module
          (import "davy" "channel_read" (func $read (param i32 i32) (result i32)))
          (import "davy" "channel_write" (func $write (param i32 i32) (result i32)))
          (import "davy" "session_read" (func $session (param i32 i32) (result i32)))
          (import "davy" "gateway" (func $gateway (param i32 i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (import "wasi_snapshot_preview1" "poll_oneoff"
            (func $poll (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "random_get" (func $entropy (param i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "clock_time_get"
            (func $time (param i32 i64 i32) (result i32)))
          (memory (export "memory") 2)
          (global $sp (export "__stack_pointer") (mut i32) (i32.const 65536))
          (func (export "davy_abi") (result i32) i32.const 1)
          {more}
          (func (export "davy_serve") (result i32) {body}))"#
    )
}

/// `davy_boot` that does nothing.
pub(crate) const BOOT: &str = r#"(func (export "davy_boot") (result i32) i32.const 0)"#;

/// Copies its input to its output until the end.
pub(crate) const ECHO: &str = r#"(local $n i32) (local $at i32) (local $k i32)
  (block $done (loop $again
    (local.set $n (call $read (i32.const 0) (i32.const 65536)))
    (br_if $done (i32.eqz (local.get $n)))
    (local.set $at (i32.const 0))
    (loop $rest
      (local.set $k (call $write (local.get $at) (i32.sub (local.get $n) (local.get $at))))
      (local.set $at (i32.add (local.get $at) (local.get $k)))
      (br_if $rest (i32.lt_u (local.get $at) (local.get $n))))
    (br $again)))
  i32.const 0"#;

/// A folder with a cache and images, gone at the end.
pub(crate) struct Lab {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) engine: Engine,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let engine = Engine::new(Cache::new(folder.path().join("cache"), 1 << 30)).expect("engine");
        Lab { folder, engine }
    }

    pub(crate) fn pack(&self, wat: &str) -> PathBuf {
        let wasm = wat::parse_str(wat).expect("valid text");
        self.pack_bytes(&wasm, 1)
    }

    pub(crate) fn pack_bytes(&self, wasm: &[u8], abi: u32) -> PathBuf {
        let files = hello();
        let path = self.folder.path().join(format!("{}-{abi}.davy", fingerprint(wasm)));
        let mut file = std::fs::File::create(&path).expect("image file");
        davy_runtime::pack(wasm, &files, abi, &mut file).expect("packed");
        path
    }

    pub(crate) fn open(&self, path: &Path) -> Result<Arc<Image>, Fault> {
        Image::open(&self.engine, path).map(Arc::new)
    }

    /// An image of a guest with this `davy_serve`.
    pub(crate) fn image(&self, body: &str) -> Arc<Image> {
        self.image_with(body, BOOT)
    }

    pub(crate) fn image_with(&self, body: &str, more: &str) -> Arc<Image> {
        self.open(&self.pack(&guest(body, more))).expect("an image")
    }
}

/// The Python files of a small guest's image.
pub(crate) fn hello() -> Vec<u8> {
    let mut files = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    header.set_cksum();
    files.append_data(&mut header, "lib/hello.txt", &b"hello"[..]).expect("tar");
    files.into_inner().expect("tar")
}

fn fingerprint(bytes: &[u8]) -> String {
    let sum: u64 = bytes
        .iter()
        .fold(1469598103934665603, |h, b| (h ^ u64::from(*b)).wrapping_mul(1099511628211));
    format!("{sum:016x}")
}

/// Collects log lines.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Mutex<Vec<u8>>);

impl LogSink for Lines {
    fn lines(&self, text: &[u8]) {
        self.0.lock().expect("log").extend_from_slice(text);
    }
}

pub(crate) fn spec() -> SandboxSpec {
    SandboxSpec {
        name: "test".into(),
        session: b"{}".to_vec(),
        limits: Limits::default(),
        grants: Grants::default(),
        channel_bytes: 1 << 16,
        log: Arc::new(Lines::default()),
        snapshot_key: None,
    }
}

pub(crate) fn start(image: &Arc<Image>) -> Sandbox {
    Sandbox::start(image, spec()).expect("a sandbox")
}

/// Gives `input`, reads all output; the guest's end.
pub(crate) fn converse(sandbox: &Sandbox, input: &[u8]) -> (Vec<u8>, Result<(), Fault>) {
    let channels = sandbox.channels();
    let (mut given, mut output, mut buffer) = (0, Vec::new(), vec![0; 9973]);
    let until = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < until, "the conversation hangs");
        let mut ops = READABLE;
        if given < input.len() {
            ops |= WRITABLE;
        }
        let ready = channels.wait_ready(ops, Duration::from_millis(100));
        if ready & WRITABLE != 0 {
            match channels.write(&input[given..]) {
                Some(n) => given += n,
                None => given = input.len(),
            }
            if given == input.len() {
                channels.end_input();
            }
        }
        if ready & READABLE != 0 {
            match channels.read(&mut buffer) {
                Some(n) => output.extend_from_slice(&buffer[..n]),
                None => return (output, sandbox.wait()),
            }
        }
        if input.is_empty() {
            channels.end_input();
        }
    }
}

/// Runs to the end without input.
pub(crate) fn outcome(image: &Arc<Image>) -> Result<(), Fault> {
    converse(&start(image), b"").1
}
