//! Davy's runtime: hosts sealed Python guests in WebAssembly.
//!
//! The life of a guest, each state a type:
//!
//! [`Engine`] (one a process) → [`Image`] (verified, compiled) → [`Sandbox`] (one live
//! instance on a thread of its own) with its [`Channels`], stopped by its [`Interrupt`].
//!
//! Everything is denied until granted: see [`Grants`]. Every bound is in [`Limits`]. Every way
//! to fail is a [`Fault`], which says whose fault it is.
//!
//! This crate knows nothing of Spark or the JVM and reads no environment variable.

mod abi;
mod admission;
mod batches;
mod budget;
mod cache;
mod callback;
mod channel;
mod columns;
mod compiled;
mod cycles;
mod disk;
mod engine;
mod failpoint;
mod fault;
mod files;
mod freeze;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod guest;
mod image;
mod imports;
mod instrument;
mod interrupt;
mod job;
mod life;
mod limits;
mod log;
mod lower;
mod manifest;
mod memory_limit;
mod pack;
mod paths;
mod poll_oneoff;
mod prepared;
mod recursion;
mod rewind;
mod sandbox;
mod snapshot;
mod source;
mod stamp;
mod tenant;
mod transfers;
mod unpacked;
mod watchdog;
mod workers;

pub use admission::AdmitRule;
pub use batches::{InputBatch, Output};
pub use budget::{Held, MEMORY};
pub use cache::{Cache, CacheError};
pub use callback::CallbackRule;
pub use channel::{Channels, READABLE, Ready, WRITABLE};
pub use columns::{Node, OutputBatch};
pub use engine::Engine;
#[cfg(feature = "failpoints")]
pub use failpoint::script as failpoints;
pub use fault::{Fault, ImageError, LimitExceeded};
pub use freeze::freeze;
pub use grants::{ClockPolicy, DirGrant, Grants, RandomPolicy};
pub use image::{Image, SnapshotFigures};
pub use interrupt::Interrupt;
pub use limits::{LimitKind, Limits, TaskLimits};
pub use log::{LogSink, StderrLog};
pub use manifest::{Frozen, Manifest};
pub use pack::{pack, pack_with_snapshot};
pub use sandbox::{Sandbox, SandboxSpec, SandboxStats, SnapshotKey};
