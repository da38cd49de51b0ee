//! See `benches/runtime/*.rs`: each states its question and what it does not measure.
