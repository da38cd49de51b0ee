//! Question: what does one sandbox of the real image cost to open, boot, start from a snapshot,
//! stop, and feed? Not measured: Spark, the JVM, the user's code.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; a failed benchmark may panic

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use davy_runtime::{
    Cache, DirGrant, Engine, Fault, Grants, Image, Limits, READABLE, Sandbox, SandboxSpec,
    SnapshotKey, StderrLog, WRITABLE,
};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ECHO: &str = "def main(infile, outfile):
    while chunk := infile.read1(65536):
        outfile.write(chunk)
";

const BUSY: &str = "import re
def main(infile, outfile):
    outfile.write(infile.read(1))
    outfile.flush()
    re.match('(a*)*b', 'a' * 100)
";

struct Bench {
    image: Arc<Image>,
    path: std::path::PathBuf,
    engine: Engine,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-python/images/python-3.11.davy");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("echo.py"), ECHO).unwrap();
        std::fs::write(folder.path().join("busy.py"), BUSY).unwrap();
        let engine = Engine::new(Cache::new(folder.path().join("cache"), 1 << 30)).unwrap();
        let image = Arc::new(Image::open(&engine, &path).unwrap());
        Bench { image, path, engine, folder }
    }

    fn open(&self) -> Duration {
        let began = Instant::now();
        let image = Image::open(&self.engine, &self.path).unwrap();
        let took = began.elapsed();
        drop(image);
        took
    }

    /// As after a day, or a new start of the machine.
    fn remove_stamps(&self) {
        let entries = std::fs::read_dir(self.folder.path().join("cache")).unwrap().flatten();
        let paths = entries.map(|entry| entry.path());
        let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
        let inner = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap().flatten());
        for path in files.into_iter().chain(inner.map(|entry| entry.path())) {
            if path.extension().is_some_and(|extension| extension == "stamp") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }

    fn start(&self, key: Option<&str>) -> Sandbox {
        self.start_worker("echo", key)
    }

    fn start_worker(&self, worker: &str, key: Option<&str>) -> Sandbox {
        let code = self.folder.path().to_path_buf();
        let session = serde_json::json!({
            "worker": worker, "sys_path": [&code], "env": {}, "cwd": null, "reuse": false,
            "buffer_size": 65536,
        });
        let grant = DirGrant {
            guest: code.display().to_string(),
            host: code,
            write: false,
            quota_bytes: None,
            lower: None,
        };
        let spec = SandboxSpec {
            name: "bench".into(),
            session: session.to_string().into_bytes(),
            limits: Limits::default(),
            grants: Grants { dirs: vec![grant], ..Grants::default() },
            channel_bytes: 256 << 10,
            log: Arc::new(StderrLog),
            snapshot_key: key.map(|key| SnapshotKey {
                key: key.into(),
                on_disk: false,
                jobs: false,
            }),
        };
        Sandbox::start(&self.image, spec).unwrap()
    }
}

/// Gives one byte and waits for it: the guest's worker is up and consuming.
fn first_byte(sandbox: &Sandbox) {
    let channels = sandbox.channels();
    channels.write(b"x");
    channels.end_input();
    while channels.wait_ready(READABLE, Duration::from_secs(9)) == 0 {}
    assert_eq!(channels.read(&mut [0; 8]), Some(1));
}

fn echo(sandbox: &Sandbox, bytes: usize) {
    let (channels, data) = (sandbox.channels(), vec![7u8; 64 << 10]);
    let (mut given, mut back, mut buffer) = (0, 0, vec![0; 64 << 10]);
    while back < bytes {
        let ops = if given < bytes { READABLE | WRITABLE } else { READABLE };
        let ready = channels.wait_ready(ops, Duration::from_secs(9));
        if ready & WRITABLE != 0 {
            given += channels.write(&data[..data.len().min(bytes - given)]).unwrap();
            if given == bytes {
                channels.end_input();
            }
        }
        if ready & READABLE != 0 {
            back += channels.read(&mut buffer).unwrap();
        }
    }
}

fn sandbox(c: &mut Criterion) {
    let bench = Bench::new();
    let mut group = c.benchmark_group("sandbox");
    group.sample_size(20);
    // The drop is not timed, which waits for the check of the files that goes on beside the caller.
    group.bench_function("open a compiled image", |b| {
        b.iter_custom(|times| (0..times).map(|_| bench.open()).sum());
    });
    group.bench_function("open a compiled image, its files looked at", |b| {
        b.iter(|| Image::open(&bench.engine, &bench.path).unwrap());
    });
    group.bench_function("open a cached image, all of it digested", |b| {
        b.iter_custom(|times| {
            let timed = (0..times).map(|_| {
                bench.remove_stamps();
                bench.open()
            });
            timed.sum()
        });
    });
    group.bench_function("boot to first byte", |b| b.iter(|| first_byte(&bench.start(None))));
    first_byte(&bench.start(Some("k")));
    group.bench_function("snapshot to first byte", |b| {
        b.iter(|| first_byte(&bench.start(Some("k"))));
    });
    group.bench_function("stop a waiting guest", |b| {
        b.iter_batched(
            || {
                let sandbox = bench.start(Some("k"));
                while sandbox.stats().start_us == 0 {
                    std::thread::yield_now();
                }
                sandbox
            },
            |sandbox| {
                sandbox.interrupt().stop(Fault::Stopped { reason: "bench".into() });
                sandbox.wait().unwrap_err()
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("stop a regular expression", |b| {
        b.iter_batched(
            || {
                let sandbox = bench.start_worker("busy", Some("busy"));
                first_byte(&sandbox);
                sandbox
            },
            |sandbox| {
                sandbox.interrupt().stop(Fault::Stopped { reason: "bench".into() });
                sandbox.wait().unwrap_err()
            },
            BatchSize::PerIteration,
        );
    });
    const BYTES: usize = 32 << 20;
    group.sample_size(10).throughput(Throughput::Bytes(BYTES as u64));
    group.bench_function("echo through both channels", |b| {
        b.iter(|| echo(&bench.start(Some("k")), BYTES));
    });
    group.finish();
}

criterion_group!(benches, sandbox);
criterion_main!(benches);
