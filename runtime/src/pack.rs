//! Writes the image container. The recipe's packer is Python; this one makes images for tests.

use sha2::{Digest, Sha256};
use std::io::Write;

/// Packs a module and a tar of Python files as an image.
///
/// # Errors
/// If the archive cannot be written.
pub fn pack(module: &[u8], files: &[u8], abi: u32, into: &mut dyn Write) -> std::io::Result<()> {
    let hex =
        |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let manifest = serde_json::json!({
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
    let manifest = manifest.to_string();
    let parts = [
        (crate::unpacked::MANIFEST, manifest.as_bytes()),
        (crate::unpacked::MODULE, module),
        (crate::unpacked::FILES, files),
    ];
    for (name, bytes) in parts {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, bytes)?;
    }
    archive.into_inner()?.finish()?.flush()
}
