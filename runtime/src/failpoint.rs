//! Steps at which the system can fail the host, for tests to fail them (feature `failpoints`). Without
//! the feature nothing of this is compiled.

/// The host is about to ask the system for what `name` says. An error in place of it, if a test wants.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn step(_name: &'static str) -> std::io::Result<()> {
    Ok(())
}

#[cfg(feature = "failpoints")]
pub(crate) use script::step;

/// What tests say and see.
#[cfg(feature = "failpoints")]
pub mod script {
    use std::io::{Error, Result};
    use std::sync::{Mutex, PoisonError};

    /// Each step met, and which of them fails: the name, and how often it is passed before.
    type Script = (Vec<&'static str>, Option<(String, usize)>);
    static SCRIPT: Mutex<Script> = Mutex::new((Vec::new(), None));

    pub(crate) fn step(name: &'static str) -> Result<()> {
        let mut script = SCRIPT.lock().unwrap_or_else(PoisonError::into_inner);
        script.0.push(name);
        match &mut script.1 {
            Some((wanted, passes)) if wanted == name && *passes == 0 => {}
            Some((wanted, passes)) if wanted == name => {
                *passes -= 1;
                return Ok(());
            }
            _ => return Ok(()),
        }
        script.1 = None;
        Err(Error::other(format!("injected at {name}")))
    }

    /// Fails the step `name` once, after it was passed `passes` times; `None` fails nothing. Answers
    /// the steps met since the last call.
    pub fn fail(step: Option<(&str, usize)>) -> Vec<&'static str> {
        let mut script = SCRIPT.lock().unwrap_or_else(PoisonError::into_inner);
        script.1 = step.map(|(name, passes)| (name.to_owned(), passes));
        std::mem::take(&mut script.0)
    }
}
