//! PCAP-over-IP: a server that sends the capture to each client.
//!
//! Each client has a thread, connections to the daemon and a capture of its own, so that a slow one delays no other.

use std::io::{self, BufWriter};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;

use super::job::Job;
use super::output::Reader;
use crate::context::{connect, report};
use crate::failure::Failure;

/// Maximum number of clients at the same time.
const CLIENTS: usize = 32;
/// Pause after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the process is ended.
pub fn serve(address: SocketAddr, anywhere: bool, socket: &Path, job: &Job) -> Result<(), Failure> {
    if !address.ip().is_loopback() && !anywhere {
        return Err(Failure::Usage(
            "other hosts could read the streams: give --listen a loopback address, or add --listen-anywhere",
        ));
    }
    let listener =
        TcpListener::bind(address).map_err(|source| Failure::Listen { address, source })?;
    report(&format_args!(
        "listening on {}",
        listener.local_addr().unwrap_or(address)
    ));
    let clients = Arc::new(());
    for stream in listener.incoming() {
        match stream {
            // The server holds a reference as well.
            Ok(_) if Arc::strong_count(&clients) > CLIENTS => {
                report(&format_args!("refused a client: {CLIENTS} are connected"));
            }
            Ok(stream) => {
                let (job, socket, counted) = (job.clone(), socket.to_path_buf(), clients.clone());
                thread::spawn(move || {
                    match send(stream, &socket, &job) {
                        Err(failure) if !is_gone(&failure) => report(&failure.message()),
                        _ => {}
                    }
                    drop(counted);
                });
            }
            Err(error) => {
                report(&format_args!("cannot accept a client: {error}"));
                thread::sleep(PAUSE);
            }
        }
    }
    Ok(())
}

/// Sends a whole capture to a client.
fn send(stream: TcpStream, socket: &Path, job: &Job) -> Result<(), Failure> {
    let reader = Reader::of(&stream).map_err(Failure::Output)?;
    let out = BufWriter::with_capacity(64 * 1024, stream);
    let mut client = connect(socket)?;
    job.run(&mut client, out, &ProgressBar::hidden(), &|| {
        reader.is_gone()
    })?;
    Ok(())
}

/// Returns true if the client left, which is how a live export ends.
fn is_gone(failure: &Failure) -> bool {
    let Failure::Output(error) = failure else {
        return false;
    };
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}
