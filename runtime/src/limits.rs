//! Upper bounds the host enforces.

use std::time::Duration;

/// Bytes of linear memory that wasm32 can address, less the last page.
pub(crate) const MAX_MEMORY: u64 = (1 << 32) - (1 << 16);

/// All bounds of one sandbox. The default bounds memory, logs and files; times are unbounded.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Linear memory, bytes. Reaching it raises `MemoryError` inside Python. Default 2 GiB.
    pub memory_bytes: u64,
    /// Bytes the guest may write to its output channel in its life; `None` is unbounded.
    pub output_bytes: Option<u64>,
    /// Bytes of standard output and error kept; the rest is dropped with a notice. Default 16 MiB.
    pub log_bytes: u64,
    /// Files, directories and streams open at once. Default 256.
    pub open_files: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { memory_bytes: 2 << 30, output_bytes: None, log_bytes: 16 << 20, open_files: 256 }
    }
}

/// Bounds of one task, armed by [`crate::Sandbox::begin_task`]; `None` is unbounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskLimits {
    /// Wall-clock time of the task.
    pub deadline: Option<Duration>,
    /// CPU time of the guest's thread.
    pub cpu: Option<Duration>,
    /// Wall-clock time of one call: from where the guest has read input or given output until it
    /// does so again. Time in which it waits for the host does not count. A guest that means harm can
    /// end its calls as often as it likes: against it there are the other two.
    pub call: Option<Duration>,
}

/// Names of the limits, as they appear in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitKind {
    /// Linear memory, bytes.
    Memory,
    /// Memory that the embedder grants from case to case, bytes.
    Granted,
    /// Wall-clock time of a task, milliseconds.
    Deadline,
    /// CPU time of a task, milliseconds.
    Cpu,
    /// Wall-clock time of one call, milliseconds.
    Call,
    /// Output channel, bytes.
    Output,
    /// Open files.
    OpenFiles,
    /// Files in a directory with a quota, bytes.
    Disk,
    /// The wasm stack.
    Stack,
}

impl LimitKind {
    /// The limit's name in errors and metrics.
    pub fn name(self) -> &'static str {
        match self {
            LimitKind::Memory => "memory",
            LimitKind::Granted => "granted memory",
            LimitKind::Deadline => "deadline",
            LimitKind::Cpu => "cpu time",
            LimitKind::Call => "deadline of a call",
            LimitKind::Output => "output",
            LimitKind::OpenFiles => "open files",
            LimitKind::Disk => "disk",
            LimitKind::Stack => "stack",
        }
    }

    /// The unit of its numbers.
    pub fn unit(self) -> &'static str {
        match self {
            LimitKind::Memory
            | LimitKind::Granted
            | LimitKind::Output
            | LimitKind::Stack
            | LimitKind::Disk => "bytes",
            LimitKind::Deadline | LimitKind::Cpu | LimitKind::Call => "ms",
            LimitKind::OpenFiles => "files",
        }
    }

    pub(crate) fn sentence(self, allowed: u64, used: u64, asked: u64) -> String {
        let mib = |n: u64| format!("{:.1} MiB", n as f64 / (1 << 20) as f64);
        match self {
            LimitKind::Memory => {
                let (allowed, used, asked) = (mib(allowed), mib(used), mib(asked));
                format!("memory: {allowed} allowed, {used} used, {asked} asked in all")
            }
            LimitKind::Granted => {
                let (allowed, used, asked) = (mib(allowed), mib(used), mib(asked));
                format!("memory: {allowed} granted, {used} used, {asked} asked in all")
            }
            LimitKind::Output => {
                format!("output: {allowed} bytes allowed, {asked} bytes written")
            }
            LimitKind::Deadline => {
                format!("deadline: the task may run {allowed} ms and ran {asked} ms")
            }
            LimitKind::Cpu => {
                format!("cpu time: the task may use {allowed} ms and used {asked} ms")
            }
            LimitKind::Call => format!(
                "deadline of a call: the function may run {allowed} ms until it takes more input or gives results, and ran {asked} ms"
            ),
            LimitKind::OpenFiles => {
                format!("open files: {allowed} allowed, {asked} asked")
            }
            LimitKind::Disk => {
                format!("disk: {} of files allowed, {} asked", mib(allowed), mib(asked))
            }
            LimitKind::Stack => {
                format!("stack: {} allowed; the guest recursed deeper", mib(allowed))
            }
        }
    }
}
