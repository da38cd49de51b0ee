//! The runtime's integration tests: one binary, a module per subject, guests as inline text.

mod attacks;
mod batch_lies;
mod batches;
mod guests;
mod hostile;
mod image;
mod jobs;
mod limits;
mod prepared;
mod python;
mod random_lies;
mod sandbox;
mod secrets;
mod snapshot;
