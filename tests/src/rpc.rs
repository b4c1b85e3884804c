//! Independent RPC client: the contract over a plain socket, without the program's code.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::{DEADLINE, until};

/// Bytes asked for at a time by [`Rpc::stream`].
const CHUNK: u64 = 8 << 20;

/// Connection to the daemon.
pub struct Rpc {
    stream: BufReader<UnixStream>,
    id: u64,
}

/// An error that the daemon answered.
#[derive(Clone, Debug, PartialEq)]
pub struct RpcError {
    /// A JSON-RPC code, or an errno.
    pub code: i64,
    /// The sentence for people.
    pub message: String,
    /// The rest.
    pub data: Value,
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.message, self.data)
    }
}

impl Rpc {
    /// Connects.
    ///
    /// # Errors
    /// Nothing listens.
    pub fn connect(socket: &Path) -> std::io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        // A daemon that does not answer is found out.
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self {
            stream: BufReader::new(stream),
            id: 0,
        })
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the daemon has closed the connection.
    pub fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next line; `None` when the daemon has closed the connection.
    ///
    /// # Panics
    /// When nothing comes for [`DEADLINE`], or something that is not JSON.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => {
                Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer within {DEADLINE:?}: {error}"),
        }
    }

    /// Exactly `len` bytes.
    ///
    /// # Panics
    /// When they don't come.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream
            .read_exact(&mut bytes)
            .expect("as many bytes as were announced");
        bytes
    }

    /// Sets the timeout of later reads and writes.
    pub fn patience(&mut self, patience: Duration) {
        let stream = self.stream.get_ref();
        stream
            .set_read_timeout(Some(patience))
            .expect("a time above 0");
        stream
            .set_write_timeout(Some(patience))
            .expect("a time above 0");
    }

    /// Returns whether the daemon answers. A daemon that is about to refuse to start closes the
    /// connection instead.
    pub fn answers(&mut self) -> bool {
        let hello = "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"hello\"}\n";
        self.send(hello.as_bytes()).is_ok() && self.line().is_some_and(|reply| reply["id"] == 0)
    }

    /// Calls a method.
    ///
    /// # Errors
    /// The error of the daemon's response.
    ///
    /// # Panics
    /// When the answer breaks JSON-RPC 2.0.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers write json!(...) in place"
    )]
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        self.id += 1;
        let request = json!({"jsonrpc": "2.0", "id": self.id, "method": method, "params": params});
        self.send(format!("{request}\n").as_bytes())
            .expect("the daemon takes requests");
        let mut reply = self.line().expect("an answer");
        assert_eq!(
            (&reply["jsonrpc"], &reply["id"]),
            (&json!("2.0"), &json!(self.id)),
            "{reply}"
        );
        assert!(
            reply.get("result").is_some() != reply.get("error").is_some(),
            "either, or: {reply}"
        );
        match reply.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(RpcError {
                code: reply["error"]["code"].as_i64().expect("a code"),
                message: reply["error"]["message"]
                    .as_str()
                    .expect("a message")
                    .to_owned(),
                data: reply["error"]["data"].take(),
            }),
        }
    }

    /// Calls a method that must succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn ok(&mut self, method: &str, params: Value) -> Value {
        let asked = params.to_string();
        self.call(method, params)
            .unwrap_or_else(|error| panic!("{method} {asked}: {error}"))
    }

    /// Calls a method that must fail.
    ///
    /// # Panics
    /// When it succeeds.
    #[track_caller]
    pub fn err(&mut self, method: &str, params: Value) -> RpcError {
        let asked = params.to_string();
        match self.call(method, params) {
            Err(error) => error,
            Ok(result) => panic!("{method} {asked} gave {result}"),
        }
    }

    /// Calls `ppeek` in raw encoding; returns the result and the bytes.
    ///
    /// # Errors
    /// The error of the daemon's response.
    ///
    /// # Panics
    /// When fewer bytes come than are announced.
    pub fn ppeek(
        &mut self,
        sockid: u64,
        side: &str,
        off: u64,
        len: u64,
    ) -> Result<(Value, Vec<u8>), RpcError> {
        let params =
            json!({"sockid": sockid, "side": side, "off": off, "len": len, "encoding": "raw"});
        let result = self.call("ppeek", params)?;
        let raw = result["raw"].as_u64().expect("the number of raw bytes");
        assert_eq!(result["len"].as_u64(), Some(raw), "{result}");
        assert!(raw <= len, "{result}");
        let bytes = self.bytes(usize::try_from(raw).expect("fits"));
        Ok((result, bytes))
    }

    /// Every byte of a side from offset 0 to the in-order edge.
    ///
    /// # Panics
    /// When one cannot be read.
    #[track_caller]
    pub fn stream(&mut self, sockid: u64, side: &str) -> Vec<u8> {
        let next = self.side(sockid, side)["next"]
            .as_u64()
            .expect("the in-order edge");
        let mut stream = Vec::with_capacity(usize::try_from(next).expect("fits"));
        while (stream.len() as u64) < next {
            let (_, bytes) = self
                .ppeek(sockid, side, stream.len() as u64, CHUNK)
                .unwrap_or_else(|error| panic!("{side} of {sockid} at {}: {error}", stream.len()));
            assert!(
                !bytes.is_empty(),
                "{side} of {sockid} at {} gave no bytes",
                stream.len()
            );
            stream.extend(bytes);
        }
        stream
    }

    /// Returns one side of a connection from `info`.
    #[must_use]
    pub fn side(&mut self, sockid: u64, side: &str) -> Value {
        self.ok("info", json!({ "sockid": sockid }))["sides"][side].take()
    }

    /// All connections that match, through all pages.
    ///
    /// # Panics
    /// When pages don't end.
    pub fn sockets(&mut self, filter: Value) -> Vec<Value> {
        let mut sockets = Vec::new();
        let mut params = filter;
        loop {
            let mut page = self.ok("sockets", params.clone());
            match page["sockets"].take() {
                Value::Array(listed) => sockets.extend(listed),
                other => panic!("sockets is {other}"),
            }
            if page["next"].is_null() {
                return sockets;
            }
            assert_ne!(page["next"], params["after"], "a page further");
            params["after"] = page["next"].take();
        }
    }

    /// Waits for exactly `count` connections with this server port and both sides complete: FIN
    /// seen, every byte below it present.
    ///
    /// # Panics
    /// When they don't come.
    #[track_caller]
    pub fn complete(&mut self, port: u16, count: usize) -> Vec<Value> {
        let mut last = Vec::new();
        let what = format!("{count} complete connections to port {port}");
        let complete = |side: &Value| side["fin"].is_u64() && side["fin"] == side["next"];
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(&what, || {
                last = self.sockets(json!({ "port": port }));
                let whole = last.iter().filter(|socket| {
                    ["client", "server"]
                        .iter()
                        .all(|side| complete(&socket["sides"][side]))
                });
                (whole.count() == count && last.len() == count).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| {
            panic!(
                "{what}: {} are there, the last {:#}",
                last.len(),
                last.last().cloned().unwrap_or_default()
            )
        })
    }

    /// A counter of `stats`, by its group and name.
    ///
    /// # Panics
    /// When there is no such counter.
    #[track_caller]
    pub fn stat(&mut self, group: &str, name: &str) -> u64 {
        let stats = self.ok("stats", json!({}));
        stats[group][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {group}.{name} in {stats:#}"))
    }

    /// Asserts that nothing was lost on the way from the wire to the engine.
    ///
    /// # Panics
    /// When something was, or nothing was captured.
    #[track_caller]
    pub fn nothing_lost(&mut self) {
        let stats = self.ok("stats", json!({}));
        let capture = &stats["capture"];
        assert!(
            capture["rx_packets"].as_u64() > Some(0),
            "nothing was captured: {stats:#}"
        );
        for name in ["rx_dropped", "rx_ring_full", "fill_ring_empty"] {
            assert_eq!(capture[name], 0, "{name}: {stats:#}");
        }
        for name in ["gaps", "gap_bytes"] {
            assert_eq!(stats["tcp"][name], 0, "{name}: {stats:#}");
        }
        assert_eq!(stats["store"]["unstored_bytes"], 0, "{stats:#}");
    }
}
