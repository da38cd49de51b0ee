//! Bytes to and from Java: `byte[]` by region copies, direct buffers as slices for one call.
#![allow(unsafe_code)]

use crate::failure::Failure;
use jni::Env;
use jni::objects::{JByteArray, JByteBuffer};

/// Bytes moved per copy between a channel and a `byte[]`.
const STEP: usize = 64 << 10;

fn range(offset: i32, length: i32, capacity: usize) -> Result<(usize, usize), Failure> {
    let lie = || Failure::host(format!("{length} bytes at {offset} do not fit into {capacity}"));
    let start = usize::try_from(offset).map_err(|_| lie())?;
    let length = usize::try_from(length).map_err(|_| lie())?;
    match start.checked_add(length) {
        Some(end) if end <= capacity => Ok((start, length)),
        _ => Err(lie()),
    }
}

/// Fills `array[offset..offset + length]` from `read` until it has no more; how many bytes.
pub(crate) fn fill_array(
    env: &Env<'_>,
    array: &JByteArray<'_>,
    offset: i32,
    length: i32,
    mut read: impl FnMut(&mut [u8]) -> Option<usize>,
) -> Result<Option<usize>, Failure> {
    let (_, length) = range(offset, length, array.len(env)?)?;
    let mut buffer = [0u8; STEP];
    let wanted = length.min(STEP);
    let Some(n) = read(&mut buffer[..wanted]) else { return Ok(None) };
    // What `read` says is believed only as far as the part that it was given.
    let got = &buffer[..wanted][..n];
    // SAFETY: `got` is initialised and borrowed for as long as `signed`; u8 and i8 have the same size and
    // alignment, and every bit pattern is valid for both.
    let signed = unsafe { std::slice::from_raw_parts(got.as_ptr().cast::<i8>(), got.len()) };
    array.set_region(env, offset, signed)?;
    Ok(Some(n))
}

/// Gives `array[offset..offset + length]` to `write`, at most 64 KiB; how many bytes it took.
pub(crate) fn drain_array(
    env: &Env<'_>,
    array: &JByteArray<'_>,
    offset: i32,
    length: i32,
    write: impl FnOnce(&[u8]) -> Option<usize>,
) -> Result<Option<usize>, Failure> {
    let (_, length) = range(offset, length, array.len(env)?)?;
    let mut signed = [0i8; STEP];
    let part = &mut signed[..length.min(STEP)];
    array.get_region(env, offset, part)?;
    // SAFETY: `part` is initialised and borrowed for as long as `bytes`; i8 and u8 have the same size and
    // alignment, and every bit pattern is valid for both.
    let bytes = unsafe { std::slice::from_raw_parts(part.as_ptr().cast::<u8>(), part.len()) };
    Ok(write(bytes))
}

/// Calls `with` on the part of a direct buffer.
pub(crate) fn with_direct<T>(
    env: &Env<'_>,
    buffer: &JByteBuffer<'_>,
    position: i32,
    length: i32,
    with: impl FnOnce(&mut [u8]) -> T,
) -> Result<T, Failure> {
    let (start, length) = range(position, length, env.get_direct_buffer_capacity(buffer)?)?;
    let address = env.get_direct_buffer_address(buffer)?;
    // SAFETY: Java owns `capacity` bytes at `address` for as long as `buffer` is reachable, and
    // this call's argument keeps it reachable. The plugin hands a buffer to one call at a time;
    // bytes are always initialised in Java.
    let bytes = unsafe { std::slice::from_raw_parts_mut(address.add(start), length) };
    Ok(with(bytes))
}
