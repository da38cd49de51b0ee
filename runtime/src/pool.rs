//! Instances in which no code has run yet, made beforehand: that takes longer than all else of a start.

use crate::failpoint::step;
use crate::guest::limited_store;
use crate::image::Image;
use crate::imports::GuestState;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::{Instance, Result, Store};

/// Instances that wait; each takes about 2 MiB.
const WAITING: usize = 3;

/// The waiting instances of one image.
#[derive(Default)]
pub(crate) struct Pool {
    waiting: Mutex<Vec<(Store<GuestState>, Instance)>>,
    filling: AtomicBool,
}

impl Image {
    /// A fresh instance, with `state` in its store.
    pub(crate) fn instance(
        self: &Arc<Self>,
        state: GuestState,
    ) -> Result<(Store<GuestState>, Instance)> {
        let waiting = self.pool.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
        self.fill();
        let (mut store, instance) = waiting.map_or_else(|| self.make(), Ok)?;
        *store.data_mut() = state;
        Ok((store, instance))
    }

    fn make(&self) -> Result<(Store<GuestState>, Instance)> {
        let mut store = limited_store(&self.engine.wasmtime, GuestState::blank());
        step("instance.memory")?;
        let instance = self.pre.instantiate(&mut store)?;
        Ok((store, instance))
    }

    /// Makes what is missing, beside the caller.
    fn fill(self: &Arc<Self>) {
        if self.pool.filling.swap(true, Ordering::AcqRel) {
            return;
        }
        let image = Arc::clone(self);
        let fill = move || {
            let pool = &image.pool;
            let lock = || pool.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            while lock().len() < WAITING {
                // Who needs one makes it then, and has the error.
                let Ok(made) = image.make() else { break };
                lock().push(made);
            }
            pool.filling.store(false, Ordering::Release);
        };
        let thread = std::thread::Builder::new().name("davy-instances".into());
        if step("instances.thread").and_then(|()| thread.spawn(fill)).is_err() {
            self.pool.filling.store(false, Ordering::Release);
        }
    }
}
