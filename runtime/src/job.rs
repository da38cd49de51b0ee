//! Job snapshots: the memory of a guest that has loaded a task's command and broadcast values, from
//! which every later task with the same command starts.
//!
//! The guest names the command by a digest before it loads it ([`Desk::find`]). When loading was
//! dear it asks for a snapshot ([`Desk::make`]): the host lets a fresh guest load the command from the
//! bytes read so far, freezes its memory, and starts the task anew from there with its input rewound.
//! Who asks meanwhile waits. What cannot be shared is refused with a reason, and its tasks go on as if
//! there were no such snapshots: what loading did to the world it has done once.
//!
//! A task whose first bytes hold a command that is kept starts again from there at once
//! ([`Desk::recognise`]), and names its command then. If it names another, it was a wrong guess, and
//! the task starts once more. A guest that is started for a tenant's next task begins with such a
//! guess: that task's command is the last one's ([`Jobs::likely`]).
//!
//! Each tenant has its own: what loading did is nobody else's business.
//!
//! A guest could name another's command, having learnt its digest: so a guest that makes or has been
//! given a snapshot must name the same command when it meets it, before any code of the user's runs.

use crate::channel::Channels;
use crate::failpoint::step;
use crate::fault::Fault;
use crate::imports::Raised;
use crate::snapshot::Snapshot;
use memchr::memmem;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use wasmtime::Result;

/// Bytes of a digest as the guest sends it.
const DIGEST: usize = 32;
/// How long a job snapshot is kept that nobody starts from: as Spark keeps an idle worker.
const UNUSED: Duration = Duration::from_secs(60);
/// How often that is looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// Job snapshots that one image keeps; the one unused for longest goes first.
const MOST_KEPT: usize = 8;
/// Bytes that they hold together, unless a single one is larger.
const MOST_BYTES: u64 = 4 << 30;
/// Refusals remembered.
const MOST_REFUSED: usize = 4096;
/// Bytes of a guest's reason that are remembered.
const LONGEST_REASON: usize = 512;
/// Bytes of a command from which on it is looked for in a task's input: less would be found in many.
const LEAST_TO_KNOW: usize = 64;
/// How often one that waits looks whether it was stopped.
const SLICE: Duration = Duration::from_millis(10);

/// Which command a snapshot is of: everything that loading it depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct JobKey {
    /// Worker snapshot and session document.
    worker: Arc<str>,
    tenant: Arc<str>,
    digest: [u8; DIGEST],
}

#[derive(Debug)]
enum Known {
    Making,
    Ready {
        snapshot: Arc<Snapshot>,
        /// The command as it is in the input of a task; empty if it is not looked for there.
        command: Vec<u8>,
    },
    /// The reason.
    Refused(Arc<str>),
}

/// The job snapshots of one image.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Each with its last use.
    known: HashMap<JobKey, (Known, Instant)>,
    /// The command that a task named last, if its snapshot was kept then.
    last: Option<JobKey>,
    sweeping: bool,
}

impl State {
    fn used(&mut self, key: &JobKey) {
        self.last = None;
        if let Some((known, at)) = self.known.get_mut(key) {
            *at = Instant::now();
            self.last = matches!(known, Known::Ready { .. }).then(|| key.clone());
        }
    }

    /// Forgets the snapshots unused since `before`; whether any is left.
    fn sweep(&mut self, before: Option<Instant>) -> bool {
        let ready = |known: &Known| matches!(known, Known::Ready { .. });
        self.known.retain(|_, (known, at)| !ready(known) || before.is_none_or(|then| *at > then));
        self.known.values().any(|(known, _)| ready(known))
    }

    /// Forgets what is over the bounds, but for `newest`.
    fn shrink(&mut self, newest: &JobKey) {
        let oldest = |state: &State, ready: bool| {
            let same = |known: &Known| match known {
                Known::Ready { .. } => ready,
                Known::Refused(_) => !ready,
                Known::Making => false,
            };
            let fits = state.known.iter().filter(|(key, (known, _))| same(known) && *key != newest);
            fits.min_by_key(|(_, (_, at))| *at).map(|(key, _)| key.clone())
        };
        loop {
            let (mut kept, mut bytes, mut refused) = (0, 0, 0);
            for (known, _) in self.known.values() {
                match known {
                    Known::Ready { snapshot, .. } => {
                        kept += 1;
                        bytes += snapshot.content();
                    }
                    Known::Refused(_) => refused += 1,
                    Known::Making => {}
                }
            }
            let over = kept > MOST_KEPT || bytes > MOST_BYTES;
            let gone = if over { oldest(self, true) } else { None };
            let gone = gone.or_else(|| (refused > MOST_REFUSED).then(|| oldest(self, false))?);
            match gone {
                Some(key) => self.known.remove(&key),
                None => return,
            };
        }
    }
}

/// What is known of a job by who asks.
enum Found {
    Ready(Arc<Snapshot>),
    Refused(Arc<str>),
    Unknown,
}

impl Jobs {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many snapshots are kept, and their bytes.
    pub(crate) fn kept(&self) -> (u64, u64) {
        let state = self.lock();
        let ready = state.known.values().filter_map(|(known, _)| match known {
            Known::Ready { snapshot, .. } => Some(snapshot.content()),
            Known::Making | Known::Refused(_) => None,
        });
        ready.fold((0, 0), |(count, bytes), content| (count + 1, bytes + content))
    }

    /// The snapshot that a task of the tenant will start from, if it is as the task before.
    pub(crate) fn likely(&self, worker: &str, tenant: &str) -> Option<(JobKey, Arc<Snapshot>)> {
        let state = self.lock();
        let last = state.last.as_ref()?;
        match state.known.get(last) {
            Some((Known::Ready { snapshot, command }, _))
                if *last.worker == *worker
                    && *last.tenant == *tenant
                    && command.len() >= LEAST_TO_KNOW =>
            {
                Some((last.clone(), Arc::clone(snapshot)))
            }
            _ => None,
        }
    }

    /// The command of a kept snapshot, if it is one that is looked for in a task's input.
    fn command(&self, key: &JobKey) -> Option<Vec<u8>> {
        match self.lock().known.get(key) {
            Some((Known::Ready { command, .. }, _)) if command.len() >= LEAST_TO_KNOW => {
                Some(command.clone())
            }
            _ => None,
        }
    }

    /// Of the tenant's snapshots of `worker`, the one whose command is in `input`.
    fn recognise(
        &self,
        worker: &str,
        tenant: &str,
        input: &[u8],
    ) -> Option<(JobKey, Arc<Snapshot>)> {
        let mut state = self.lock();
        state.known.iter_mut().find_map(|(key, (known, at))| match known {
            Known::Ready { snapshot, command }
                if *key.worker == *worker
                    && *key.tenant == *tenant
                    && command.len() >= LEAST_TO_KNOW
                    && memmem::find(input, command).is_some() =>
            {
                *at = Instant::now();
                Some((key.clone(), Arc::clone(snapshot)))
            }
            _ => None,
        })
    }

    /// Waits while somebody makes it. `None` if `channels` were stopped meanwhile.
    fn look(&self, key: &JobKey, channels: &Channels) -> Option<(Found, MutexGuard<'_, State>)> {
        let mut state = self.lock();
        loop {
            let found = match state.known.get(key) {
                Some((Known::Ready { snapshot, .. }, _)) => Found::Ready(Arc::clone(snapshot)),
                Some((Known::Refused(why), _)) => Found::Refused(Arc::clone(why)),
                None => Found::Unknown,
                Some((Known::Making, _)) => {
                    let waited = self.changed.wait_timeout(state, SLICE);
                    state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    if channels.is_stopped() {
                        return None;
                    }
                    continue;
                }
            };
            state.used(key);
            return Some((found, state));
        }
    }

    fn settle(self: &Arc<Self>, key: &JobKey, known: Option<Known>) {
        let mut state = self.lock();
        match known {
            Some(known) => {
                state.known.insert(key.clone(), (known, Instant::now()));
                state.used(key);
                state.shrink(key);
                if !state.sweeping {
                    state.sweeping = self.sweep_later();
                }
            }
            None => {
                state.known.remove(key);
            }
        }
        drop(state);
        self.changed.notify_all();
    }
}

impl Jobs {
    /// Has a thread of its own forget what is unused, while there is anything; whether it runs.
    fn sweep_later(self: &Arc<Self>) -> bool {
        let jobs = Arc::downgrade(self);
        let sweep = move || {
            loop {
                std::thread::sleep(SWEEP);
                let Some(jobs) = jobs.upgrade() else { return };
                let mut state = jobs.lock();
                if !state.sweep(Instant::now().checked_sub(UNUSED)) {
                    state.sweeping = false;
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("davy-jobs".into());
        step("jobs.thread").and_then(|()| thread.spawn(sweep)).is_ok()
    }
}

/// The right to make one snapshot; others wait until it is settled or dropped.
struct Claim {
    jobs: Arc<Jobs>,
    key: JobKey,
    settled: bool,
}

impl Claim {
    /// Keeps the snapshot, or that there is none.
    fn settle(mut self, made: Made, command: Vec<u8>) {
        self.settled = true;
        let known = match made {
            Ok(snapshot) => Known::Ready { snapshot, command },
            Err(why) => Known::Refused(why),
        };
        self.jobs.settle(&self.key, Some(known));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.settled {
            self.jobs.settle(&self.key, None);
        }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl JobKey {
    pub(crate) fn of(worker: &str, digest: [u8; DIGEST]) -> JobKey {
        JobKey { worker: worker.into(), tenant: "".into(), digest }
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Jobs {
    pub(crate) fn forget_all(&self) {
        self.lock().known.clear();
    }
}

/// A snapshot, or why the command cannot be shared.
pub(crate) type Made = std::result::Result<Arc<Snapshot>, Arc<str>>;

/// Loads the command of a key in a guest of its own, with what is carried over. Fails if the task is
/// stopped meanwhile.
pub(crate) type Loader =
    Arc<dyn Fn(&JobKey, &[u8]) -> std::result::Result<Made, Fault> + Send + Sync>;

/// How a run goes on that ended without having served.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Start again from the snapshot, which this task has made or found.
    Resume(Box<Resume>),
    /// Start again from the worker: the guess was wrong.
    Anew,
    /// The guest that was to be kept cannot be shared.
    Refuse(Arc<str>),
}

#[derive(Debug)]
pub(crate) struct Resume {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) key: JobKey,
    pub(crate) carry: Vec<u8>,
    /// For the task's figures; empty for a guess, of which nothing is told yet.
    pub(crate) outcome: &'static str,
}

impl Resume {
    fn plan(snapshot: Arc<Snapshot>, key: JobKey, carry: &[u8], outcome: &'static str) -> Plan {
        Plan::Resume(Box::new(Resume { snapshot, key, carry: carry.to_vec(), outcome }))
    }

    pub(crate) fn guessed(&self) -> bool {
        self.outcome.is_empty()
    }
}

/// Carries a plan out of the guest, as the error of a host call.
#[derive(Debug, thiserror::Error)]
#[error("the run is given up for another")]
pub(crate) struct Restart(pub(crate) Plan);

fn restart(plan: Plan) -> wasmtime::Error {
    wasmtime::Error::new(Restart(plan))
}

/// What a guest is run for.
#[derive(Debug)]
pub(crate) enum Role {
    /// A task.
    Serve,
    /// To load the command of `key`, whose memory is kept.
    Prepare { key: JobKey, named: bool, done: bool },
    /// A task, from the snapshot of `key`, which may be `guessed`.
    Resume { key: JobKey, guessed: bool },
}

/// One guest's way to job snapshots.
pub(crate) struct Desk {
    pub(crate) role: Role,
    /// What the first run of the task has to tell the next ones.
    carry: Vec<u8>,
    /// `None`: the embedder wants no job snapshots.
    shared: Option<Shared>,
    /// Nothing was read yet, and no guess was wrong.
    fresh: bool,
    /// The command that was loaded, for who makes a snapshot.
    command: Vec<u8>,
    /// The guest tried to change files or wrote to its standard streams.
    pub(crate) wrote: bool,
}

/// What the sandboxes of one kind share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) jobs: Arc<Jobs>,
    /// Worker snapshot and session document.
    pub(crate) worker: Arc<str>,
    pub(crate) loader: Loader,
}

impl Desk {
    pub(crate) fn new(shared: Option<Shared>, role: Role, carry: Vec<u8>) -> Desk {
        let fresh = matches!(role, Role::Serve);
        Desk { role, carry, shared, fresh, command: Vec::new(), wrote: false }
    }

    /// After a wrong guess there is no other.
    pub(crate) fn guesses_no_more(mut self) -> Desk {
        self.fresh = false;
        self
    }

    /// `input` is the first that a fresh guest has read of its task. Fails with the plan to start
    /// again if a command in it is kept.
    pub(crate) fn recognise(&mut self, input: &[u8], channels: &Channels) -> Result<()> {
        if !std::mem::take(&mut self.fresh) || !channels.keeps_input() {
            return Ok(());
        }
        let Some(shared) = &self.shared else { return Ok(()) };
        match shared.jobs.recognise(&shared.worker, &channels.tenant(), input) {
            Some((key, snapshot)) => Err(restart(Resume::plan(snapshot, key, &[], ""))),
            None => Ok(()),
        }
    }

    /// What the command that was loaded is in the input.
    pub(crate) fn command(&mut self, bytes: &[u8]) {
        self.command = bytes.to_vec();
    }

    pub(crate) fn prepares(&self) -> bool {
        matches!(self.role, Role::Prepare { .. })
    }

    pub(crate) fn resumes(&self) -> bool {
        matches!(self.role, Role::Resume { .. })
    }

    /// Whether the guest has loaded the command and may be kept.
    pub(crate) fn done(&self) -> bool {
        matches!(self.role, Role::Prepare { done: true, .. })
    }

    /// A letter for the role, then what was carried over.
    pub(crate) fn role(&self) -> Vec<u8> {
        let letter = match self.role {
            Role::Serve => b's',
            Role::Prepare { .. } => b'p',
            Role::Resume { .. } => b'r',
        };
        [&[letter], &self.carry[..]].concat()
    }

    /// The guest is about to load the command that `request` names: a digest and what to carry over.
    ///
    /// Answers `y` if it is the command of the snapshot, `n` if there will be no snapshot of it, `u`
    /// if it may ask for one.
    pub(crate) fn find(&mut self, request: &[u8], channels: &Channels) -> Result<&'static [u8]> {
        let (digest, carry) = parse(request)?;
        match &mut self.role {
            Role::Prepare { key, named, .. } => {
                if !*named && key.digest != digest {
                    return Err(restart(Plan::Refuse("its guest named another command".into())));
                }
                *named = true;
                Ok(b"y")
            }
            Role::Resume { guessed: false, key } if key.digest == digest => {
                self.role = Role::Serve; // as to later tasks of this guest
                Ok(b"y")
            }
            // What was loaded for one task is not believed about another's input.
            Role::Resume { guessed: true, key }
                if key.digest == digest
                    && let Some(shared) = &self.shared
                    && let Some(command) = shared.jobs.command(key)
                    && channels.kept_input(|read| memmem::find(read, &command).is_some()) =>
            {
                channels.forget_input("used");
                shared.jobs.lock().used(key);
                self.role = Role::Serve;
                Ok(b"y")
            }
            // As long as its input can be rewound.
            Role::Resume { guessed: true, .. } if channels.keeps_input() => {
                Err(restart(Plan::Anew))
            }
            Role::Resume { .. } => {
                Err(lie("it asked for the snapshot of another command than it was given"))
            }
            Role::Serve => {
                let Some((shared, key)) = self.key(digest, channels) else { return Ok(b"n") };
                let (found, state) =
                    shared.jobs.look(&key, channels).ok_or_else(Raised::stopped)?;
                drop(state);
                match found {
                    Found::Ready(snapshot) => {
                        Err(restart(Resume::plan(snapshot, key, carry, "used")))
                    }
                    Found::Refused(why) => {
                        channels.forget_input(&refused_before(&why));
                        Ok(b"n")
                    }
                    Found::Unknown => Ok(b"u"),
                }
            }
        }
    }

    /// The command was loaded, and that was dear. Answers only if there will be no snapshot.
    pub(crate) fn make(&mut self, request: &[u8], channels: &Channels) -> Result<&'static [u8]> {
        let (digest, carry) = parse(request)?;
        let Role::Serve = self.role else { return Ok(b"n") };
        let command = std::mem::take(&mut self.command);
        let Some((shared, key)) = self.key(digest, channels) else { return Ok(b"n") };
        let (found, mut state) = shared.jobs.look(&key, channels).ok_or_else(Raised::stopped)?;
        let (made, outcome) = match found {
            Found::Ready(snapshot) => (Ok(snapshot), "used"),
            Found::Refused(why) => {
                channels.forget_input(&refused_before(&why));
                return Ok(b"n");
            }
            Found::Unknown => {
                state.known.insert(key.clone(), (Known::Making, Instant::now()));
                drop(state);
                let jobs = Arc::clone(&shared.jobs);
                let claim = Claim { jobs, key: key.clone(), settled: false };
                let made = (shared.loader)(&key, carry);
                let made = made.map_err(|fault| wasmtime::Error::new(Raised(fault)))?;
                claim.settle(made.clone(), command);
                (made, "made")
            }
        };
        match made {
            Ok(snapshot) => Err(restart(Resume::plan(snapshot, key, carry, outcome))),
            Err(why) => {
                channels.forget_input(&format!("refused: {why}"));
                Ok(b"n")
            }
        }
    }

    /// The guest that was to load the command has (no `reason`), or cannot be shared.
    pub(crate) fn done_loading(&mut self, reason: &[u8]) -> Result<&'static [u8]> {
        let Role::Prepare { named, done, .. } = &mut self.role else {
            return Err(lie("it told of a command that it was not asked to load"));
        };
        let reason = &reason[..reason.len().min(LONGEST_REASON)];
        let mut reason = String::from_utf8_lossy(reason).into_owned();
        if reason.is_empty() && !*named {
            reason = "its guest named no command".into();
        }
        if reason.is_empty() && self.wrote {
            reason = "it prints or changes files while it is loaded".into();
        }
        if !reason.is_empty() {
            return Err(restart(Plan::Refuse(reason.into())));
        }
        *done = true;
        Ok(b"")
    }

    /// The task's own key, as long as its input can be rewound.
    fn key(&self, digest: [u8; DIGEST], channels: &Channels) -> Option<(&Shared, JobKey)> {
        let shared = self.shared.as_ref().filter(|_| channels.keeps_input())?;
        let (worker, tenant) = (Arc::clone(&shared.worker), channels.tenant());
        Some((shared, JobKey { worker, tenant, digest }))
    }
}

/// The outcome of a task that need not ask: another one was refused.
fn refused_before(why: &str) -> String {
    format!("refused before: {why}")
}

fn lie(what: &str) -> wasmtime::Error {
    wasmtime::Error::new(Raised(Fault::guest(what)))
}

fn parse(request: &[u8]) -> Result<([u8; DIGEST], &[u8])> {
    let (digest, carry) =
        request.split_first_chunk().ok_or_else(|| lie("a command without a digest"))?;
    Ok((*digest, carry))
}

#[cfg(test)]
mod tests {
    use super::{JobKey, Jobs, Known, LEAST_TO_KNOW, MOST_KEPT};
    use crate::snapshot::Snapshot;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    #[test]
    fn what_is_recognised_is_in_use() -> std::io::Result<()> {
        let jobs = Arc::new(Jobs::default());
        let snapshot = Arc::new(Snapshot::take(&[1; 8192], 0)?);
        let known = Known::Ready { snapshot, command: vec![7; LEAST_TO_KNOW] };
        jobs.settle(&JobKey::of("w", [1; 32]), Some(known));
        let input = [&[0; 9][..], &[7; LEAST_TO_KNOW]].concat();
        std::thread::sleep(Duration::from_millis(2));
        let before = Instant::now();
        assert!(jobs.recognise("another", "", &input).is_none());
        assert!(jobs.recognise("w", "", &input[1..input.len() - 1]).is_none());
        assert!(jobs.recognise("w", "another's", &input).is_none());
        assert!(jobs.recognise("w", "", &input).is_some());
        assert!(jobs.lock().sweep(Some(before)), "it was used since");
        assert!(!jobs.lock().sweep(Some(Instant::now())));
        Ok(())
    }

    #[test]
    fn few_are_kept_and_none_that_is_unused() -> std::io::Result<()> {
        let jobs = Arc::new(Jobs::default());
        let key = |n: usize| JobKey::of("w", [n as u8; 32]);
        for n in 0..MOST_KEPT + 3 {
            let snapshot = Snapshot::take(&vec![1; 8192], 0)?;
            assert_eq!(snapshot.content(), 8192);
            let snapshot = Arc::new(snapshot);
            jobs.settle(&key(n), Some(Known::Ready { snapshot, command: Vec::new() }));
            jobs.lock().used(&key(0)); // the oldest, but in use
            std::thread::sleep(Duration::from_millis(2));
        }
        jobs.settle(&key(99), Some(Known::Refused("a reason".into())));
        let kept = |n| jobs.lock().known.contains_key(&key(n));
        assert!(kept(0) && !kept(1) && !kept(3) && kept(4) && kept(MOST_KEPT + 2));
        let now = Instant::now();
        jobs.lock().used(&key(4));
        assert!(jobs.lock().sweep(Some(now)));
        assert!(kept(4) && !kept(0) && kept(99));
        assert!(!jobs.lock().sweep(Some(Instant::now())));
        assert!(!kept(4) && kept(99), "what was refused stays so");
        Ok(())
    }
}
