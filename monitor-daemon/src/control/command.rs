//! What any worker can be asked to do, whatever feeds it.

use monitor_engine::{
    Connection, ControlError, EngineConfig, Packet, Rule, Side, SideSettings, Sink as _, SockId,
};
use tokio::sync::oneshot;

use super::{Engine, Mailbox};
use crate::events::Subscriber;

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
    /// Does it; false when that is to end.
    fn perform(self, engine: &mut Engine) -> bool {
        // Who asked may be gone: that is no concern of the worker.
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

/// Sees to the mail if there is any; false when the worker is told to end. For the worker's thread.
pub fn attend(engine: &mut Engine, mailbox: &Mailbox) -> bool {
    !mailbox.has_mail() || obey(engine, mailbox)
}

/// Does all that the mailbox holds, without looking for whether it holds anything; false when the worker is told to end.
pub fn obey(engine: &mut Engine, mailbox: &Mailbox) -> bool {
    while let Some(command) = mailbox.command() {
        if !command.perform(engine) {
            return false;
        }
    }
    // What came of it is told now, not with the next packets: there may be none.
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
