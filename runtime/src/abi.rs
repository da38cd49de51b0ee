//! The contract with a guest module, version 1. `guest-python/core` is its other half.
//!
//! Exports the host calls, in this order: `_initialize`, `davy_abi() -> i32`, `davy_prepare() -> i32`
//! (initialise Python and import what no session has a say in; a guest without it has no such part),
//! `davy_boot() -> i32` (read the session and import the worker; no user code runs) and
//! `davy_serve() -> i32` (serve the channel until end of input). Between the last three the wasm stack
//! is empty, so linear memory and `__stack_pointer` are the guest's whole state: that is where snapshots
//! are taken. What a guest has read of the host before one, other than its environment, it reads anew.

/// What `davy_abi` must return, and the manifest's `abi`.
pub(crate) const ABI_VERSION: u32 = 1;

/// Guest exports.
pub(crate) const MEMORY: &str = "memory";
pub(crate) const STACK_POINTER: &str = "__stack_pointer";
pub(crate) const INITIALIZE: &str = "_initialize";
pub(crate) const ABI: &str = "davy_abi";
pub(crate) const PREPARE: &str = "davy_prepare";
pub(crate) const BOOT: &str = "davy_boot";
pub(crate) const SERVE: &str = "davy_serve";

/// Import module of Davy's own host functions.
pub(crate) const MODULE: &str = "davy";
/// Import module of WASI preview 1.
pub(crate) const WASI: &str = "wasi_snapshot_preview1";

/// Gateway verbs: the closed set of control requests.
pub(crate) mod verb {
    /// Request: a host path (UTF-8). Response: the guest path of a read-only copy.
    pub(crate) const ADMIT: u32 = 1;
    /// Request: nothing. Response: the sentence of the memory limit if it was met, else nothing.
    pub(crate) const MEMORY: u32 = 2;
    /// Request: the host path (UTF-8) of a Unix socket, or `:` and a port. Response: a handle, u32
    /// little-endian.
    pub(crate) const CONNECT: u32 = 3;
    /// Request: handle and greatest number of bytes (u32 each). Response: at least one byte; none
    /// when the other side is done.
    pub(crate) const RECEIVE: u32 = 4;
    /// Request: handle (u32) and bytes. Response: how many were taken (u32).
    pub(crate) const SEND: u32 = 5;
    /// Request: handle (u32). Response: nothing.
    pub(crate) const DISCONNECT: u32 = 6;
    /// Request: nothing. Response: the next batch that the host has put, in a response of exactly
    /// its size; the frame that announces it tells the size and the places of its buffers.
    pub(crate) const TAKE_BATCH: u32 = 7;
    /// Request: the schema of the batches to give, an Arrow schema message. Response: nothing;
    /// NOTSUP if batches of this schema have no way here.
    pub(crate) const GIVE_SCHEMA: u32 = 8;
    /// Request: the address (u32) of an `ArrowArray`, a struct of the schema's columns. Response:
    /// nothing; the guest may release the array.
    pub(crate) const GIVE_BATCH: u32 = 9;
    /// Request: nothing. Response: one byte if the task that begins passes batches, else none.
    pub(crate) const PASSES_BATCHES: u32 = 10;
    /// Request: nothing. Response: `s` to serve, `p` to load a command that is kept, `r` to serve from
    /// such a snapshot; then what the task's first run has carried over.
    pub(crate) const ROLE: u32 = 11;
    /// Request: digest (32 bytes) of the command that is to be loaded, then what to carry over.
    /// Response: `y`, `n` or `u` (see [`crate::job`]); none if the task starts again from a snapshot.
    pub(crate) const FIND_JOB: u32 = 12;
    /// Request: as before, when loading it was dear. Response: `n` if there will be no snapshot.
    pub(crate) const MAKE_JOB: u32 = 13;
    /// Request: nothing, or why the loaded command cannot be shared. Response: nothing.
    pub(crate) const JOB_LOADED: u32 = 14;
    /// Request: nothing: the task will not start again. Response: nothing.
    pub(crate) const GO_ON: u32 = 15;
    /// Request: the command that was loaded, as it is in the task's input, before [`MAKE_JOB`].
    /// Response: nothing. Later tasks that have it in theirs start from the snapshot at once.
    pub(crate) const COMMAND: u32 = 16;
}

/// WASI errno values the gateway answers with (negated).
pub(crate) mod errno {
    pub(crate) const ACCES: i32 = 2;
    pub(crate) const BADF: i32 = 8;
    pub(crate) const CONNREFUSED: i32 = 14;
    pub(crate) const INVAL: i32 = 28;
    pub(crate) const IO: i32 = 29;
    pub(crate) const MFILE: i32 = 33;
    pub(crate) const NOENT: i32 = 44;
    pub(crate) const NOSYS: i32 = 52;
    pub(crate) const NOTSUP: i32 = 58;
    pub(crate) const PIPE: i32 = 64;
}
