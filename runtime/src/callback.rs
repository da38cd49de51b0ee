//! Call-backs: byte streams from a guest to sockets that its own host process listens on.
//!
//! Stock workers open local sockets to their executor for some services. A sandbox has no network;
//! it may name a Unix socket beneath one folder, or a port that the embedder said is its task's, and
//! the host connects for it. What the socket serves is the embedder's business: this carries bytes.

use crate::abi::errno;
use crate::channel::Channels;
use crate::failpoint::step;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, addr::SocketAddrArg, socket_with,
};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
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

/// One connection, to either kind of socket.
trait Stream: Read + Write + std::fmt::Debug + Send {}
impl<T: Read + Write + std::fmt::Debug + Send> Stream for T {}

/// The open call-backs of one sandbox.
#[derive(Debug)]
pub(crate) struct Callbacks {
    rule: Option<CallbackRule>,
    open: HashMap<u32, Box<dyn Stream>>,
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

    /// Connects to the socket that `asked` names (hostile): an absolute host path, or `:` and a
    /// port. Answers its handle.
    pub(crate) fn connect(&mut self, asked: &str, channels: &Channels) -> Result<u32, Failed> {
        if self.open.len() >= MAX_STREAMS {
            return Err(Failed::Errno(errno::MFILE));
        }
        let port = asked.strip_prefix(':').map(|digits| digits.parse().unwrap_or(0));
        let allowed = match port {
            Some(port) => channels.use_port(port),
            None => self.rule.as_ref().is_some_and(|rule| rule.allows(Path::new(asked))),
        };
        if !allowed {
            return Err(Failed::Errno(errno::ACCES));
        }
        let stream = match port {
            Some(port) => to_port(port, channels)?,
            None => to_unix_socket(Path::new(asked), channels)?,
        };
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

fn to_unix_socket(path: &Path, stop: &Channels) -> Result<Box<dyn Stream>, Failed> {
    // A symlink is no socket. Guests cannot write to the folder, so it stays what it is.
    let meta = path.symlink_metadata().map_err(|_| Failed::Errno(errno::NOENT))?;
    if !meta.file_type().is_socket() {
        return Err(Failed::Errno(errno::ACCES));
    }
    let address = SocketAddrUnix::new(path).map_err(|_| Failed::Errno(errno::NOENT))?;
    let stream = UnixStream::from(connected(AddressFamily::UNIX, &address, stop)?);
    stream.set_read_timeout(Some(POLL)).map_err(|_| Failed::Errno(errno::IO))?;
    Ok(Box::new(stream))
}

/// Never further than this machine.
fn to_port(port: u16, stop: &Channels) -> Result<Box<dyn Stream>, Failed> {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    let socket = match connected(AddressFamily::INET, &v4, stop) {
        Err(Failed::Errno(_)) => connected(AddressFamily::INET6, &v6, stop)?,
        done => done?,
    };
    let stream = TcpStream::from(socket);
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(POLL)))
        .map_err(|_| Failed::Errno(errno::IO))?;
    Ok(Box::new(stream))
}

/// A connected socket that waits for no transfer longer than `POLL`. Where the other side has no room
/// for one more connection, this waits until it has, or for the stop.
fn connected(
    family: AddressFamily,
    address: &impl SocketAddrArg,
    stop: &Channels,
) -> Result<OwnedFd, Failed> {
    let refused = |_| Failed::Errno(errno::CONNREFUSED);
    step("callback.connect").map_err(|_| Failed::Errno(errno::CONNREFUSED))?;
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .and_then(|socket| set_socket_timeout(&socket, Timeout::Send, Some(POLL)).map(|()| socket))
        .map_err(refused)?;
    patiently(stop, || match rustix::net::connect(&socket, address) {
        Ok(()) | Err(Errno::ISCONN) => Ok(()),
        Err(Errno::INPROGRESS | Errno::ALREADY) => Err(ErrorKind::TimedOut.into()),
        Err(e) => Err(e.into()),
    })
    .map_err(|failed| match failed {
        Failed::Errno(_) => Failed::Errno(errno::CONNREFUSED),
        Failed::Stopped => Failed::Stopped,
    })?;
    Ok(socket)
}

impl Channels {
    /// Host: the task that has begun may connect to `port` of this machine: `once`, where whoever
    /// listens there leaves the port to others after that, or until the next task begins.
    pub fn allow_port(&self, port: u16, once: bool) {
        self.lock().ports.insert(port, once);
    }

    /// Whether the task may connect to `port` now.
    fn use_port(&self, port: u16) -> bool {
        let mut state = self.lock();
        match state.ports.get(&port).copied() {
            Some(true) => state.ports.remove(&port).is_some(),
            Some(false) => true,
            None => false,
        }
    }

    pub(crate) fn forget_ports(&self) {
        self.lock().ports.clear();
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
fn patiently<T>(
    stop: &Channels,
    mut transfer: impl FnMut() -> std::io::Result<T>,
) -> Result<T, Failed> {
    loop {
        if stop.is_stopped() {
            return Err(Failed::Stopped);
        }
        match transfer() {
            Ok(done) => return Ok(done),
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
    use std::net::TcpListener;
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
        let (mut callbacks, channels) = (Callbacks::new(Some(rule)), Channels::new(1));
        for (asked, expected) in cases {
            let got = callbacks.connect(&asked, &channels);
            assert_eq!(got, expected.map_err(Failed::Errno), "{asked}");
        }
        assert_eq!(
            Callbacks::new(None).connect(&at(&named('a')), &channels),
            Err(Failed::Errno(errno::ACCES))
        );
        Ok(())
    }

    #[test]
    fn only_ports_of_the_task_that_runs() -> std::io::Result<()> {
        let (own, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let (own, other) = (own.local_addr()?.port(), other.local_addr()?.port());
        let channels = Channels::new(1);
        let mut callbacks = Callbacks::new(None);
        let mut ask = |asked: &str| callbacks.connect(asked, &channels);
        assert_eq!(ask(&format!(":{own}")), Err(Failed::Errno(errno::ACCES)));
        channels.allow_port(own, false);
        for asked in [
            format!(":{other}"),
            format!(":{}", u32::from(own) + 65536),
            format!(":{own}/"),
            format!("127.0.0.1:{own}"),
            ":".into(),
            ":0".into(),
            format!(":-{own}"),
        ] {
            assert_eq!(ask(&asked), Err(Failed::Errno(errno::ACCES)), "{asked}");
        }
        channels.forget_ports();
        assert_eq!(ask(&format!(":{own}")), Err(Failed::Errno(errno::ACCES)));
        Ok(())
    }

    #[test]
    fn bytes_pass_through_a_port() -> std::io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let channels = Channels::new(1);
        channels.allow_port(port, true);
        let mut callbacks = Callbacks::new(None);
        let handle = callbacks.connect(&format!(":{port}"), &channels).expect("it listens");
        let (mut served, _) = listener.accept()?;
        served.write_all(b"hello")?;
        assert_eq!(callbacks.read(handle, 100, &channels), Ok(b"hello".to_vec()));
        assert_eq!(callbacks.write(handle, b"thanks", &channels), Ok(6));
        let mut got = [0; 6];
        served.read_exact(&mut got)?;
        assert_eq!(&got, b"thanks");
        drop(served);
        assert_eq!(callbacks.read(handle, 1, &channels), Ok(Vec::new()));
        let mut again = || callbacks.connect(&format!(":{port}"), &channels);
        assert_eq!(again(), Err(Failed::Errno(errno::ACCES)));
        channels.allow_port(port, false);
        assert_eq!((again(), again()), (Ok(2), Ok(3)));
        drop(listener);
        assert_eq!(again(), Err(Failed::Errno(errno::CONNREFUSED)));
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
        let handle = callbacks.connect(path.to_str().expect("UTF-8"), &stop).expect("it listens");
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

    /// Whoever listens has room for few that wait, and accepts nobody.
    #[test]
    fn a_stop_ends_the_wait_for_a_connection() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        let path = root.path().join(named('a'));
        let unix =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&unix, &SocketAddrUnix::new(&path)?)?;
        rustix::net::listen(&unix, 0)?;
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        rustix::net::listen(&tcp, 0)?;
        let port = tcp.local_addr()?.port();
        let rule =
            CallbackRule { root: root.path().into(), prefix: ".".into(), suffix: ".sock".into() };
        for asked in [path.to_str().expect("UTF-8").to_owned(), format!(":{port}")] {
            let stop = Channels::new(1);
            stop.allow_port(port, false);
            let mut callbacks = Callbacks::new(Some(rule.clone()));
            let (told, tells) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                let ended = scope.spawn(|| {
                    loop {
                        match callbacks.connect(&asked, &stop) {
                            Ok(handle) => told.send(handle).expect("somebody listens"),
                            Err(failed) => return failed,
                        }
                    }
                });
                // Until one waits: none comes for a second.
                while tells.recv_timeout(Duration::from_secs(1)).is_ok() {}
                stop.stop();
                assert_eq!(ended.join().expect("no panic"), Failed::Stopped, "{asked}");
            });
        }
        Ok(())
    }
}
