//! What Linux does with the names of files, and WASI does otherwise.

use crate::abi;
use crate::imports::{GuestState, memory_of, region};
use crate::lower::NOENT;
use wasmtime::{AsContextMut, Caller, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as wasi, WasiSnapshotPreview1};
use wasmtime_wasi::runtime::in_tokio;
use wiggle::GuestMemory;

const PERM: i32 = 63;
/// Linux's longest path.
const PATH_MAX: usize = 4096;
/// Bytes of WASI's `filestat`.
const FILESTAT: usize = 64;

/// Puts these functions in front of WASI's own.
pub(crate) fn add_to_linker(linker: &mut Linker<GuestState>) -> Result<()> {
    linker.func_wrap(abi::WASI, "path_remove_directory", path_remove_directory)?;
    linker.func_wrap(abi::WASI, "path_unlink_file", path_unlink_file)?;
    Ok(())
}

/// A folder may be named with a slash at its end; cap-std takes that for invalid.
fn path_remove_directory(
    mut caller: Caller<'_, GuestState>,
    fd: i32,
    path: i32,
    mut len: i32,
) -> Result<i32> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    if let Ok(name) = region(data, path as u32, len as u32) {
        let slashes = name.iter().rev().take_while(|&&byte| byte == b'/').count();
        len = (name.len() - slashes).max(1) as i32;
    }
    state.wasi.set_hostcall_fuel(fuel);
    let memory = &mut GuestMemory::Unshared(data);
    let code = in_tokio(wasi::path_remove_directory(&mut state.wasi, memory, fd, path, len))?;
    explained(code, data, &mut state.wasi, fd, path, len)
}

fn path_unlink_file(
    mut caller: Caller<'_, GuestState>,
    fd: i32,
    path: i32,
    len: i32,
) -> Result<i32> {
    let fuel = caller.as_context_mut().hostcall_fuel();
    let (data, state) = memory_of(&caller)?.data_and_store_mut(&mut caller);
    state.wasi.set_hostcall_fuel(fuel);
    let memory = &mut GuestMemory::Unshared(data);
    let code = in_tokio(wasi::path_unlink_file(&mut state.wasi, memory, fd, path, len))?;
    explained(code, data, &mut state.wasi, fd, path, len)
}

/// Where nothing may be removed, Linux says first that a name is not there: programs remove files
/// that may be missing and expect that error only.
fn explained(
    code: i32,
    data: &[u8],
    wasi: &mut WasiP1Ctx,
    fd: i32,
    path: i32,
    len: i32,
) -> Result<i32> {
    if code != PERM || len as u32 as usize > PATH_MAX {
        return Ok(code);
    }
    // The name in a memory of its own, and behind it room for the answer, aligned.
    let mut own = region(data, path as u32, len as u32)?.to_vec();
    let answer = own.len().next_multiple_of(8);
    own.resize(answer + FILESTAT, 0);
    let memory = &mut GuestMemory::Unshared(&mut own);
    let found = in_tokio(wasi::path_filestat_get(wasi, memory, fd, 0, 0, len, answer as i32))?;
    Ok(if found == NOENT { NOENT } else { code })
}
