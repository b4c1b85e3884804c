//! `capture`: packets of the workers' logs, merged by time, as many in one notification as fit.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use monitor_engine::LinkType;
use monitor_rpc::types::{EventBody, Notification};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::notification_writer::NotificationWriter;
use super::subscription::Subscription;
use crate::filter::Filter;
use crate::packets::{HEADERS, LogPacket, LogRead, PacketLog, is_wanted};
use crate::rpc::access::account::Lease;
use crate::rpc::packet_logs::Captured;
use crate::util::interfaces;

/// Bytes of packets that one notification gathers.
const BATCH: usize = 48 * 1024;
/// Bytes of packets, also of unwanted ones, that are read before other clients of this thread get their turn.
const TURN: usize = 512 * 1024;
/// Bytes before each packet: time, captured bytes, length.
const RECORD: usize = 16;
/// Link types of the notification (LINKTYPE_ETHERNET, LINKTYPE_RAW).
const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;
/// Interval of the looks at the logs: a small part of the time in which a log is overwritten at full speed.
const INTERVAL: Duration = Duration::from_millis(2);

/// Capture of one client.
pub(crate) struct Capture {
    subscription: Subscription,
    captured: Captured,
    readers: Vec<LogReader>,
    filter: Filter,
    snaplen: u32,
    batch: Batch,
    ticker: JoinHandle<()>,
    _lease: Lease,
}

/// Position in the log of one worker, and the packet there.
struct LogReader {
    at: u64,
    /// Number of the next packet.
    expected: u64,
    /// Packet that waits for its turn, with its bytes.
    packet: Option<LogPacket>,
    bytes: Vec<u8>,
}

/// Packets of the next notification: of one interface and link type.
#[derive(Default)]
struct Batch {
    origin: Option<(u16, LinkType)>,
    count: u64,
    bytes: Vec<u8>,
}

impl Capture {
    pub(crate) fn new(
        subscription: Subscription,
        captured: Captured,
        lease: Lease,
        filter: Filter,
        snaplen: u32,
        wake: &Arc<Notify>,
    ) -> Self {
        let readers = captured.logs.iter().map(|log| {
            let (expected, at) = log.start();
            LogReader {
                at,
                expected,
                packet: None,
                bytes: Vec::new(),
            }
        });
        Self {
            subscription,
            readers: readers.collect(),
            filter,
            snaplen,
            batch: Batch::default(),
            ticker: tokio::spawn(tick(captured.logs.clone(), Arc::clone(wake))),
            captured,
            _lease: lease,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.subscription.number()
    }

    pub(crate) fn is_ready(&self) -> bool {
        let logs = self.captured.logs.iter().zip(&self.readers);
        self.batch.count > 0
            || logs
                .into_iter()
                .any(|(log, reader)| reader.packet.is_some() || reader.at < log.head())
    }

    pub(crate) async fn notify(&mut self, writer: &mut NotificationWriter<'_>) -> io::Result<()> {
        self.subscription.take_ready();
        let mut left = TURN;
        while left > 0 {
            let (cost, lost) = self.fill(left);
            left = left.saturating_sub(cost);
            if lost > 0 {
                self.write(writer).await?;
                writer.lost(self.number(), lost, None);
            }
            let Some((index, packet)) = self.first() else {
                break;
            };
            let origin = (packet.interface, packet.link);
            if self.batch.origin != Some(origin) || self.batch.bytes.len() >= BATCH {
                self.write(writer).await?;
                self.batch.origin = Some(origin);
            }
            let reader = &mut self.readers[index];
            reader.packet = None;
            self.batch.add(&packet, &reader.bytes);
        }
        self.write(writer).await
    }

    /// Reads the next packet of each log where none waits, for about `most` bytes. Returns the bytes that it has read, and
    /// the number of packets that were overwritten.
    fn fill(&mut self, most: usize) -> (usize, u64) {
        let (mut cost, mut lost) = (0, 0);
        for (log, reader) in self.captured.logs.iter().zip(&mut self.readers) {
            while reader.packet.is_none() && cost < most {
                reader.bytes.clear();
                let wanted = self.snaplen.max(HEADERS);
                match log.read(&mut reader.at, wanted, &mut reader.bytes) {
                    LogRead::Empty => break,
                    LogRead::Overwritten => {}
                    LogRead::Packet(packet) => {
                        cost += RECORD + reader.bytes.len();
                        lost += packet.number.saturating_sub(reader.expected);
                        reader.expected = packet.number + 1;
                        if is_wanted(&self.filter, packet.link, &reader.bytes) {
                            reader.bytes.truncate(self.snaplen as usize);
                            reader.packet = Some(packet);
                        }
                    }
                }
            }
        }
        (cost, lost)
    }

    /// Returns the earliest packet that waits, and its log.
    fn first(&self) -> Option<(usize, LogPacket)> {
        let waiting = self.readers.iter().enumerate();
        waiting
            .filter_map(|(index, reader)| Some((index, reader.packet?)))
            .min_by_key(|(_, packet)| packet.time)
    }

    /// Writes the packets of the batch, if there are any.
    async fn write(&mut self, writer: &mut NotificationWriter<'_>) -> io::Result<()> {
        let Some((interface, link)) = self.batch.origin.take() else {
            return Ok(());
        };
        if self.batch.count == 0 {
            return Ok(());
        }
        let notification = Notification {
            listener: self.number(),
            time: None,
            sockid: None,
            body: EventBody::Packets {
                interface: interfaces::name(interface),
                link: match link {
                    LinkType::Ip => LINKTYPE_RAW,
                    _ => LINKTYPE_ETHERNET,
                },
                count: self.batch.count,
                raw: Some(self.batch.bytes.len() as u64),
                data: None,
            },
        };
        writer.event(&notification);
        let sent = writer.out.flush_with(&self.batch.bytes).await;
        self.batch.count = 0;
        self.batch.bytes.clear();
        sent
    }
}

impl Batch {
    fn add(&mut self, packet: &LogPacket, bytes: &[u8]) {
        self.count += 1;
        self.bytes.extend(packet.time.to_le_bytes());
        self.bytes.extend((bytes.len() as u32).to_le_bytes());
        self.bytes.extend(packet.length.to_le_bytes());
        self.bytes.extend(bytes);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.ticker.abort();
    }
}

/// Wakes the client's task while there are packets that it has not seen.
async fn tick(logs: Vec<Arc<PacketLog>>, wake: Arc<Notify>) {
    let mut seen: Vec<u64> = logs.iter().map(|_| 0).collect();
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let mut is_new = false;
        for (log, seen) in logs.iter().zip(&mut seen) {
            let head = log.head();
            is_new |= head != *seen;
            *seen = head;
        }
        if is_new {
            wake.notify_one();
        }
    }
}
