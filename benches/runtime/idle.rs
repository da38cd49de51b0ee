//! Question: what do 1,000 idle sandboxes cost that are alive at once, with the packages of a PySpark
//! worker imported? All of them answer before, and after they have idled. And what has one that a pandas
//! function over 10,000 rows ran in? Not measured: a JVM, tasks that hold more data.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failed benchmark may panic

#[allow(dead_code)] // each benchmark uses some of it
mod lab;

use lab::{Lab, ask, keep};
use std::time::{Duration, Instant};

/// What a worker of Spark's imports before its first task, and an echo.
const IDLE: &str = "
try:
    import pyspark.worker
except ImportError:
    pass
import numpy, pandas, pyarrow
def pandas_function():
    # As Spark's worker does: Arrow columns to pandas, the function, and back.
    batch = pyarrow.record_batch({'x': numpy.arange(1e4), 's': [str(n) for n in range(10_000)]})
    frame = batch.to_pandas()
    for result in (frame.x + 1, frame.s.str.upper()):
        pyarrow.Array.from_pandas(result)
def main(infile, outfile):
    while byte := infile.read(1):
        if byte == b'p':
            pandas_function()
        outfile.write(byte)
        outfile.flush()
";

/// PSS and private memory (MiB), descriptors, threads and mappings of this process.
fn figures() -> serde_json::Value {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let mib = |name: &str| -> f64 {
        let lines = rollup.lines().filter(|line| line.starts_with(name));
        let kib = lines.map(|line| line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap());
        kib.sum::<f64>() / 1024.0
    };
    let entries = |folder| std::fs::read_dir(folder).unwrap().count();
    serde_json::json!({
        "pss_mib": mib("Pss:"),
        "private_mib": mib("Private_Dirty:") + mib("Private_Clean:"),
        "descriptors": entries("/proc/self/fd"),
        "threads": entries("/proc/self/task"),
        "mappings": std::fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
    })
}

fn main() {
    // As the JVM does at its start.
    let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files.current = files.maximum;
    rustix::process::setrlimit(rustix::process::Resource::Nofile, files).unwrap();
    let count: usize = std::env::var("IDLE").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let lab = Lab::new(&[("idle", IDLE)]);
    // Boots, and is frozen.
    assert_eq!(ask(&lab.start("idle"), b'x'), b'x');
    assert_eq!(ask(&lab.start("idle"), b'x'), b'x');
    std::thread::sleep(Duration::from_secs(1));
    let before = figures();
    let began = Instant::now();
    let sandboxes: Vec<_> = (0..count).map(|_| lab.start("idle")).collect();
    for (n, sandbox) in sandboxes.iter().enumerate() {
        assert_eq!(ask(sandbox, n as u8), n as u8);
    }
    let started = began.elapsed();
    let during = figures();
    std::thread::sleep(Duration::from_secs(10));
    let idled = figures();
    let began = Instant::now();
    for (n, sandbox) in sandboxes.iter().enumerate().rev() {
        assert_eq!(ask(sandbox, !(n as u8)), !(n as u8));
    }
    let answered = began.elapsed();
    let own: u64 = sandboxes.iter().map(|sandbox| sandbox.channels().memory_held().bytes).sum();
    let began = Instant::now();
    drop(sandboxes);
    let threads = before["threads"].as_u64();
    while figures()["threads"].as_u64() > threads && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let ended = began.elapsed();
    std::thread::sleep(Duration::from_secs(1));
    let after = figures();
    // What stays is the allocator's, for the next ones: a second time it is no more.
    let sandboxes: Vec<_> = (0..count).map(|_| lab.start("idle")).collect();
    sandboxes.iter().for_each(|sandbox| assert_eq!(ask(sandbox, b'y'), b'y'));
    drop(sandboxes);
    while figures()["threads"].as_u64() > threads && began.elapsed() < Duration::from_secs(300) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_secs(1));
    let again = figures();
    let used: Vec<_> = (0..count / 10).map(|_| lab.start("idle")).collect();
    used.iter().for_each(|sandbox| assert_eq!(ask(sandbox, b'p'), b'p'));
    let private = |figures: &serde_json::Value| figures["private_mib"].as_f64().unwrap();
    let ran = (private(&figures()) - private(&again)) / used.len() as f64;
    drop(used);
    let each = |name: &str| {
        (idled[name].as_f64().unwrap() - before[name].as_f64().unwrap()) / count as f64
    };
    let found = serde_json::json!({
        "sandboxes": count, "pyspark": lab.has_pyspark(),
        "before": before, "started": during, "idled": idled, "after": after,
        "after_twice": again, "private_mib_each_after_10k_rows_of_pandas": ran,
        "start_all_s": started.as_secs_f64(), "answer_all_s": answered.as_secs_f64(),
        "end_all_s": ended.as_secs_f64(), "own_mib_each": own as f64 / (1 << 20) as f64 / count as f64,
        "each": {
            "pss_mib": each("pss_mib"), "private_mib": each("private_mib"),
            "descriptors": each("descriptors"), "threads": each("threads"),
            "mappings": each("mappings"),
        },
    });
    println!("{found:#}");
    keep("idle", &found);
}
