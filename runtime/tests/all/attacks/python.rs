//! Python attacks, each by the image of the repository, in a sandbox with a scratch folder.

use super::{Comes, Neighbour, attack};
use crate::guests::{Lab, Lines, spec};
use crate::python::image;
use davy_runtime::{DirGrant, Grants, Limits, Sandbox, SandboxSpec, SnapshotKey, TaskLimits};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DENIED: &str = "not granted to this sandbox";
/// Time for an attack that never ends. Others have `LONG`.
const SHORT: Duration = Duration::from_millis(1500);

fn session(lab: &Path, log: &Arc<Lines>) -> SandboxSpec {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all/attacks/python");
    let own = own.canonicalize().expect("the worker's folder");
    let guest = own.display().to_string();
    let session = serde_json::json!({
        "worker": "attack", "sys_path": [&guest], "env": {}, "cwd": null, "reuse": false,
        "buffer_size": 65536,
    });
    let dir = |host: &Path, guest: &str, write: bool, quota_bytes| DirGrant {
        host: host.into(),
        guest: guest.into(),
        write,
        quota_bytes,
        lower: write.then(|| "/granted".into()),
    };
    SandboxSpec {
        session: session.to_string().into_bytes(),
        grants: Grants {
            dirs: vec![
                dir(&own, &guest, false, None),
                dir(&lab.join("granted"), "/granted", false, None),
                dir(&lab.join("scratch"), "/tmp", true, Some(16 << 20)),
            ],
            env: vec![("PYTHONHASHSEED".into(), "0".into())],
            ..Grants::default()
        },
        limits: Limits {
            memory_bytes: 160 << 20,
            output_bytes: Some(4 << 20),
            log_bytes: 100_000,
            open_files: 64,
        },
        log: Arc::<Lines>::clone(log),
        snapshot_key: Some(SnapshotKey { key: "attack".into(), on_disk: false, jobs: false }),
        ..spec()
    }
}

/// Runs each script of a table: its name, the script, what comes of it.
fn attacks(table: &[(&str, &str, Comes<'_>)]) {
    let lab = Lab::new();
    let neighbour = Neighbour::of(&lab);
    let image = image();
    let (granted, scratch) = (lab.folder.path().join("granted"), lab.folder.path().join("scratch"));
    let secret = lab.folder.path().join("secret");
    std::fs::create_dir(&granted).expect("a folder");
    std::fs::write(granted.join("file"), "as it was").expect("a file");
    std::fs::write(&secret, "only for the host").expect("a file");
    std::os::unix::fs::symlink("../secret", granted.join("link")).expect("a link");
    std::os::unix::fs::symlink("/etc", granted.join("etc")).expect("a link");
    for &(name, script, comes) in table {
        let _ = std::fs::remove_dir_all(&scratch);
        std::fs::create_dir(&scratch).expect("a folder");
        let log = Arc::new(Lines::default());
        let sandbox = Sandbox::start(&image, session(lab.folder.path(), &log)).expect("a sandbox");
        let endless = matches!(comes, Comes::Fault(_, words) if words.starts_with("deadline"));
        sandbox.begin_task(TaskLimits {
            deadline: Some(if endless { SHORT } else { super::LONG }),
            ..TaskLimits::default()
        });
        attack(name, &sandbox, script.as_bytes(), &neighbour, comes);
        let read = |path: &Path| std::fs::read_to_string(path).expect("it is there");
        assert_eq!(read(&secret), "only for the host", "{name}");
        assert_eq!(read(&granted.join("file")), "as it was", "{name}");
        assert_eq!(std::fs::read_dir(&granted).expect("a folder").count(), 3, "{name}");
        assert!(log.0.lock().expect("log").len() < 101_000, "{name}: the log has no bound");
    }
}

use Comes::{Fault, Says, SaysNoMore};

#[test]
fn files() {
    attacks(&[
        ("a file of the host", "open('/etc/passwd')", Says(DENIED)),
        ("up from the scratch folder", "open('/tmp/../../../../etc/passwd')", Says("PermissionError")),
        ("up from the image", "open('/usr/local/../../etc/passwd')", Says("PermissionError")),
        ("beside the granted folder", "open('/granted/../secret')", Says("PermissionError")),
        ("a link that leads out", "open('/granted/link')", Says("PermissionError")),
        ("a linked folder that leads out", "open('/granted/etc/passwd')", Says("PermissionError")),
        ("a link of its own, upwards", "import os; os.symlink('../secret', '/tmp/l'); open('/tmp/l')", Says("PermissionError")),
        ("a link of its own, from the root", "import os; os.symlink('/etc/passwd', '/tmp/l'); open('/tmp/l')", Says("PermissionError")),
        ("links in a chain", "
import os
os.mkdir('/tmp/d'); os.symlink('d/../..', '/tmp/a'); os.symlink('a/secret', '/tmp/b')
open('/tmp/b')", Says("PermissionError")),
        ("links in a circle", "import os; os.symlink('a', '/tmp/b'); os.symlink('b', '/tmp/a'); open('/tmp/a')", Says("symbolic links")),
        ("a folder that becomes a link", "
import os
os.mkdir('/tmp/d'); fd = os.open('/tmp/d', os.O_RDONLY)
os.rmdir('/tmp/d'); os.symlink('..', '/tmp/d')
said = []
for of in (fd, None):
    try: said.append(os.open(os.path.join('/tmp/d', 'secret') if of is None else '../secret', os.O_RDONLY, dir_fd=of))
    except OSError as e: said.append(type(e).__name__)", Says("['PermissionError', 'PermissionError']")),
        ("a hard link to the host's", "import os; os.link('/granted/../secret', '/tmp/l')", Says("PermissionError")),
        ("a hard link into what is read-only", "import os; open('/tmp/x', 'w'); os.link('/tmp/x', '/granted/x')", Says("PermissionError")),
        ("a hard link out of what is read-only, to write", "
import os
os.link('/granted/file', '/tmp/x'); open('/tmp/x', 'w').write('changed')", Says("PermissionError")),
        ("a rename out of the scratch folder", "import os; open('/tmp/x', 'w'); os.rename('/tmp/x', '/tmp/../x')", Says("PermissionError")),
        ("a rename over the host's", "import os; open('/tmp/x', 'w'); os.rename('/tmp/x', '/tmp/../secret')", Says("PermissionError")),
        ("a rename out of what is read-only", "import os; os.rename('/granted/file', '/tmp/x')", Says("PermissionError")),
        ("removal of what is read-only", "import os; os.remove('/granted/file')", Says("PermissionError")),
        ("writing to what is read-only", "open('/granted/file', 'r+').write('changed')", Says("PermissionError")),
        ("cutting what is read-only", "import os; os.truncate('/granted/file', 0)", Says("Error")),
        ("another time for what is read-only", "import os; os.utime('/granted/file', (0, 0))", Says("PermissionError")),
        ("a Python file in the image", "open('/usr/local/lib/python3.11/os.py', 'a').write('x')", Says("PermissionError")),
        ("a Python file beside the worker's", "import attack; open(attack.__file__, 'a')", Says("PermissionError")),
        ("a file of the lower folder, read", "
import os
said = [open('file').read(), os.path.exists('file'), os.path.exists('nothing'), os.listdir('.')]", Says("['as it was', True, False, []]")),
        ("a file of the lower folder, made anew", "
open('file', 'w').write('own')
said = [open('/tmp/file').read(), open('/granted/file').read()]", Says("['own', 'as it was']")),
        ("a file of the lower folder, changed", "open('file', 'r+').write('changed')", Says("PermissionError")),
        ("a file of the lower folder, removed", "import os; os.remove('file')", Says("FileNotFoundError")),
        ("up from the lower folder", "open('../secret')", Says("PermissionError")),
        ("a link of the lower folder that leads out", "open('link')", Says("PermissionError")),
        ("/proc, the environment", "open('/proc/self/environ')", Says(DENIED)),
        ("/proc, memory", "open('/proc/self/mem', 'r+b')", Says(DENIED)),
        ("/proc, the root", "open('/proc/self/root/etc/passwd')", Says(DENIED)),
        ("/proc, a descriptor", "open('/proc/self/fd/0')", Says(DENIED)),
        ("/dev/mem", "open('/dev/mem', 'rb')", Says(DENIED)),
        ("a listing of the root", "import os; os.listdir('/')", Says(DENIED)),
        ("another working directory", "import os; os.chdir('/etc')", Says(DENIED)),
        ("another root", "import os; os.chroot('/granted/etc')", Says("AttributeError")),
        ("every descriptor, upwards", "
import os
said = []
for fd in range(80):
    for path in ('../secret', '../../etc/passwd', 'link', 'etc/passwd', '..'):
        try: said.append(os.open(path, os.O_RDONLY, dir_fd=fd))
        except OSError: pass", Says("[]")),
        ("every descriptor, read and written", "
import os
said = []
for fd in range(3, 80):
    for do in (lambda: os.read(fd, 9), lambda: os.write(fd, b'x'), lambda: os.truncate(fd, 0)):
        try: said.append(do())
        except OSError: pass", Says("[]")),
        ("a name with a zero", "open('/tmp/a\\0/../../etc/passwd')", Says("ValueError")),
        ("a name of 100,000 bytes", "open('/tmp/' + 'a/' * 50000)", Says("Error")),
    ]);
}

#[test]
fn the_world_outside() {
    attacks(&[
        ("environment of the executor", "import os; said = sorted(os.environ)", Says("[]")),
        (
            "environment of the executor, from C",
            "import posix; said = [k for k in posix.environ if k != b'PYTHONHASHSEED']",
            Says("[]"),
        ),
        ("arguments of the executor", "import sys; said = [sys.argv, sys.orig_argv]", Says("[")),
        (
            "a connection",
            "import socket; socket.create_connection(('127.0.0.1', 1), 1)",
            Says(DENIED),
        ),
        ("a socket by the back door", "import _socket; _socket.socket()", Says(DENIED)),
        (
            "a Unix socket",
            "import socket; socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
            Says(DENIED),
        ),
        ("a name's address", "import socket; socket.gethostbyname('localhost')", Says(DENIED)),
        ("a shell", "import os; os.system('id')", Says(DENIED)),
        ("a program", "import subprocess; subprocess.run(['id'])", Says(DENIED)),
        ("a copy of the process", "import os; os.fork()", Says(DENIED)),
        ("another program in its place", "import os; os.execv('/bin/sh', ['sh'])", Says(DENIED)),
        ("a signal to the executor", "import os; os.kill(1, 9)", Says(DENIED)),
        (
            "a signal to itself",
            "import signal; signal.raise_signal(signal.SIGKILL)",
            Fault("script", "aborted"),
        ),
        (
            "a thread",
            "import _thread; _thread.start_new_thread(print, ())",
            Says("can't start new thread"),
        ),
        ("a library", "import ctypes; ctypes.CDLL('libc.so.6')", Says(DENIED)),
        ("memory by its address", "import ctypes; ctypes.string_at(0, 8)", Says(DENIED)),
        (
            "the gateway, for a file",
            "import _davy; _davy.gateway(1, b'/etc/passwd')",
            Says("PermissionError"),
        ),
        (
            "the gateway, for a socket",
            "import _davy; _davy.gateway(3, b'/var/run/docker.sock')",
            Says("PermissionError"),
        ),
        (
            "the gateway, for a batch of nobody's",
            "import _davy; _davy.gateway(7, b'', 64)",
            Says("OSError"),
        ),
        (
            "the gateway, with a wrong schema",
            "import _davy; _davy.gateway(8, b'schema' * 9)",
            Fault("guest", "its schema is wrong"),
        ),
        (
            "the gateway, with a batch before its schema",
            "import _davy; _davy.gateway(9, b'\\xff' * 4)",
            Fault("guest", "a batch before its schema"),
        ),
        (
            "the gateway, with a command nobody asked for",
            "import _davy; _davy.gateway(14, b'')",
            Fault("guest", "it was not asked to load"),
        ),
        (
            "the gateway, with every verb there is not",
            "
import _davy
said = set()
for verb in [0, *range(16, 300), -1, 2**31 - 1]:
    try: _davy.gateway(verb, b'x' * 40)
    except Exception as e: said.add(type(e).__name__)",
            Says("{'OSError'}"),
        ),
        (
            "the gateway, with megabytes",
            "import _davy; _davy.gateway(1, b'x' * (8 << 20))",
            Says("OSError"),
        ),
    ]);
}

#[test]
fn all_it_can_get() {
    let memory = Says("MemoryError");
    attacks(&[
        (
            "memory in large pieces",
            "hoard = []\nwhile True: hoard.append(bytearray(8 << 20))",
            memory,
        ),
        (
            "memory in small pieces",
            "hoard = []\nwhile True: hoard.append(b'%d' % len(hoard) * 500)",
            memory,
        ),
        ("2 GiB at once", "bytearray(2**31 - 1)", memory),
        ("a list of a billion", "[None] * 10**9", memory),
        ("more than can be counted", "b'x' * 2**31", Says("OverflowError")),
        ("a string that doubles", "s = 'davy'\nwhile True: s += s", memory),
        ("a dict that grows", "d = {}\nwhile True: d[len(d)] = bytes(4000)", memory),
        (
            "a bomb that unpacks to 200 MiB",
            "
import zlib
c = zlib.compressobj(); small = b''.join(c.compress(bytes(1 << 20)) for _ in range(200)) + c.flush()
zlib.decompress(small)",
            memory,
        ),
        ("an array of 8 GiB", "import numpy; numpy.ones(2**30)", Says("Error")),
        (
            "a table of 8 GiB",
            "import pyarrow; pyarrow.nulls(2**30, pyarrow.int64())",
            Says("Error"),
        ),
        (
            "an output without end",
            "while True: outfile.write(b'x' * 65536)",
            Fault("limit", "output: 4194304 bytes allowed"),
        ),
        (
            "a log without end",
            "
import sys
for n in range(3000): print('x' * 2000); print('y' * 2000, file=sys.stderr)
said = 'lived'",
            Says("lived"),
        ),
        (
            "a log line without end",
            "
import os
for n in range(300): os.write(1, b'x' * 65536)
said = 'lived'",
            Says("lived"),
        ),
        (
            "descriptors without end",
            "
import os
while True: os.open('/granted/file', os.O_RDONLY)",
            Fault("limit", "open files: 64 allowed, 65 asked"),
        ),
        (
            "copies of descriptors without end",
            "
import os
while True: os.dup(os.open('/granted', os.O_RDONLY))",
            Says("Error"),
        ),
        (
            "files without end",
            "
n = 0
while True:
    with open(f'/tmp/{n}', 'wb') as f: f.write(bytes(1 << 20))
    n += 1",
            Fault("limit", "disk: 16.0 MiB of files allowed"),
        ),
        (
            "empty files without end",
            "
n = 0
while True:
    open(f'/tmp/{n}', 'w').close(); n += 1",
            Fault("limit", "disk: 16.0 MiB of files allowed"),
        ),
        (
            "a file of a terabyte with a hole",
            "
with open('/tmp/hole', 'wb') as f: f.truncate(1 << 40)
said = 'allowed'",
            Fault("limit", "disk: 16.0 MiB of files allowed, 1048576.0 MiB asked"),
        ),
        (
            "a file that begins at a terabyte",
            "
with open('/tmp/hole', 'wb') as f: f.seek(1 << 40); f.write(b'x')
said = 'sparse'",
            SaysNoMore("sparse"),
        ),
    ]);
}

#[test]
fn deeper_and_deeper() {
    let depth = "import sys; sys.setrecursionlimit(2**31 - 1)\n";
    let nested = "x = []\nfor _ in range(300000): x = [x]\n";
    let script = |parts: &[&str]| parts.concat();
    let stack = Fault("limit", "stack: 6.0 MiB allowed");
    let rows: Vec<(&str, String, Comes<'_>)> = vec![
        (
            "recursion in Python",
            script(&["def f(n): return f(n + 1)\nf(0)"]),
            SaysNoMore("RecursionError: maximum recursion depth exceeded"),
        ),
        (
            "recursion in Python, without its limit",
            script(&[depth, "def f(n): return [f(n + 1)]\nf(0)"]),
            SaysNoMore("MemoryError: "),
        ),
        (
            "the same by an argument's default",
            script(&[depth, "def f(n, more=1): return f(n + more)\nf(0)"]),
            SaysNoMore("MemoryError: "),
        ),
        (
            "the same by subscripts",
            script(&[depth, "class A:\n  def __getitem__(self, n): return self[n + 1]\nA()[0]"]),
            SaysNoMore("MemoryError: "),
        ),
        (
            "recursion by a method of the interpreter's",
            script(&[
                depth,
                "class A:\n  def __getattr__(self, n): return getattr(self, n + 'x')\nA().a",
            ]),
            stack,
        ),
        (
            "recursion by comparison",
            script(&[depth, "class A:\n  def __eq__(self, o): return o == self\nA() == A()"]),
            stack,
        ),
        ("recursion in C, by repr", script(&[depth, nested, "repr(x)"]), stack),
        (
            "recursion in C, by comparison",
            script(&[depth, nested, "y = x[0]\nx == [y] and x == y"]),
            stack,
        ),
        (
            "recursion in C, by pickling",
            script(&[depth, nested, "import pickle; pickle.dumps(x)"]),
            Fault("limit", "stack: 8.0 MiB allowed"),
        ),
        (
            "recursion in C, by JSON",
            script(&[depth, "import json; json.loads('[' * 300000)"]),
            stack,
        ),
        (
            "recursion in C, by a map of maps",
            script(&[depth, "x = iter([])\nfor _ in range(300000): x = map(str, x)\nlist(x)"]),
            stack,
        ),
        (
            "recursion in the parser",
            script(&[depth, "compile('(' * 100000 + ')' * 100000, 'a', 'eval')"]),
            Says("MemoryError"),
        ),
        (
            "recursion in the compiler",
            script(&[depth, "compile('-' * 100000 + '1', 'a', 'eval')"]),
            Says("MemoryError"),
        ),
        (
            "recursion in a pattern",
            script(&[depth, "import re; re.compile('(' * 50000 + ')' * 50000)"]),
            SaysNoMore("allowed"),
        ),
        (
            "recursion in a copy",
            script(&[depth, nested, "import copy; copy.deepcopy(x)"]),
            SaysNoMore("allowed"),
        ),
        (
            "nesting that is thrown away",
            script(&[nested, "del x; raise ValueError('thrown away')"]),
            SaysNoMore("ValueError: thrown away"),
        ),
    ];
    // Which bound is met first is CPython's business; by pickling it is C's own stack, in linear memory. Each is an
    // end, and the same one each time.
    let rows: Vec<_> =
        rows.iter().map(|(name, script, comes)| (*name, &**script, *comes)).collect();
    attacks(&rows);
}

#[test]
fn code_that_runs_where_none_is_wanted() {
    attacks(&[
        (
            "a pickle that ends the interpreter",
            "import pickle; pickle.loads(b'cos\\n_exit\\n(I7\\ntR.')",
            Fault("script", "exit code 7"),
        ),
        (
            "a pickle that aborts it",
            "import pickle; pickle.loads(b'cos\\nabort\\n(tR.')",
            Fault("script", "aborted"),
        ),
        (
            "a pickle that reads a file",
            "import pickle; pickle.loads(b'cbuiltins\\nopen\\n(V/etc/passwd\\ntR.')",
            Says(DENIED),
        ),
        (
            "a pickle that runs a shell",
            "import pickle; pickle.loads(b'cos\\nsystem\\n(Vid\\ntR.')",
            Says(DENIED),
        ),
        (
            "a pickle that never ends",
            "
import pickle
pickle.loads(b'cbuiltins\\nexec\\n(Vwhile 1: pass\\ntR.')",
            Fault("limit", "deadline"),
        ),
        (
            "a pickle that lies about its length",
            "import pickle; pickle.loads(b'\\x80\\x04\\x8e' + (2**62).to_bytes(8, 'little') + b'x.')",
            Says("Error"),
        ),
        (
            "a pickle that asks for a memo of a billion",
            "import pickle; pickle.loads(b'\\x80\\x04Nr\\xff\\xff\\xff\\x3f.')",
            Says("Error"),
        ),
        (
            "a pickle that changes the worker",
            "
import pickle, attack
pickle.loads(b'cbuiltins\\nexec\\n(Vimport attack; attack.said_by = \"me\"\\ntR.')
said = attack.said_by",
            Says("me"),
        ),
        (
            "garbage as byte code, by marshal",
            "import marshal; marshal.loads(b'c' + b'\\xff' * 90)",
            Says("Error"),
        ),
        (
            "byte code that reaches beyond its constants",
            "
def f(): pass
f.__code__ = f.__code__.replace(co_code=b'\\x64\\xff\\xff\\xff' * 40, co_stacksize=1)
f()",
            Fault("guest", "wasm trap"),
        ),
        (
            "the worker's modules emptied",
            "
import sys, davy_worker, attack
sys.modules.clear(); davy_worker.__dict__.clear()
said = 1",
            SaysNoMore(""),
        ),
        (
            "an output that says nothing",
            "
import davy_worker
davy_worker._Output.write = lambda self, data: len(data)
said = 'lost'",
            SaysNoMore(""),
        ),
        (
            "an output that lies about its length",
            "
import davy_worker
davy_worker._Output.write = lambda self, data: -5
said = 'lost'",
            SaysNoMore(""),
        ),
        (
            "lies in the result's place",
            "outfile.write(b'\\x00\\x00\\xff\\xff lies'); said = 'more lies'",
            Says("lies"),
        ),
        (
            "a reader that gives other input",
            "
import davy_worker
davy_worker._Input.readinto = lambda self, buffer: 1 << 30
said = 'mine'",
            Says("mine"),
        ),
        (
            "other built-ins",
            "
import builtins
builtins.len = lambda x: 0; builtins.isinstance = lambda *a: True; builtins.open = None
said = 'lied'",
            Says("lied"),
        ),
        (
            "an interpreter's end within the end",
            "
import atexit, os
class A:
    def __del__(self): os._exit(9)
import sys; sys.keep = A(); said = 'ended'",
            Says("ended"),
        ),
        (
            "fatal errors on purpose",
            "
import sys, gc
for o in gc.get_objects():
    if isinstance(o, dict) and '__builtins__' in o:
        o.clear()
said = 1",
            Says("1"),
        ),
    ]);
}

#[test]
fn games_with_time() {
    let deadline = Fault("limit", "deadline: the task may run 1500 ms and ran ");
    attacks(&[
        ("a loop without end", "while True: pass", deadline),
        (
            "a loop that catches all",
            "
while True:
    try:
        while True: pass
    except BaseException: continue",
            deadline,
        ),
        ("a sleep without end", "import time; time.sleep(10**6)", deadline),
        ("sleeps of no time", "import time\nwhile True: time.sleep(0)", deadline),
        (
            "a select without end",
            "import select\nwhile True: select.select([], [], [], 1000)",
            deadline,
        ),
        ("one step of a C function", "sum(range(10**12))", deadline),
        ("one number of a billion digits", "10 ** 10 ** 9", deadline),
        ("one pattern", "import re; re.match('(a+)+$', 'a' * 64 + '!')", deadline),
        (
            "one sort",
            "
class A:
    def __lt__(self, other):
        while True: pass
sorted([A(), A()])",
            deadline,
        ),
        (
            "an end that does not end",
            "
class A:
    def __del__(self):
        while True: pass
a = A(); del a",
            deadline,
        ),
        (
            "a clock set back",
            "
import time
time.monotonic = time.time = lambda: 0
while True: pass",
            deadline,
        ),
        ("random bytes without end", "import os\nwhile True: os.urandom(1 << 20)", deadline),
        (
            "reading what never comes",
            "
import _davy
while True: _davy.channel_read_into(bytearray(9))",
            deadline,
        ),
        (
            "files, listed without end",
            "import os\nwhile True: os.listdir('/usr/local/lib/python3.11')",
            deadline,
        ),
        (
            "a signal's handler in the way",
            "
import signal
signal.signal(signal.SIGTERM, lambda *a: None)
while True: pass",
            deadline,
        ),
    ]);
}

/// `/dev/full` in the scratch folder, where the system lets the test make it: to write to it is what writing to a
/// disk without room is.
#[test]
fn a_full_disk_is_an_error_of_the_scripts() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let lab = Lab::new();
    let (scratch, full) =
        (lab.folder.path().join("scratch"), lab.folder.path().join("scratch/full"));
    for name in ["granted", "scratch"] {
        std::fs::create_dir(lab.folder.path().join(name)).expect("a folder");
    }
    let mode = Mode::from_raw_mode(0o666);
    let made = mknodat(CWD, &full, FileType::CharacterDevice, mode, makedev(1, 7));
    if made.is_err() || std::fs::File::options().write(true).open(&full).is_err() {
        return super::tell("a full disk", "not tried: the system allows no device here");
    }
    let neighbour = Neighbour::of(&lab);
    let log = Arc::new(Lines::default());
    let sandbox = Sandbox::start(&image(), session(lab.folder.path(), &log)).expect("a sandbox");
    let script = "
import errno, os
said = []
for buffering in (0, -1):
    try:
        with open('/tmp/full', 'wb', buffering=buffering) as f: f.write(b'x' * 100000)
        said.append('written')
    except OSError as e: said.append(errno.errorcode[e.errno])
os.remove('/tmp/full')
with open('/tmp/other', 'w') as f: f.write('there is room again')
said.append(open('/tmp/other').read())";
    let comes = SaysNoMore("['ENOSPC', 'ENOSPC', 'there is room again']");
    attack("a full disk", &sandbox, script.as_bytes(), &neighbour, comes);
    assert_eq!(std::fs::read_dir(scratch).expect("a folder").count(), 1);
}
