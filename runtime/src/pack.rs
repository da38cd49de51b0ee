//! Writes the image container. The recipe's packer is Python; this one makes images for tests.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;

/// Packs a module and a tar of Python files as an image.
///
/// # Errors
/// If the archive cannot be written.
pub fn pack(module: &[u8], files: &[u8], abi: u32, into: &mut dyn Write) -> std::io::Result<()> {
    write(module, files, None, abi, into)
}

/// The same with what [`crate::freeze`] made of that image, in an environment of `env`.
///
/// # Errors
/// If the archive cannot be written.
pub fn pack_with_snapshot(
    module: &[u8],
    files: &[u8],
    snapshot: &[u8],
    env: &BTreeMap<String, String>,
    abi: u32,
    into: &mut dyn Write,
) -> std::io::Result<()> {
    write(module, files, Some((snapshot, env)), abi, into)
}

fn write(
    module: &[u8],
    files: &[u8],
    frozen: Option<(&[u8], &BTreeMap<String, String>)>,
    abi: u32,
    into: &mut dyn Write,
) -> std::io::Result<()> {
    let hex =
        |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut manifest = serde_json::json!({
        "format": crate::unpacked::FORMAT,
        "format_version": crate::unpacked::FORMAT_VERSION,
        "abi": abi,
        "python": {"version": "3.11.2", "minor": "3.11"},
        "recipe": "0".repeat(64),
        "module": {"sha256": hex(module), "size": module.len()},
        "files": {"sha256": hex(files), "size": files.len()},
        "packages": {},
    });
    let mut archive = tar::Builder::new(zstd::Encoder::new(into, 3)?);
    if let Some((bytes, env)) = frozen {
        manifest["snapshot"] = serde_json::json!({
            "sha256": hex(bytes), "size": bytes.len(), "env": env,
            "module": hex(module), "files": hex(files),
        });
    }
    let manifest = manifest.to_string();
    let mut parts = vec![
        (crate::unpacked::MANIFEST, manifest.as_bytes()),
        (crate::unpacked::MODULE, module),
        (crate::unpacked::FILES, files),
    ];
    parts.extend(frozen.map(|(bytes, _)| (crate::unpacked::SNAPSHOT, bytes)));
    for (name, bytes) in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, bytes)?;
    }
    archive.into_inner()?.finish()?.flush()
}
