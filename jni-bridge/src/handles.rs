//! Opaque handles: numbers that are never reused, so a stale one is an error, not a wrong object.

use crate::failure::Failure;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// Objects that Java refers to by number.
pub(crate) struct Handles<T> {
    what: &'static str,
    next: AtomicI64,
    map: OnceLock<RwLock<HashMap<i64, Arc<T>>>>,
}

impl<T> Handles<T> {
    pub(crate) const fn new(what: &'static str) -> Handles<T> {
        Handles { what, next: AtomicI64::new(1), map: OnceLock::new() }
    }

    fn map(&self) -> &RwLock<HashMap<i64, Arc<T>>> {
        self.map.get_or_init(RwLock::default)
    }

    pub(crate) fn put(&self, object: T) -> i64 {
        let handle = self.next.fetch_add(1, Ordering::Relaxed);
        self.map().write().unwrap_or_else(PoisonError::into_inner).insert(handle, Arc::new(object));
        handle
    }

    pub(crate) fn get(&self, handle: i64) -> Result<Arc<T>, Failure> {
        let map = self.map().read().unwrap_or_else(PoisonError::into_inner);
        map.get(&handle).cloned().ok_or_else(|| {
            Failure::host(format!("there is no {} {handle}: it was released", self.what))
        })
    }

    /// Forgets the object; nothing happens if it is gone already.
    pub(crate) fn remove(&self, handle: i64) {
        let removed = self.map().write().unwrap_or_else(PoisonError::into_inner).remove(&handle);
        drop(removed); // outside the lock: dropping a sandbox stops its guest
    }

    /// All objects of now.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.map().read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
