//! A sandbox's guest, on its thread: what each instance starts with, and on to the next instance when
//! a task starts again from a job snapshot. One instance's life is [`crate::life`].

use crate::admission::{self, Admission};
use crate::callback::Callbacks;
use crate::channel::Channels;
use crate::disk::Disk;
use crate::engine::WASM_STACK;
use crate::failpoint::step;
use crate::fault::{Fault, LimitExceeded};
use crate::freeze;
use crate::grants::{ClockPolicy, RandomPolicy};
use crate::image::Image;
use crate::imports::{GuestState, Raised};
use crate::interrupt::Interrupt;
use crate::job::{Desk, JobKey, Made, Plan, Resume, Role, Shared};
use crate::life::{End, Fresh};
use crate::limits::LimitKind;
use crate::log::{GuestLog, LogSink};
use crate::lower::Lowers;
use crate::memory_limit::MemoryLimit;
use crate::sandbox::{Meter, SandboxSpec};
use crate::snapshot::Snapshot;
use crate::watchdog::Watched;
use rand::SeedableRng;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use wasmtime::{Engine, Store, ThrownException, Trap};
use wasmtime_wasi::{
    FsPerms, HostMonotonicClock, HostWallClock, I32Exit, WasiCtxBuilder, WasiView,
};

/// The descriptor of the first folder: 0 to 2 are the streams.
const FIRST_DIR: i32 = 3;

/// Bytes one host call may copy for the guest: a whole broadcast file read at once fits.
const HOSTCALL_BYTES: usize = 1 << 30;

/// Zero of the monotonic clock of every guest: what was read of it in one that became a snapshot lies in the
/// past of those that start from there.
static MONOTONIC_ZERO: LazyLock<Instant> = LazyLock::new(Instant::now);

/// All that a sandbox's thread has.
pub(crate) struct Guest {
    pub(crate) image: Arc<Image>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) interrupt: Arc<Interrupt>,
    pub(crate) watched: Arc<Watched>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) log: GuestLog,
    pub(crate) spec: SandboxSpec,
    pub(crate) began: Instant,
}

/// What the first instance starts with: its state, and a job snapshot, if it is a guess at the first
/// task's command.
pub(crate) type First = (GuestState, Option<Arc<Snapshot>>);

/// A guest that loads a command beside its task says nothing.
struct Silence;

impl LogSink for Silence {
    fn lines(&self, _text: &[u8]) {}
}

impl Guest {
    /// A guest that waits for its thread.
    pub(crate) fn new(image: &Arc<Image>, spec: SandboxSpec) -> Arc<Guest> {
        let began = Instant::now();
        let channels = Arc::new(Channels::new(spec.channel_bytes));
        let interrupt = Interrupt::new(Arc::clone(&channels));
        let watched = Watched::new(Arc::clone(&interrupt), Arc::clone(&channels));
        let meter = Arc::default();
        let log = GuestLog::new(Arc::clone(&spec.log), spec.limits.log_bytes).counted_in(&meter);
        let image = Arc::clone(image);
        Arc::new(Guest { image, channels, interrupt, watched, meter, log, spec, began })
    }

    /// Runs tasks to the end.
    pub(crate) fn run(self: &Arc<Self>, first: First) -> Result<(), Fault> {
        self.watched.adopt_this_thread();
        let result = self.tasks(first);
        self.log.finish();
        result
    }

    fn tasks(self: &Arc<Self>, (mut state, mut from): First) -> Result<(), Fault> {
        loop {
            match self.live(state, from.as_ref())? {
                End::Restart(Plan::Resume(resume)) => {
                    let guessed = resume.guessed();
                    let Resume { snapshot, key, carry, outcome } = *resume;
                    self.channels.rewind_input(outcome, guessed);
                    let role = Role::Resume { key, guessed };
                    state = self.state(&self.meter, &self.log, role, carry)?;
                    from = Some(snapshot);
                }
                End::Restart(Plan::Anew) => {
                    self.channels.rewind_input("", true);
                    state = self.first_state()?;
                    state.job = state.job.guesses_no_more();
                    from = None;
                }
                End::Restart(Plan::Refuse(_)) => {
                    return Err(Fault::host("a task refused to be loaded"));
                }
                End::Served | End::Loaded(_) => return Ok(()),
            }
        }
    }

    /// Loads the task's command in a guest of its own, while the task's guest waits.
    fn load(self: &Arc<Self>, key: &JobKey, carry: &[u8]) -> Result<Made, Fault> {
        self.channels.replay_input();
        let role = Role::Prepare { key: key.clone(), named: false, done: false };
        let log = GuestLog::new(Arc::new(Silence), 0);
        let state = self.state(&Arc::default(), &log, role, carry.to_vec());
        let end = state.and_then(|state| self.live(state, None));
        self.channels.end_replay();
        let why = match end {
            Ok(End::Loaded(snapshot)) => return Ok(Ok(Arc::new(snapshot))),
            Ok(End::Restart(Plan::Refuse(why))) => why,
            Ok(End::Served | End::Restart(_)) => "its guest ended before it was loaded".into(),
            // The task is stopped, or its time is over.
            Err(_) if self.interrupt.reason().is_some() => {
                return Err(self.interrupt.reason().unwrap_or_else(|| Fault::host("stopped")));
            }
            Err(fault) => format!("loading it failed ({fault})").into(),
        };
        Ok(Err(why))
    }

    /// One instance, from its start to its end.
    fn live(&self, state: GuestState, from: Option<&Arc<Snapshot>>) -> Result<End, Fault> {
        let key = self.spec.snapshot_key.as_ref().filter(|_| self.image.can_snapshot());
        let known = key.filter(|_| from.is_none()).and_then(|key| self.image.snapshot(key));
        let worker = from.or(known.as_ref());
        let image = self.image.prepared(&self.spec.grants).filter(|_| worker.is_none());
        let fresh = Fresh::new(self, state, worker.or(image))?;
        match worker {
            Some(snapshot) => fresh.restore(snapshot)?.serve(),
            None => {
                let prepared = match image {
                    Some(snapshot) => fresh.resume(snapshot)?,
                    None => fresh.prepare()?,
                };
                let mut booted = prepared.boot()?;
                if let Some(key) = key {
                    self.image.keep_snapshot(key, booted.freeze()?);
                }
                booted.ready().serve()
            }
        }
    }

    /// Prepares a guest for the image.
    pub(crate) fn freeze(self: &Arc<Self>) -> Result<Snapshot, Fault> {
        self.watched.adopt_this_thread();
        let fresh = Fresh::new(self, self.first_state()?, None)?;
        let mut prepared = fresh.prepare()?;
        self.log.finish();
        freeze::keeps_nothing_open(prepared.state())?;
        prepared.freeze()
    }

    /// What it starts with before its first task.
    ///
    /// # Errors
    /// [`Fault::Host`] if a granted directory cannot be opened.
    pub(crate) fn first(self: &Arc<Self>) -> Result<First, Fault> {
        let tenant = self.channels.lock().tenant.clone();
        let of = tenant.zip(self.shared());
        match of.and_then(|(tenant, shared)| shared.jobs.likely(&shared.worker, &tenant)) {
            Some((key, snapshot)) => {
                let role = Role::Resume { key, guessed: true };
                Ok((self.state(&self.meter, &self.log, role, Vec::new())?, Some(snapshot)))
            }
            None => Ok((self.first_state()?, None)),
        }
    }

    /// What an instance starts with that knows no command.
    ///
    /// # Errors
    /// [`Fault::Host`] if a granted directory cannot be opened.
    pub(crate) fn first_state(self: &Arc<Self>) -> Result<GuestState, Fault> {
        self.state(&self.meter, &self.log, Role::Serve, Vec::new())
    }

    fn state(
        self: &Arc<Self>,
        meter: &Arc<Meter>,
        log: &GuestLog,
        role: Role,
        carry: Vec<u8>,
    ) -> Result<GuestState, Fault> {
        let (spec, grants, began) = (&self.spec, &self.spec.grants, *MONOTONIC_ZERO);
        let job = Desk::new(self.shared(), role, carry);
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
        let files = self.image.files()?;
        // Where Linux has them: dateutil looks nowhere else, and a zone's name is its path's end.
        let zones = files.join("share/zoneinfo");
        let mut dirs = vec![(&*files, "/usr/local", FsPerms::ReadOnly)];
        if zones.is_dir() {
            dirs.push((&zones, "/usr/share/zoneinfo", FsPerms::ReadOnly));
        }
        if let Some(admission) = &admission {
            dirs.push((admission.folder(), admission::GUEST_DIR, FsPerms::ReadOnly));
        }
        let lowers = Lowers::new(&grants.dirs, FIRST_DIR + dirs.len() as i32);
        for dir in &grants.dirs {
            // What is loaded beside a task must leave no trace.
            let write = dir.write && !job.prepares();
            let perms = if write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            dirs.push((&dir.host, &dir.guest, perms));
        }
        for (host, guest, perms) in dirs {
            let opened = step("grant.open")
                .map_err(wasmtime::Error::new)
                .and_then(|()| wasi.preopened_dir(host, guest, perms).map(|_| ()));
            opened.map_err(|e| {
                Fault::host(format!("opening the granted directory {}: {e}", host.display()))
            })?;
        }
        let mut wasi = wasi.build_p1();
        wasi.ctx().table.set_max_capacity(spec.limits.open_files as usize);
        Ok(GuestState {
            wasi,
            memory: None,
            channels: Arc::clone(&self.channels),
            session: spec.session.clone().into(),
            admission,
            callbacks: Callbacks::new(grants.callbacks.clone().filter(|_| !job.prepares())),
            job,
            disk: Disk::new(&grants.dirs, spec.limits.open_files),
            lowers,
            memory_limit: MemoryLimit::new(
                Arc::clone(meter),
                spec.limits.memory_bytes,
                Arc::clone(&self.channels),
            ),
            output_limit: spec.limits.output_bytes,
            output_written: 0,
            output_schema: None,
            began,
            origin: None,
        })
    }

    /// What this sandbox's tasks share with those of other sandboxes.
    fn shared(self: &Arc<Self>) -> Option<Shared> {
        let key = self.spec.snapshot_key.as_ref();
        let key = key.filter(|key| key.jobs && self.image.can_snapshot())?;
        let session = blake3::hash(&self.spec.session).to_hex();
        let guest = Arc::clone(self);
        Some(Shared {
            jobs: Arc::clone(&self.image.jobs),
            worker: format!("{} {session}", key.key).into(),
            loader: Arc::new(move |key, carry| guest.load(key, carry)),
        })
    }

    /// Whose fault an abrupt end was.
    pub(crate) fn fault(&self, error: &wasmtime::Error) -> Fault {
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
            let allowed = u64::from(self.spec.limits.open_files);
            let (limit, asked) = (LimitKind::OpenFiles, allowed + 1);
            return LimitExceeded { limit, allowed, used: allowed, asked }.into();
        }
        if error.downcast_ref::<wiggle::GuestError>().is_some() {
            return Fault::guest(format!("it passed WASI a wrong value: {error:#}"));
        }
        if error.downcast_ref::<ThrownException>().is_some() {
            let what = "an exception of C++ was thrown that nobody caught";
            return Fault::Script { what: what.into() };
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => {
                let allowed = WASM_STACK as u64;
                let limit = LimitKind::Stack;
                LimitExceeded { limit, allowed, used: allowed, asked: allowed }.into()
            }
            Some(Trap::UnreachableCodeReached) => Fault::Script {
                what: "the Python interpreter aborted (os.abort, or a fatal error; the log may tell more)".into(),
            },
            Some(trap) => Fault::guest(format!("{trap} ({error:#})")),
            None => Fault::host(format!("{error:#}")),
        }
    }
}

/// A store whose growth its state's limit decides.
pub(crate) fn limited_store(engine: &Engine, state: GuestState) -> Store<GuestState> {
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory_limit);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store
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
