//! The image of the repository: real CPython, checked from inside by `guest-python/tests`.

use crate::guests::{converse, spec};
use davy_runtime::{Cache, DirGrant, Engine, Grants, Image, Sandbox, SandboxSpec, SnapshotKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// The folder that the end-to-end tests use too: compiling the image takes minutes.
pub(crate) fn compiled() -> PathBuf {
    let davy = std::env::var_os("DAVY_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/davy")));
    davy.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into()).join("compiled")
}

pub(crate) fn image() -> Arc<Image> {
    let engine = Engine::new(Cache::new(compiled(), 4 << 30)).expect("engine");
    Arc::new(Image::open(&engine, &path()).expect("the repository's image"))
}

pub(crate) fn path() -> PathBuf {
    tree().join("guest-python/images/python-3.11.davy")
}

/// `scratch` becomes the guest's `/tmp`.
fn suite(worker: &str, scratch: &Path) -> SandboxSpec {
    let folder = tree().join("guest-python/tests");
    let session = serde_json::json!({
        "worker": worker, "sys_path": [&folder], "env": {}, "cwd": null, "reuse": false,
        "buffer_size": 65536,
    });
    let guest = folder.display().to_string();
    SandboxSpec {
        session: session.to_string().into_bytes(),
        grants: Grants {
            dirs: vec![
                DirGrant { guest, host: folder, write: false, quota_bytes: None, lower: None },
                DirGrant {
                    guest: "/tmp".into(),
                    host: scratch.into(),
                    write: true,
                    quota_bytes: None,
                    lower: None,
                },
            ],
            env: vec![("PYTHONHASHSEED".into(), "0".into())],
            ..Grants::default()
        },
        ..spec()
    }
}

fn passes(sandbox: &Sandbox, at_least: u64) {
    let (output, end) = converse(sandbox, b"\n");
    let output = String::from_utf8(output).expect("JSON");
    let lines: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let failed: Vec<_> = lines.iter().filter(|line| line["ok"] == false).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let last = lines.last().expect("a summary");
    assert!(last["passed"].as_u64() >= Some(at_least), "{last}");
    end.expect("the worker returned");
}

#[test]
fn the_guest_keeps_its_promises() {
    let scratch = tempfile::tempdir().expect("a folder");
    passes(
        &Sandbox::start(&image(), suite("guest_suite", scratch.path())).expect("a sandbox"),
        100,
    );
}

#[test]
fn numpy_pandas_and_pyarrow_answer_as_natively() {
    let scratch = tempfile::tempdir().expect("a folder");
    passes(&Sandbox::start(&image(), suite("data_suite", scratch.path())).expect("a sandbox"), 80);
}

#[test]
fn values_made_in_bulk_are_pyarrows() {
    let scratch = tempfile::tempdir().expect("a folder");
    passes(&Sandbox::start(&image(), suite("values_suite", scratch.path())).expect("a sandbox"), 4);
}

#[test]
fn a_snapshot_keeps_them_as_well() {
    let image = image();
    let scratch = tempfile::tempdir().expect("a folder");
    for from_snapshot in [false, true] {
        let key = SnapshotKey { key: "suite".into(), on_disk: false, jobs: false };
        let spec = SandboxSpec { snapshot_key: Some(key), ..suite("guest_suite", scratch.path()) };
        let sandbox = Sandbox::start(&image, spec).expect("a sandbox");
        passes(&sandbox, 100);
        assert_eq!(sandbox.stats().from_snapshot, from_snapshot);
    }
}
