//! Sandboxes: one live guest on a thread of its own.

use crate::abi;
use crate::admission::{self, Admission};
use crate::callback::Callbacks;
use crate::channel::Channels;
use crate::disk::Disk;
use crate::engine::{THREAD_STACK, WASM_STACK};
use crate::fault::{Fault, LimitExceeded};
use crate::grants::{ClockPolicy, Grants, RandomPolicy};
use crate::image::Image;
use crate::imports::{GuestState, Raised};
use crate::interrupt::Interrupt;
use crate::limits::{LimitKind, Limits, TaskLimits};
use crate::log::{GuestLog, LogSink};
use crate::snapshot::Snapshot;
use crate::watchdog::Watched;
use rand::SeedableRng;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::{CallHook, Instance, Store, Trap, Val};
use wasmtime_wasi::{
    FsPerms, HostMonotonicClock, HostWallClock, I32Exit, WasiCtxBuilder, WasiView,
};

/// Bytes one host call may copy for the guest: a whole broadcast file read at once fits.
const HOSTCALL_BYTES: usize = 1 << 30;
/// Function table entries a guest may have.
const MAX_TABLE: usize = 1 << 20;

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
}

/// A running guest. Dropping it stops the guest.
#[derive(Debug)]
pub struct Sandbox {
    channels: Arc<Channels>,
    interrupt: Arc<Interrupt>,
    watched: Arc<Watched>,
    outcome: Arc<Outcome>,
    meter: Arc<Meter>,
}

/// Figures of a sandbox.
#[derive(Debug, Clone, serde::Serialize)]
pub struct SandboxStats {
    /// Linear memory now, bytes.
    pub memory_bytes: u64,
    /// Most memory an allocation was refused at, bytes; 0 if none was.
    pub memory_refused_bytes: u64,
    /// CPU time of the guest's thread, microseconds; host calls are in it.
    pub cpu_us: u64,
    /// From start until the worker could take its first byte, microseconds; 0 if not yet.
    pub start_us: u64,
    /// Whether it started from a snapshot.
    pub from_snapshot: bool,
    /// Bytes given to the guest.
    pub bytes_in: u64,
    /// Bytes the guest wrote.
    pub bytes_out: u64,
    /// Time in which batches were copied, in and out, microseconds.
    pub copy_us: u64,
    /// Time in which batches of the guest's were validated, microseconds.
    pub validate_us: u64,
}

/// Counters shared between the guest's thread and its owner.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    memory: AtomicU64,
    refused: AtomicU64,
    start_us: AtomicU64,
    from_snapshot: AtomicU64,
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
        let began = Instant::now();
        let channels = Arc::new(Channels::new(spec.channel_bytes));
        let interrupt = Interrupt::new(Arc::clone(&channels));
        let watched = Watched::new(Arc::clone(&interrupt));
        let sandbox = Sandbox {
            channels,
            interrupt,
            watched,
            outcome: Arc::default(),
            meter: Arc::default(),
        };
        let log = GuestLog::new(Arc::clone(&spec.log), spec.limits.log_bytes);
        let state = sandbox.state(image, &spec, &log, began)?;
        let guest = Guest {
            image: Arc::clone(image),
            interrupt: Arc::clone(&sandbox.interrupt),
            watched: Arc::clone(&sandbox.watched),
            meter: Arc::clone(&sandbox.meter),
            limits: spec.limits,
            snapshot_key: spec.snapshot_key.filter(|_| image.can_snapshot()),
            began,
        };
        let (channels, outcome) = (Arc::clone(&sandbox.channels), Arc::clone(&sandbox.outcome));
        std::thread::Builder::new()
            .name(format!("davy {}", spec.name))
            .stack_size(THREAD_STACK)
            .spawn(move || {
                let run = std::panic::AssertUnwindSafe(|| guest.run(state, &log));
                let result = std::panic::catch_unwind(run)
                    .unwrap_or_else(|_| Err(Fault::host("a panic in the sandbox's thread")));
                *outcome.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
                outcome.done.notify_all();
                channels.end_output();
            })
            .map_err(|e| Fault::host(format!("starting a guest thread: {e}")))?;
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

    /// Arms the time limits of a task that begins now; `None` twice disarms them.
    pub fn begin_task(&self, deadline: Option<Duration>, cpu: Option<Duration>) {
        self.channels.pass_batches(false); // until the task says otherwise
        self.watched.begin(TaskLimits { deadline, cpu });
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
        let spent = self.channels.spent();
        SandboxStats {
            memory_bytes: load(&self.meter.memory),
            memory_refused_bytes: load(&self.meter.refused),
            cpu_us: micros(self.watched.cpu()),
            start_us: load(&self.meter.start_us),
            from_snapshot: load(&self.meter.from_snapshot) != 0,
            bytes_in: self.channels.bytes_in(),
            bytes_out: self.channels.bytes_out(),
            copy_us: micros(spent.copying),
            validate_us: micros(spent.validating),
        }
    }

    fn state(
        &self,
        image: &Image,
        spec: &SandboxSpec,
        log: &GuestLog,
        began: Instant,
    ) -> Result<GuestState, Fault> {
        let grants = &spec.grants;
        let admission = Admission::new(&grants.admit)
            .map_err(|e| Fault::host(format!("making the folder for admitted files: {e}")))?;
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(log.clone())
            .stderr(log.sibling())
            .allow_blocking_current_thread(true)
            .monotonic_clock(Monotonic(began));
        for (name, value) in &grants.env {
            wasi.env(name, value);
        }
        if let ClockPolicy::Fixed(seconds) = grants.clock {
            wasi.wall_clock(FixedWall(Duration::from_secs(seconds)));
        }
        if let RandomPolicy::Seeded(seed) = grants.random {
            wasi.secure_random(rand::rngs::StdRng::seed_from_u64(seed));
        }
        let mut open = |host: &std::path::Path, guest: &str, perms: FsPerms| {
            wasi.preopened_dir(host, guest, perms).map(|_| ()).map_err(|e| {
                Fault::host(format!("opening the granted directory {}: {e}", host.display()))
            })
        };
        open(&image.files(), "/usr/local", FsPerms::ReadOnly)?;
        // Where Linux has them: dateutil looks nowhere else, and a zone's name is its path's end.
        let zones = image.files().join("share/zoneinfo");
        if zones.is_dir() {
            open(&zones, "/usr/share/zoneinfo", FsPerms::ReadOnly)?;
        }
        if let Some(admission) = &admission {
            open(admission.folder(), admission::GUEST_DIR, FsPerms::ReadOnly)?;
        }
        for dir in &grants.dirs {
            let perms = if dir.write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            open(&dir.host, &dir.guest, perms)?;
        }
        let mut wasi = wasi.build_p1();
        wasi.ctx().table.set_max_capacity(spec.limits.open_files as usize);
        Ok(GuestState {
            wasi,
            memory: None,
            channels: Arc::clone(&self.channels),
            session: spec.session.clone().into(),
            admission,
            callbacks: Callbacks::new(grants.callbacks.clone()),
            disk: Disk::new(&grants.dirs, spec.limits.open_files),
            memory_limit: MemoryLimit {
                meter: Arc::clone(&self.meter),
                bytes: spec.limits.memory_bytes.min(crate::limits::MAX_MEMORY),
            },
            output_limit: spec.limits.output_bytes,
            output_written: 0,
            output_schema: None,
            began,
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.interrupt.stop(Fault::Stopped { reason: "it was released".into() });
    }
}

/// The guest's thread: from instance to outcome.
struct Guest {
    image: Arc<Image>,
    interrupt: Arc<Interrupt>,
    watched: Arc<Watched>,
    meter: Arc<Meter>,
    limits: Limits,
    snapshot_key: Option<SnapshotKey>,
    began: Instant,
}

impl Guest {
    fn run(&self, state: GuestState, log: &GuestLog) -> Result<(), Fault> {
        self.watched.adopt_this_thread();
        let mut store = Store::new(&self.image.engine.wasmtime, state);
        store.limiter(|state| &mut state.memory_limit);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        let interrupt = Arc::clone(&self.interrupt);
        store.call_hook(move |_, crossing| {
            let into_guest =
                matches!(crossing, CallHook::CallingWasm | CallHook::ReturningFromHost);
            interrupt.cross(into_guest).map_err(|reason| wasmtime::Error::new(Raised(reason)))
        });
        let result = self.serve(&mut store);
        log.finish();
        result
    }

    fn serve(&self, store: &mut Store<GuestState>) -> Result<(), Fault> {
        let instance = self.image.pre.instantiate(&mut *store).map_err(|e| self.fault(&e))?;
        let memory = instance
            .get_memory(&mut *store, abi::MEMORY)
            .ok_or_else(|| Fault::guest("it exports no memory"))?;
        store.data_mut().memory = Some(memory);
        // Dropped before the store: declared after it in the caller.
        let _armed = self.interrupt.arm(memory.data_ptr(&*store));

        let abi = self.call(store, &instance, abi::ABI)?;
        if u32::try_from(abi) != Ok(abi::ABI_VERSION) {
            let wanted = abi::ABI_VERSION;
            return Err(Fault::guest(format!("it speaks contract {abi}, the host {wanted}")));
        }
        let key = self.snapshot_key.as_ref();
        match key.and_then(|key| self.image.snapshot(key)) {
            Some(snapshot) => {
                let (allowed, asked) = (self.limits.memory_bytes, snapshot.bytes() as u64);
                if asked > allowed {
                    return Err(LimitExceeded { limit: LimitKind::Memory, allowed, asked }.into());
                }
                snapshot.restore(&mut *store, memory)?;
                set_stack_pointer(store, &instance, snapshot.stack_pointer)?;
                self.meter.from_snapshot.store(1, Ordering::Relaxed);
            }
            None => {
                self.boot(store, &instance)?;
                if let Some(key) = key {
                    let pointer = stack_pointer(store, &instance)?;
                    let snapshot = Snapshot::take(memory.data(&*store), pointer)
                        .map_err(|e| Fault::host(format!("taking a snapshot: {e}")))?;
                    self.image.keep_snapshot(key, snapshot);
                }
            }
        }
        let start = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.meter.start_us.store(start, Ordering::Relaxed);
        let code = self.call(store, &instance, abi::SERVE)?;
        // A worker that could not even tell of its MemoryError, for want of memory.
        match store.data().memory_limit.exceeded() {
            Some(exceeded) if code != 0 => Err(exceeded.into()),
            _ => Ok(()),
        }
    }

    fn boot(&self, store: &mut Store<GuestState>, instance: &Instance) -> Result<(), Fault> {
        if let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, abi::INITIALIZE) {
            initialize.call(&mut *store, ()).map_err(|e| self.fault(&e))?;
        }
        match self.call(store, instance, abi::BOOT)? {
            0 => Ok(()),
            _ => Err(Fault::Guest {
                what: "its Python did not start; the traceback is in the log".into(),
            }),
        }
    }

    fn call(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
        export: &str,
    ) -> Result<i32, Fault> {
        instance
            .get_typed_func::<(), i32>(&mut *store, export)
            .map_err(|_| Fault::guest(format!("it does not export {export}() -> i32")))?
            .call(&mut *store, ())
            .map_err(|e| self.fault(&e))
    }

    /// Whose fault an abrupt end was.
    fn fault(&self, error: &wasmtime::Error) -> Fault {
        if let Some(reason) = self.interrupt.reason() {
            return reason;
        }
        if let Some(Raised(fault)) = error.downcast_ref() {
            return fault.clone();
        }
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Fault::Script {
                what: format!(
                    "the Python code ended its interpreter with exit code {} (os._exit, or a fatal error; the log may tell more)",
                    exit.0
                ),
            };
        }
        if error.downcast_ref::<wasmtime_wasi::ResourceTableError>().is_some() {
            let allowed = u64::from(self.limits.open_files);
            return LimitExceeded { limit: LimitKind::OpenFiles, allowed, asked: allowed + 1 }
                .into();
        }
        if error.downcast_ref::<wiggle::GuestError>().is_some() {
            return Fault::guest(format!("it passed WASI a wrong value: {error:#}"));
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => {
                let allowed = WASM_STACK as u64;
                LimitExceeded { limit: LimitKind::Stack, allowed, asked: allowed }.into()
            }
            Some(Trap::UnreachableCodeReached) => Fault::Script {
                what: "the Python interpreter aborted (os.abort, or a fatal error; the log may tell more)".into(),
            },
            Some(trap) => Fault::guest(format!("{trap} ({error:#})")),
            None => Fault::host(format!("{error:#}")),
        }
    }
}

fn stack_pointer(store: &mut Store<GuestState>, instance: &Instance) -> Result<i32, Fault> {
    let global = instance.get_global(&mut *store, abi::STACK_POINTER);
    match global.map(|g| g.get(&mut *store)) {
        Some(Val::I32(value)) => Ok(value),
        _ => Err(Fault::guest("it exports no __stack_pointer")),
    }
}

fn set_stack_pointer(
    store: &mut Store<GuestState>,
    instance: &Instance,
    value: i32,
) -> Result<(), Fault> {
    instance
        .get_global(&mut *store, abi::STACK_POINTER)
        .ok_or_else(|| Fault::guest("it exports no __stack_pointer"))?
        .set(&mut *store, Val::I32(value))
        .map_err(|e| Fault::host(format!("restoring a snapshot: {e}")))
}

/// Refuses growth past the limit; Python then raises `MemoryError`.
pub(crate) struct MemoryLimit {
    meter: Arc<Meter>,
    pub(crate) bytes: u64,
}

impl MemoryLimit {
    /// The limit and what was asked beyond it, if anything ever was.
    pub(crate) fn exceeded(&self) -> Option<LimitExceeded> {
        let asked = self.meter.refused.load(Ordering::Relaxed);
        let limit = LimitKind::Memory;
        (asked > 0).then_some(LimitExceeded { limit, allowed: self.bytes, asked })
    }
}

impl wasmtime::ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let desired = desired as u64;
        if desired > self.bytes {
            self.meter.refused.fetch_max(desired, Ordering::Relaxed);
            return Ok(false);
        }
        self.meter.memory.fetch_max(desired, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE)
    }
}

struct Monotonic(Instant);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        1
    }
    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

struct FixedWall(Duration);

impl HostWallClock for FixedWall {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }
    fn now(&self) -> Duration {
        self.0
    }
}
