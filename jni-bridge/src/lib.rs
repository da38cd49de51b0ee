//! The bridge between the JVM and the runtime: each native method decodes its arguments, makes
//! one safe call, and encodes the answer.
//!
//! Ownership: an image and a sandbox live in a registry here; Java holds opaque handles, never
//! pointers. Bytes are copied at each crossing; no reference to Java memory outlives a call, but for
//! the buffers of Arrow batches, whose owner is told when they are no longer read ([`batches`]).
//! Every error and every panic becomes a `davy.DavyException` by one policy ([`failure`]).

mod batches;
mod buffers;
mod exports;
mod failure;
mod handles;
mod spec;
