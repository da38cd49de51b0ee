//! Call-backs: byte streams from a guest to sockets that its own host process listens on.
//!
//! Stock workers open local sockets to their executor for some services. A sandbox has no network;
//! it may name a Unix socket beneath one folder, and the host connects for it. What the socket
//! serves is the embedder's business: this carries bytes.

use crate::abi::errno;
use crate::channel::Channels;
use crate::failpoint::step;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// Unix sockets directly in `root`, named by `prefix`, a UUID and `suffix`, may be connected to.
///
/// The UUIDs must be random: one guest must not find another's.
#[derive(Debug, Clone)]
pub struct CallbackRule {
    /// Absolute host directory.
    pub root: PathBuf,
    /// How the file's name begins.
    pub prefix: String,
    /// How it ends.
    pub suffix: String,
}

/// Streams one sandbox may have open at once.
const MAX_STREAMS: usize = 16;
/// Bytes of one transfer.
const MAX_TRANSFER: usize = 64 << 10;
/// A stop is noticed at least this often.
const POLL: Duration = Duration::from_millis(10);

/// The open call-backs of one sandbox.
#[derive(Debug)]
pub(crate) struct Callbacks {
    rule: Option<CallbackRule>,
    open: HashMap<u32, UnixStream>,
    next: u32,
}

/// Why a transfer did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    Errno(i32),
    /// The sandbox is being stopped.
    Stopped,
}

impl Callbacks {
    pub(crate) fn new(rule: Option<CallbackRule>) -> Callbacks {
        Callbacks { rule, open: HashMap::new(), next: 1 }
    }

    /// Connects to the socket that `asked`, an absolute host path from the guest (hostile), names.
    /// Answers its handle.
    pub(crate) fn connect(&mut self, asked: &str) -> Result<u32, Failed> {
        let path = Path::new(asked);
        let allowed = self.rule.as_ref().is_some_and(|rule| rule.allows(path));
        if !allowed {
            return Err(Failed::Errno(errno::ACCES));
        }
        if self.open.len() >= MAX_STREAMS {
            return Err(Failed::Errno(errno::MFILE));
        }
        // A symlink is no socket. Guests cannot write to the folder, so it stays what it is.
        let meta = path.symlink_metadata().map_err(|_| Failed::Errno(errno::NOENT))?;
        if !meta.file_type().is_socket() {
            return Err(Failed::Errno(errno::ACCES));
        }
        let stream = step("callback.connect")
            .and_then(|()| UnixStream::connect(path))
            .and_then(|s| s.set_read_timeout(Some(POLL)).map(|()| s))
            .and_then(|s| s.set_write_timeout(Some(POLL)).map(|()| s))
            .map_err(|_| Failed::Errno(errno::CONNREFUSED))?;
        let handle = self.next;
        self.next += 1;
        self.open.insert(handle, stream);
        Ok(handle)
    }

    /// Waits for at least one byte; at most `max`. Empty: the other side is done.
    pub(crate) fn read(
        &mut self,
        handle: u32,
        max: u32,
        stop: &Channels,
    ) -> Result<Vec<u8>, Failed> {
        let stream = self.open.get_mut(&handle).ok_or(Failed::Errno(errno::BADF))?;
        let mut bytes = vec![0; (max as usize).min(MAX_TRANSFER)];
        let n = patiently(stop, || stream.read(&mut bytes))?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// Waits until at least one of `bytes` is taken; how many were.
    pub(crate) fn write(
        &mut self,
        handle: u32,
        bytes: &[u8],
        stop: &Channels,
    ) -> Result<u32, Failed> {
        let stream = self.open.get_mut(&handle).ok_or(Failed::Errno(errno::BADF))?;
        patiently(stop, || stream.write(bytes)).map(|n| n as u32)
    }

    pub(crate) fn close(&mut self, handle: u32) -> Result<(), Failed> {
        self.open.remove(&handle).map(drop).ok_or(Failed::Errno(errno::BADF))
    }
}

impl CallbackRule {
    fn allows(&self, path: &Path) -> bool {
        let plain =
            path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)));
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let middle =
            name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_suffix(&self.suffix));
        plain && path.parent() == Some(&self.root) && middle.is_some_and(is_uuid)
    }
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|c| c == b'-' || c.is_ascii_hexdigit())
}

/// Repeats `transfer` while it only ran out of time.
fn patiently(
    stop: &Channels,
    mut transfer: impl FnMut() -> std::io::Result<usize>,
) -> Result<usize, Failed> {
    loop {
        if stop.is_stopped() {
            return Err(Failed::Stopped);
        }
        match transfer() {
            Ok(n) => return Ok(n),
            Err(e) => match e.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
                    return Err(Failed::Errno(errno::PIPE));
                }
                _ => return Err(Failed::Errno(errno::IO)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    fn named(last: char) -> String {
        format!(".3f2b8c1e-0000-4000-8000-00000000000{last}.sock")
    }

    #[test]
    fn only_sockets_of_the_folder_by_their_plain_name() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        let other = tempfile::tempdir()?;
        let _listener = UnixListener::bind(root.path().join(named('a')))?;
        let _elsewhere = UnixListener::bind(other.path().join(named('b')))?;
        std::os::unix::fs::symlink(other.path().join(named('b')), root.path().join(named('c')))?;
        std::fs::write(root.path().join(named('e')), "")?;
        std::fs::create_dir(root.path().join("sub"))?;
        let _docker = UnixListener::bind(root.path().join("docker.sock"))?;
        let _plain = UnixListener::bind(root.path().join(".plain.sock"))?;
        let rule =
            CallbackRule { root: root.path().into(), prefix: ".".into(), suffix: ".sock".into() };
        let at = |name: &str| root.path().join(name).to_str().expect("UTF-8").to_owned();
        let cases = [
            (at(&named('a')), Ok(1)),
            (at(&named('d')), Err(errno::NOENT)),
            (at(&named('c')), Err(errno::ACCES)),
            (at(&named('e')), Err(errno::ACCES)),
            (at("docker.sock"), Err(errno::ACCES)),
            (at(&format!("sub/../{}", named('a'))), Err(errno::ACCES)),
            (at(".plain.sock"), Err(errno::ACCES)),
            (other.path().join(named('b')).display().to_string(), Err(errno::ACCES)),
            (named('a'), Err(errno::ACCES)),
            (String::new(), Err(errno::ACCES)),
        ];
        let mut callbacks = Callbacks::new(Some(rule));
        for (asked, expected) in cases {
            assert_eq!(callbacks.connect(&asked), expected.map_err(Failed::Errno), "{asked}");
        }
        assert_eq!(
            Callbacks::new(None).connect(&at(&named('a'))),
            Err(Failed::Errno(errno::ACCES))
        );
        Ok(())
    }

    #[test]
    fn bytes_pass_both_ways_and_a_stop_ends_the_wait() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        let path = root.path().join(named('a'));
        let listener = UnixListener::bind(&path)?;
        let rule =
            CallbackRule { root: root.path().into(), prefix: ".".into(), suffix: ".sock".into() };
        let mut callbacks = Callbacks::new(Some(rule));
        let stop = Channels::new(1);
        let handle = callbacks.connect(path.to_str().expect("UTF-8")).expect("it listens");
        let (mut served, _) = listener.accept()?;
        served.write_all(b"hello")?;
        assert_eq!(callbacks.read(handle, 4, &stop), Ok(b"hell".to_vec()));
        assert_eq!(callbacks.read(handle, 100, &stop), Ok(b"o".to_vec()));
        assert_eq!(callbacks.write(handle, b"thanks", &stop), Ok(6));
        let mut got = [0; 6];
        served.read_exact(&mut got)?;
        assert_eq!(&got, b"thanks");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| callbacks.read(handle, 1, &stop));
            stop.stop();
            assert_eq!(waiting.join().expect("no panic"), Err(Failed::Stopped));
        });
        assert_eq!(callbacks.close(handle), Ok(()));
        assert_eq!(callbacks.close(handle), Err(Failed::Errno(errno::BADF)));
        let fresh = Channels::new(1);
        assert_eq!(callbacks.read(handle, 1, &fresh), Err(Failed::Errno(errno::BADF)));
        Ok(())
    }
}
