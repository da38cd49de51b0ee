//! The snapshots of booted workers that an image keeps in this process.
//!
//! There is one for each way to boot: Spark's version, added Python files, the hash seed. An executor has one
//! or two of them; one that serves many sessions with files of their own must not keep all for ever.

use crate::snapshot::Snapshot;
use std::collections::HashMap;
use std::sync::Arc;

/// Snapshots kept; the one unused for longest goes first, and its next sandbox reads or boots it again.
/// Sandboxes that run have their pages of it until they end.
const MOST_KEPT: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Workers {
    /// Each with the number of its last use.
    known: HashMap<String, (Arc<Snapshot>, u64)>,
    uses: u64,
}

impl Workers {
    pub(crate) fn get(&mut self, key: &str) -> Option<Arc<Snapshot>> {
        let (snapshot, used) = self.known.get_mut(key)?;
        self.uses += 1;
        *used = self.uses;
        Some(Arc::clone(snapshot))
    }

    /// Keeps `snapshot`, unless there is one under `key`; whether it is kept.
    pub(crate) fn keep(&mut self, key: &str, snapshot: &Arc<Snapshot>) -> bool {
        if self.known.contains_key(key) {
            return false;
        }
        while self.known.len() >= MOST_KEPT {
            let oldest = self.known.iter().min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { break };
            self.known.remove(&oldest);
        }
        self.uses += 1;
        self.known.insert(key.to_owned(), (Arc::clone(snapshot), self.uses));
        true
    }

    /// What they take of the host's memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.known.values().map(|(snapshot, _)| snapshot.content()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_KEPT, Workers};
    use crate::snapshot::Snapshot;
    use std::sync::Arc;

    #[test]
    fn what_is_unused_for_longest_goes_and_what_is_used_stays() -> std::io::Result<()> {
        let mut workers = Workers::default();
        let snapshot = |pointer| Snapshot::take(&[1; 1 << 16], pointer).map(Arc::new);
        let running = snapshot(0)?;
        for n in 0..100 {
            let mine = if n == 1 { Arc::clone(&running) } else { snapshot(n)? };
            assert!(workers.keep(&n.to_string(), &mine));
            assert!(!workers.keep(&n.to_string(), &snapshot(-1)?), "the first one counts");
            assert_eq!(workers.get("0").map(|kept| kept.stack_pointer), Some(0), "{n}");
        }
        assert_eq!((workers.known.len(), workers.bytes()), (MOST_KEPT, (MOST_KEPT as u64) << 16));
        let kept = (1..100).filter(|n| workers.get(&n.to_string()).is_some()).collect::<Vec<_>>();
        assert_eq!(kept, (93..100).collect::<Vec<_>>());
        assert_eq!(Arc::strong_count(&running), 1, "nothing but its user holds one that went");
        Ok(())
    }
}
