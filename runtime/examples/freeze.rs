//! Makes the snapshot that an image holds of its own guest, as a part of building the image.
//!
//! `freeze IMAGE FILE NAME=VALUE…`: IMAGE has no snapshot yet, FILE becomes it, and the guest's environment
//! is the rest.

use anyhow::{Context, Result};
use davy_runtime::{Cache, Engine, Image, StderrLog};
use std::collections::BTreeMap;
use std::sync::Arc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, file, env @ ..] = &arguments[..] else {
        anyhow::bail!("usage: freeze IMAGE FILE NAME=VALUE…");
    };
    let mut variables = BTreeMap::new();
    for variable in env {
        let (name, value) = variable.split_once('=').context("NAME=VALUE")?;
        variables.insert(name.to_owned(), value.to_owned());
    }
    // The machine code is what those who use the image on this machine will need.
    let cache = std::env::var_os("DAVY_CACHE")
        .map_or_else(std::env::temp_dir, std::path::PathBuf::from)
        .join("compiled");
    let engine = Engine::new(Cache::new(cache, 4 << 30))?;
    let image = Image::open(&engine, image.as_ref())?;
    std::fs::write(file, davy_runtime::freeze(image, &variables, Arc::new(StderrLog))?)?;
    Ok(())
}
