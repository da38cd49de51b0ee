//! Admission: a guest names one host file and, if a rule allows it, gets a read-only view of it.
//!
//! Spark tells a worker the path of each broadcast file inside the task's own stream, so the
//! folder cannot be known beforehand, and granting the whole scratch folder would show shuffle
//! files as well. Admission hard-links (or copies) the one file into a folder that the sandbox
//! sees. All paths resolve beneath capability directories, so neither `..` nor a symlink escapes.

use crate::failpoint::step;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// Files under `root` whose relative path matches one of `patterns` may be admitted.
///
/// A pattern has one glob per path component (`broadcast*`, `pyspark-*/*`); `*` matches any run of
/// characters inside a component.
#[derive(Debug, Clone)]
pub struct AdmitRule {
    /// Absolute host directory.
    pub root: PathBuf,
    /// Globs relative to it.
    pub patterns: Vec<String>,
}

/// Where the guest sees admitted files.
pub(crate) const GUEST_DIR: &str = "/davy/admitted";

/// The admission desk of one sandbox; its folder goes when it is dropped.
pub(crate) struct Admission {
    rules: Vec<AdmitRule>,
    folder: tempfile::TempDir,
    admitted: HashMap<PathBuf, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotAllowed,
    Missing,
}

impl Admission {
    /// Opens a desk whose folder lies beside the first rule's files, so that hard links work.
    pub(crate) fn new(rules: &[AdmitRule]) -> std::io::Result<Option<Admission>> {
        let Some(first) = rules.first() else { return Ok(None) };
        step("admission.folder")?;
        let folder = tempfile::Builder::new().prefix("davy-admitted-").tempdir_in(&first.root)?;
        Ok(Some(Admission { rules: rules.to_vec(), folder, admitted: HashMap::new() }))
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Answers the guest path of `asked`, an absolute host path from the guest (hostile).
    pub(crate) fn admit(&mut self, asked: &str) -> Result<String, Refusal> {
        let path = PathBuf::from(asked);
        if let Some(known) = self.admitted.get(&path) {
            return Ok(known.clone());
        }
        let (rule, relative) = self
            .rules
            .iter()
            .find_map(|rule| Some((rule, path.strip_prefix(&rule.root).ok()?)))
            .ok_or(Refusal::NotAllowed)?;
        if !rule.patterns.iter().any(|p| matches(p, relative)) {
            return Err(Refusal::NotAllowed);
        }
        let source =
            Dir::open_ambient_dir(&rule.root, ambient_authority()).map_err(|_| Refusal::Missing)?;
        let meta = source.symlink_metadata(relative).map_err(|_| Refusal::Missing)?;
        if !meta.is_file() {
            return Err(Refusal::NotAllowed);
        }
        let target = Dir::open_ambient_dir(self.folder.path(), ambient_authority())
            .map_err(|_| Refusal::Missing)?;
        let name = format!("{}", self.admitted.len());
        source
            .hard_link(relative, &target, &name)
            .or_else(|_| source.copy(relative, &target, &name).map(|_| ()))
            .map_err(|_| Refusal::Missing)?;
        let seen = format!("{GUEST_DIR}/{name}");
        self.admitted.insert(path, seen.clone());
        Ok(seen)
    }
}

/// Component-wise glob; anything but plain names (`..`, `.`, roots) never matches.
fn matches(pattern: &str, path: &Path) -> bool {
    let mut globs = pattern.split('/');
    for part in path.components() {
        let (Component::Normal(name), Some(glob)) = (part, globs.next()) else { return false };
        match name.to_str() {
            Some(name) if glob_matches(glob.as_bytes(), name.as_bytes()) => {}
            _ => return false,
        }
    }
    globs.next().is_none()
}

fn glob_matches(glob: &[u8], name: &[u8]) -> bool {
    match glob.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|skip| glob_matches(rest, &name[skip..])),
        Some((c, rest)) => name.first() == Some(c) && glob_matches(rest, &name[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_matching_plain_paths_are_admitted() -> std::io::Result<()> {
        let root = tempfile::tempdir()?;
        std::fs::write(root.path().join("broadcast17"), "value")?;
        std::fs::write(root.path().join("shuffle_0"), "secret")?;
        std::fs::create_dir(root.path().join("pyspark-1"))?;
        std::fs::write(root.path().join("pyspark-1/tmpx"), "more")?;
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("broadcast18"))?;
        std::os::unix::fs::symlink("/etc", root.path().join("pyspark-2"))?;
        let rule = AdmitRule {
            root: root.path().into(),
            patterns: vec!["broadcast*".into(), "pyspark-*/*".into()],
        };
        let mut desk = Admission::new(&[rule])?.expect("a rule opens a desk");
        let at = |p: &str| root.path().join(p).to_str().expect("UTF-8").to_owned();
        let cases = [
            (at("broadcast17"), Ok("value")),
            (at("pyspark-1/tmpx"), Ok("more")),
            (at("shuffle_0"), Err(Refusal::NotAllowed)),
            (at("broadcast18"), Err(Refusal::NotAllowed)), // a symlink is no file
            (at("pyspark-2/passwd"), Err(Refusal::Missing)), // leads outside
            (at("broadcast99"), Err(Refusal::Missing)),
            (at("pyspark-1/../shuffle_0"), Err(Refusal::NotAllowed)),
            ("/etc/passwd".into(), Err(Refusal::NotAllowed)),
            ("broadcast17".into(), Err(Refusal::NotAllowed)),
        ];
        for (asked, expected) in cases {
            let got = desk.admit(&asked).map(|seen| {
                let name = seen.rsplit('/').next().expect("a name").to_owned();
                std::fs::read_to_string(desk.folder().join(name)).expect("the admitted file")
            });
            assert_eq!(got, expected.map(str::to_owned), "{asked}");
        }
        Ok(())
    }
}
