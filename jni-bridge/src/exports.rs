//! The native methods of `davy.Native`.
#![allow(unsafe_code)] // `no_mangle`: the JVM finds these by name; the names are ours alone

use crate::batches;
use crate::buffers::{drain_array, fill_array, with_direct};
use crate::failure::{Failure, ThrowDavyException};
use crate::handles::Handles;
use crate::spec;
use davy_runtime::{Cache, Engine, Fault, Image, Sandbox, SnapshotFigures, TaskLimits};
use jni::objects::{JByteArray, JByteBuffer, JLongArray, JObject, JString};
use jni::sys::{jboolean, jint, jlong};
use jni::{Env, EnvUnowned};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

static IMAGES: Handles<Arc<Image>> = Handles::new("image");
pub(crate) static SANDBOXES: Handles<Sandbox> = Handles::new("sandbox");
/// The process's one engine, with the cache folder it was made for.
static ENGINE: Mutex<Option<(String, Engine)>> = Mutex::new(None);

pub(crate) fn guard<'local, T: Default>(
    mut env: EnvUnowned<'local>,
    body: impl FnOnce(&mut Env<'local>) -> Result<T, Failure>,
) -> T {
    env.with_env(body).resolve::<ThrowDavyException>()
}

fn millis(n: jlong) -> Option<Duration> {
    u64::try_from(n).ok().filter(|&n| n > 0).map(Duration::from_millis)
}

/// End of output: the fault if the guest ended by one, else -1.
fn end_of_output(sandbox: &Sandbox) -> Result<jint, Failure> {
    match sandbox.outcome() {
        Some(Err(fault)) => Err(fault.into()),
        Some(Ok(())) | None => Ok(-1),
    }
}

/// Input that nobody takes: the fault if the guest ended by one.
fn gone(sandbox: &Sandbox) -> Failure {
    match sandbox.outcome() {
        Some(Err(fault)) => fault.into(),
        _ => sandbox
            .interrupt()
            .reason()
            .unwrap_or(Fault::Script { what: "the Python worker ended before its input".into() })
            .into(),
    }
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_allowPort<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    port: jint,
    once: jboolean,
) {
    guard(env, |_| {
        let sandbox = SANDBOXES.get(sandbox)?;
        if let Ok(port) = u16::try_from(port) {
            sandbox.channels().allow_port(port, once);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_openImage<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    image: JString<'l>,
    cache_dir: JString<'l>,
    cache_max_bytes: jlong,
) -> jlong {
    guard(env, |env| {
        let path = image.try_to_string(env)?;
        let folder = cache_dir.try_to_string(env)?;
        let mut slot = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = match &*slot {
            Some((known, engine)) if *known == folder => engine.clone(),
            _ => {
                let bound = u64::try_from(cache_max_bytes).unwrap_or(u64::MAX);
                let engine = Engine::new(Cache::new(&folder, bound))?;
                *slot = Some((folder, engine.clone()));
                engine
            }
        };
        drop(slot);
        let image = Image::open(&engine, Path::new(&path))?;
        Ok(IMAGES.put(Arc::new(image)))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_describeImage<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    image: jlong,
) -> JString<'l> {
    guard(env, |env| {
        let image = IMAGES.get(image)?;
        let manifest = image.manifest();
        let text = serde_json::json!({
            "python": manifest.python.version,
            "minor": manifest.python.minor,
            "recipe": manifest.recipe,
            "packages": manifest.packages,
        });
        Ok(env.new_string(text.to_string())?)
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_startSandbox<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    image: jlong,
    spec: JString<'l>,
) -> jlong {
    guard(env, |env| {
        let (spec, tenant) = spec::parse(&spec.try_to_string(env)?)?;
        let image = IMAGES.get(image)?;
        Ok(SANDBOXES.put(match tenant {
            Some(tenant) => Sandbox::start_for(&image, spec, &tenant)?,
            None => Sandbox::start(&image, spec)?,
        }))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_await<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    ops: jint,
    patience: jlong,
) -> jint {
    guard(env, |_| {
        let patience = millis(patience).unwrap_or_default();
        let ready = SANDBOXES.get(sandbox)?.channels().wait_ready(ops as u32, patience);
        Ok(ready as jint)
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_wake<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) {
    guard(env, |_| {
        SANDBOXES.get(sandbox)?.channels().wake();
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_readArray<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    into: JByteArray<'l>,
    offset: jint,
    length: jint,
) -> jint {
    guard(env, |env| {
        let sandbox = SANDBOXES.get(sandbox)?;
        match fill_array(env, &into, offset, length, |b| sandbox.channels().read(b))? {
            Some(n) => Ok(n as jint),
            None => end_of_output(&sandbox),
        }
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_readDirect<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    into: JByteBuffer<'l>,
    position: jint,
    length: jint,
) -> jint {
    guard(env, |env| {
        let sandbox = SANDBOXES.get(sandbox)?;
        match with_direct(env, &into, position, length, |b| sandbox.channels().read(b))? {
            Some(n) => Ok(n as jint),
            None => end_of_output(&sandbox),
        }
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_writeArray<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    from: JByteArray<'l>,
    offset: jint,
    length: jint,
) -> jint {
    guard(env, |env| {
        let sandbox = SANDBOXES.get(sandbox)?;
        drain_array(env, &from, offset, length, |b| sandbox.channels().write(b))?
            .map(|n| n as jint)
            .ok_or_else(|| gone(&sandbox))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_writeDirect<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    from: JByteBuffer<'l>,
    position: jint,
    length: jint,
) -> jint {
    guard(env, |env| {
        let sandbox = SANDBOXES.get(sandbox)?;
        with_direct(env, &from, position, length, |b| sandbox.channels().write(b))?
            .map(|n| n as jint)
            .ok_or_else(|| gone(&sandbox))
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_closeInput<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) {
    guard(env, |_| {
        SANDBOXES.get(sandbox)?.channels().end_input();
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_stop<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    reason: JString<'l>,
) {
    guard(env, |env| {
        let reason = reason.try_to_string(env)?;
        // Stopping twice, or after release, is no error.
        if let Ok(sandbox) = SANDBOXES.get(sandbox) {
            sandbox.interrupt().stop(Fault::Stopped { reason });
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_release<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) {
    guard(env, |_| {
        SANDBOXES.remove(sandbox);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_beginTask<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    deadline_millis: jlong,
    cpu_millis: jlong,
    call_millis: jlong,
) {
    guard(env, |_| {
        SANDBOXES.get(sandbox)?.begin_task(TaskLimits {
            deadline: millis(deadline_millis),
            cpu: millis(cpu_millis),
            call: millis(call_millis),
        });
        Ok(())
    })
}

/// Names whose tasks the sandbox serves from now on; it never serves another's.
#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_belongTo<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    tenant: JString<'l>,
) {
    guard(env, |env| {
        let tenant = tenant.try_to_string(env)?;
        Ok(SANDBOXES.get(sandbox)?.channels().belong_to(&tenant)?)
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_stats<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) -> JString<'l> {
    guard(env, |env| {
        let stats = SANDBOXES.get(sandbox)?.stats();
        let text = serde_json::to_string(&stats).map_err(|e| Failure::host(e.to_string()))?;
        Ok(env.new_string(text)?)
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_engineStats<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
) -> JString<'l> {
    guard(env, |env| Ok(env.new_string(engine_stats().to_string())?))
}

/// A few atomics and short locks for each sandbox: it may be asked for every second.
fn engine_stats() -> serde_json::Value {
    let sandboxes = SANDBOXES.all();
    let held = sandboxes.iter().map(|sandbox| sandbox.channels().memory_held().bytes);
    let snapshots: Vec<_> = IMAGES.all().iter().map(|image| image.snapshot_figures()).collect();
    let sum = |of: fn(&SnapshotFigures) -> u64| snapshots.iter().map(of).sum::<u64>();
    let given = sandboxes.iter().map(|sandbox| sandbox.channels().batches_given());
    let (batches, batch_bytes) =
        given.fold(batches::live(), |(count, bytes), (more, their)| (count + more, bytes + their));
    serde_json::json!({
        "images": snapshots.len(),
        "sandboxes": sandboxes.len(),
        "own_bytes": held.sum::<u64>(),
        "snapshot_bytes": sum(|of| of.bytes),
        "job_snapshots": sum(|of| of.jobs),
        "job_snapshot_bytes": sum(|of| of.job_bytes),
        "batches": batches,
        "batch_bytes": batch_bytes,
    })
}

/// What the sandbox may hold, bytes; -1 bounds nothing. Answers what it holds.
#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_grantMemory<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    bytes: jlong,
) -> jlong {
    guard(env, |_| {
        let granted = u64::try_from(bytes).ok();
        Ok(SANDBOXES.get(sandbox)?.channels().grant_memory(granted) as jlong)
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_refuseMemory<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
    why: JString<'l>,
) {
    guard(env, |env| {
        let why = why.try_to_string(env)?;
        SANDBOXES.get(sandbox)?.channels().refuse_memory(&why);
        Ok(())
    })
}

#[unsafe(no_mangle)]
extern "system" fn Java_davy_Native_memoryHeld<'l>(
    env: EnvUnowned<'l>,
    _this: JObject<'l>,
    sandbox: jlong,
) -> JLongArray<'l> {
    guard(env, |env| {
        let held = SANDBOXES.get(sandbox)?.channels().memory_held();
        let told = [held.bytes, held.peak, held.wanted].map(|n| n as jlong);
        let array = JLongArray::new(env, told.len())?;
        array.set_region(env, 0, &told)?;
        Ok(array)
    })
}
