//! Question: what does the image's snapshot save where a worker has none of its own yet: from the start of its
//! sandbox until it could take its first byte? In turns with guests that prepare themselves. Prints milliseconds:
//! median, least, most. The worker is `pyspark.worker` where `DAVY_PYSPARK` names Spark's zips, else one that
//! imports numpy, pandas and pyarrow. Not measured: the worker's snapshot, which is taken and saved after that.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)] // a benchmark may panic and prints

#[allow(dead_code)] // each benchmark uses some of it
mod lab;

use lab::{Lab, keep};

const WORKER: &str = "import numpy, pandas, pyarrow, pyarrow.compute
def main(infile, outfile):
    infile.read()
";
const EMPTY: &str = "def main(infile, outfile):
    infile.read()
";
const ROUNDS: usize = 30;
const SEED: (&str, &str) = ("PYTHONHASHSEED", "0");

fn boot(lab: &Lab, worker: &str, env: &[(&str, &str)]) -> f64 {
    let sandbox = lab.start_with(worker, env, None);
    sandbox.channels().end_input();
    sandbox.wait().unwrap();
    sandbox.stats().start_us as f64 / 1e3
}

fn main() {
    let lab = Lab::new(&[("science", WORKER), ("empty", EMPTY)]);
    let spark = if lab.has_pyspark() { "pyspark.worker" } else { "science" };
    let mut found = serde_json::Map::new();
    for worker in ["empty", spark] {
        // A guest with another environment than the snapshot's does not start from it.
        let ways =
            [("from the image's snapshot", &[SEED][..]), ("prepared", &[SEED, ("OTHER", "1")])];
        let mut times = [vec![], vec![]];
        for (_, env) in ways {
            boot(&lab, worker, env); // reads files for the first time
        }
        for _ in 0..ROUNDS {
            for (times, (_, env)) in times.iter_mut().zip(ways) {
                times.push(boot(&lab, worker, env));
            }
        }
        for (mut times, (how, _)) in times.into_iter().zip(ways) {
            times.sort_by(f64::total_cmp);
            let part = |p: usize| times[(times.len() - 1) * p / 100];
            println!("{worker}, {how}: {:.1}, {:.1}, {:.1} ms", part(50), part(0), part(100));
            found.insert(format!("{worker}, {how}"), serde_json::json!(times));
        }
    }
    keep("boot", &found.into());
}
