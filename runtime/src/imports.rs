//! The import list: every host function a guest can reach, by hand. It is the security policy.

use crate::abi::{self, errno, verb};
use crate::admission::{Admission, Refusal};
use crate::callback::{Callbacks, Failed};
use crate::channel::{Channels, Transfer};
use crate::disk::{self, Disk};
use crate::fault::{Fault, LimitExceeded};
use crate::job::{Desk, Role};
use crate::limits::{LimitKind, MAX_MEMORY};
use crate::lower::{self, Lowers};
use crate::memory_limit::MemoryLimit;
use crate::paths;
use crate::poll_oneoff::poll_oneoff;
use crate::snapshot::Snapshot;
use crate::transfers;
use arrow_schema::Schema;
use std::sync::Arc;
use std::time::Instant;
use wasmtime::{Caller, Engine, Linker, Memory, Result};
use wasmtime_wasi::p1::{self, WasiP1Ctx, wasi_snapshot_preview1};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder};
use wiggle::GuestMemory;

/// WASI functions a guest may import. Absent on purpose: all of `sock_*` (network), `proc_raise`.
/// File functions reach only granted directories.
const WASI_ALLOWED: &[&str] = &[
    "args_get",
    "args_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "environ_get",
    "environ_sizes_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_dir_name",
    "fd_prestat_get",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "random_get",
    "sched_yield",
];

/// Davy's own functions; see `guest-python/core`.
const DAVY_ALLOWED: &[&str] = &["channel_read", "channel_write", "session_read", "gateway"];

/// Requests larger than this are refused: paths and names are all that a request carries.
const MAX_REQUEST: u32 = 64 << 10;

/// Random bytes made at once: a kill waits for no more.
const RANDOM_CHUNK: usize = 1 << 20;

/// Host state of one sandbox, owned by its store.
pub(crate) struct GuestState {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) memory: Option<Memory>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) session: Arc<[u8]>,
    pub(crate) admission: Option<Admission>,
    pub(crate) callbacks: Callbacks,
    pub(crate) disk: Disk,
    pub(crate) lowers: Lowers,
    pub(crate) job: Desk,
    pub(crate) memory_limit: MemoryLimit,
    pub(crate) output_limit: Option<u64>,
    pub(crate) output_written: u64,
    /// Of the batches that the guest gives.
    pub(crate) output_schema: Option<Schema>,
    /// Zero of the guest's monotonic clock.
    pub(crate) began: Instant,
    /// Has yet to learn what a start from it writes.
    pub(crate) origin: Option<Arc<Snapshot>>,
}

impl GuestState {
    /// What an instance is made with before it is somebody's: nothing is granted.
    pub(crate) fn blank() -> GuestState {
        let channels = Arc::new(Channels::new(1));
        GuestState {
            wasi: WasiCtxBuilder::new().build_p1(),
            memory: None,
            channels: Arc::clone(&channels),
            session: Arc::default(),
            admission: None,
            callbacks: Callbacks::new(None),
            disk: Disk::default(),
            lowers: Lowers::default(),
            job: Desk::new(None, Role::Serve, Vec::new()),
            memory_limit: MemoryLimit::new(Arc::default(), MAX_MEMORY, channels),
            output_limit: None,
            output_written: 0,
            output_schema: None,
            began: Instant::now(),
            origin: None,
        }
    }

    /// Whether `bytes` more of output stay within the limit.
    pub(crate) fn may_output(&self, bytes: u64) -> Result<()> {
        let asked = self.output_written.saturating_add(bytes);
        match self.output_limit {
            Some(allowed) if asked > allowed => {
                let (limit, used) = (LimitKind::Output, self.output_written);
                let fault = LimitExceeded { limit, allowed, used, asked };
                Err(wasmtime::Error::new(Raised(fault.into())))
            }
            _ => Ok(()),
        }
    }
}

/// A fault raised inside a host function, carried through wasm as its error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Raised(pub(crate) Fault);

impl Raised {
    pub(crate) fn lie(what: &str) -> wasmtime::Error {
        wasmtime::Error::new(Raised(Fault::guest(format!(
            "it passed an address outside its memory ({what})"
        ))))
    }

    /// The interrupt's own reason replaces this text.
    pub(crate) fn stopped() -> wasmtime::Error {
        wasmtime::Error::new(Raised(Fault::Stopped { reason: "stopped".into() }))
    }
}

/// Refuses a module that imports anything outside the list.
pub(crate) fn check(wasm: &[u8]) -> Result<(), String> {
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|e| format!("it is not a valid module: {e}"))?;
        if let wasmparser::Payload::StartSection { .. } = payload {
            return Err("it has a start function, which would run before it can be stopped".into());
        }
        let wasmparser::Payload::ImportSection(section) = payload else { continue };
        for import in section.into_imports() {
            let import = import.map_err(|e| e.to_string())?;
            let known = match import.module {
                abi::WASI => WASI_ALLOWED.contains(&import.name),
                abi::MODULE => DAVY_ALLOWED.contains(&import.name),
                _ => false,
            };
            if !known {
                return Err(format!(
                    "it imports {}.{}, which is never granted",
                    import.module, import.name
                ));
            }
        }
    }
    Ok(())
}

/// The linker behind the list.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |state: &mut GuestState| &mut state.wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap(abi::WASI, "poll_oneoff", poll_oneoff)?;
    disk::add_to_linker(&mut linker)?;
    paths::add_to_linker(&mut linker)?;
    lower::add_to_linker(&mut linker)?;
    linker.func_wrap(abi::WASI, "random_get", random_get)?;
    linker.func_wrap(abi::WASI, "proc_exit", proc_exit)?;
    linker.func_wrap(abi::MODULE, "channel_read", channel_read)?;
    linker.func_wrap(abi::MODULE, "channel_write", channel_write)?;
    linker.func_wrap(abi::MODULE, "session_read", session_read)?;
    linker.func_wrap(abi::MODULE, "gateway", gateway)?;
    Ok(linker)
}

/// wasmtime's own takes a code of 126 and more for an error of the host's.
fn proc_exit(code: i32) -> Result<()> {
    Err(wasmtime::Error::new(I32Exit(code)))
}

/// wasmtime's own makes its answer on the host first, and refuses large ones.
fn random_get(mut caller: Caller<'_, GuestState>, ptr: u32, len: u32) -> Result<i32> {
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    for chunk in region_mut(data, ptr, len)?.chunks_mut(RANDOM_CHUNK) {
        if state.channels.is_stopped() {
            return Err(Raised::stopped());
        }
        let len = chunk.len() as i32;
        let mut memory = GuestMemory::Unshared(chunk);
        wasi_snapshot_preview1::random_get(&mut state.wasi, &mut memory, 0, len)?;
    }
    Ok(0)
}

pub(crate) fn memory_of(caller: &Caller<'_, GuestState>) -> Result<Memory> {
    caller
        .data()
        .memory
        .ok_or_else(|| wasmtime::Error::new(Raised(Fault::guest("a host call before start"))))
}

/// `len` guest bytes at `ptr`, checked.
pub(crate) fn region(data: &[u8], ptr: u32, len: u32) -> Result<&[u8]> {
    data.get(ptr as usize..)
        .and_then(|tail| tail.get(..len as usize))
        .ok_or_else(|| Raised::lie("read"))
}

/// `len` writable guest bytes at `ptr`, checked.
pub(crate) fn region_mut(data: &mut [u8], ptr: u32, len: u32) -> Result<&mut [u8]> {
    data.get_mut(ptr as usize..)
        .and_then(|tail| tail.get_mut(..len as usize))
        .ok_or_else(|| Raised::lie("write"))
}

fn channel_read(mut caller: Caller<'_, GuestState>, ptr: u32, len: u32) -> Result<i32> {
    let len = len.min(i32::MAX as u32);
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    // From a job snapshot, reading the task's head is still a part of every start.
    if let Some(origin) = state.origin.take_if(|_| !state.job.resumes()) {
        origin.learn(data);
    }
    match state.channels.guest_read(region_mut(data, ptr, len)?) {
        Transfer::Bytes(n) => {
            state.job.recognise(region(data, ptr, n as u32)?, &state.channels)?;
            Ok(n as i32)
        }
        Transfer::Ended => Ok(0),
        Transfer::Stopped => Err(Raised::stopped()),
    }
}

fn channel_write(mut caller: Caller<'_, GuestState>, ptr: u32, len: u32) -> Result<i32> {
    let len = len.min(i32::MAX as u32);
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    if let Some(origin) = state.origin.take() {
        origin.learn(data);
    }
    let bytes = region(data, ptr, len)?;
    state.may_output(u64::from(len))?;
    match state.channels.guest_write(bytes) {
        Transfer::Bytes(n) => {
            state.output_written += n as u64;
            Ok(n as i32)
        }
        Transfer::Ended => Ok(-1),
        Transfer::Stopped => Err(Raised::stopped()),
    }
}

fn session_read(mut caller: Caller<'_, GuestState>, ptr: u32, len: u32) -> Result<i32> {
    let session = Arc::clone(&caller.data().session);
    let n = session.len().min(len as usize);
    let memory = memory_of(&caller)?;
    region_mut(memory.data_mut(&mut caller), ptr, n as u32)?.copy_from_slice(&session[..n]);
    Ok(session.len() as i32)
}

fn gateway(
    mut caller: Caller<'_, GuestState>,
    verb: u32,
    request: u32,
    request_len: u32,
    response: u32,
    response_cap: u32,
) -> Result<i32> {
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    let channels = Arc::clone(&state.channels);
    channels.outside_calls(|| {
        control(data, state, verb, (request, request_len), (response, response_cap))
    })
}

/// Serves one request of the guest's, address and length, whose answer goes to an address of so
/// many bytes.
pub(crate) fn control(
    data: &mut [u8],
    state: &mut GuestState,
    verb: u32,
    (request, request_len): (u32, u32),
    (response, response_cap): (u32, u32),
) -> Result<i32> {
    match verb {
        verb::TAKE_BATCH => {
            return transfers::take_batch(state, region_mut(data, response, response_cap)?);
        }
        verb::GIVE_SCHEMA => {
            return transfers::give_schema(state, region(data, request, request_len)?);
        }
        verb::GIVE_BATCH => {
            let address = region(data, request, request_len)?.try_into();
            let address = u32::from_le_bytes(address.map_err(|_| Raised::lie("a batch"))?);
            return transfers::give_batch(state, data, address);
        }
        verb::ROLE
        | verb::FIND_JOB
        | verb::MAKE_JOB
        | verb::JOB_LOADED
        | verb::GO_ON
        | verb::COMMAND
            if request_len <= MAX_REQUEST =>
        {
            let copied = region(data, request, request_len)?.to_vec();
            let answer = jobs(state, verb, &copied)?;
            return respond(data, response, response_cap, &answer);
        }
        _ if request_len > MAX_REQUEST => return Ok(-errno::INVAL),
        _ => {}
    }
    let copied = region(data, request, request_len)?.to_vec();
    let answer = match verb {
        verb::ADMIT => admit(state, &copied),
        verb::MEMORY => Ok(state.memory_limit.sentence().unwrap_or_default().into_bytes()),
        verb::PASSES_BATCHES => {
            Ok(if state.channels.passes_batches() { vec![1] } else { Vec::new() })
        }
        verb::CONNECT | verb::RECEIVE | verb::SEND | verb::DISCONNECT => {
            match call_back(state, verb, &copied, response_cap) {
                Err(Failed::Stopped) => return Err(Raised::stopped()),
                Err(Failed::Errno(errno)) => Err(errno),
                Ok(bytes) => Ok(bytes),
            }
        }
        _ => Err(errno::NOSYS),
    };
    match answer {
        Err(errno) => Ok(-errno),
        Ok(bytes) => respond(data, response, response_cap, &bytes),
    }
}

/// Writes the answer if it fits; its length in any case.
fn respond(data: &mut [u8], response: u32, cap: u32, bytes: &[u8]) -> Result<i32> {
    if bytes.len() <= cap as usize {
        region_mut(data, response, bytes.len() as u32)?.copy_from_slice(bytes);
    }
    Ok(bytes.len() as i32)
}

fn jobs(state: &mut GuestState, verb: u32, request: &[u8]) -> Result<Vec<u8>> {
    let GuestState { job, channels, memory_limit, .. } = state;
    let answer = match verb {
        verb::ROLE => return Ok(job.role()),
        verb::FIND_JOB => job.find(request, channels)?,
        verb::MAKE_JOB => job.make(request, channels)?,
        verb::JOB_LOADED => {
            let answer = job.done_loading(request)?;
            // From here on the guest only clears what it has freed.
            memory_limit.freeze();
            answer
        }
        verb::COMMAND => {
            job.command(request);
            b""
        }
        _ => {
            channels.go_on();
            b""
        }
    };
    Ok(answer.to_vec())
}

fn admit(state: &mut GuestState, request: &[u8]) -> Result<Vec<u8>, i32> {
    let path = std::str::from_utf8(request).map_err(|_| errno::INVAL)?;
    let desk = state.admission.as_mut().ok_or(errno::ACCES)?;
    match desk.admit(path) {
        Ok(seen) => Ok(seen.into_bytes()),
        Err(Refusal::NotAllowed) => Err(errno::ACCES),
        Err(Refusal::Missing) => Err(errno::NOENT),
    }
}

fn call_back(
    state: &mut GuestState,
    verb: u32,
    request: &[u8],
    response_cap: u32,
) -> Result<Vec<u8>, Failed> {
    const INVALID: Failed = Failed::Errno(errno::INVAL);
    let GuestState { callbacks, channels, .. } = state;
    if verb == verb::CONNECT {
        let path = std::str::from_utf8(request).map_err(|_| INVALID)?;
        return callbacks.connect(path, channels).map(|handle| handle.to_le_bytes().to_vec());
    }
    let (handle, rest) = request.split_first_chunk().ok_or(INVALID)?;
    let handle = u32::from_le_bytes(*handle);
    match verb {
        verb::RECEIVE => {
            let max = u32::from_le_bytes(rest.try_into().map_err(|_| INVALID)?);
            // What does not fit the response would be lost.
            callbacks.read(handle, max.min(response_cap), channels)
        }
        verb::SEND => {
            callbacks.write(handle, rest, channels).map(|taken| taken.to_le_bytes().to_vec())
        }
        _ => callbacks.close(handle).map(|()| Vec::new()),
    }
}
