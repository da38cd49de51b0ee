//! The sandbox spec as the plugin writes it, JSON, and its meaning for the runtime.

use crate::failure::Failure;
use davy_runtime::{
    AdmitRule, CallbackRule, ClockPolicy, DirGrant, Grants, Limits, LogSink, RandomPolicy,
    SandboxSpec, SnapshotKey, StderrLog,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    session: serde_json::Value,
    limits: SpecLimits,
    grants: SpecGrants,
    channel_bytes: usize,
    job_snapshots: bool,
    tenant: Option<String>,
    name: String,
}

/// 0 means no limit, except for memory, whose bound is wasm32's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecLimits {
    memory_bytes: u64,
    output_bytes: u64,
    log_bytes: u64,
    open_files: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecGrants {
    dirs: Vec<SpecDir>,
    admit: Vec<SpecAdmit>,
    callbacks: Option<SpecCallbacks>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    clock: String,
    random: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecDir {
    host: PathBuf,
    guest: String,
    write: bool,
    quota_bytes: u64,
    lower: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecAdmit {
    root: PathBuf,
    patterns: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecCallbacks {
    root: PathBuf,
    prefix: String,
    suffix: String,
}

/// The spec, and whose tasks the sandbox will serve, if that is known.
pub(crate) fn parse(json: &str) -> Result<(SandboxSpec, Option<String>), Failure> {
    let spec: Spec = serde_json::from_str(json)
        .map_err(|e| Failure::host(format!("the sandbox spec does not parse: {e}")))?;
    if spec.grants.clock != "real" || spec.grants.random != "real" {
        return Err(Failure::host("clock and random are \"real\" on this bridge"));
    }
    let mut env: Vec<(String, String)> = spec.grants.env.into_iter().collect();
    let session_env = |name: &str| spec.session["env"][name].as_str().map(str::to_owned);
    if let Some(seed) = session_env(HASH_SEED) {
        env.push((HASH_SEED.into(), seed));
    }
    let snapshot_key = snapshot_key(&spec.session, &env, spec.job_snapshots);
    let defaults = Limits::default();
    let or = |n: u64, none: u64| if n == 0 { none } else { n };
    let tenant = spec.tenant;
    let spec = SandboxSpec {
        name: spec.name,
        session: spec.session.to_string().into_bytes(),
        limits: Limits {
            memory_bytes: or(spec.limits.memory_bytes, u64::MAX),
            output_bytes: (spec.limits.output_bytes != 0).then_some(spec.limits.output_bytes),
            log_bytes: or(spec.limits.log_bytes, u64::MAX),
            open_files: match spec.limits.open_files {
                0 => defaults.open_files,
                n => n,
            },
        },
        grants: Grants {
            dirs: spec
                .grants
                .dirs
                .into_iter()
                .map(|d| DirGrant {
                    host: d.host,
                    guest: d.guest,
                    write: d.write,
                    quota_bytes: (d.quota_bytes != 0).then_some(d.quota_bytes),
                    lower: d.lower,
                })
                .collect(),
            admit: spec
                .grants
                .admit
                .into_iter()
                .map(|a| AdmitRule { root: a.root, patterns: a.patterns })
                .collect(),
            callbacks: spec.grants.callbacks.map(|c| CallbackRule {
                root: c.root,
                prefix: c.prefix,
                suffix: c.suffix,
            }),
            env,
            clock: ClockPolicy::Real,
            random: RandomPolicy::Real,
        },
        channel_bytes: spec.channel_bytes,
        log: Arc::new(ExecutorLog),
        snapshot_key: Some(snapshot_key),
    };
    Ok((spec, tenant))
}

/// The interpreter reads the hash seed before any Python code runs.
const HASH_SEED: &str = "PYTHONHASHSEED";

/// The executor's standard error. The runtime does not know Spark's names; the bridge does.
struct ExecutorLog;

impl LogSink for ExecutorLog {
    fn lines(&self, text: &[u8]) {
        StderrLog.lines(text);
    }
    fn remedy(&self) -> &str {
        ": print less, or raise spark.davy.logBytes"
    }
}

/// What `davy_worker.boot` depends on; sandboxes alike in it share a snapshot. It may be kept on
/// disk if every entry of `sys_path` is a file, known by its size and time of change: a folder's
/// modules could change unseen.
///
/// A hash seed that nobody has fixed was drawn at random, and is in the snapshot. The workers of one stock
/// executor share theirs, as forks of one daemon, and so do ours; one on disk would be every executor's, for ever.
fn snapshot_key(session: &serde_json::Value, env: &[(String, String)], jobs: bool) -> SnapshotKey {
    let seed = env.iter().find(|(name, _)| name == HASH_SEED);
    let mut on_disk = seed.is_some_and(|(_, seed)| seed.parse::<u32>().is_ok());
    let mut files = Vec::new();
    for path in session["sys_path"].as_array().into_iter().flatten().filter_map(|p| p.as_str()) {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_file() => {
                let changed = meta.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
                files.push((path, meta.len(), changed.map(|t| t.as_nanos().to_string())));
            }
            Ok(_) => on_disk = false,
            Err(_) => files.push((path, 0, None)), // absent in the guest as well
        }
    }
    let zone = [&session["env"]["TZ"], &session["localtime"]];
    let boot = serde_json::json!([session["worker"], session["sys_path"], zone, env, files]);
    SnapshotKey {
        key: blake3::hash(boot.to_string().as_bytes()).to_hex().to_string(),
        on_disk,
        jobs,
    }
}

#[cfg(test)]
mod tests {
    use super::snapshot_key;
    use serde_json::json;

    #[test]
    fn a_snapshot_with_a_hash_seed_drawn_at_random_is_not_kept_on_disk() {
        let session = json!({ "worker": "pyspark.worker", "sys_path": [] });
        let key = |seed: Option<&str>| {
            let env = seed.map(|seed| ("PYTHONHASHSEED".to_owned(), seed.to_owned()));
            snapshot_key(&session, &env.into_iter().collect::<Vec<_>>(), false)
        };
        for fixed in ["0", "7", "4294967295"] {
            assert!(key(Some(fixed)).on_disk, "{fixed}");
        }
        for drawn in [None, Some(""), Some("random"), Some("7x"), Some("-1"), Some("4294967296")] {
            assert!(!key(drawn).on_disk, "{drawn:?}");
        }
        let keys = [None, Some("0"), Some("7"), Some("random")].map(|seed| key(seed).key);
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), 4, "each seed has its own");
    }
}
