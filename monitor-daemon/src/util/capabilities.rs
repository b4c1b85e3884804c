//! Capabilities of the calling thread.
//!
//! On Linux each thread has its own. A thread inherits those of the thread that starts it.

use std::io;

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use tracing::warn;

/// Gives up all capabilities of the calling thread except `kept`. A failure is a warning: the thread works with more.
pub fn keep(kept: CapabilitySet) {
    if let Err(error) = try_keep(kept) {
        warn!("a thread keeps all its capabilities: {error}");
    }
}

/// Gives up all capabilities of the calling thread.
pub fn drop_all() {
    keep(CapabilitySet::empty());
}

fn try_keep(kept: CapabilitySet) -> io::Result<()> {
    let held = capabilities(None)?;
    // The ambient set shrinks with the permitted one.
    set_capabilities(
        None,
        CapabilitySets {
            effective: held.effective & kept,
            permitted: held.permitted & kept,
            inheritable: held.inheritable & kept,
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gives_up_its_own_capabilities_only() {
        let before = capabilities(None).unwrap();
        let dropped = std::thread::spawn(|| {
            drop_all();
            capabilities(None).unwrap()
        });
        let none = CapabilitySet::empty();
        let dropped = dropped.join().unwrap();
        assert_eq!((dropped.effective, dropped.permitted), (none, none));
        assert_eq!(capabilities(None).unwrap(), before);
    }
}
