//! Sandboxes of the real image with workers of the benchmark's own, and figures of this process.

use davy_runtime::{
    Cache, DirGrant, Engine, Grants, Image, Limits, READABLE, Sandbox, SandboxSpec, SnapshotKey,
    StderrLog,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Lab {
    image: Arc<Image>,
    code: tempfile::TempDir,
    sys_path: Vec<PathBuf>,
}

impl Lab {
    /// `workers`: name and text of each. `DAVY_PYSPARK` names zips that they may import from.
    pub(crate) fn new(workers: &[(&str, &str)]) -> Lab {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-python/images/python-3.11.davy");
        let cache = std::env::var_os("DAVY_CACHE").map(PathBuf::from).unwrap_or_else(|| {
            Path::new(&std::env::var_os("HOME").expect("a home")).join(".cache/davy")
        });
        let engine = Engine::new(Cache::new(cache.join("compiled"), 4 << 30)).unwrap();
        let image = Arc::new(Image::open(&engine, &path).unwrap());
        let code = tempfile::tempdir().unwrap();
        for (name, text) in workers {
            std::fs::write(code.path().join(format!("{name}.py")), text).unwrap();
        }
        let zips = std::env::var_os("DAVY_PYSPARK").unwrap_or_default();
        let mut sys_path: Vec<PathBuf> = std::env::split_paths(&zips).collect();
        sys_path.retain(|path| path.is_file());
        Lab { image, code, sys_path }
    }

    /// Starts from a snapshot once there is one of this worker.
    pub(crate) fn start(&self, worker: &str) -> Sandbox {
        let key = SnapshotKey { key: worker.into(), on_disk: false, jobs: false };
        self.start_with(worker, &[], Some(key))
    }

    /// `env` is what the guest's C library sees.
    pub(crate) fn start_with(
        &self,
        worker: &str,
        env: &[(&str, &str)],
        snapshot_key: Option<SnapshotKey>,
    ) -> Sandbox {
        let code = self.code.path().to_path_buf();
        let mut sys_path = vec![code.clone()];
        sys_path.extend(self.sys_path.iter().cloned());
        let session = serde_json::json!({
            "worker": worker, "sys_path": sys_path, "env": {}, "cwd": null, "reuse": false,
            "buffer_size": 65536,
        });
        let mut folders = vec![code];
        folders.extend(self.sys_path.first().and_then(|zip| zip.parent()).map(Path::to_path_buf));
        let dirs = folders.into_iter().map(|host| DirGrant {
            guest: host.display().to_string(),
            host,
            write: false,
            quota_bytes: None,
            lower: None,
        });
        let spec = SandboxSpec {
            name: "bench".into(),
            session: session.to_string().into_bytes(),
            limits: Limits::default(),
            grants: Grants {
                dirs: dirs.collect(),
                env: env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
                ..Grants::default()
            },
            channel_bytes: 256 << 10,
            log: Arc::new(StderrLog),
            snapshot_key,
        };
        Sandbox::start(&self.image, spec).unwrap()
    }

    pub(crate) fn has_pyspark(&self) -> bool {
        !self.sys_path.is_empty()
    }
}

/// Gives one byte and waits for one.
pub(crate) fn ask(sandbox: &Sandbox, byte: u8) -> u8 {
    answer::<1>(sandbox, byte)[0]
}

/// Gives one byte and waits for some.
pub(crate) fn answer<const N: usize>(sandbox: &Sandbox, byte: u8) -> [u8; N] {
    let (channels, mut answer, mut known) = (sandbox.channels(), [0; N], 0);
    assert_eq!(channels.write(&[byte]), Some(1), "{:?}", sandbox.outcome());
    while known < N {
        known += channels.read(&mut answer[known..]).expect("an answer");
        if known < N {
            channels.wait_ready(READABLE, Duration::from_secs(9));
        }
    }
    answer
}

/// Writes `figures` to where `keep.py` finds them.
pub(crate) fn keep(name: &str, figures: &serde_json::Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/davy-benches");
    std::fs::create_dir_all(&folder).unwrap();
    let text = serde_json::to_string_pretty(figures).unwrap();
    std::fs::write(folder.join(format!("{name}.json")), &text).unwrap();
}
