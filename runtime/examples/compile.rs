//! Compiles an image into a cache folder, as the first executor on a machine would do.
//!
//! `compile IMAGE FOLDER`: returns at once when FOLDER has it already.

use anyhow::Result;
use davy_runtime::{Cache, Engine, Image};
use std::time::Instant;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [image, folder] = &arguments[..] else { anyhow::bail!("usage: compile IMAGE FOLDER") };
    let engine = Engine::new(Cache::new(folder, 4 << 30))?;
    eprintln!(
        "compiling {image} for this processor, unless {folder} has it (one to two minutes, once)"
    );
    let began = Instant::now();
    Image::open(&engine, image.as_ref())?;
    eprintln!("compiled or found in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}
