//! Question: how long from a task's checkout of a sandbox until its worker, with numpy, pandas and
//! pyarrow imported, has consumed the first byte? Prints milliseconds: median, 99 of 100, worst.
//! "Ahead": the sandbox has started before the task asks, as the plugin's factory has it.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // a benchmark may panic and prints

use davy_runtime::{
    Cache, DirGrant, Engine, Grants, Image, Limits, READABLE, Sandbox, SandboxSpec, SnapshotKey,
    StderrLog,
};
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const WORKER: &str = "import numpy, pandas, pyarrow
def main(infile, outfile):
    outfile.write(infile.read(1))
    outfile.flush()
    infile.read()
";

struct Checkouts {
    image: Arc<Image>,
    folder: tempfile::TempDir,
}

impl Checkouts {
    fn start(&self) -> Sandbox {
        let code = self.folder.path().to_path_buf();
        let session = serde_json::json!({
            "worker": "science", "sys_path": [&code], "env": {}, "cwd": null, "reuse": false,
            "buffer_size": 65536,
        });
        let guest = code.display().to_string();
        let grant = DirGrant { guest, host: code, write: false, quota_bytes: None };
        let spec = SandboxSpec {
            name: "checkout".into(),
            session: session.to_string().into_bytes(),
            limits: Limits::default(),
            grants: Grants { dirs: vec![grant], ..Grants::default() },
            channel_bytes: 256 << 10,
            log: Arc::new(StderrLog),
            snapshot_key: Some(SnapshotKey { key: "k".into(), on_disk: false, jobs: false }),
        };
        Sandbox::start(&self.image, spec).unwrap()
    }

    fn start_ahead(&self) -> Sandbox {
        let sandbox = self.start();
        while sandbox.stats().start_us == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        // Between that moment and its wait for input.
        std::thread::sleep(Duration::from_millis(10));
        sandbox
    }

    /// `rounds` times `at_once` checkouts at the same time, sorted, milliseconds each.
    fn measure(&self, rounds: usize, at_once: usize, ahead: bool) -> Vec<f64> {
        let mut times = vec![];
        for _ in 0..rounds {
            let ready: Vec<_> = (0..at_once).map(|_| ahead.then(|| self.start_ahead())).collect();
            let begin = Barrier::new(at_once);
            std::thread::scope(|scope| {
                let tasks: Vec<_> = ready
                    .into_iter()
                    .map(|ready| {
                        let begin = &begin;
                        scope.spawn(move || {
                            begin.wait();
                            let began = Instant::now();
                            let sandbox = ready.unwrap_or_else(|| self.start());
                            first_byte(&sandbox);
                            (began.elapsed().as_secs_f64() * 1e3, sandbox)
                        })
                    })
                    .collect();
                // No sandbox ends before all have begun: a task does not end at its first byte.
                let begun: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
                times.extend(begun.iter().map(|(time, _)| time));
            });
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

fn first_byte(sandbox: &Sandbox) {
    sandbox.begin_task(Some(Duration::from_secs(60)), None);
    let channels = sandbox.channels();
    channels.write(b"x");
    while channels.wait_ready(READABLE, Duration::from_secs(60)) == 0 {}
    assert_eq!(channels.read(&mut [0; 8]), Some(1));
}

fn main() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-python/images/python-3.11.davy");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("science.py"), WORKER).unwrap();
    let engine = Engine::new(Cache::new(folder.path().join("cache"), 1 << 30)).unwrap();
    let checkouts = Checkouts { image: Arc::new(Image::open(&engine, &path).unwrap()), folder };
    first_byte(&checkouts.start()); // makes the snapshot
    let mut found = serde_json::Map::new();
    for (name, rounds, at_once, ahead) in [
        ("from a snapshot, 200 in a row", 200, 1, false),
        ("ahead, 200 in a row", 200, 1, true),
        ("from a snapshot, 16 at once", 13, 16, false),
        ("ahead, 16 at once", 13, 16, true),
    ] {
        let times = checkouts.measure(rounds, at_once, ahead);
        let part = |p: usize| times[(times.len() - 1) * p / 100];
        println!("{name}: {:.2}, {:.2}, {:.2} ms", part(50), part(99), part(100));
        let rounded: Vec<f64> = times.iter().map(|t| (t * 1e3).round() / 1e3).collect();
        found.insert(name.into(), serde_json::json!(rounded));
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/checkout.json");
    std::fs::write(target, serde_json::to_vec(&found).unwrap()).unwrap();
}
