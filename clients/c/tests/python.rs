//! The Python client on an attached store, which it reads through this library.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what it expects by unwrapping it"
)]

mod c_program;
#[path = "../../../monitor-daemon/tests/rpc_common/mod.rs"]
mod rpc_common;

use std::process::Command;

use c_program::{libraries, passed};
use monitor_tests::skip;
use rpc_common::start::talk;
use rpc_common::talk::From;
use rpc_common::{Server, engines, engines_with, pattern};

/// Compares reads of an attached client with those through the socket, errors too.
const PROGRAM: &str = "
import sys
from monitor import Monitor, MonitorError

def read(monitor, *arguments):
    try:
        return monitor.ppeek(*arguments)
    except MonitorError as error:
        return error.code, error.reason, error.data

path, sockid = sys.argv[1], int(sys.argv[2])
attached, asked = Monitor(path, attach=True), Monitor(path, attach=False)
by_itself = Monitor(path)
by_itself.ppeek(sockid, 'server', 0, 1)
assert attached.attached and not asked.attached and by_itself.attached
count = 0
for side in ('client', 'server', 0, 1):
    for off in (0, 1, 4000, 299_990, 300_000, 300_100, 300_105, 1 << 40):
        for length in (0, 1, 64, 5000, 1 << 20, 1 << 30):
            both = [read(monitor, sockid, side, off, length) for monitor in (attached, asked)]
            assert both[0] == both[1], (side, off, length, both)
            count += len(getattr(both[0], 'data', b''))
assert count > 3_500_000, count
for arguments in ((sockid, 'middle', 0, 1), (sockid, 0, -1, 1), (sockid, 0, 1 << 60, 1), (1 << 60, 0, 0, 1), (9, 0, 0, 1)):
    both = [read(monitor, *arguments) for monitor in (attached, asked)]
    assert both[0] == both[1] and isinstance(both[0], tuple), (arguments, both)
attached.close()
print('equal')
";

/// Falls back to the socket, unless it must attach.
const REFUSED: &str = "
import socket
import sys
import tempfile

from monitor import Monitor, MonitorError

asked = Monitor(sys.argv[1])
try:
    asked.ppeek(1, 'server', 0, 1)
except MonitorError as error:
    assert error.errno == 'EBADF', error.errno
assert not asked.attached
try:
    Monitor(sys.argv[1], attach=True)
except OSError as error:
    print(error)

# A daemon that accepts and never answers.
with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listener:
    path = directory + '/socket'
    listener.bind(path)
    listener.listen()
    with Monitor(path, timeout=0.05) as silent:
        try:
            silent.ppeek(1, 'server', 0, 1)
        except TimeoutError:
            print('timed out')
";

fn python(program: &str, arguments: &[&str]) -> Option<Command> {
    if !monitor_tests::have("python3") {
        return None;
    }
    let mut command = Command::new("python3");
    command
        .args(["-B", "-W", "error::SyntaxWarning", "-c", program])
        .args(arguments)
        .env("LD_LIBRARY_PATH", libraries())
        .env(
            "PYTHONPATH",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../python"),
        );
    Some(command)
}

#[test]
fn an_attached_python_client_reads_what_the_socket_returns() {
    let mut engines = engines_with(1, true);
    let mut talk = talk(1234);
    talk.open(&mut engines[0]);
    talk.say(&mut engines[0], From::Client, &pattern(0, 300_000));
    talk.at(&mut engines[0], From::Client, 300_100, &pattern(300_100, 5));
    talk.fin(&mut engines[0], From::Server);
    let sockid = talk.id(&engines[0]).as_u64().to_string();
    let server = Server::start(&engines);
    let socket = server.socket.to_str().unwrap();
    let Some(mut command) = python(PROGRAM, &[socket, &sockid]) else {
        skip!("python3 is not installed");
    };
    let output = command.output().unwrap();
    passed(&output);
    assert_eq!(output.stdout, b"equal\n");
}

#[test]
fn a_store_that_is_not_shared_is_read_through_the_socket() {
    let server = Server::start(&engines(1));
    let Some(mut command) = python(REFUSED, &[server.socket.to_str().unwrap()]) else {
        skip!("python3 is not installed");
    };
    let output = command.output().unwrap();
    passed(&output);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("cannot attach to the store"), "{text}");
    assert!(text.ends_with("timed out\n"), "{text}");
}
