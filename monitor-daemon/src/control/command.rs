//! What any worker can be asked to do, whatever feeds it.

use monitor_engine::{Connection, ControlError, EngineConfig, Rule, Side, SideSettings, SockId};
use tokio::sync::oneshot;

use crate::events::{Publisher, Subscriber};

/// Engine of a worker; its events go to the subscribers.
pub type Engine = monitor_engine::Engine<Publisher>;

/// Where the outcome of a command goes. Sending it never waits.
pub type Answer<T> = oneshot::Sender<T>;

/// Something to be done on a worker's thread, between two batches.
#[derive(Debug)]
pub enum Command {
    /// Says that it is there: all commands sent before this one are done.
    Ping {
        /// Answered at once.
        answer: Answer<()>,
    },
    /// From now on, tells this one of events.
    Subscribe {
        /// With the line that its notes go into.
        subscriber: Box<Subscriber>,
        /// Answered at once: no event after that is missed.
        answer: Answer<()>,
    },
    /// Tells this one no more. It goes back the way its bell rings.
    Unsubscribe {
        /// Its [`Subscriber::number`].
        subscriber: u64,
    },
    /// Take other settings, see [`monitor_engine::Engine::reconfigure`].
    Reconfigure {
        /// For this worker.
        config: Box<EngineConfig>,
        /// When they apply.
        answer: Answer<()>,
    },
    /// Nobody wants to see more of a connection, or of one side of it.
    StopConnection {
        /// Which connection.
        id: SockId,
        /// `None`: all of it.
        side: Option<Side>,
        /// How it is then.
        answer: Answer<Result<Connection, ControlError>>,
    },
    /// Other settings for a connection.
    Configure {
        /// Which one.
        id: SockId,
        /// By [`Side::index`].
        settings: [SideSettings; 2],
        /// How it is then.
        answer: Answer<Result<Connection, ControlError>>,
    },
    /// What connections to come start with, in place of what was said before.
    SetRules {
        /// In order: the first that applies to a connection counts.
        rules: Vec<Rule>,
        /// Sent when they are in force.
        answer: Answer<()>,
    },
    /// End.
    Stop,
}

impl Command {
    /// Runs the command; returns false for the end of the worker.
    pub(super) fn run(self, engine: &mut Engine) -> bool {
        // The client may have left; the worker doesn't care.
        match self {
            Self::Ping { answer } => drop(answer.send(())),
            Self::Subscribe { subscriber, answer } => {
                engine.sink().subscribe(subscriber);
                let _ = answer.send(());
            }
            Self::Unsubscribe { subscriber } => engine.sink().unsubscribe(subscriber),
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
            Self::Stop => return false,
        }
        true
    }
}
