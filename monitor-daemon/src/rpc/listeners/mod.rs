//! Those who listen to events on behalf of clients.
//!
//! ```text
//! workers ─ lines, bell ─> Switchboard ─ ready ─> Listeners of a session ─ lines of JSON ─> client
//!     ^                                               │
//!     └── commands ── Subscription ── made and dropped by it
//! ```
//!
//! One task answers the workers' [`Bell`](crate::events::Bell) for all clients ([`Switchboard::answer`]) and wakes the
//! tasks of those for whom there is something. A [`Subscription`] is a listener's end of the lines from the workers;
//! dropping it ends the listening. What a client listens with ([`Listeners`]) dies with its session.
//!
//! To listen within the server: [`Subscription::start`] with an interest and, for notes rather than mere wake-ups, the
//! length of a queue; then wait for its wake-up and take what [`Subscription::next`] has. To tell clients of something
//! new: a variant of [`Listener`] that writes through a [`Voice`].

mod follow;
mod session;
mod subscribed;
mod subscription;
mod switchboard;
mod voice;
mod watched;

pub(super) use follow::Follow;
pub(super) use session::{Listener, Listeners};
pub(super) use subscribed::Subscribed;
pub(super) use subscription::Subscription;
pub(super) use switchboard::Switchboard;
pub(super) use voice::Voice;
pub(super) use watched::{Search, Watched};
