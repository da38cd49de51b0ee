//! Whose tasks a sandbox serves. It may start before anybody's, and never changes hands after.

use crate::channel::Channels;
use crate::fault::Fault;
use std::sync::Arc;

/// The tenant's name, once there is one.
pub(crate) type Tenant = Option<Arc<str>>;

impl Channels {
    /// Host: the sandbox serves `tenant` from now on.
    ///
    /// # Errors
    /// It has served another: [`Fault::Host`], as somebody mixed up two of them.
    pub fn belong_to(&self, tenant: &str) -> Result<(), Fault> {
        match &mut self.lock().tenant {
            Some(before) if **before == *tenant => Ok(()),
            Some(_) => Err(Fault::host("a sandbox was given to another tenant than it served")),
            nobody => {
                *nobody = Some(tenant.into());
                Ok(())
            }
        }
    }

    /// Nobody's is a tenant of its own.
    pub(crate) fn tenant(&self) -> Arc<str> {
        self.lock().tenant.clone().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use crate::channel::Channels;
    use crate::fault::Fault;

    #[test]
    fn a_sandbox_never_changes_hands() {
        let channels = Channels::new(1);
        assert_eq!(&*channels.tenant(), "");
        for _ in 0..2 {
            assert!(channels.belong_to("a").is_ok());
        }
        for other in ["b", "", "A"] {
            assert!(matches!(channels.belong_to(other), Err(Fault::Host { .. })), "{other}");
        }
        assert_eq!(&*channels.tenant(), "a");
    }
}
