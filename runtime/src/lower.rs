//! Folders with a lower one, as in an overlay: what is not in the upper is looked for in the lower, for reading.
//!
//! Both are descriptors that the guest has, so nothing is reached that was not granted, whatever the guest does
//! with their numbers. A listing of the upper folder shows its own entries only.

use crate::abi;
use crate::grants::DirGrant;
use crate::imports::{GuestState, memory_of};
use wasmtime::{AsContextMut, Caller, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wasmtime_wasi::runtime::in_tokio;
use wiggle::GuestMemory;

/// WASI's word for a name that is not there.
pub(crate) const NOENT: i32 = 44;

/// The descriptors of upper folders, each with that of its lower one.
#[derive(Debug, Default)]
pub(crate) struct Lowers(Vec<(i32, i32)>);

impl Lowers {
    /// Of `dirs`, whose descriptors go up from `first`.
    pub(crate) fn new(dirs: &[DirGrant], first: i32) -> Lowers {
        let fd_of = |guest: &str| Some(first + dirs.iter().position(|d| d.guest == guest)? as i32);
        let pair = |dir: &DirGrant| Some((fd_of(&dir.guest)?, fd_of(dir.lower.as_deref()?)?));
        Lowers(dirs.iter().filter_map(pair).collect())
    }

    fn of(&self, fd: i32) -> Option<i32> {
        self.0.iter().find(|(upper, _)| *upper == fd).map(|(_, lower)| *lower)
    }
}

/// Calls with the descriptor `fd`, and again with that of its lower folder if the name is not there.
pub(crate) fn or_lower(
    state: &mut GuestState,
    fd: i32,
    mut call: impl FnMut(&mut WasiP1Ctx, i32) -> Result<i32>,
) -> Result<i32> {
    let code = call(&mut state.wasi, fd)?;
    match state.lowers.of(fd) {
        Some(lower) if code == NOENT => call(&mut state.wasi, lower),
        _ => Ok(code),
    }
}

/// Puts these functions in front of WASI's own; `path_open` is with what stores something.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> Result<()> {
    linker.func_wrap(abi::WASI, "path_filestat_get", path_filestat_get)?;
    Ok(())
}

fn path_filestat_get(
    mut caller: Caller<'_, GuestState>,
    fd: i32,
    flags: i32,
    path: i32,
    len: i32,
    answer: i32,
) -> Result<i32> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    state.wasi.set_hostcall_fuel(fuel);
    let memory = &mut GuestMemory::Unshared(data);
    or_lower(state, fd, |wasi, fd| {
        in_tokio(wasi::path_filestat_get(wasi, memory, fd, flags, path, len, answer))
    })
}
