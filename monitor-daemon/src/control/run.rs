//! Execution of a worker's commands, on its thread.

use monitor_engine::{Packet, Sink as _};

use super::command::Engine;
use super::queue::CommandQueue;

/// Runs pending commands, if any; returns false for the end of the worker. For the worker's thread.
pub fn run_pending(engine: &mut Engine, command_queue: &CommandQueue) -> bool {
    !command_queue.has_pending() || run_commands(engine, command_queue)
}

/// Runs all commands without a look at the flag; returns false for the end of the worker.
pub fn run_commands(engine: &mut Engine, command_queue: &CommandQueue) -> bool {
    while let Some(command) = command_queue.command() {
        if !command.run(engine) {
            return false;
        }
    }
    // Events are delivered now, not with the next packets: there may be none.
    engine.sink().flush();
    while let Some(datagram) = command_queue.datagram() {
        engine.process(&[Packet {
            time: datagram.time,
            interface: datagram.interface,
            link: datagram.link,
            data: &datagram.data,
            more: &[],
            cut: 0,
            checksum: monitor_engine::Checksum::Unknown,
        }]);
    }
    true
}
