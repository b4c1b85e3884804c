//! Socket of a connection: what its events have shown, and the callbacks that each of them needs.

use std::ffi::c_int;
use std::net::SocketAddr;
use std::sync::Arc;

use monitor_client::types::{SideRange, TcpState};
use monitor_client::{EventBody, Side};
use monitor_common::Refusal;

use crate::definitions::Registrations;
use crate::event_types::{event_t, mos_event_type};
use crate::step::{NULL, RCV, SND, Step, hook_of};

/// Socket of a connection.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) listener: c_int,
    pub(crate) sockid: u64,
    /// Client and server.
    pub(crate) ends: [SocketAddr; 2],
    /// States of client and server.
    pub(crate) states: [TcpState; 2],
    /// Edge of the bytes that events have shown, by receiving side.
    edges: [u64; 2],
    pub(crate) registrations: Arc<Registrations>,
    /// Sides that are no longer monitored.
    pub(crate) stopped: [bool; 2],
    /// Sides that are not read.
    pub(crate) off: [bool; 2],
    /// Initial sequence numbers, by sender, as far as packets have shown them.
    pub(crate) isn: [Option<u32>; 2],
    /// Time of the last event, in seconds since the epoch.
    pub(crate) time: f64,
    /// Time of the last packet before the daemon was asked for the states: earlier events show states of the past.
    pub(crate) asked: f64,
    /// The daemon that knew it was restarted.
    pub(crate) is_gone: bool,
}

impl Active {
    /// Creates the socket of a connection after its SYN.
    pub(crate) fn new(
        listener: c_int,
        registrations: Arc<Registrations>,
        sockid: u64,
        ends: [SocketAddr; 2],
        time: f64,
    ) -> Self {
        Self {
            listener,
            sockid,
            ends,
            states: [TcpState::SynSent, TcpState::Listen],
            edges: [0; 2],
            registrations,
            stopped: [false; 2],
            off: [false; 2],
            isn: [None; 2],
            time,
            asked: 0.0,
            is_gone: false,
        }
    }

    /// Takes an event of the time `self.time`.
    pub(crate) fn on_event(&mut self, sock: c_int, body: &EventBody, steps: &mut Vec<Step>) {
        use mos_event_type::{MOS_ON_CONN_NEW_DATA, MOS_ON_ERROR, MOS_ON_REXMIT};
        match *body {
            EventBody::State { .. } if self.time <= self.asked => {}
            EventBody::State { side, state } => self.on_state(sock, side, state, steps),
            EventBody::Data { range, .. } if self.advance(range) => {
                self.push(sock, range.side, MOS_ON_CONN_NEW_DATA, NULL, steps);
            }
            EventBody::Gap(range) if self.advance(range) => {
                self.push(sock, range.side, MOS_ON_ERROR, NULL, steps);
            }
            EventBody::Refused {
                side,
                reason: Refusal::Window,
                ..
            } => self.push(sock, side, MOS_ON_ERROR, NULL, steps),
            EventBody::Retransmit(range) => {
                self.push(sock, range.side.peer(), MOS_ON_REXMIT, SND, steps);
                self.push(sock, range.side, MOS_ON_REXMIT, RCV, steps);
            }
            _ => {}
        }
    }

    /// Takes the state of an end.
    pub(crate) fn on_state(
        &mut self,
        sock: c_int,
        side: Side,
        state: TcpState,
        steps: &mut Vec<Step>,
    ) {
        let own = &mut self.states[side as usize];
        if std::mem::replace(own, state) == state {
            return;
        }
        let event = mos_event_type::MOS_ON_TCP_STATE_CHANGE;
        self.push(sock, side, event, hook_of(state), steps);
    }

    /// Takes new bytes of a side. Returns false if an event has shown them before.
    fn advance(&mut self, range: SideRange) -> bool {
        let edge = &mut self.edges[range.side as usize];
        let end = range.off.saturating_add(range.len);
        let is_new = end > *edge;
        *edge = end.max(*edge);
        is_new
    }

    /// Takes the edge of a side after missing events.
    pub(crate) fn on_edge(&mut self, sock: c_int, side: Side, next: u64, steps: &mut Vec<Step>) {
        let range = SideRange {
            side,
            off: next,
            len: 0,
        };
        if self.advance(range) {
            let event = mos_event_type::MOS_ON_CONN_NEW_DATA;
            self.push(sock, side, event, NULL, steps);
        }
    }

    /// Ends the connection: at the client that sends, and at the server that receives, as its start.
    pub(crate) fn end(&self, sock: c_int, steps: &mut Vec<Step>) {
        self.at_ends(sock, mos_event_type::MOS_ON_CONN_END, steps);
    }

    /// Stops monitoring a side; `None`: both.
    pub(crate) fn stop(&mut self, side: Option<Side>) {
        match side {
            Some(side) => self.stopped[side as usize] = true,
            None => self.stopped = [true; 2],
        }
    }

    /// Raises an event at the client that sends, and at the server that receives.
    pub(crate) fn at_ends(&self, sock: c_int, event: mos_event_type, steps: &mut Vec<Step>) {
        self.push(sock, Side::Client, event, SND, steps);
        self.push(sock, Side::Server, event, RCV, steps);
    }

    pub(crate) fn push(
        &self,
        sock: c_int,
        side: Side,
        event: mos_event_type,
        hook: c_int,
        steps: &mut Vec<Step>,
    ) {
        let is_unread = event == mos_event_type::MOS_ON_CONN_NEW_DATA && self.off[side as usize];
        if !self.stopped[side as usize] && !is_unread {
            steps.push(Step {
                sock,
                side: side as c_int,
                event: event as event_t,
                hook,
            });
        }
    }
}
