//! A worker's end: the engine's events, to those who listen.

use monitor_engine::{Connection, Engine, EngineConfig, EngineError, Event, Reader, Sink, SockId};

use super::filter::subject;
use super::{EventKind, EventKinds, Subscriber};

/// Takes the events of one engine.
#[derive(Debug, Default)]
pub struct Publisher {
    /// The kinds that somebody must see; none while nobody listens.
    kinds: EventKinds,
    /// The engine's time, nanoseconds since the epoch.
    now: u64,
    /// Something was heard in this batch.
    touched: bool,
    #[expect(
        clippy::vec_box,
        reason = "they go back as they came, without an allocation on this thread"
    )]
    subscribers: Vec<Box<Subscriber>>,
    /// The engine's own.
    reader: Option<Reader>,
}

/// The connection that an event is about, looked at once it is needed, for all subscribers together.
pub(super) struct Subject<'a> {
    id: SockId,
    reader: Option<&'a Reader>,
    connection: Option<Option<Connection>>,
}

impl Publisher {
    /// An engine whose events go to a publisher.
    pub fn engine(config: EngineConfig) -> Result<Engine<Self>, EngineError> {
        let mut engine = Engine::new(config, Self::default())?;
        engine.sink().reader = Some(engine.reader());
        Ok(engine)
    }

    /// From now on, this one listens.
    pub fn subscribe(&mut self, subscriber: Box<Subscriber>) {
        self.subscribers.push(subscriber);
        self.agree();
    }

    /// This one does not listen any more.
    pub fn unsubscribe(&mut self, number: u64) {
        let place = self
            .subscribers
            .iter()
            .position(|subscriber| subscriber.number() == number);
        if let Some(place) = place {
            self.subscribers.swap_remove(place).give_back();
        }
        self.agree();
    }

    fn agree(&mut self) {
        self.kinds = self
            .subscribers
            .iter()
            .fold(EventKinds::default(), |kinds, subscriber| {
                kinds.union(subscriber.sees())
            });
    }

    #[cold]
    #[inline(never)]
    fn publish(&mut self, event: &Event) {
        self.touched = true;
        let mut about = Subject {
            id: subject(event).0,
            reader: self.reader.as_ref(),
            connection: None,
        };
        for subscriber in &mut self.subscribers {
            subscriber.hear(event, self.now, &mut about);
        }
    }
}

impl Sink for Publisher {
    #[inline(always)]
    fn event(&mut self, event: Event) {
        if !self.kinds.is_empty() && self.kinds.contains(EventKind::of(&event)) {
            self.publish(&event);
        }
    }

    #[inline(always)]
    fn time(&mut self, now: u64) {
        self.now = now;
    }

    #[inline(always)]
    fn flush(&mut self) {
        if self.touched {
            self.touched = false;
            self.subscribers
                .iter_mut()
                .for_each(|subscriber| subscriber.flush());
        }
    }
}

impl Subject<'_> {
    /// `None` if it is gone.
    pub(super) fn connection(&mut self) -> Option<&Connection> {
        let (id, reader) = (self.id, self.reader);
        self.connection
            .get_or_insert_with(|| reader?.connection(id))
            .as_ref()
    }
}
