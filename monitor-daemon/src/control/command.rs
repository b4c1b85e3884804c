//! Commands to a worker, for live capture and replay alike.

use std::sync::Arc;

use monitor_engine::{Connection, ControlError, EngineConfig, Rule, Side, SideSettings, SockId};
use tokio::sync::oneshot;

use crate::events::{EventLog, Interest, Publisher};
use crate::packets::PacketLog;

/// Engine of a worker; its events go to the subscribers.
pub type Engine = monitor_engine::Engine<Publisher>;

/// Channel for the result of a command. Sending it never waits.
pub type Answer<T> = oneshot::Sender<T>;

/// Command that a worker's thread runs between two batches.
#[derive(Debug)]
pub enum Command {
    /// Shows that the worker is alive: all commands sent before this one are done.
    Ping {
        /// Channel for the answer.
        answer: Answer<()>,
    },
    /// Replaces the interest in events. The previous one is returned through the log's notifier.
    SetInterest {
        /// Interest of all listeners.
        interest: Box<Interest>,
        /// Log of the worker, the same in every call.
        log: Arc<EventLog>,
        /// Answered at once: no event after the answer is missed.
        answer: Answer<()>,
    },
    /// Replaces the engine's settings, see [`monitor_engine::Engine::reconfigure`].
    Reconfigure {
        /// Settings of this worker's engine.
        config: Box<EngineConfig>,
        /// Answered once they are in force.
        answer: Answer<()>,
    },
    /// Stops monitoring a connection, or one side of it.
    StopConnection {
        /// Connection.
        id: SockId,
        /// Side; `None`: the whole connection.
        side: Option<Side>,
        /// State of the connection afterwards.
        answer: Answer<Result<Connection, ControlError>>,
    },
    /// Changes the settings of a connection.
    Configure {
        /// Connection.
        id: SockId,
        /// Settings by [`Side::index`].
        settings: [SideSettings; 2],
        /// State of the connection afterwards.
        answer: Answer<Result<Connection, ControlError>>,
    },
    /// Replaces the rules that give new connections their settings.
    SetRules {
        /// In order: the first that applies to a connection counts.
        rules: Vec<Rule>,
        /// Answered once they are in force.
        answer: Answer<()>,
    },
    /// Replaces the log of packets; `None`: packets are not logged.
    SetPacketLog {
        /// Log of this worker.
        log: Option<Arc<PacketLog>>,
        /// The previous log, to be freed by the caller.
        answer: Answer<Option<Arc<PacketLog>>>,
    },
    /// Ends the worker.
    Stop,
}

impl Command {
    /// Runs the command; returns false for the end of the worker.
    pub(super) fn run(self, engine: &mut Engine) -> bool {
        // The client may have left; the worker doesn't care.
        match self {
            Self::Ping { answer } => drop(answer.send(())),
            Self::SetInterest {
                interest,
                log,
                answer,
            } => {
                engine.sink().set_interest(interest, log);
                let _ = answer.send(());
            }
            Self::Reconfigure { config, answer } => {
                engine.reconfigure(&config);
                let _ = answer.send(());
            }
            Self::StopConnection { id, side, answer } => drop(answer.send(engine.stop(id, side))),
            Self::Configure {
                id,
                settings,
                answer,
            } => drop(answer.send(engine.configure(id, settings))),
            Self::SetRules { rules, answer } => {
                engine.set_rules(rules);
                let _ = answer.send(());
            }
            Self::SetPacketLog { log, answer } => {
                drop(answer.send(engine.sink().set_packet_log(log)));
            }
            Self::Stop => return false,
        }
        true
    }
}
