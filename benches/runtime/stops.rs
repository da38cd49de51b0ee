//! Question: how long is it from a cancel until the guest is gone, memory and thread included,
//! wherever it is? Each stop comes at a random moment of what the guest does. Not measured: how soon
//! Spark tells us.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // a failed benchmark may panic

#[allow(dead_code)] // each benchmark uses some of it
mod lab;

use davy_runtime::Fault;
use lab::{Lab, ask, keep};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Answers the byte it gets, then is busy in its way.
const BUSY: &str = "
import random, re, time
import numpy as np
NUMBERS = [random.random() for _ in range(400_000)]
ARRAY = np.arange(3_000_000)[::-1] * 7919 % 1_000_003
MATRIX = np.ones((700, 700))
def loop():
    i = 0
    while True:
        i += i & 3
def sort():
    while True:
        sorted(NUMBERS)
def numpy_sort():
    while True:
        np.sort(ARRAY)
def numpy_product():
    while True:
        MATRIX @ MATRIX
def fill():
    while True:
        bytearray(500_000_000)
WAYS = {
    b'e': lambda infile: re.match('(a*)*b', 'a' * 100),
    b's': lambda infile: sort(),
    b'n': lambda infile: numpy_sort(),
    b'm': lambda infile: numpy_product(),
    b'f': lambda infile: fill(),
    b'z': lambda infile: time.sleep(600),
    b'r': lambda infile: infile.read(1),
    b'l': lambda infile: loop(),
}
def main(infile, outfile):
    way = infile.read(1)
    outfile.write(way)
    outfile.flush()
    WAYS[way](infile)
";
const WAYS: [(&str, Option<u8>); 9] = [
    ("a regular expression", Some(b'e')),
    ("a sort of a list", Some(b's')),
    ("numpy: sort", Some(b'n')),
    ("numpy: matrix product", Some(b'm')),
    ("fresh memory being filled", Some(b'f')),
    ("a host call: sleep", Some(b'z')),
    ("a host call: read", Some(b'r')),
    ("arithmetic in a loop", Some(b'l')),
    ("its start", None),
];

fn main() {
    let stops: usize = std::env::var("STOPS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let lab = Lab::new(&[("busy", BUSY)]);
    assert_eq!(ask(&lab.start("busy"), b'r'), b'r');
    let mut found = serde_json::Map::new();
    let mut seed = 88172645463325252u64;
    println!("| a stop in the middle of | p50, ms | p99, ms | most, ms |\n|---|---|---|---|");
    for (what, way) in WAYS {
        let mut took: Vec<f64> = (0..stops)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                let sandbox = lab.start("busy");
                let moment = match way {
                    Some(way) => {
                        assert_eq!(ask(&sandbox, way), way);
                        // Within some rounds of any of them.
                        5_000 + seed % 60_000
                    }
                    // Its start takes milliseconds.
                    None => seed % 4_000,
                };
                std::thread::sleep(Duration::from_micros(moment));
                let began = Instant::now();
                sandbox.interrupt().stop(Fault::Stopped { reason: "bench".into() });
                let end = sandbox.wait();
                let took = began.elapsed().as_secs_f64() * 1e3;
                assert!(matches!(end, Err(Fault::Stopped { .. })), "{what}: {end:?}");
                took
            })
            .collect();
        took.sort_by(f64::total_cmp);
        let at = |part: f64| took[((took.len() as f64 * part).ceil() as usize).max(1) - 1];
        println!("| {what} | {:.2} | {:.2} | {:.2} |", at(0.5), at(0.99), at(1.0));
        let raw: Vec<f64> = took.iter().map(|ms| (ms * 1e4).round() / 1e4).collect();
        found.insert(
            what.into(),
            serde_json::json!({"p50_ms": at(0.5), "p99_ms": at(0.99), "most_ms": at(1.0), "all_ms": raw}),
        );
    }
    // What the machine itself takes to tell a thread that computes, and to see it end.
    let mut bare: Vec<f64> = (0..stops)
        .map(|_| {
            let over = Arc::new(AtomicBool::new(false));
            let seen = Arc::clone(&over);
            let busy = std::thread::spawn(move || while !seen.load(Ordering::Relaxed) {});
            std::thread::sleep(Duration::from_millis(20));
            let began = Instant::now();
            over.store(true, Ordering::Relaxed);
            busy.join().unwrap();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    bare.sort_by(f64::total_cmp);
    let (half, most) = (bare[bare.len() / 2], bare[bare.len() * 99 / 100]);
    println!("| no sandbox: a native thread in a loop | {half:.2} | {most:.2} | |");
    found.insert("no sandbox".into(), serde_json::json!({"p50_ms": half, "p99_ms": most}));
    keep("stops", &found.into());
}
