//! Makes the image's own snapshot, when the image is built.
//!
//! What a guest becomes here lies on every machine that uses the image, and the same recipe must make the
//! same bytes anywhere: so the world in which it is frozen stands still. Clocks show one moment, random bytes
//! are zeros, and of the image's files only their names, kinds, sizes and contents are seen. No session, no
//! directory but the image's, and only the environment that the manifest will name.

use crate::abi;
use crate::fault::Fault;
use crate::grants::Grants;
use crate::guest::Guest;
use crate::image::Image;
use crate::imports::{self, GuestState, memory_of, region_mut};
use crate::limits::Limits;
use crate::log::LogSink;
use crate::sandbox::SandboxSpec;
use crate::snapshot::Snapshot;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::{AsContextMut, Caller, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wasmtime_wasi::runtime::in_tokio;
use wiggle::GuestMemory;

/// What the wall clock shows, nanoseconds since 1970: the first moment that a zip file can name.
const NOW: u64 = 315_532_800_000_000_000;
/// What the monotonic clock shows: whatever is read of it later comes after.
const ZERO: u64 = 0;
const MONOTONIC: i32 = 1;
/// Bytes of WASI's `filestat`, and what there is in it.
const FILESTAT: usize = 64;
const KIND: usize = 16;
const LINKS: usize = 24;
const SIZE: usize = 32;
const TIMES: usize = 40;
const DIRECTORY: u8 = 3;
/// Bytes before the name in an entry of a directory.
const DIRENT: usize = 24;
/// Most bytes of a directory's entries.
const LISTING: usize = 1 << 20;
const SUCCESS: i32 = 0;
const INVALID: i32 = 28;
/// Descriptors that are looked at in the end.
const DESCRIPTORS: i32 = 256;
/// Of which these are there from the start, before the granted directories.
const STREAMS: i32 = 3;

/// Runs the part of the start that no session has a say in, in a guest of `image` whose environment is `env`,
/// and answers the snapshot as the image holds it.
///
/// # Errors
/// The guest's, or one of the host's.
pub fn freeze(
    image: Image,
    env: &BTreeMap<String, String>,
    log: Arc<dyn LogSink>,
) -> std::result::Result<Vec<u8>, Fault> {
    let failed = |what: &str, e: &dyn std::fmt::Display| Fault::host(format!("{what}: {e}"));
    if !image.can_snapshot() {
        return Err(Fault::guest("it keeps state outside of its memory, which no snapshot holds"));
    }
    let still = still(&image.engine.wasmtime).and_then(|linker| image.linked(&linker));
    let image = Arc::new(still.map_err(|e| failed("linking host functions", &e))?);
    let grants = Grants { env: env.clone().into_iter().collect(), ..Grants::default() };
    let guest = Guest::new(
        &image,
        SandboxSpec {
            name: "freeze".into(),
            session: Vec::new(),
            limits: Limits { memory_bytes: u64::MAX, ..Limits::default() },
            grants,
            channel_bytes: 1,
            log,
            snapshot_key: None,
        },
    );
    let thread = std::thread::Builder::new()
        .name("davy freeze".into())
        .stack_size(crate::engine::THREAD_STACK)
        .spawn(move || guest.freeze());
    let thread = thread.map_err(|e| failed("starting a guest thread", &e))?;
    let snapshot: Snapshot =
        thread.join().unwrap_or_else(|_| Err(Fault::host("a panic in the guest's thread")))?;
    snapshot.to_bytes().map_err(|e| failed("writing a snapshot", &e))
}

/// Host functions of a world that stands still.
fn still(engine: &wasmtime::Engine) -> Result<Linker<GuestState>> {
    let mut linker = imports::linker(engine)?;
    linker.allow_shadowing(true);
    linker.func_wrap(abi::WASI, "clock_time_get", clock_time_get)?;
    linker.func_wrap(abi::WASI, "clock_res_get", clock_res_get)?;
    linker.func_wrap(abi::WASI, "random_get", random_get)?;
    linker.func_wrap(abi::WASI, "fd_filestat_get", fd_filestat_get)?;
    linker.func_wrap(abi::WASI, "path_filestat_get", path_filestat_get)?;
    linker.func_wrap(abi::WASI, "fd_readdir", fd_readdir)?;
    Ok(linker)
}

fn clock_time_get(
    mut caller: Caller<'_, GuestState>,
    clock: i32,
    _precision: i64,
    time: u32,
) -> Result<i32> {
    let now = if clock == MONOTONIC { ZERO } else { NOW };
    let data = memory_of(&caller)?.data_mut(&mut caller);
    region_mut(data, time, 8)?.copy_from_slice(&now.to_le_bytes());
    Ok(SUCCESS)
}

fn clock_res_get(mut caller: Caller<'_, GuestState>, _clock: i32, resolution: u32) -> Result<i32> {
    let data = memory_of(&caller)?.data_mut(&mut caller);
    region_mut(data, resolution, 8)?.copy_from_slice(&1u64.to_le_bytes());
    Ok(SUCCESS)
}

fn random_get(mut caller: Caller<'_, GuestState>, to: u32, len: u32) -> Result<i32> {
    let data = memory_of(&caller)?.data_mut(&mut caller);
    region_mut(data, to, len)?.fill(0);
    Ok(SUCCESS)
}

fn fd_filestat_get(mut caller: Caller<'_, GuestState>, fd: i32, to: u32) -> Result<i32> {
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    let memory = &mut GuestMemory::Unshared(data);
    let code = in_tokio(wasi::fd_filestat_get(&mut state.wasi, memory, fd, to as i32))?;
    seen(data, to, code)
}

fn path_filestat_get(
    mut caller: Caller<'_, GuestState>,
    fd: i32,
    flags: i32,
    path: i32,
    len: i32,
    to: u32,
) -> Result<i32> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    state.wasi.set_hostcall_fuel(fuel);
    let memory = &mut GuestMemory::Unshared(data);
    let (wasi, to_there) = (&mut state.wasi, to as i32);
    let code = in_tokio(wasi::path_filestat_get(wasi, memory, fd, flags, path, len, to_there))?;
    seen(data, to, code)
}

/// Leaves of a file what is the same on every machine.
fn seen(data: &mut [u8], at: u32, code: i32) -> Result<i32> {
    if code == SUCCESS {
        let stat = region_mut(data, at, FILESTAT as u32)?;
        stat[..KIND].fill(0); // device and number
        stat[LINKS..SIZE].copy_from_slice(&1u64.to_le_bytes());
        stat[TIMES..].fill(0);
        if stat[KIND] == DIRECTORY {
            stat[SIZE..TIMES].fill(0);
        }
    }
    Ok(code)
}

/// A directory in the order of its names.
fn fd_readdir(
    mut caller: Caller<'_, GuestState>,
    fd: i32,
    to: u32,
    len: u32,
    cookie: i64,
    used: u32,
) -> Result<i32> {
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    let listing = match listing(&mut state.wasi, fd)? {
        Ok(listing) => listing,
        Err(code) => return Ok(code),
    };
    let mut left = region_mut(data, to, len)?;
    for (number, (name, kind)) in listing.iter().enumerate().skip(cookie as usize) {
        let mut entry = vec![0; DIRENT];
        entry[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
        entry[16..20].copy_from_slice(&(name.len() as u32).to_le_bytes());
        entry[20] = *kind;
        entry.extend_from_slice(name);
        let fits = entry.len().min(left.len());
        let (now, rest) = left.split_at_mut(fits);
        now.copy_from_slice(&entry[..fits]);
        left = rest;
    }
    let filled = len - left.len() as u32;
    region_mut(data, used, 4)?.copy_from_slice(&filled.to_le_bytes());
    Ok(SUCCESS)
}

type Listing = Vec<(Vec<u8>, u8)>;

/// All names of a directory with their kinds, sorted.
fn listing(wasi: &mut WasiP1Ctx, fd: i32) -> Result<std::result::Result<Listing, i32>> {
    const USED: usize = LISTING;
    let mut own = vec![0; LISTING + 4];
    wasi.set_hostcall_fuel(own.len() * 2);
    let memory = &mut GuestMemory::Unshared(&mut own);
    let code = in_tokio(wasi::fd_readdir(wasi, memory, fd, 0, LISTING as i32, 0, USED as i32))?;
    if code != SUCCESS {
        return Ok(Err(code));
    }
    let word = |at: usize| own[at..at + 4].try_into().map_or(0, u32::from_le_bytes) as usize;
    let used = word(USED);
    if used >= LISTING {
        return Ok(Err(INVALID));
    }
    let (mut at, mut found) = (0, Listing::new());
    while at + DIRENT <= used {
        let name = at + DIRENT..at + DIRENT + word(at + 16);
        found.push((own[name.clone()].to_vec(), own[at + 20]));
        at = name.end;
    }
    found.sort();
    Ok(Ok(found))
}

/// A descriptor that a guest leaves open is none in those that start from its memory.
pub(crate) fn keeps_nothing_open(state: &mut GuestState) -> std::result::Result<(), Fault> {
    let failed = |e: wasmtime::Error| Fault::host(format!("looking at descriptors: {e}"));
    let mut answer = [0; 64];
    for fd in STREAMS..DESCRIPTORS {
        let memory = &mut GuestMemory::Unshared(&mut answer);
        let granted = wasi::fd_prestat_get(&mut state.wasi, memory, fd, 0).map_err(failed)?;
        let open = in_tokio(wasi::fd_fdstat_get(&mut state.wasi, memory, fd, 0)).map_err(failed)?;
        if open == SUCCESS && granted != SUCCESS {
            return Err(Fault::guest(format!("it leaves descriptor {fd} open")));
        }
    }
    Ok(())
}
