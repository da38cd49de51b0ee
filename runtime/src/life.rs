//! One instance's life. Each state is a type, and each step takes the state before by value:
//! [`Fresh`] → [`Prepared`] → [`Booted`] → [`Ready`], or from [`Fresh`] by a [`Snapshot`]: the image's to
//! [`Prepared`], a worker's or a job's to [`Ready`]; [`Ready::serve`] leaves an [`End`]. After a fault there is no
//! state any more: what is poisoned cannot be used.

use crate::abi;
use crate::fault::{Fault, LimitExceeded};
use crate::guest::Guest;
use crate::imports::{GuestState, Raised};
use crate::interrupt::Armed;
use crate::job::{Plan, Restart};
use crate::limits::LimitKind;
use crate::snapshot::Snapshot;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wasmtime::{CallHook, Instance, Memory, Store, ThrownException, Trap, Val};

/// Bytes below its stack pointer that a function may use.
const RED_ZONE: i32 = 128;

/// How a life ended, if not by a fault.
pub(crate) enum End {
    Served,
    /// The task starts again.
    Restart(Plan),
    /// The command is loaded; this is the memory.
    Loaded(Snapshot),
}

/// What all states hold.
struct Live<'g> {
    // Dropped before the store: from then on nobody closes the memory.
    _armed: Armed,
    store: Store<GuestState>,
    instance: Instance,
    memory: Memory,
    guest: &'g Guest,
}

/// No code has run in it.
pub(crate) struct Fresh<'g>(Live<'g>);

/// Python is initialised and the standard modules are imported; no session has been seen.
pub(crate) struct Prepared<'g>(Live<'g>);

/// The worker is imported; no task has been seen.
pub(crate) struct Booted<'g>(Live<'g>);

/// It can serve tasks.
pub(crate) struct Ready<'g>(Live<'g>);

impl<'g> Fresh<'g> {
    /// An instance for `state`, that can be stopped from now on. `from` is the snapshot that it will
    /// start from, if any: shared memory does not count as its own.
    ///
    /// # Errors
    /// It cannot be made, is no guest of ours, or begins beyond its limits.
    pub(crate) fn new(
        guest: &'g Guest,
        state: GuestState,
        from: Option<&Arc<Snapshot>>,
    ) -> Result<Fresh<'g>, Fault> {
        let (mut store, instance) = guest.image.instance(state).map_err(|e| guest.fault(&e))?;
        let interrupt = Arc::clone(&guest.interrupt);
        store.call_hook(move |_, crossing| {
            let into_guest =
                matches!(crossing, CallHook::CallingWasm | CallHook::ReturningFromHost);
            interrupt.cross(into_guest).map_err(|reason| wasmtime::Error::new(Raised(reason)))
        });
        let memory = instance
            .get_memory(&mut store, abi::MEMORY)
            .ok_or_else(|| Fault::guest("it exports no memory"))?;
        let bytes = memory.data_size(&store) as u64;
        store.data_mut().memory_limit.adopt(bytes, from.map_or(0, |from| from.content()))?;
        store.data_mut().memory = Some(memory);
        let armed = guest.interrupt.arm(memory.data_ptr(&store));
        let mut live = Live { _armed: armed, store, instance, memory, guest };
        let abi = live.call(abi::ABI)?;
        if u32::try_from(abi) != Ok(abi::ABI_VERSION) {
            let wanted = abi::ABI_VERSION;
            return Err(Fault::guest(format!("it speaks contract {abi}, the host {wanted}")));
        }
        Ok(Fresh(live))
    }

    /// Starts Python.
    pub(crate) fn prepare(self) -> Result<Prepared<'g>, Fault> {
        let mut live = self.0;
        let initialize = live.instance.get_typed_func::<(), ()>(&mut live.store, abi::INITIALIZE);
        if let Ok(initialize) = initialize {
            initialize.call(&mut live.store, ()).map_err(|e| live.guest.fault(&e))?;
        }
        if live.instance.get_export(&mut live.store, abi::PREPARE).is_some() {
            live.start(abi::PREPARE)?;
        }
        Ok(Prepared(live))
    }

    /// Becomes what was frozen when the image was built.
    pub(crate) fn resume(self, image: &Snapshot) -> Result<Prepared<'g>, Fault> {
        let mut live = self.0;
        live.restore(image)?;
        Ok(Prepared(live))
    }

    /// Becomes what was frozen of a worker.
    pub(crate) fn restore(self, snapshot: &Arc<Snapshot>) -> Result<Ready<'g>, Fault> {
        let mut live = self.0;
        live.restore(snapshot)?;
        live.store.data_mut().origin = Some(Arc::clone(snapshot));
        live.guest.meter.from_snapshot.store(1, Ordering::Relaxed);
        Ok(Ready(live))
    }
}

impl<'g> Prepared<'g> {
    /// Python reads the session and imports the worker.
    pub(crate) fn boot(self) -> Result<Booted<'g>, Fault> {
        let mut live = self.0;
        live.start(abi::BOOT)?;
        Ok(Booted(live))
    }

    /// What it is now, for the image. What lies below the stack's pointer is nobody's any more.
    pub(crate) fn freeze(mut self) -> Result<Snapshot, Fault> {
        let pointer = self.0.stack_pointer()?;
        let memory = self.0.memory.data_mut(&mut self.0.store);
        let stack = memory.get_mut(..pointer as u32 as usize);
        stack.ok_or_else(|| Fault::guest("its stack lies beyond its memory"))?.fill(0);
        Snapshot::take(memory, pointer).map_err(not_taken)
    }

    pub(crate) fn state(&mut self) -> &mut GuestState {
        self.0.store.data_mut()
    }
}

impl<'g> Booted<'g> {
    /// What it is now, for those that start later.
    pub(crate) fn freeze(&mut self) -> Result<Snapshot, Fault> {
        let pointer = self.0.stack_pointer()?;
        Snapshot::take(self.0.memory.data(&self.0.store), pointer).map_err(not_taken)
    }

    pub(crate) fn ready(self) -> Ready<'g> {
        Ready(self.0)
    }
}

impl Ready<'_> {
    /// Serves tasks until its input ends, or until it is done with loading a command.
    pub(crate) fn serve(self) -> Result<End, Fault> {
        let mut live = self.0;
        let guest = live.guest;
        let start = u64::try_from(guest.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        guest.meter.start_us.store(start, Ordering::Relaxed);
        let code = match live.enter(abi::SERVE)? {
            Ok(code) => code,
            Err(error) if guest.interrupt.reason().is_some() => return Err(guest.fault(&error)),
            Err(error) => match error.downcast::<Restart>() {
                Ok(Restart(plan)) => return Ok(End::Restart(plan)),
                Err(error) => return Err(guest.fault(&error)),
            },
        };
        if live.store.data().job.done() && code == 0 {
            let pointer = live.stack_pointer()?;
            let snapshot = Snapshot::take_last(live.memory.data_mut(&mut live.store), pointer);
            return Ok(End::Loaded(snapshot.map_err(not_taken)?));
        }
        // A worker that could not even tell of its MemoryError, for want of memory.
        match live.store.data().memory_limit.exceeded() {
            Some(exceeded) if code != 0 => Err(exceeded.into()),
            _ => Ok(End::Served),
        }
    }
}

impl Live<'_> {
    /// Calls a part of the start.
    fn start(&mut self, export: &str) -> Result<(), Fault> {
        match self.call(export)? {
            0 => Ok(()),
            _ => Err(Fault::Guest {
                what: "its Python did not start; the traceback is in the log".into(),
            }),
        }
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<(), Fault> {
        let guest = self.guest;
        let (allowed, asked) = (guest.spec.limits.memory_bytes, snapshot.bytes() as u64);
        if asked > allowed {
            let (limit, used) = (LimitKind::Memory, self.memory.data_size(&self.store) as u64);
            return Err(LimitExceeded { limit, allowed, used, asked }.into());
        }
        if let Err(fault) = snapshot.restore(&mut self.store, self.memory) {
            let refused = self.store.data().memory_limit.exceeded();
            let refused = refused.filter(|limit| limit.limit == LimitKind::Granted);
            let reason = guest.interrupt.reason().or(refused.map(Fault::from));
            return Err(reason.unwrap_or(fault));
        }
        self.set_stack_pointer(snapshot.stack_pointer)
    }

    fn call(&mut self, export: &str) -> Result<i32, Fault> {
        self.enter(export)?.map_err(|e| self.guest.fault(&e))
    }

    fn enter(&mut self, export: &str) -> Result<wasmtime::Result<i32>, Fault> {
        let function = self
            .instance
            .get_typed_func::<(), i32>(&mut self.store, export)
            .map_err(|_| Fault::guest(format!("it does not export {export}() -> i32")))?;
        let stack = self.stack_pointer().ok();
        let result = function.call(&mut self.store, ());
        Ok(result.map_err(|error| match self.limit_behind(&error, stack) {
            Some(exceeded) => wasmtime::Error::new(Raised(exceeded.into())),
            None => error,
        }))
    }

    /// The limit behind an abrupt end that does not show it. `stack` is where the C stack's pointer was
    /// before the call: all of the stack lay below it, and below the stack there is no memory.
    fn limit_behind(
        &mut self,
        error: &wasmtime::Error,
        stack: Option<i32>,
    ) -> Option<LimitExceeded> {
        match error.downcast_ref::<Trap>() {
            Some(Trap::MemoryOutOfBounds) => {
                let allowed = u64::try_from(stack?).ok()?;
                // A function that calls no other goes below the pointer without moving it.
                let over = self.stack_pointer().is_ok_and(|now| now < RED_ZONE);
                let (limit, used, asked) = (LimitKind::Stack, allowed, allowed);
                over.then_some(LimitExceeded { limit, allowed, used, asked })
            }
            // C++ that met the want of memory where no exception may pass.
            Some(Trap::UnreachableCodeReached) => self.store.data().memory_limit.exceeded(),
            Some(_) => None,
            None if error.is::<ThrownException>() => self.store.data().memory_limit.exceeded(),
            None => None,
        }
    }

    fn stack_pointer(&mut self) -> Result<i32, Fault> {
        let global = self.instance.get_global(&mut self.store, abi::STACK_POINTER);
        match global.map(|g| g.get(&mut self.store)) {
            Some(Val::I32(value)) => Ok(value),
            _ => Err(Fault::guest("it exports no __stack_pointer")),
        }
    }

    fn set_stack_pointer(&mut self, value: i32) -> Result<(), Fault> {
        self.instance
            .get_global(&mut self.store, abi::STACK_POINTER)
            .ok_or_else(|| Fault::guest("it exports no __stack_pointer"))?
            .set(&mut self.store, Val::I32(value))
            .map_err(|e| Fault::host(format!("restoring a snapshot: {e}")))
    }
}

fn not_taken(e: std::io::Error) -> Fault {
    Fault::host(format!("taking a snapshot: {e}"))
}
