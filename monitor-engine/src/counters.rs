//! Counters of the engine: one writer, any number of readers.

use monitor_common::Refusal;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Counter that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Returns the value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Adds `n`. Only for the one writer: not a locked instruction.
    #[inline]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Replaces the value of a gauge. Only for the one writer.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }
}

macro_rules! counters {
    ($($group:literal { $($(#[doc = $doc:literal])+ $name:ident)+ })+) => {
        /// Counters of an engine. Only gauges ever decrease; their text names them.
        #[derive(Debug, Default)]
        pub struct Counters {
            /// The engine's time, nanoseconds since the epoch; 0 before its first packet. Not listed by [`Counters::each`].
            pub clock: Counter,
            /// Processor time of the engine's thread, nanoseconds; set by that thread. Not listed by [`Counters::each`].
            pub cpu_ns: Counter,
            $($($(#[doc = $doc])+ pub $name: Counter,)+)+
        }

        impl Counters {
            /// Returns group, name, meaning and value of each, in order.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, &'static str, u64)> {
                [$($(($group, stringify!($name), concat!($($doc),+), self.$name.get()),)+)+].into_iter()
            }
        }
    };
}

impl Counters {
    /// Returns the counter of a reason for refusal.
    pub(crate) fn refused(&self, refusal: Refusal) -> &Counter {
        match refusal {
            Refusal::NoAck => &self.refused_no_ack,
            Refusal::AckUnsent => &self.refused_ack_unsent,
            Refusal::AckTooOld => &self.refused_ack_too_old,
            Refusal::Timestamp => &self.refused_timestamp,
            Refusal::Window => &self.refused_window,
            Refusal::Syn => &self.refused_syn,
            Refusal::Rst => &self.rst_ignored,
            Refusal::Fin => &self.refused_fin,
            Refusal::SynData => &self.refused_syn_data,
            Refusal::Unsynchronized => &self.refused_unsynchronized,
        }
    }
}

counters! {
    "decode" {
        /// Frames received.
        packets
        /// Bytes of those frames.
        bytes
        /// Frames that are not IPv4 or IPv6.
        not_ip
        /// IP packets that are not TCP.
        not_tcp
        /// Frames that are truncated or have impossible header fields.
        malformed
        /// TCP segments with a wrong checksum (only when checksums are verified).
        bad_checksum
        /// TCP segments whose checksums were not verified because the capture doesn't know whether they are complete (tap by XDP).
        checksum_unknown
        /// TCP segments captured only in part: the rest of their payload is a hole.
        truncated
        /// IP fragments.
        fragments
        /// IP datagrams reassembled from fragments.
        reassembled
        /// Fragments dropped: overlapping (RFC 5722), out of bounds, timed out, or out of memory.
        fragments_dropped
        /// Packets found in tunnels (only with `decode.tunnels`).
        tunneled
        /// Packets of more tunnels than a worker tracks at once (4096); dropped.
        tunnels_full
        /// TCP segments of flows that the filter does not want.
        filtered
        /// Packets skipped because their flow belongs to another worker (replay).
        other_worker
    }
    "flows" {
        /// Connections followed now (gauge).
        active
        /// Closed connections that are still readable (gauge).
        lingering
        /// Connections opened.
        opened
        /// Connections ended.
        closed
        /// Connections ended by the idle timeout.
        timed_out
        /// Connections ended by `stop`.
        stopped
        /// Segments of stopped connections that arrived nevertheless; dropped.
        stopped_segments
        /// Closed connections evicted because their memory was needed.
        evicted_closed
        /// Half-open connections evicted because their memory was needed.
        evicted_half_open
        /// Established connections evicted because their memory was needed.
        evicted_active
        /// Segments of no known connection that cannot open one (RST, or nothing to pick up).
        orphans
    }
    "tcp" {
        /// TCP segments followed.
        segments
        /// Payload bytes of those segments.
        payload_bytes
        /// Segments that arrived beyond a hole.
        out_of_order
        /// Payload bytes that arrived again.
        retransmitted_bytes
        /// Segments that had been captured on another interface before.
        seen_elsewhere
        /// Payload bytes that had been captured on another interface before.
        seen_elsewhere_bytes
        /// Payload bytes that arrived again with other contents.
        conflict_bytes
        /// Conflicting bytes that the receiver had not delivered yet: its overlap policy selects the copy.
        ambiguous_bytes
        /// Sides with more segments beyond a hole than can be tracked: until the hole is filled, the overlap policy works on received ranges instead of segments.
        overlap_history_full
        /// Keep-alive probes.
        keepalives
        /// Holes declared lost.
        gaps
        /// Bytes of those holes.
        gap_bytes
        /// Bytes that arrived after their hole was declared lost.
        filled_bytes
        /// Segments outside everything that the receiver could accept; ignored.
        wild
        /// Segments refused: no ACK flag on a synchronized connection (RFC 9293, 3.10.7.4).
        refused_no_ack
        /// Segments refused: acknowledge data that their receiver never sent (RFC 5961, 5).
        refused_ack_unsent
        /// Segments refused: acknowledge less than any delayed segment could (RFC 5961, 5).
        refused_ack_too_old
        /// Segments refused: timestamp older than the latest accepted one (RFC 7323, 5).
        refused_timestamp
        /// Segments refused: beyond the receive window, or data while it is zero.
        refused_window
        /// SYNs refused: the other end of the live connection didn't confirm them (RFC 5961, 4).
        refused_syn
        /// FINs beyond a hole refused: data or another FIN came in their place.
        refused_fin
        /// Data of SYNs refused: the peer didn't acknowledge it.
        refused_syn_data
        /// Segments refused: no SYN, while their receiver waits for the answer to its own (RFC 9293, 3.10.7.3).
        refused_unsynchronized
        /// RSTs that their receiver ignores: not at the edge of its window (RFC 5961, 3).
        rst_ignored
        /// Payload bytes at or after the FIN; not stream data.
        after_fin_bytes
        /// Payload bytes before offset 0; not stream data.
        before_start_bytes
        /// Segments with urgent data (kept in line).
        urgent
        /// Zero-window advertisements.
        zero_windows
    }
    "store" {
        /// The budget, bytes.
        budget
        /// Bytes of it in use (gauge).
        used
        /// Stream bytes evicted by newer ones or with their connection.
        evicted_bytes
        /// Stream bytes that could not be stored because memory was full: they are holes.
        unstored_bytes
    }
}
