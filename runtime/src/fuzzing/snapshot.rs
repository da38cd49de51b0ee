//! Snapshots that lie in the cache.

use crate::snapshot::{MAGIC, Snapshot};

/// The input is, after a byte that says which, a file or what its digest is made of.
pub(super) fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let file = match how & 1 {
        0 => rest.to_vec(),
        _ => [MAGIC, &blake3::hash(rest).as_bytes()[..], rest].concat(),
    };
    let Ok(Some(snapshot)) = Snapshot::parse(&file) else { return };
    let length = rest.get(4..12).expect("a length").try_into().expect("8 bytes");
    assert_eq!(snapshot.bytes() as u64, u64::from_le_bytes(length));
    assert_eq!(snapshot.file_bytes(), snapshot.bytes() as u64, "pages beyond the memory's end");
    assert!(snapshot.content() <= snapshot.bytes() as u64);
}
