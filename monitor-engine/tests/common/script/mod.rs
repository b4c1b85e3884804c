//! Scripts: lists of segments for the engine and its reference model, which must agree after each.

mod run;

use std::fmt;
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use monitor_engine::{OverlapPolicy, Side};

use run::Run;

/// A script takes milliseconds.
const ENDLESS: Duration = Duration::from_secs(20);

/// Step of a script. Distances count from the in-order edge of its side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// `from` sends `len` bytes from `at` on, counted from the edge; bytes with another `fill` differ.
    Data {
        from: Side,
        at: i32,
        len: u16,
        fill: u8,
        fin: bool,
    },
    /// `from` sends `len` bytes that end with a block of the store, some blocks above the edge.
    BlockEnd { from: Side, blocks: u8, len: u16 },
    /// `from` acknowledges up to `ahead` of the edge.
    Ack { from: Side, ahead: i32, window: u16 },
    /// `from` resets.
    Rst { from: Side, at: i32 },
    /// `from` sends its SYN, or SYN+ACK, again.
    Syn { from: Side },
    /// Milliseconds without a packet.
    Wait { ms: u16 },
    /// A client of the engine changes a side's window, from 1.
    Window { side: Side, window: u16 },
    /// Switches a side's buffering off.
    Disable { side: Side },
    /// Stops the connection.
    Stop,
}

/// A connection's life.
#[derive(Clone, PartialEq)]
pub struct Script {
    /// Starts with a handshake; else midstream.
    pub opened: bool,
    /// Initial sequence numbers of client and server.
    pub isn: [u32; 2],
    /// Bytes retained a side.
    pub window: u16,
    /// Ranges of a side.
    pub ranges: u8,
    pub policy: OverlapPolicy,
    pub steps: Vec<Step>,
}

/// Prints Rust source: the output of a failing property can be pasted into a test.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            opened,
            isn,
            window,
            ranges,
            policy,
            steps,
        } = self;
        writeln!(
            f,
            "Script {{ opened: {opened}, isn: {isn:?}, window: {window}, ranges: {ranges},"
        )?;
        writeln!(f, "    policy: OverlapPolicy::{policy:?}, steps: vec![")?;
        for step in steps {
            let text = format!("{step:?}")
                .replace("from: ", "from: Side::")
                .replace("side: ", "side: Side::");
            writeln!(f, "        Step::{text},")?;
        }
        f.write_str("    ] }")
    }
}

impl Script {
    /// Decodes any bytes, for the fuzzer.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, steps) = bytes.split_first_chunk::<8>()?;
        let policy = [
            OverlapPolicy::First,
            OverlapPolicy::Last,
            OverlapPolicy::Bsd,
            OverlapPolicy::Linux,
        ];
        let isn = |at: usize| u32::from_be_bytes([head[at], head[at + 1], 0xff, 0xf0]);
        Some(Self {
            opened: head[0] & 1 == 0,
            isn: [isn(1), isn(3)],
            window: u16::from_be_bytes([head[5], head[6]]) % 20_000 + 1,
            ranges: head[7] % 32 + 1,
            policy: policy[usize::from(head[0] >> 1 & 3)],
            steps: steps.chunks_exact(6).take(200).map(Step::decode).collect(),
        })
    }

    /// Does the same as [`Script::check`], and prints a script that never ends.
    pub fn check_in_time(&self) -> Result<(), String> {
        let (done, watched) = mpsc::channel::<()>();
        let script = self.clone();
        let dog = thread::spawn(move || {
            if watched.recv_timeout(ENDLESS) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("no end in {ENDLESS:?}: {script:?}");
                process::abort();
            }
        });
        let result = self.check();
        drop(done);
        let _ = dog.join();
        result
    }

    /// Runs the script through engine and model; the first difference is the error.
    pub fn check(&self) -> Result<(), String> {
        let mut run = Run::new(self);
        run.begin(self.opened)?;
        for (index, step) in self.steps.iter().enumerate() {
            run.step(*step)
                .map_err(|fault| format!("step {index}, {step:?}: {fault}"))?;
            if run.is_undecided() {
                return Ok(());
            }
        }
        run.end()
    }
}

impl Step {
    fn decode(bytes: &[u8]) -> Self {
        let from = if bytes[0] & 1 == 0 {
            Side::Client
        } else {
            Side::Server
        };
        let near = i32::from(i16::from_be_bytes([bytes[1], bytes[2]]));
        let at = match bytes[0] >> 5 {
            0..4 => near % 512,
            4 | 5 => near,
            6 => near.wrapping_mul(2048),
            _ => near.wrapping_mul(65536),
        };
        let number = u16::from_be_bytes([bytes[3], bytes[4]]);
        match bytes[0] >> 1 & 15 {
            0 if bytes[5] < 16 => Step::Window {
                side: from,
                window: number,
            },
            0 if bytes[5] < 18 => Step::Disable { side: from },
            0 if bytes[5] < 19 => Step::Stop,
            0 => Step::Syn { from },
            1 => Step::Rst { from, at },
            2 | 3 => Step::Wait { ms: number % 500 },
            4..7 => Step::Ack {
                from,
                ahead: at,
                window: number,
            },
            15 if bytes[5] & 0x80 != 0 => Step::BlockEnd {
                from,
                blocks: bytes[5] & 7,
                len: number % 64 + 1,
            },
            kind => {
                let len = if kind < 12 {
                    number % 64
                } else {
                    number % 3000
                };
                Step::Data {
                    from,
                    at,
                    len,
                    fill: bytes[5] & 3,
                    fin: bytes[5] >> 3 == 1,
                }
            }
        }
    }
}
