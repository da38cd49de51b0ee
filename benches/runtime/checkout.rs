//! Question: how long from a task's checkout of a sandbox until its worker, with numpy, pandas and
//! pyarrow imported, has consumed the first byte, by the clock that both sides read? Prints
//! milliseconds: median, 99 of 100, worst.
//! "Ahead": the sandbox has started before the task asks, as the plugin's factory has it.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // a benchmark may panic and prints

#[allow(dead_code)] // each benchmark uses some of it
mod lab;

use davy_runtime::{Sandbox, TaskLimits};
use lab::{Lab, answer, keep};
use std::sync::Barrier;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const WORKER: &str = "import numpy, pandas, pyarrow, time
def main(infile, outfile):
    infile.read(1)
    outfile.write(time.time_ns().to_bytes(8, 'little'))
    outfile.flush()
    infile.read()
";

struct Checkouts(Lab);

impl Checkouts {
    fn start(&self) -> Sandbox {
        self.0.start("science")
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
                            let began = SystemTime::now();
                            let sandbox = ready.unwrap_or_else(|| self.start());
                            let consumed = first_byte(&sandbox);
                            let took = consumed.duration_since(began).unwrap();
                            (took.as_secs_f64() * 1e3, sandbox)
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

/// When the worker had it.
fn first_byte(sandbox: &Sandbox) -> SystemTime {
    sandbox.begin_task(TaskLimits {
        deadline: Some(Duration::from_secs(60)),
        ..TaskLimits::default()
    });
    UNIX_EPOCH + Duration::from_nanos(u64::from_le_bytes(answer(sandbox, b'x')))
}

fn main() {
    let checkouts = Checkouts(Lab::new(&[("science", WORKER)]));
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
    keep("checkout", &found.into());
}
