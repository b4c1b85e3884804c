//! A worker's end: the engine's events, to those who listen.

use monitor_engine::{Engine, EngineConfig, EngineError, Event, Sink};

/// Takes the events of one engine.
#[derive(Debug, Default)]
pub struct Publisher {
    /// The engine's time, nanoseconds since the epoch.
    now: u64,
    /// How many listen.
    listeners: usize,
}

impl Publisher {
    /// An engine whose events go to a publisher.
    pub fn engine(config: EngineConfig) -> Result<Engine<Self>, EngineError> {
        Engine::new(config, Self::default())
    }

    #[cold]
    fn publish(&mut self, event: Event) {
        let _ = (self.now, event);
    }
}

impl Sink for Publisher {
    #[inline(always)]
    fn event(&mut self, event: Event) {
        if self.listeners != 0 {
            self.publish(event);
        }
    }

    #[inline(always)]
    fn time(&mut self, now: u64) {
        self.now = now;
    }
}
