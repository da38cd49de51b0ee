//! Host paths that a guest names: of files to be admitted, and of sockets.

use super::world::{self, SOCKET, World};
use crate::admission::Admission;
use crate::callback::Callbacks;
use crate::channel::Channels;
use std::cell::OnceCell;

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

/// The input is lines, each a path.
pub(super) fn run(data: &[u8]) {
    WORLD.with(|cell| {
        let world = cell.get_or_init(|| {
            let world = World::new();
            world.serve();
            world
        });
        let mut desk = Admission::new(&[world.rule()]).expect("a folder").expect("a desk");
        let (mut callbacks, channels) = (Callbacks::new(Some(world.sockets())), Channels::new(1));
        for line in data.split(|&b| b == b'\n').take(16) {
            let Ok(path) = String::from_utf8(world.path(line)) else { continue };
            if let Ok(seen) = desk.admit(&path) {
                let name = seen.rsplit('/').next().expect("a name");
                let shown = std::fs::read(desk.folder().join(name)).expect("a file");
                assert_eq!(shown, world::OPEN, "{path}");
            }
            if callbacks.connect(&path, &channels).is_ok() {
                let same = std::fs::canonicalize(&path).expect("a socket");
                let own = std::fs::canonicalize(world.root().join(SOCKET)).expect("a socket");
                assert_eq!(same, own, "{path}");
            }
        }
        assert!(world::shows_no_secret(desk.folder()));
    });
}
