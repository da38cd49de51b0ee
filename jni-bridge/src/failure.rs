//! The one policy for errors and panics: a pending `davy.DavyException(fault, message)`.

use davy_runtime::{Fault, LimitKind};
use jni::errors::ErrorPolicy;
use jni::objects::{JThrowable, JValue};
use jni::{Env, jni_sig, jni_str};
use std::any::Any;

/// An error on its way to Java.
#[derive(Debug)]
pub(crate) struct Failure {
    fault: &'static str,
    message: String,
}

impl Failure {
    pub(crate) fn host(message: impl Into<String>) -> Failure {
        Failure { fault: "host", message: message.into() }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        let message = match &fault {
            Fault::Limit(exceeded) => format!("{exceeded}. {}", remedy(exceeded.limit)),
            Fault::Script { what } => format!("{what}. The executor goes on; the task failed."),
            _ => fault.to_string(),
        };
        Failure { fault: fault.kind(), message }
    }
}

/// The setting that moves a limit. The runtime does not know Spark's names; the bridge does.
fn remedy(limit: LimitKind) -> &'static str {
    match limit {
        LimitKind::Memory => "Raise spark.executor.pyspark.memory or spark.davy.memory",
        LimitKind::Granted => {
            "Spark's memory manager refused more (spark.davy.memory.charge): give the task less data (more partitions), or raise spark.memory.offHeap.size"
        }
        LimitKind::Deadline => {
            "Make the task smaller (more partitions), or raise spark.davy.deadline"
        }
        LimitKind::Cpu => "Make the task smaller (more partitions), or raise spark.davy.cpuTime",
        LimitKind::Call => {
            "Give the function less at once (spark.sql.execution.arrow.maxRecordsPerBatch), or raise spark.davy.deadline.call"
        }
        LimitKind::Output => "Return less from the task, or raise spark.davy.outputBytes",
        LimitKind::OpenFiles => "Close files after use, or raise spark.davy.openFiles",
        LimitKind::Disk => {
            "Remove temporary files when they are done with, or raise spark.davy.scratchBytes"
        }
        LimitKind::Stack => "Recurse less deeply in C code (nested data, regular expressions)",
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(error: jni::errors::Error) -> Failure {
        Failure::host(format!("a JNI call failed: {error}"))
    }
}

/// Throws; the native method returns its type's default, which Java never sees.
pub(crate) struct ThrowDavyException;

impl<T: Default> ErrorPolicy<T, Failure> for ThrowDavyException {
    type Captures<'unowned_env_local: 'native_method, 'native_method> = ();

    fn on_error<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut Self::Captures<'unowned_env_local, 'native_method>,
        failure: Failure,
    ) -> jni::errors::Result<T> {
        throw(env, &failure)?;
        Ok(T::default())
    }

    fn on_panic<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut Self::Captures<'unowned_env_local, 'native_method>,
        payload: Box<dyn Any + Send + 'static>,
    ) -> jni::errors::Result<T> {
        let said = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        throw(env, &Failure::host(format!("a panic in Davy's native code: {said}")))?;
        Ok(T::default())
    }
}

fn throw(env: &mut Env<'_>, failure: &Failure) -> jni::errors::Result<()> {
    if env.exception_check() {
        return Ok(()); // Java's own exception came first
    }
    let fault = env.new_string(failure.fault)?;
    let message = env.new_string(&failure.message)?;
    let exception = env.new_object(
        jni_str!("davy/DavyException"),
        jni_sig!("(Ljava/lang/String;Ljava/lang/String;)V"),
        &[JValue::Object(&fault), JValue::Object(&message)],
    )?;
    let exception = env.cast_local::<JThrowable<'_>>(exception)?;
    // `throw` answers Err(JavaException) on success.
    let _ = env.throw(&exception);
    Ok(())
}
