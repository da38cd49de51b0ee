//! One thread a process that enforces deadlines and CPU time.
//!
//! It sleeps while no task has a time limit, and otherwise looks every [`TICK`]. CPU time is the
//! guest thread's own, read from the kernel's scheduler statistics. It also repeats stops that the system
//! refused.

use crate::channel::Channels;
use crate::failpoint::step;
use crate::fault::{Fault, LimitExceeded};
use crate::interrupt::Interrupt;
use crate::limits::{LimitKind, TaskLimits};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// How late a limit may be noticed.
const TICK: Duration = Duration::from_millis(5);

/// What the watchdog knows of one running task.
#[derive(Debug)]
pub(crate) struct Watched {
    interrupt: Arc<Interrupt>,
    channels: Arc<Channels>,
    task: Mutex<Option<Task>>,
    thread: OnceLock<i32>,
}

#[derive(Debug)]
struct Task {
    began: Instant,
    cpu_before: Duration,
    limits: TaskLimits,
}

impl Watched {
    pub(crate) fn new(interrupt: Arc<Interrupt>, channels: Arc<Channels>) -> Arc<Watched> {
        Arc::new(Watched { interrupt, channels, task: Mutex::default(), thread: OnceLock::new() })
    }

    /// Called once by the guest's thread.
    pub(crate) fn adopt_this_thread(&self) {
        let _ = self.thread.set(rustix::thread::gettid().as_raw_nonzero().get());
    }

    /// CPU time the guest's thread has used so far.
    pub(crate) fn cpu(&self) -> Duration {
        let Some(tid) = self.thread.get() else { return Duration::ZERO };
        std::fs::read_to_string(format!("/proc/self/task/{tid}/schedstat"))
            .ok()
            .and_then(|s| s.split_whitespace().next()?.parse().ok())
            .map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// Arms the limits of a task that begins now; no limits disarm it.
    pub(crate) fn begin(self: &Arc<Self>, limits: TaskLimits) {
        let armed = limits != TaskLimits::default();
        let task = Task { began: Instant::now(), cpu_before: self.cpu(), limits };
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = armed.then_some(task);
        if armed {
            match Watchdog::get() {
                Ok(dog) => dog.watch(self),
                // Without it no limit would hold.
                Err(e) => self.interrupt.stop(Fault::host(format!(
                    "starting the thread that watches time limits: {e}"
                ))),
            }
        }
    }

    /// Stops the sandbox if a limit has passed; whether it must still be watched.
    fn check(&self) -> bool {
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(task) = task.as_ref() else { return false };
        let mut passed = None;
        if let Some(allowed) = task.limits.deadline {
            let ran = task.began.elapsed();
            if ran > allowed {
                passed = Some((LimitKind::Deadline, allowed, ran));
            }
        }
        if let (Some(allowed), None) = (task.limits.cpu, passed) {
            let used = self.cpu().saturating_sub(task.cpu_before);
            if used > allowed {
                passed = Some((LimitKind::Cpu, allowed, used));
            }
        }
        if let (Some(allowed), None) = (task.limits.call, passed) {
            let ran = self.channels.call_time();
            if ran > allowed {
                passed = Some((LimitKind::Call, allowed, ran));
            }
        }
        let Some((limit, allowed, asked)) = passed else { return true };
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        self.interrupt.stop(Fault::Limit(LimitExceeded {
            limit,
            allowed: ms(allowed),
            used: ms(asked),
            asked: ms(asked),
        }));
        false
    }
}

pub(crate) struct Watchdog {
    charges: Mutex<Charges>,
    arrived: Condvar,
}

struct Charges {
    watched: Vec<Weak<Watched>>,
    /// Guests that are to be stopped, and whose memory could not be closed yet.
    unclosed: Vec<Weak<Interrupt>>,
}

impl Watchdog {
    fn get() -> std::io::Result<&'static Watchdog> {
        static DOG: Watchdog = Watchdog {
            charges: Mutex::new(Charges { watched: Vec::new(), unclosed: Vec::new() }),
            arrived: Condvar::new(),
        };
        static RUNS: Mutex<bool> = Mutex::new(false);
        let mut runs = RUNS.lock().unwrap_or_else(PoisonError::into_inner);
        if !*runs {
            step("watchdog.thread")?;
            let thread = std::thread::Builder::new().name("davy-watchdog".into());
            thread.spawn(|| DOG.run())?;
            *runs = true;
        }
        Ok(&DOG)
    }

    fn lock(&self) -> MutexGuard<'_, Charges> {
        self.charges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, watched: &Arc<Watched>) {
        let list = &mut self.lock().watched;
        let known = list.iter().any(|w| std::ptr::eq(w.as_ptr(), Arc::as_ptr(watched)));
        if !known {
            list.push(Arc::downgrade(watched));
        }
        self.arrived.notify_all();
    }

    /// Tries until the memory is closed or the guest has met the host. Without a thread, the next stop
    /// tries again: the last one comes when the sandbox is dropped.
    pub(crate) fn close_later(interrupt: Weak<Interrupt>) {
        if let Ok(dog) = Watchdog::get() {
            dog.lock().unclosed.push(interrupt);
            dog.arrived.notify_all();
        }
    }

    fn run(&self) -> ! {
        loop {
            let mut charges = self.lock();
            while charges.watched.is_empty() && charges.unclosed.is_empty() {
                charges = self.arrived.wait(charges).unwrap_or_else(PoisonError::into_inner);
            }
            charges.unclosed.retain(|i| i.upgrade().is_some_and(|i| !i.close()));
            let due = std::mem::take(&mut charges.watched);
            drop(charges);
            // Without the lock: a stop that the system refuses is put on the other list.
            let left: Vec<_> =
                due.into_iter().filter(|w| w.upgrade().is_some_and(|w| w.check())).collect();
            let mut charges = self.lock();
            for watched in left {
                if !charges.watched.iter().any(|w| w.ptr_eq(&watched)) {
                    charges.watched.push(watched);
                }
            }
            drop(charges);
            std::thread::sleep(TICK);
        }
    }
}
