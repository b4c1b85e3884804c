//! `subscribe`, `unsubscribe`, `follow`.

use std::sync::Arc;

use monitor_engine::Side;
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{
    EventKind, FollowParams, Listening, SubscribeParams, UnsubscribeParams, Unsubscribed,
};

use super::super::connection::Session;
use super::super::listeners::{Follow, Listener, Subscribed, Subscription};
use super::super::{fault, view};
use crate::events::{Interest, Kind, Kinds, Whose};
use crate::filter::Filter;

/// Notes that may wait unless the client says otherwise.
const QUEUE: usize = 4096;

/// What may change what a read of one side finds.
pub(super) const READABLE: &[Kind] = &[
    Kind::Established,
    Kind::Data,
    Kind::Gap,
    Kind::State,
    Kind::Closed,
    Kind::Evicted,
];

impl Session {
    pub(super) async fn subscribe(
        &mut self,
        params: &SubscribeParams,
    ) -> Result<Listening, ErrorObject> {
        self.room_for_listener()?;
        let interest = self.interest(params)?;
        let queue = self.queue(params.queue)?;
        let subscription = self.listen(&interest, Some(queue)).await?;
        let number = subscription.number();
        let subscribed = Subscribed::new(
            subscription,
            params.data.map(|data| data.max),
            params.encoding,
        );
        self.listeners.add(Listener::Subscribed(subscribed));
        Ok(Listening { sockid: number })
    }

    pub(super) async fn follow(&mut self, params: &FollowParams) -> Result<Listening, ErrorObject> {
        self.room_for_listener()?;
        let (reader, id) = self.shared.reader(params.sockid, None)?;
        let reader = reader.clone();
        let interest = Interest {
            kinds: Kinds::of(READABLE),
            side: params.side.map(view::side),
            whose: Whose::One(id),
        };
        let subscription = self.listen(&interest, None).await?;
        let connection = reader
            .connection(id)
            .ok_or_else(|| fault::no_connection(params.sockid))?;
        let wanted = |side| params.side.is_none_or(|own| view::side(own) == side);
        if let Some(side) = Side::BOTH
            .into_iter()
            .find(|side| wanted(*side) && !connection.sides[side.index()].enabled)
        {
            return Err(fault::peek(
                monitor_engine::PeekError::Disabled,
                params.sockid,
                view::side_name(side),
                0,
            ));
        }
        let start = |side: Side| params.off.unwrap_or(connection.sides[side.index()].base);
        let sides = Side::BOTH.map(|side| wanted(side).then(|| start(side)));
        let number = subscription.number();
        self.listeners.add(Listener::Follow(Follow::new(
            subscription,
            reader,
            id,
            sides,
            params.encoding,
        )));
        Ok(Listening { sockid: number })
    }

    pub(super) fn unsubscribe(
        &mut self,
        params: &UnsubscribeParams,
    ) -> Result<Unsubscribed, ErrorObject> {
        match self.listeners.remove(params.sockid) {
            true => Ok(Unsubscribed {}),
            false => Err(fault::no_listener(params.sockid)),
        }
    }

    /// Whether this client may have one more.
    pub(super) fn room_for_listener(&self) -> Result<(), ErrorObject> {
        let most = self.shared.rules.borrow().settings.max_subscriptions;
        if self.listeners.len() < most {
            Ok(())
        } else {
            Err(fault::too_many_subscriptions(most))
        }
    }

    pub(super) async fn listen(
        &self,
        interest: &Interest,
        queue: Option<usize>,
    ) -> Result<Subscription, ErrorObject> {
        Subscription::start(&self.shared, interest, queue, &self.listeners.wake).await
    }

    pub(super) fn queue(&self, asked: Option<u64>) -> Result<usize, ErrorObject> {
        let longest = self.shared.rules.borrow().settings.event_queue;
        let asked = asked.map_or(QUEUE.min(longest), |queue| {
            usize::try_from(queue).unwrap_or(usize::MAX)
        });
        if (1..=longest).contains(&asked) {
            return Ok(asked);
        }
        let message = format!(
            "parameter `queue` must be 1 to {longest} notes, not {asked}; [rpc] event_queue says so"
        );
        Err(fault::parameter("queue", message))
    }

    /// On which connections; all of them unless one is named, or a filter.
    pub(super) fn whose(
        &self,
        sockid: Option<u64>,
        filter: Option<&str>,
    ) -> Result<Whose, ErrorObject> {
        match (sockid, filter) {
            (None, None) => Ok(Whose::All),
            (Some(sockid), None) => {
                let (reader, id) = self.shared.reader(sockid, None)?;
                reader
                    .connection(id)
                    .ok_or_else(|| fault::no_connection(sockid))?;
                Ok(Whose::One(id))
            }
            (None, Some(text)) => {
                let filter =
                    Filter::compile(text).map_err(|error| fault::filter("filter", &error))?;
                Ok(Whose::Some(Arc::new(filter)))
            }
            (Some(_), Some(_)) => {
                let message = "parameter `filter` chooses among connections, and `sockid` names one: give either";
                Err(fault::parameter("filter", message))
            }
        }
    }

    fn interest(&self, params: &SubscribeParams) -> Result<Interest, ErrorObject> {
        let whose = self.whose(params.sockid, params.filter.as_deref())?;
        let usual = || {
            EventKind::ALL
                .iter()
                .copied()
                .filter(|kind| !matches!(kind, EventKind::Data | EventKind::Retransmit))
        };
        let events = params.events.clone().unwrap_or_else(|| usual().collect());
        if events.is_empty() {
            return Err(fault::parameter(
                "events",
                "parameter `events` must name an event: none were told",
            ));
        }
        let kinds = events
            .into_iter()
            .fold(Kinds::default(), |kinds, event| kinds.with(kind(event)));
        Ok(Interest {
            kinds,
            side: params.side.map(view::side),
            whose,
        })
    }
}

fn kind(event: EventKind) -> Kind {
    match event {
        EventKind::Opened => Kind::Opened,
        EventKind::Established => Kind::Established,
        EventKind::Data => Kind::Data,
        EventKind::Gap => Kind::Gap,
        EventKind::Filled => Kind::Filled,
        EventKind::Retransmit => Kind::Retransmit,
        EventKind::Conflict => Kind::Conflict,
        EventKind::State => Kind::State,
        EventKind::Closed => Kind::Closed,
        EventKind::Evicted => Kind::Evicted,
    }
}
