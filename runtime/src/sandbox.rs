//! Sandboxes: one live guest on a thread of its own.

use crate::channel::Channels;
use crate::engine::THREAD_STACK;
use crate::failpoint::step;
use crate::fault::Fault;
use crate::grants::Grants;
use crate::guest::Guest;
use crate::image::Image;
use crate::interrupt::Interrupt;
use crate::limits::{Limits, TaskLimits};
use crate::log::LogSink;
use crate::tenant::Tenant;
use crate::watchdog::Watched;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// What a sandbox is started with.
pub struct SandboxSpec {
    /// Appears in the guest thread's name and in logs.
    pub name: String,
    /// The session document, JSON, as the guest's worker reads it.
    pub session: Vec<u8>,
    /// Bounds.
    pub limits: Limits,
    /// Capabilities.
    pub grants: Grants,
    /// Bytes each channel holds before its writer waits.
    pub channel_bytes: usize,
    /// Where standard output and error go.
    pub log: Arc<dyn LogSink>,
    /// Sandboxes of one image whose boot reads the same part of the session share a snapshot of
    /// the booted guest under this key; `None` boots afresh.
    pub snapshot_key: Option<SnapshotKey>,
}

/// Names what the boot of a guest depends on.
#[derive(Debug, Clone)]
pub struct SnapshotKey {
    /// A digest of everything boot reads: worker, paths, environment, versions of the files.
    pub key: String,
    /// Whether the key is exact enough to keep the snapshot in the cache for other processes.
    pub on_disk: bool,
    /// Whether tasks that load the same command may share a snapshot of the guest that loaded it.
    pub jobs: bool,
}

/// A running guest. Dropping it stops the guest.
#[derive(Debug)]
pub struct Sandbox {
    channels: Arc<Channels>,
    interrupt: Arc<Interrupt>,
    watched: Arc<Watched>,
    outcome: Arc<Outcome>,
    meter: Arc<Meter>,
    /// Whether a task may start again from a job snapshot, for which its input is kept.
    jobs: bool,
}

/// Figures of a sandbox.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SandboxStats {
    /// Linear memory, bytes: the most it ever had.
    pub memory_bytes: u64,
    /// Memory of its own now: not what it shares with others that started from the same snapshot.
    pub own_bytes: u64,
    /// Most memory an allocation was refused at, bytes; 0 if none was.
    pub memory_refused_bytes: u64,
    /// How often a limit was met: allocations refused, a log cut, and the fault that ended the guest.
    pub limits_met: u64,
    /// CPU time of the guest's thread, microseconds; host calls are in it.
    pub cpu_us: u64,
    /// From start until the worker could take its first byte, microseconds; 0 if not yet.
    pub start_us: u64,
    /// Whether it started from a snapshot.
    pub from_snapshot: bool,
    /// What became of the job snapshot of the task that runs: `used`, `made`, `refused: ` or, after
    /// another task's refusal, `refused before: ` and the reason; empty if none was worth it.
    pub job_snapshot: String,
    /// Bytes given to the guest.
    pub bytes_in: u64,
    /// Bytes the guest wrote.
    pub bytes_out: u64,
    /// Time in which batches were copied into linear memory, nanoseconds.
    pub copy_in_ns: u64,
    /// Time in which batches were copied out of it, nanoseconds.
    pub copy_out_ns: u64,
    /// Time in which batches of the guest's were validated, microseconds.
    pub validate_us: u64,
}

/// Counters shared between the guest's thread and its owner.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) memory: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) refusals: AtomicU64,
    pub(crate) start_us: AtomicU64,
    pub(crate) from_snapshot: AtomicU64,
}

#[derive(Debug, Default)]
struct Outcome {
    result: Mutex<Option<Result<(), Fault>>>,
    done: Condvar,
}

impl Sandbox {
    /// Starts a guest of `image`. Returns at once; the guest boots on its own thread.
    ///
    /// # Errors
    /// [`Fault::Host`] if a granted directory cannot be opened or no thread can be had.
    pub fn start(image: &Arc<Image>, spec: SandboxSpec) -> Result<Sandbox, Fault> {
        Sandbox::start_of(image, spec, None)
    }

    /// As [`Sandbox::start`], of one that serves `tenant`: it starts with the command loaded that the
    /// tenant's last task had, if that is kept. Each task is to begin with [`Sandbox::begin_task`].
    ///
    /// # Errors
    /// As for [`Sandbox::start`].
    pub fn start_for(
        image: &Arc<Image>,
        spec: SandboxSpec,
        tenant: &str,
    ) -> Result<Sandbox, Fault> {
        Sandbox::start_of(image, spec, Some(tenant.into()))
    }

    fn start_of(image: &Arc<Image>, spec: SandboxSpec, tenant: Tenant) -> Result<Sandbox, Fault> {
        let name = format!("davy {}", spec.name);
        let jobs = image.can_snapshot() && spec.snapshot_key.as_ref().is_some_and(|key| key.jobs);
        let guest = Guest::new(image, spec);
        guest.channels.lock().tenant = tenant;
        let sandbox = Sandbox {
            channels: Arc::clone(&guest.channels),
            interrupt: Arc::clone(&guest.interrupt),
            watched: Arc::clone(&guest.watched),
            outcome: Arc::default(),
            meter: Arc::clone(&guest.meter),
            jobs,
        };
        let first = guest.first()?;
        let (channels, outcome) = (Arc::clone(&sandbox.channels), Arc::clone(&sandbox.outcome));
        let thread = step("guest.thread").map(|()| std::thread::Builder::new());
        let failed = |e| Fault::host(format!("starting a guest thread: {e}"));
        thread
            .map_err(failed)?
            .name(name)
            .stack_size(THREAD_STACK)
            .spawn(move || {
                let run = std::panic::AssertUnwindSafe(|| guest.run(first));
                let result = std::panic::catch_unwind(run)
                    .unwrap_or_else(|_| Err(Fault::host("a panic in the sandbox's thread")));
                *outcome.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                outcome.done.notify_all();
                channels.end_output();
            })
            .map_err(failed)?;
        Ok(sandbox)
    }

    /// The byte channels to and from the guest.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The switch that stops the guest.
    pub fn interrupt(&self) -> &Arc<Interrupt> {
        &self.interrupt
    }

    /// Arms the time limits of a task that begins now; none disarm them.
    pub fn begin_task(&self, limits: TaskLimits) {
        self.channels.pass_batches(false); // until the task says otherwise
        self.channels.forget_ports();
        self.channels.begin_input(self.jobs);
        self.watched.begin(limits);
    }

    /// How the guest ended, if it has: `Ok` when its worker returned.
    pub fn outcome(&self) -> Option<Result<(), Fault>> {
        self.outcome.result.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the guest's end.
    ///
    /// # Errors
    /// The fault it ended by.
    pub fn wait(&self) -> Result<(), Fault> {
        let mut result = self.outcome.result.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(result) = result.clone() {
                return result;
            }
            result = self.outcome.done.wait(result).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Figures of now.
    pub fn stats(&self) -> SandboxStats {
        let load = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let spent = self.channels.spent();
        let ended_by_limit = matches!(self.outcome(), Some(Err(Fault::Limit(_))));
        SandboxStats {
            memory_bytes: load(&self.meter.memory),
            own_bytes: self.channels.memory_held().bytes,
            memory_refused_bytes: load(&self.meter.refused),
            limits_met: load(&self.meter.refusals) + u64::from(ended_by_limit),
            cpu_us: micros(self.watched.cpu()),
            start_us: load(&self.meter.start_us),
            from_snapshot: load(&self.meter.from_snapshot) != 0,
            job_snapshot: self.channels.job_outcome(),
            bytes_in: self.channels.bytes_in(),
            bytes_out: self.channels.bytes_out(),
            copy_in_ns: nanos(spent.copying_in),
            copy_out_ns: nanos(spent.copying_out),
            validate_us: micros(spent.validating),
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.interrupt.stop(Fault::Stopped { reason: "it was released".into() });
    }
}
