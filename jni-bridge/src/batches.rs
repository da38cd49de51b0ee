//! The native methods of `davy.Native` that carry Arrow batches.
//!
//! In: Java names the buffers of a batch by address and keeps them until the guest has taken the
//! batch or Java has withdrawn it. Out: Java gets addresses within one region and frees it once.
#![allow(unsafe_code)] // raw buffers of Java's; `no_mangle` as in `exports.rs`

use crate::exports::{SANDBOXES, guard};
use crate::failure::Failure;
use crate::handles::Handles;
use davy_runtime::{InputBatch, Output, OutputBatch};
use jni::EnvUnowned;
use jni::objects::{JByteArray, JLongArray, JObject};
use jni::sys::jlong;

static REGIONS: Handles<OutputBatch> = Handles::new("batch");

/// Every buffer starts at a multiple of this in linear memory.
const ALIGNMENT: usize = 64;

/// Buffers in Java's memory, each an address and a length.
struct JavaBatch(Vec<(usize, usize)>);

impl InputBatch for JavaBatch {
    fn bytes(&self) -> usize {
        self.0.iter().map(|(_, length)| length.next_multiple_of(ALIGNMENT)).sum()
    }

    fn copy_to(&self, mut into: &mut [u8]) {
        for &(address, length) in &self.0 {
            let (place, rest) = into.split_at_mut(length.next_multiple_of(ALIGNMENT));
            if length > 0 {
                // SAFETY: `putBatch` was given this address with this length by the plugin's
                // `InputBatch.put`, from an Arrow buffer that it frees only after `batchesTaken`
                // counted this batch or `withdrawBatches` returned; neither happens before this
                // call ends. Nobody writes the buffer after `putBatch`.
                let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, length) };
                place[..length].copy_from_slice(bytes);
            }
            // Linear memory may hold what was freed there: no stranger's bytes, but not zeros.
            place[length..].fill(0);
            into = rest;
        }
    }
}

fn longs(env: &jni::Env<'_>, array: &JLongArray<'_>) -> Result<Vec<jlong>, Failure> {
    let mut values = vec![0; array.len(env)?];
    array.get_region(env, 0, &mut values)?;
    Ok(values)
}

fn natural(n: jlong) -> Result<usize, Failure> {
    usize::try_from(n).map_err(|_| Failure::host(format!("{n} as an address or a length")))
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_putBatch<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    buffers: JLongArray<'l>,
) -> bool {
    guard(env, |env| {
        let buffers = longs(env, &buffers)?
            .chunks_exact(2)
            .map(|pair| Ok((natural(pair[0])?, natural(pair[1])?)))
            .collect::<Result<_, Failure>>()?;
        Ok(SANDBOXES.get(sandbox)?.channels().put_batch(Box::new(JavaBatch(buffers))))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_passBatches<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) {
    guard(env, |_| {
        SANDBOXES.get(sandbox)?.channels().pass_batches(true);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_batchesTaken<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) -> jlong {
    guard(env, |_| Ok(SANDBOXES.get(sandbox)?.channels().batches_taken() as jlong))
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_withdrawBatches<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) {
    guard(env, |_| {
        SANDBOXES.get(sandbox)?.channels().withdraw_batches();
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_takeSchema<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) -> JByteArray<'l> {
    guard(env, |env| match SANDBOXES.get(sandbox)?.channels().take_output() {
        Some(Output::Schema(message)) => Ok(env.byte_array_from_slice(&message)?),
        _ => Err(broken("a schema")),
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_takeBatch<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) -> JLongArray<'l> {
    guard(env, |env| {
        let Some(Output::Batch(batch)) = SANDBOXES.get(sandbox)?.channels().take_output() else {
            return Err(broken("a batch"));
        };
        let (nodes, buffers) = (batch.nodes(), batch.buffers());
        let mut told = Vec::with_capacity(6 + 2 * (nodes.len() + buffers.len()));
        let base = batch.region().as_ptr() as usize;
        told.extend([0, base, batch.bytes(), batch.rows(), nodes.len(), buffers.len()]);
        told.extend(nodes.iter().flat_map(|n| [n.length, n.nulls]));
        told.extend(buffers.iter().flat_map(|b| [b.start, b.len()]));
        let mut told: Vec<jlong> = told.into_iter().map(|n| n as jlong).collect();
        told[0] = REGIONS.put(batch);
        let array = JLongArray::new(env, told.len())?;
        array.set_region(env, 0, &told)?;
        Ok(array)
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_freeBatch<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    batch: jlong,
) {
    guard(env, |_| {
        REGIONS.remove(batch);
        Ok(())
    })
}

/// Batches that Java has not freed, and their bytes.
pub(crate) fn live() -> (usize, u64) {
    let all = REGIONS.all();
    (all.len(), all.iter().map(|batch| batch.bytes() as u64).sum())
}

fn broken(what: &str) -> Failure {
    davy_runtime::Fault::Guest { what: format!("it announced {what} and gave none") }.into()
}
