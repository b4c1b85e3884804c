//! The verb `capture`: packets as they were captured, as a pcapng file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use monitor_client::types::CaptureParams;
use monitor_client::{CapturedPacket, Error, EventBody, Events, Packets};
use serde::Serialize;

use crate::context::Context;
use crate::export::output::{Reader, Stop, create, standard};
use crate::failure::Failure;
use crate::pcapng::{Statistics, Writer};

/// Time without packets after which buffered ones are passed on.
const QUIET: Duration = Duration::from_millis(5);
/// Interval of the checks for a signal, or the end of the reader.
const CHECK: Duration = Duration::from_millis(100);

/// Packets, and their file.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only packets of connections that match this filter, in the language of tcpdump
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// File; it is never overwritten. `-` is standard output, which must not be a terminal
    #[arg(long, short, value_name = "FILE")]
    write: PathBuf,
    /// Maximum number of bytes of each packet
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    snaplen: Option<u64>,
}

/// Result of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Summary {
    packets: u64,
    lost: u64,
}

pub fn capture<W: Write>(context: &mut Context<W>, args: &Args) -> Result<(), Failure> {
    let is_file = args.write != Path::new("-");
    if !is_file && std::io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "a capture is not for a terminal: name a file with -w, or a program: monitorctl capture -w - | wireshark -k -i -",
        ));
    }
    let stop = Stop::on_signals()?;
    // No file is left if the daemon refuses.
    let mut events = context.client.capture(&CaptureParams {
        filter: args.filter.clone(),
        snaplen: args.snaplen,
        ..CaptureParams::default()
    })?;
    let file = if is_file {
        create(&args.write)?
    } else {
        standard()?
    };
    let summary = write(&mut events, file, &stop)?;
    match (is_file, context.json) {
        (true, true) => context.json(&summary),
        (true, false) => {
            let Summary { packets, lost } = summary;
            writeln!(context.out, "{packets} packets captured, {lost} lost")?;
            Ok(())
        }
        (false, _) => Ok(()),
    }
}

/// Writes packets until a signal, or until the reader of the file is gone.
fn write(events: &mut Events, file: File, stop: &Stop) -> Result<Summary, Failure> {
    let reader = Reader::of(&file)?;
    let mut output = Output::new(BufWriter::with_capacity(256 * 1024, file))?;
    let mut checked = Instant::now();
    let mut buffered = true;
    loop {
        let wait = if buffered { QUIET } else { CHECK };
        match events.next_within(Some(wait)) {
            None => return Err(Error::Closed.into()),
            Some(event) => match event? {
                Some(event) => {
                    output.on_event(&event.body)?;
                    buffered = true;
                }
                None if buffered => {
                    output.writer.flush()?;
                    buffered = false;
                }
                None => {}
            },
        }
        if checked.elapsed() >= CHECK {
            if stop.is_requested() || reader.is_gone() {
                break;
            }
            checked = Instant::now();
        }
    }
    Ok(output.finish()?)
}

/// Capture file that is written.
struct Output<W: Write> {
    writer: Writer<W>,
    /// Number and counters of each interface, by name and link type.
    interfaces: HashMap<(Option<String>, u16), (u32, Statistics)>,
    summary: Summary,
    /// Packets lost since the last one.
    lost: u64,
}

impl<W: Write> Output<W> {
    fn new(out: W) -> std::io::Result<Self> {
        let application = concat!("monitorctl ", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            writer: Writer::new(out, application, "Packets as monitord captured them.")?,
            interfaces: HashMap::new(),
            summary: Summary::default(),
            lost: 0,
        })
    }

    fn on_event(&mut self, body: &EventBody) -> std::io::Result<()> {
        match body {
            EventBody::Packets {
                interface,
                link,
                data: Some(data),
                ..
            } => {
                for packet in Packets::new(&data.0) {
                    self.packet(interface.as_ref(), *link, &packet)?;
                }
            }
            EventBody::Lost { count, .. } => self.lost += count.unwrap_or(0),
            _ => {}
        }
        Ok(())
    }

    fn packet(
        &mut self,
        interface: Option<&String>,
        link: u16,
        packet: &CapturedPacket<'_>,
    ) -> std::io::Result<()> {
        let key = (interface.cloned(), link);
        let time = packet.time / 1000;
        if !self.interfaces.contains_key(&key) {
            let name = interface.map_or("unknown", String::as_str);
            let number = self.writer.interface(link, name)?;
            let statistics = Statistics {
                times: (time, time),
                ..Statistics::default()
            };
            self.interfaces.insert(key.clone(), (number, statistics));
        }
        let Some((number, statistics)) = self.interfaces.get_mut(&key) else {
            return Ok(());
        };
        statistics.times.1 = time;
        statistics.received += 1;
        // The interface of a lost packet is unknown: it counts where the next one arrives.
        let lost = std::mem::take(&mut self.lost);
        statistics.dropped += lost;
        self.summary.packets += 1;
        self.summary.lost += lost;
        self.writer
            .captured(*number, time, packet.bytes, packet.length, lost)
    }

    /// Writes the counters of the interfaces.
    fn finish(mut self) -> std::io::Result<Summary> {
        let mut interfaces: Vec<_> = self.interfaces.into_values().collect();
        interfaces.sort_by_key(|(number, _)| *number);
        self.summary.lost += self.lost;
        for (number, mut statistics) in interfaces {
            statistics.dropped += std::mem::take(&mut self.lost);
            let comment = "dropped: packets lost between the daemon and this file";
            self.writer.statistics(number, &statistics, comment)?;
        }
        self.writer.flush()?;
        Ok(self.summary)
    }
}

#[cfg(test)]
mod tests {
    use monitor_client::types::Base64;

    use super::*;

    fn event(interface: &str, payload: u8) -> EventBody {
        let mut raw = 2_000_000_u64.to_le_bytes().to_vec();
        raw.extend(4_u32.to_le_bytes());
        raw.extend(9_u32.to_le_bytes());
        raw.extend([payload; 4]);
        EventBody::Packets {
            interface: Some(interface.to_owned()),
            link: 1,
            count: 1,
            raw: None,
            data: Some(Base64(raw)),
        }
    }

    #[test]
    fn losses_are_recorded_where_they_occurred_and_at_the_end() {
        let mut file = Vec::new();
        let mut output = Output::new(&mut file).unwrap();
        let lost = EventBody::Lost {
            count: Some(5),
            ends: None,
            side: None,
            off: None,
            len: None,
        };
        for body in [event("one", 1), lost, event("two", 2), event("one", 3)] {
            output.on_event(&body).unwrap();
        }
        let summary = output.finish().unwrap();
        assert_eq!(
            summary,
            Summary {
                packets: 3,
                lost: 5
            }
        );
        let has = |pattern: &[u8]| file.windows(pattern.len()).any(|at| at == pattern);
        // epb_dropcount after the second packet, and isb_ifdrop of its interface.
        assert!(has(&[2, 2, 2, 2, 4, 0, 8, 0, 5, 0, 0, 0]));
        assert!(has(&[5, 0, 8, 0, 5, 0, 0, 0]));
        assert!(
            has(&[1, 1, 1, 1, 0x24, 0, 0, 0]),
            "no option without a loss"
        );
    }
}
