//! Runs each line of standard input in a sandbox of its own, all from one snapshot.
//!
//! `lines IMAGE SESSION`: SESSION is a JSON object with `worker` (the module whose
//! `main(infile, outfile)` gets the line), `mounts` (guest path → host folder, read-only),
//! `scratch` (a host folder, emptied for each line: the guest's `/tmp`), `env`, `memory_mib`,
//! `cpu_seconds` and `deadline_seconds`. What the guest writes goes to standard output, and
//! after it one line: `{"sandbox": {"fault": …, "mib": …, "cpu_ms": …}}`.
#![allow(clippy::print_stdout)] // an example's output is its purpose

use anyhow::{Context, Result};
use davy_runtime::{
    Cache, DirGrant, Engine, Grants, Image, Limits, READABLE, Sandbox, SandboxSpec, SnapshotKey,
    StderrLog, TaskLimits,
};
use serde_json::Value;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, session] = &arguments[..] else {
        anyhow::bail!("usage: lines IMAGE SESSION");
    };
    let session: Value = serde_json::from_str(session).context("the session")?;
    let cache = std::env::var_os("DAVY_CACHE")
        .map_or_else(std::env::temp_dir, std::path::PathBuf::from)
        .join("compiled");
    let engine = Engine::new(Cache::new(cache, 4 << 30))?;
    let image = Arc::new(Image::open(&engine, image.as_ref())?);
    for line in std::io::stdin().lock().lines() {
        let mut line = line?;
        line.push('\n');
        if let Some(scratch) = session["scratch"].as_str() {
            empty(Path::new(scratch))?;
        }
        run(&image, &session, line.as_bytes())?;
    }
    Ok(())
}

fn run(image: &Arc<Image>, session: &Value, input: &[u8]) -> Result<()> {
    let seconds = |name: &str| session[name].as_u64().map(Duration::from_secs);
    let sandbox = Sandbox::start(image, spec(session)?)?;
    sandbox.begin_task(TaskLimits {
        deadline: seconds("deadline_seconds"),
        cpu: seconds("cpu_seconds"),
        call: None,
    });
    let channels = sandbox.channels();
    channels.write(input);
    channels.end_input();
    let mut out = std::io::stdout().lock();
    let mut buffer = vec![0; 1 << 16];
    let mut ends_line = true;
    loop {
        channels.wait_ready(READABLE, Duration::from_secs(1));
        match channels.read(&mut buffer) {
            Some(0) => {}
            Some(n) => {
                out.write_all(&buffer[..n])?;
                out.flush()?;
                ends_line = buffer[n - 1] == b'\n';
            }
            None => break,
        }
    }
    let fault = sandbox.wait().err().map(|fault| fault.to_string());
    let stats = sandbox.stats();
    let end = serde_json::json!({"sandbox": {
        "fault": fault, "mib": stats.memory_bytes >> 20, "cpu_ms": stats.cpu_us / 1000,
    }});
    // A guest that was stopped may have left half a line.
    writeln!(out, "{}{end}", if ends_line { "" } else { "\n" })?;
    out.flush()?;
    Ok(())
}

fn spec(session: &Value) -> Result<SandboxSpec> {
    let mut dirs = Vec::new();
    for (guest, host) in session["mounts"].as_object().context("mounts")? {
        let host = host.as_str().context("a mount's folder")?.into();
        dirs.push(DirGrant {
            host,
            guest: guest.clone(),
            write: false,
            quota_bytes: None,
            lower: None,
        });
    }
    if let Some(scratch) = session["scratch"].as_str() {
        dirs.push(DirGrant {
            host: scratch.into(),
            guest: "/tmp".into(),
            write: true,
            quota_bytes: None,
            lower: None,
        });
    }
    let document = serde_json::json!({
        "worker": session["worker"], "sys_path": session["sys_path"], "env": session["env"],
        "cwd": null, "reuse": false, "buffer_size": 65536,
    });
    let memory_mib = session["memory_mib"].as_u64().context("memory_mib")?;
    Ok(SandboxSpec {
        name: session["worker"].as_str().unwrap_or_default().into(),
        session: document.to_string().into_bytes(),
        limits: Limits { memory_bytes: memory_mib << 20, ..Limits::default() },
        grants: Grants {
            dirs,
            env: vec![("PYTHONHASHSEED".into(), "0".into())],
            ..Grants::default()
        },
        channel_bytes: 1 << 18,
        log: Arc::new(StderrLog),
        snapshot_key: Some(SnapshotKey { key: "lines".into(), on_disk: false, jobs: false }),
    })
}

/// Deletes what the last sandbox left; its folders may be deep, its links are not followed.
fn empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).context("emptying the scratch folder")?;
    }
    std::fs::create_dir_all(folder).context("making the scratch folder")
}
