//! Quotas of granted directories: how much a guest may store in them.
//!
//! What a guest writes is charged before it is written. When the charges since the last count
//! reach the quota, the files are counted again, so that what was removed no longer counts and a
//! write costs a sum. A file that is open but removed has no name and is asked for by descriptor.

use crate::abi;
use crate::fault::{Fault, LimitExceeded};
use crate::grants::DirGrant;
use crate::imports::{GuestState, Raised, memory_of, region};
use crate::limits::LimitKind;
use crate::lower::or_lower;
use std::path::{Path, PathBuf};
use wasmtime::{AsContextMut, Caller, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wasmtime_wasi::runtime::in_tokio;
use wiggle::GuestMemory;

/// What one file, folder or link takes beside its bytes; also the unit that files grow by.
const BLOCK: u64 = 4096;
/// Of `path_open`: make the file if it is not there.
const O_CREAT: i32 = 1;
const SUCCESS: i32 = 0;

/// The quotas of one sandbox.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    quotas: Vec<Quota>,
    open_files: u32,
}

#[derive(Debug)]
struct Quota {
    host: PathBuf,
    allowed: u64,
    counted: u64,
    charged: u64,
}

impl Disk {
    /// `open_files`: most descriptors that the guest can have.
    pub(crate) fn new(dirs: &[DirGrant], open_files: u32) -> Disk {
        let quota = |dir: &DirGrant| {
            let (host, allowed) = (dir.host.clone(), dir.quota_bytes?);
            // What lies there already is counted at the first write.
            Some(Quota { host, allowed, counted: 0, charged: allowed })
        };
        Disk { quotas: dirs.iter().filter_map(quota).collect(), open_files }
    }
}

/// Puts the functions that store something in front of WASI's own.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> Result<()> {
    linker.func_wrap(abi::WASI, "fd_write", fd_write)?;
    linker.func_wrap(abi::WASI, "fd_pwrite", fd_pwrite)?;
    linker.func_wrap(abi::WASI, "fd_filestat_set_size", fd_filestat_set_size)?;
    linker.func_wrap(abi::WASI, "path_open", path_open)?;
    linker.func_wrap(abi::WASI, "path_create_directory", path_create_directory)?;
    linker.func_wrap(abi::WASI, "path_link", path_link)?;
    linker.func_wrap(abi::WASI, "path_symlink", path_symlink)?;
    Ok(())
}

/// Fails with the limit if `bytes` more would pass a quota.
fn charge(state: &mut GuestState, bytes: u64) -> Result<()> {
    let bytes = bytes.next_multiple_of(BLOCK);
    for at in 0..state.disk.quotas.len() {
        let quota = &mut state.disk.quotas[at];
        quota.charged = quota.charged.saturating_add(bytes);
        if quota.counted.saturating_add(quota.charged) <= quota.allowed {
            continue;
        }
        let files = count(&quota.host, &|| state.channels.is_stopped())?;
        let removed = removed_but_open(&mut state.wasi, state.disk.open_files)?;
        let quota = &mut state.disk.quotas[at];
        (quota.counted, quota.charged) = (files + removed, bytes);
        let asked = quota.counted.saturating_add(bytes);
        if asked > quota.allowed {
            let (allowed, used) = (quota.allowed, quota.counted);
            let exceeded = LimitExceeded { limit: LimitKind::Disk, allowed, used, asked };
            return Err(wasmtime::Error::new(Raised(exceeded.into())));
        }
    }
    Ok(())
}

/// Bytes of all files beneath `folder`, each rounded up to blocks.
fn count(folder: &Path, stopped: &dyn Fn() -> bool) -> Result<u64> {
    let mut sum = 0u64;
    for (n, entry) in walkdir::WalkDir::new(folder).min_depth(1).into_iter().enumerate() {
        if n % 1024 == 1023 && stopped() {
            return Err(Raised::stopped());
        }
        let size = entry.and_then(|entry| entry.metadata()).map_err(|e| {
            let what = format!("the Python code stored files that cannot be counted ({e})");
            let fault = Fault::Script { what };
            wasmtime::Error::new(Raised(fault))
        })?;
        let bytes = if size.is_file() { size.len() } else { 0 };
        sum = sum.saturating_add(bytes.saturating_add(1).next_multiple_of(BLOCK));
    }
    Ok(sum)
}

fn removed_but_open(wasi: &mut WasiP1Ctx, open_files: u32) -> Result<u64> {
    let mut sum = 0u64;
    // The numbers are given out from the lowest free one; 3 streams are there from the start.
    for fd in 0..open_files.saturating_add(3) {
        if let Some((0, size)) = links_and_size(wasi, fd as i32)? {
            sum = sum.saturating_add(size);
        }
    }
    Ok(sum)
}

/// Of what the descriptor is of, if there is any.
fn links_and_size(wasi: &mut WasiP1Ctx, fd: i32) -> Result<Option<(u64, u64)>> {
    let mut filestat = [0; 64];
    let mut memory = GuestMemory::Unshared(&mut filestat);
    let code = in_tokio(wasi::fd_filestat_get(wasi, &mut memory, fd, 0))?;
    let word = |at: usize| u64::from_le_bytes(filestat[at..at + 8].try_into().unwrap_or_default());
    Ok((code == SUCCESS).then(|| (word(24), word(32))))
}

/// What a file grows by is charged: a hole takes no room, but files count by their length.
fn fd_filestat_set_size(mut caller: Caller<'_, GuestState>, fd: i32, size: i64) -> Result<i32> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    state.job.wrote = true;
    if !state.disk.quotas.is_empty() {
        let now = links_and_size(&mut state.wasi, fd)?.map_or(0, |(_, size)| size);
        charge(state, u64::try_from(size).unwrap_or_default().saturating_sub(now))?;
    }
    state.wasi.set_hostcall_fuel(fuel);
    let memory = &mut GuestMemory::Unshared(data);
    in_tokio(wasi::fd_filestat_set_size(&mut state.wasi, memory, fd, size))
}

/// What is made is charged; what is only opened may be in a lower folder.
#[allow(clippy::too_many_arguments)] // WASI's own
fn path_open(
    mut caller: Caller<'_, GuestState>,
    fd: i32,
    dirflags: i32,
    path: i32,
    len: i32,
    oflags: i32,
    rights: i64,
    inheriting: i64,
    fdflags: i32,
    opened: i32,
) -> Result<i32> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    let makes = oflags & O_CREAT != 0;
    if makes {
        state.job.wrote = true;
        if !state.disk.quotas.is_empty() {
            charge(state, BLOCK)?;
        }
    }
    state.wasi.set_hostcall_fuel(fuel);
    let memory = &mut GuestMemory::Unshared(data);
    let mut open = |wasi: &mut WasiP1Ctx, fd| {
        in_tokio(wasi::path_open(
            wasi, memory, fd, dirflags, path, len, oflags, rights, inheriting, fdflags, opened,
        ))
    };
    if makes { open(&mut state.wasi, fd) } else { or_lower(state, fd, open) }
}

/// The bytes that `count` buffers at `buffers` hold; 0 for an address that WASI refuses as well.
fn buffered(memory: &[u8], buffers: i32, count: i32) -> u64 {
    let table = region(memory, buffers as u32, (count as u32).saturating_mul(8)).unwrap_or(&[]);
    let length = |entry: &[u8]| u32::from_le_bytes(entry[4..].try_into().unwrap_or_default());
    table.chunks_exact(8).map(|entry| u64::from(length(entry))).sum()
}

/// Charges, then calls WASI's own function.
macro_rules! charged {
    ($name:ident($($arg:ident: $ty:ty),*), $bytes:expr) => {
        #[allow(clippy::too_many_arguments)] // WASI's own
        fn $name(mut caller: Caller<'_, GuestState>, $($arg: $ty),*) -> Result<i32> {
            let fuel = caller.as_context_mut().hostcall_fuel();
            let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
            let bytes: fn(&[u8], $($ty),*) -> u64 = $bytes;
            let bytes = bytes(data, $($arg),*);
            state.job.wrote |= bytes > 0;
            if !state.disk.quotas.is_empty() {
                charge(state, bytes)?;
            }
            state.wasi.set_hostcall_fuel(fuel);
            let memory = &mut GuestMemory::Unshared(data);
            in_tokio(wasi::$name(&mut state.wasi, memory, $($arg),*))
        }
    };
}

charged!(
    fd_write(fd: i32, buffers: i32, count: i32, written: i32),
    |memory, _, buffers, count, _| buffered(memory, buffers, count)
);
charged!(
    fd_pwrite(fd: i32, buffers: i32, count: i32, offset: i64, written: i32),
    |memory, _, buffers, count, _, _| buffered(memory, buffers, count)
);
charged!(path_create_directory(fd: i32, path: i32, len: i32), |_, _, _, _| BLOCK);
charged!(
    path_link(fd: i32, flags: i32, old: i32, old_len: i32, to: i32, new: i32, new_len: i32),
    |_, _, _, _, _, _, _, _| BLOCK
);
charged!(
    path_symlink(old: i32, old_len: i32, fd: i32, new: i32, new_len: i32),
    |_, _, _, _, _, _| BLOCK
);
