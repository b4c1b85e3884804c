//! `mtcp_getsockopt` and `mtcp_setsockopt`, apart from the caller's memory.

use std::ffi::c_int;

use monitor_client::types::{
    ConfigureParams, FragmentsParams, OverlapPolicy, SideStats, Socket, StopParams, TcpState,
};
use monitor_client::{Method, Side};

use crate::context::{Context, one_side};
use crate::failure::Failure;
use crate::types::{
    SOL_MONSOCKET, mos_overlap_policy, mos_side, mos_socket_opts, tcp_buf_info, tcp_ring_fragment,
    tcpstate,
};

/// Longest range that a struct tcp_ring_fragment can express.
const LONGEST: u64 = u32::MAX as u64;

/// Option that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Get {
    Fragments(Side),
    Info(Side),
    State(Side),
    Timestamp,
}

impl Get {
    /// ENOPROTOOPT: no such level or option.
    pub(crate) fn parse(level: c_int, option: c_int) -> Result<Self, Failure> {
        use mos_socket_opts::*;
        let options = [
            (MOS_FRAGINFO_CLIBUF, Get::Fragments(Side::Client)),
            (MOS_FRAGINFO_SVRBUF, Get::Fragments(Side::Server)),
            (MOS_INFO_CLIBUF, Get::Info(Side::Client)),
            (MOS_INFO_SVRBUF, Get::Info(Side::Server)),
            (MOS_TCP_STATE_CLI, Get::State(Side::Client)),
            (MOS_TCP_STATE_SVR, Get::State(Side::Server)),
            (MOS_TIMESTAMP, Get::Timestamp),
        ];
        let found = options
            .into_iter()
            .find(|&(own, _)| own as c_int == option && level == SOL_MONSOCKET);
        found.map(|(_, get)| get).ok_or(Failure(libc::ENOPROTOOPT))
    }
}

/// Option that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Off(Side),
    Window(Side, u64),
    Overlap(Side, OverlapPolicy),
    /// `None`: both sides.
    Stop(Option<Side>),
}

impl Set {
    /// ENOPROTOOPT: no such level or option. EINVAL: no such value.
    pub(crate) fn parse(level: c_int, option: c_int, value: c_int) -> Result<Self, Failure> {
        use mos_socket_opts::*;
        let is = |own: mos_socket_opts| own as c_int == option && level == SOL_MONSOCKET;
        let buffer = |side| match u64::try_from(value) {
            Ok(0) => Ok(Set::Off(side)),
            Ok(window) => Ok(Set::Window(side, window)),
            Err(_) => Err(Failure(libc::EINVAL)),
        };
        let overlap = |side| Ok(Set::Overlap(side, policy(value)?));
        match () {
            () if is(MOS_CLIBUF) => buffer(Side::Client),
            () if is(MOS_SVRBUF) => buffer(Side::Server),
            () if is(MOS_CLIOVERLAP) => overlap(Side::Client),
            () if is(MOS_SVROVERLAP) => overlap(Side::Server),
            () if is(MOS_STOP_MON) && value == mos_side::MOS_SIDE_BOTH as c_int => {
                Ok(Set::Stop(None))
            }
            () if is(MOS_STOP_MON) => Ok(Set::Stop(Some(one_side(value)?))),
            () => Err(Failure(libc::ENOPROTOOPT)),
        }
    }

    pub(crate) fn apply(self, context: &mut Context, descriptor: c_int) -> Result<(), Failure> {
        let (sockid, worker) = (context.target(descriptor)?, context.worker());
        let configure = |side| ConfigureParams {
            sockid: Some(sockid),
            side: Some(side),
            worker,
            ..ConfigureParams::default()
        };
        let params = match self {
            Set::Stop(side) => {
                let params = StopParams {
                    sockid,
                    side,
                    worker,
                };
                return context
                    .ask(|client| client.call(Method::Stop, &params))
                    .map(|_: Socket| ());
            }
            Set::Off(side) => ConfigureParams {
                enabled: Some(false),
                ..configure(side)
            },
            Set::Window(side, window) => ConfigureParams {
                window: Some(window),
                ..configure(side)
            },
            Set::Overlap(side, overlap) => ConfigureParams {
                overlap: Some(overlap),
                ..configure(side)
            },
        };
        context.ask(|client| client.configure(&params)).map(|_| ())
    }
}

fn policy(value: c_int) -> Result<OverlapPolicy, Failure> {
    const FIRST: c_int = mos_overlap_policy::MOS_OVERLAP_POLICY_FIRST as c_int;
    const LAST: c_int = mos_overlap_policy::MOS_OVERLAP_POLICY_LAST as c_int;
    match value {
        FIRST => Ok(OverlapPolicy::First),
        LAST => Ok(OverlapPolicy::Last),
        _ => Err(Failure(libc::EINVAL)),
    }
}

/// Returns the ranges of a side, in pieces that fit.
pub(crate) fn fragments(
    context: &mut Context,
    descriptor: c_int,
    side: Side,
) -> Result<Vec<tcp_ring_fragment>, Failure> {
    let params = FragmentsParams {
        sockid: context.target(descriptor)?,
        side,
        worker: context.worker(),
    };
    let found: monitor_client::types::Fragments =
        context.ask(|client| client.call(Method::Fragments, &params))?;
    let pieces = found.extents.into_iter().flat_map(|(off, len)| {
        (0..len.div_ceil(LONGEST)).map(move |index| {
            let at = index * LONGEST;
            tcp_ring_fragment {
                offset: off + at,
                len: (len - at).min(LONGEST) as u32,
            }
        })
    });
    Ok(pieces.collect())
}

/// Returns the time of the last packet in microseconds, modulo 2^32; in callbacks that of the event.
pub(crate) fn timestamp(context: &mut Context, descriptor: c_int) -> Result<u32, Failure> {
    let active = context.monitor.active.get(&descriptor);
    let seconds = match active.map(|active| active.time) {
        Some(time) => time,
        None => context.info(descriptor)?.last,
    };
    Ok((seconds * 1e6) as u64 as u32)
}

/// Returns a side in sequence numbers. ENODATA when no SYN of its sender was seen: then there are none.
pub(crate) fn info(side: &SideStats) -> Result<tcp_buf_info, Failure> {
    let isn = side.isn.ok_or(Failure(libc::ENODATA))?;
    // The sequence number of the byte before offset 0 is the ISN.
    let before = |off: u64| isn.wrapping_add(off as u32);
    let next = before(side.next).wrapping_add(1);
    Ok(tcp_buf_info {
        tcpbi_init_seq: isn,
        tcpbi_last_byte_read: next,
        tcpbi_next_byte_expected: next,
        tcpbi_last_byte_received: before(side.end),
    })
}

pub(crate) fn state(state: TcpState) -> tcpstate {
    match state {
        TcpState::Closed => tcpstate::TCP_CLOSED,
        TcpState::Listen => tcpstate::TCP_LISTEN,
        TcpState::SynSent => tcpstate::TCP_SYN_SENT,
        TcpState::SynReceived => tcpstate::TCP_SYN_RCVD,
        TcpState::Established => tcpstate::TCP_ESTABLISHED,
        TcpState::FinWait1 => tcpstate::TCP_FIN_WAIT_1,
        TcpState::FinWait2 => tcpstate::TCP_FIN_WAIT_2,
        TcpState::CloseWait => tcpstate::TCP_CLOSE_WAIT,
        TcpState::Closing => tcpstate::TCP_CLOSING,
        TcpState::LastAck => tcpstate::TCP_LAST_ACK,
        TcpState::TimeWait => tcpstate::TCP_TIME_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_its_side() {
        assert_eq!(
            Get::parse(SOL_MONSOCKET, 2),
            Ok(Get::Fragments(Side::Server))
        );
        assert_eq!(Get::parse(SOL_MONSOCKET, 3), Ok(Get::Info(Side::Client)));
        assert_eq!(Get::parse(SOL_MONSOCKET, 6), Ok(Get::State(Side::Server)));
        for (level, option) in [
            (SOL_MONSOCKET, 0),
            (SOL_MONSOCKET, 99),
            (libc::SOL_SOCKET, 2),
        ] {
            assert_eq!(Get::parse(level, option), Err(Failure(libc::ENOPROTOOPT)));
        }
    }

    #[test]
    fn every_value_is_checked() {
        let set =
            |option: mos_socket_opts, value| Set::parse(SOL_MONSOCKET, option as c_int, value);
        let invalid = Err(Failure(libc::EINVAL));
        assert_eq!(
            set(mos_socket_opts::MOS_CLIBUF, 0),
            Ok(Set::Off(Side::Client))
        );
        assert_eq!(
            set(mos_socket_opts::MOS_SVRBUF, 9),
            Ok(Set::Window(Side::Server, 9))
        );
        assert_eq!(set(mos_socket_opts::MOS_SVRBUF, -1), invalid);
        assert_eq!(
            set(mos_socket_opts::MOS_CLIOVERLAP, 1),
            Ok(Set::Overlap(Side::Client, OverlapPolicy::Last))
        );
        assert_eq!(set(mos_socket_opts::MOS_SVROVERLAP, 2), invalid);
        assert_eq!(set(mos_socket_opts::MOS_STOP_MON, 2), Ok(Set::Stop(None)));
        assert_eq!(
            set(mos_socket_opts::MOS_STOP_MON, 0),
            Ok(Set::Stop(Some(Side::Client)))
        );
        assert_eq!(set(mos_socket_opts::MOS_STOP_MON, 3), invalid);
        assert_eq!(
            set(mos_socket_opts::MOS_INFO_CLIBUF, 0),
            Err(Failure(libc::ENOPROTOOPT))
        );
        assert_eq!(
            Set::parse(libc::SOL_SOCKET, 9, 0),
            Err(Failure(libc::ENOPROTOOPT))
        );
    }

    #[test]
    fn sequence_numbers_wrap() {
        let side = SideStats {
            isn: Some(u32::MAX - 4),
            next: 10,
            end: 20,
            ..SideStats::default()
        };
        let info = info(&side).unwrap();
        assert_eq!(
            (info.tcpbi_next_byte_expected, info.tcpbi_last_byte_received),
            (6, 15)
        );
        let empty = SideStats {
            isn: Some(7),
            ..SideStats::default()
        };
        let expected = tcp_buf_info {
            tcpbi_init_seq: 7,
            tcpbi_last_byte_read: 8,
            tcpbi_next_byte_expected: 8,
            tcpbi_last_byte_received: 7,
        };
        assert_eq!(super::info(&empty), Ok(expected));
        assert_eq!(
            super::info(&SideStats::default()),
            Err(Failure(libc::ENODATA))
        );
    }

    #[test]
    fn states_have_the_numbers_of_mos() {
        for (number, own) in TcpState::ALL.iter().enumerate() {
            assert_eq!(state(*own) as usize, number, "{own}");
        }
    }
}
