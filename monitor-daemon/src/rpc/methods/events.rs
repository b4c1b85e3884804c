//! `subscribe`, `unsubscribe`, `follow`.

use std::io;
use std::sync::Arc;

use monitor_engine::Side;
use monitor_rpc::ErrorObject;
use monitor_rpc::types::{
    EventKind, FollowParams, Listening, SubscribeParams, UnsubscribeParams, Unsubscribed,
};
use serde_json::value::RawValue;

use super::handler::Serve;
use crate::events::{EventFilter, EventKinds, Scope};
use crate::filter::Filter;
use crate::rpc::access::limits;
use crate::rpc::protocol::errors;
use crate::rpc::session::Session;
use crate::rpc::subscriptions::Active;
use crate::rpc::subscriptions::events::EventStream;
use crate::rpc::subscriptions::follow::Follow;
use crate::rpc::subscriptions::subscription::Subscription;

/// Default length of a queue, in records per worker.
const QUEUE: usize = 4096;

/// Events after which a read of one side may have another result.
pub(crate) const READABLE: &[EventKind] = &[
    EventKind::Established,
    EventKind::Data,
    EventKind::Gap,
    EventKind::State,
    EventKind::Closed,
    EventKind::Evicted,
];

impl Serve for SubscribeParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = subscribe(session, &self).await;
        session.reply(id, result);
        Ok(())
    }
}

impl Serve for FollowParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = follow(session, &self).await;
        session.reply(id, result);
        Ok(())
    }
}

impl Serve for UnsubscribeParams {
    async fn serve(self, session: &mut Session, id: &RawValue) -> io::Result<()> {
        let result = unsubscribe(session, &self);
        session.reply(id, result);
        Ok(())
    }
}

async fn subscribe(
    session: &mut Session,
    params: &SubscribeParams,
) -> Result<Listening, ErrorObject> {
    check_listeners(session)?;
    let filter = event_filter(session, params)?;
    let queue = queue(params.queue)?;
    let subscription = listen(session, &filter, Some(queue)).await?;
    let number = subscription.number();
    let subscribed = EventStream::new(
        subscription,
        params.data.map(|data| data.max),
        params.encoding,
    );
    session.subscriptions.add(Active::Events(subscribed));
    Ok(Listening { sockid: number })
}

async fn follow(session: &mut Session, params: &FollowParams) -> Result<Listening, ErrorObject> {
    check_listeners(session)?;
    let (reader, id) = session.shared.reader(params.sockid, None)?;
    let reader = reader.clone();
    let filter = EventFilter {
        kinds: EventKinds::of(READABLE),
        side: params.side,
        worker: None,
        scope: Scope::One(id),
    };
    let subscription = listen(session, &filter, None).await?;
    let connection = reader
        .connection(id)
        .ok_or_else(|| errors::no_connection(params.sockid))?;
    let wanted = |side| params.side.is_none_or(|own| own == side);
    if let Some(side) = Side::BOTH
        .into_iter()
        .find(|side| wanted(*side) && !connection.sides[side.index()].enabled)
    {
        return Err(errors::peek(
            monitor_engine::PeekError::Disabled,
            params.sockid,
            side,
            0,
        ));
    }
    let start = |side: Side| params.off.unwrap_or(connection.sides[side.index()].base);
    let sides = Side::BOTH.map(|side| wanted(side).then(|| start(side)));
    let number = subscription.number();
    session.subscriptions.add(Active::Follow(Follow::new(
        subscription,
        reader,
        id,
        sides,
        params.encoding,
    )));
    Ok(Listening { sockid: number })
}

fn unsubscribe(
    session: &mut Session,
    params: &UnsubscribeParams,
) -> Result<Unsubscribed, ErrorObject> {
    match session.subscriptions.remove(params.sockid) {
        true => Ok(Unsubscribed {}),
        false => Err(errors::no_listener(params.sockid)),
    }
}

/// Checks that this client may have one more listener.
pub(crate) fn check_listeners(session: &Session) -> Result<(), ErrorObject> {
    let most = limits::CLIENT_LISTENERS;
    if session.subscriptions.len() < most {
        Ok(())
    } else {
        Err(errors::too_many_listeners_of_client(most))
    }
}

pub(crate) async fn listen(
    session: &Session,
    filter: &EventFilter,
    queue: Option<usize>,
) -> Result<Subscription, ErrorObject> {
    Subscription::start(
        &session.shared,
        session.account(),
        filter,
        queue,
        &session.subscriptions.wake,
    )
    .await
}

pub(crate) fn queue(asked: Option<u64>) -> Result<usize, ErrorObject> {
    let longest = limits::QUEUE;
    let asked = asked.map_or(QUEUE.min(longest), |queue| {
        usize::try_from(queue).unwrap_or(usize::MAX)
    });
    if (1..=longest).contains(&asked) {
        return Ok(asked);
    }
    let message = format!("parameter `queue` must be 1 to {longest} notes, not {asked}");
    Err(errors::parameter("queue", message))
}

/// Returns the scope: all connections, one, or those that match a filter.
pub(crate) fn scope(
    session: &Session,
    sockid: Option<u64>,
    filter: Option<&str>,
) -> Result<Scope, ErrorObject> {
    match (sockid, filter) {
        (None, None) => Ok(Scope::All),
        (Some(sockid), None) => {
            let (reader, id) = session.shared.reader(sockid, None)?;
            reader
                .connection(id)
                .ok_or_else(|| errors::no_connection(sockid))?;
            Ok(Scope::One(id))
        }
        (None, Some(text)) => {
            let filter = Filter::compile(text).map_err(|error| errors::filter("filter", &error))?;
            Ok(Scope::Some(Arc::new(filter)))
        }
        (Some(_), Some(_)) => {
            let message =
                "parameter `filter` chooses among connections, and `sockid` names one: give either";
            Err(errors::parameter("filter", message))
        }
    }
}

fn event_filter(session: &Session, params: &SubscribeParams) -> Result<EventFilter, ErrorObject> {
    let scope = scope(session, params.sockid, params.filter.as_deref())?;
    let usual = || {
        EventKind::ALL.iter().copied().filter(|kind| {
            use EventKind::{Data, Refused, Retransmit};
            !matches!(kind, Data | Retransmit | Refused)
        })
    };
    let events = params.events.clone().unwrap_or_else(|| usual().collect());
    if events.is_empty() {
        return Err(errors::parameter(
            "events",
            "parameter `events` must name an event: none were told",
        ));
    }
    let kinds = EventKinds::of(&events);
    Ok(EventFilter {
        kinds,
        side: params.side,
        worker: session.shared.worker(params.worker)?,
        scope,
    })
}
