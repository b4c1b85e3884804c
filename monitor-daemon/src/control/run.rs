//! Execution of a worker's commands, on its thread.

use monitor_engine::{Packet, Sink as _};

use super::command::Engine;
use super::mailbox::Mailbox;

/// Runs pending commands, if any; returns false for the end of the worker. For the worker's thread.
pub fn attend(engine: &mut Engine, mailbox: &Mailbox) -> bool {
    !mailbox.has_mail() || obey(engine, mailbox)
}

/// Runs all commands without a look at the flag; returns false for the end of the worker.
pub fn obey(engine: &mut Engine, mailbox: &Mailbox) -> bool {
    while let Some(command) = mailbox.command() {
        if !command.run(engine) {
            return false;
        }
    }
    // Events are delivered now, not with the next packets: there may be none.
    engine.sink().flush();
    while let Some(datagram) = mailbox.datagram() {
        engine.process(&[Packet {
            time: datagram.time,
            link: datagram.link,
            data: &datagram.data,
            more: &[],
            checksum: monitor_engine::Checksum::Unknown,
        }]);
    }
    true
}
