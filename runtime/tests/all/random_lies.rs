//! Batches with random changes anywhere: what is accepted is valid, all else is a fault of the guest's.
//!
//! `DAVY_LIES=100000 cargo test --release -p davy-runtime random_lies` tries that many.

use crate::batches::{GIVE, columns, every_kind, give, lay};
use crate::guests::Lab;
use arrow_schema::DataType;
use davy_runtime::Output;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const EDGES: [u32; 12] =
    [0, 1, 2, 7, 8, 64, 0xffff, 131_064, 131_072, 0x7fff_ffff, 0x8000_0000, u32::MAX];

#[test]
fn random_lies() {
    let lab = Lab::new();
    let image = lab.image(GIVE);
    let all = every_kind();
    let tries = std::env::var("DAVY_LIES").ok().and_then(|n| n.parse().ok()).unwrap_or(1500);
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..tries {
        let mut random = StdRng::seed_from_u64(seed);
        let from = random.random_range(0..all.len());
        let to = random.random_range(from..all.len()) + 1;
        let kinds: Vec<DataType> = all[from..to].iter().map(|c| c.data_type().clone()).collect();
        let (mut memory, _, _) = lay(&all[from..to]);
        let word = |at: usize| u32::from_le_bytes(memory[at..at + 4].try_into().expect("a word"));
        let schema_end = (word(0) + word(4)) as usize;
        let mut schema_as_it_was = true;
        for _ in 0..random.random_range(1..5) {
            let at = random.random_range(0..memory.len() / 4) * 4;
            let value = match random.random_range(0..3) {
                0 => EDGES[random.random_range(0..EDGES.len())],
                1 => random.random_range(0..memory.len() as u32),
                _ => random.random(),
            };
            schema_as_it_was &= at >= schema_end;
            if random.random_bool(0.5) {
                memory[at..at + 4].copy_from_slice(&value.to_le_bytes());
            } else {
                memory[at + random.random_range(0..4)] = value as u8;
            }
        }
        let (outputs, end) = give(&image, &memory);
        match end {
            Ok(()) => accepted += 1,
            Err(fault) => {
                refused += 1;
                let kind = fault.kind();
                assert!(kind == "guest" || kind == "limit", "seed {seed}: {fault}");
            }
        }
        for output in &outputs {
            if let (Output::Batch(batch), true) = (output, schema_as_it_was) {
                columns(batch, &kinds); // asserts that each is valid
            }
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
}
