//! Runs one module of Python in a sandbox and prints what it writes to its channel.
//!
//! `guest IMAGE FOLDER MODULE [KEY]`: FOLDER is granted read-only and put on `sys.path`, then
//! `MODULE.main(infile, outfile)` runs. The time from start to end is printed to standard error.
//! With KEY a second sandbox is started from a snapshot and timed as well.
#![allow(clippy::print_stdout)] // an example's output is its purpose

use anyhow::{Context, Result};
use davy_runtime::{
    Cache, DirGrant, Engine, Grants, Image, Limits, READABLE, Sandbox, SandboxSpec, SnapshotKey,
    StderrLog,
};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, folder, module, rest @ ..] = &arguments[..] else {
        anyhow::bail!("usage: guest IMAGE FOLDER MODULE [KEY]");
    };
    let cache = std::env::var_os("DAVY_CACHE")
        .map_or_else(std::env::temp_dir, std::path::PathBuf::from)
        .join("compiled");
    let engine = Engine::new(Cache::new(cache, 2 << 30))?;
    let began = Instant::now();
    let image = Arc::new(Image::open(&engine, image.as_ref())?);
    eprintln!("image opened in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let folder = std::fs::canonicalize(folder).context("the folder")?;
    let session = serde_json::json!({
        "worker": module, "sys_path": [&folder], "env": {}, "cwd": null, "reuse": false,
        "buffer_size": 65536,
    });
    for _ in 0..=rest.len() {
        let grant = DirGrant {
            guest: folder.display().to_string(),
            host: folder.clone(),
            write: false,
            quota_bytes: None,
            lower: None,
        };
        let began = Instant::now();
        let spec = SandboxSpec {
            name: module.clone(),
            session: session.to_string().into_bytes(),
            limits: Limits { memory_bytes: u64::MAX, ..Limits::default() },
            grants: Grants {
                dirs: vec![grant],
                env: vec![("PYTHONHASHSEED".into(), "0".into())],
                ..Grants::default()
            },
            channel_bytes: 1 << 18,
            log: Arc::new(StderrLog),
            snapshot_key: rest.first().map(|key| SnapshotKey {
                key: key.clone(),
                on_disk: false,
                jobs: false,
            }),
        };
        let sandbox = Sandbox::start(&image, spec)?;
        let channels = sandbox.channels();
        channels.write(b"\n"); // a task begins
        channels.end_input();
        let mut buffer = vec![0; 1 << 16];
        loop {
            channels.wait_ready(READABLE, Duration::from_secs(1));
            match channels.read(&mut buffer) {
                Some(n) => std::io::stdout().write_all(&buffer[..n])?,
                None => break,
            }
        }
        sandbox.wait()?;
        let stats = sandbox.stats();
        eprintln!(
            "ready in {:.2} ms, ended in {:.1} ms, {} MiB, from snapshot: {}",
            stats.start_us as f64 / 1e3,
            began.elapsed().as_secs_f64() * 1e3,
            stats.memory_bytes >> 20,
            stats.from_snapshot,
        );
    }
    Ok(())
}
