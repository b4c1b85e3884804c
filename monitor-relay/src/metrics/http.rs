//! HTTP listeners: `GET /metrics` on loopback TCP and Unix sockets.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use monitor_rpc::socket_file::{SocketFile, remove_stale};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::encode::{Format, encode};
use super::families::Families;
use super::scrape::Scraper;
use crate::config::Listen;

/// Number of connections that are served at once, for all listeners.
const CONNECTIONS: usize = 64;
/// Time after which a connection is closed, idle or not. Prometheus reconnects.
const LIFETIME: Duration = Duration::from_secs(150);
/// Time for the head of a request, from the end of the one before. Longer than the usual interval of scrapes.
const HEAD: Duration = Duration::from_secs(65);
/// Pause after a failed accept: without free descriptors, an immediate retry would only use the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Access to a Unix socket: its user and group.
const MODE: u32 = 0o660;

/// Listening socket. Dropping a Unix one removes its file.
pub struct Listener(Socket);

enum Socket {
    Tcp(TcpListener),
    Unix {
        socket: UnixListener,
        /// Removed with the listener.
        _file: RemovedFile,
    },
}

/// Failure to listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}")]
pub struct ListenError {
    address: String,
    source: io::Error,
}

impl Listener {
    /// Binds a socket.
    ///
    /// # Errors
    /// The address or path is in use, or not permitted.
    pub async fn bind(listen: &Listen) -> Result<Self, ListenError> {
        let (bound, address) = match listen {
            Listen::Tcp(address) => {
                let socket = TcpListener::bind(address).await;
                (socket.map(Socket::Tcp), address.to_string())
            }
            Listen::Unix(path) => (bind_unix(path), path.display().to_string()),
        };
        match bound {
            Ok(socket) => {
                match &socket {
                    Socket::Tcp(socket) => {
                        if let Ok(address) = socket.local_addr() {
                            tracing::info!("metrics are at http://{address}/metrics");
                        }
                    }
                    Socket::Unix { .. } => tracing::info!("metrics are at unix:{address}"),
                }
                Ok(Self(socket))
            }
            Err(source) => Err(ListenError { address, source }),
        }
    }

    /// Answers scrapes until the future is dropped.
    pub async fn serve(self, scraper: Arc<Scraper>) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let accepted = match &self.0 {
                Socket::Tcp(socket) => socket.accept().await.map(|(stream, _)| {
                    spawn(stream, &scraper, &slots);
                }),
                Socket::Unix { socket, .. } => socket.accept().await.map(|(stream, _)| {
                    spawn(stream, &scraper, &slots);
                }),
            };
            if let Err(error) = accepted {
                tracing::warn!(%error, "cannot accept a connection to the metrics");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection on a task of its own, or closes it if there are too many.
fn spawn<S>(stream: S, scraper: &Arc<Scraper>, slots: &Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(slot) = Arc::clone(slots).try_acquire_owned() else {
        tracing::debug!("more than {CONNECTIONS} connections to the metrics; one was closed");
        return;
    };
    let scraper = Arc::clone(scraper);
    tokio::spawn(async move {
        let answer = service_fn(move |request| answer(request, Arc::clone(&scraper)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .serve_connection(TokioIo::new(stream), answer);
        if let Ok(Err(error)) = timeout(LIFETIME, connection).await {
            tracing::debug!(%error, "a connection to the metrics broke");
        }
        drop(slot);
    });
}

async fn answer(
    request: Request<Incoming>,
    scraper: Arc<Scraper>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"));
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        let allowed = hyper::header::HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return Ok(response);
    }
    let accept = request.headers().get(ACCEPT);
    let format = Format::accepted(
        accept
            .and_then(|accept| accept.to_str().ok())
            .unwrap_or_default(),
    );
    let families = Families::of(&*scraper.scrape().await);
    Ok(match encode(families, format) {
        Ok(text) => respond(StatusCode::OK, format.content_type(), text),
        Err(_) => plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the metrics cannot be written\n",
        ),
    })
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn respond(status: StatusCode, content_type: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let content_type = hyper::header::HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Binds a Unix socket, in place of one that nothing listens on.
fn bind_unix(path: &Path) -> io::Result<Socket> {
    remove_stale(path).map_err(io::Error::other)?;
    let socket = UnixListener::bind(path)?;
    let file = RemovedFile(SocketFile::claim(path)?);
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    Ok(Socket::Unix {
        socket,
        _file: file,
    })
}

/// File of a Unix socket, removed when dropped.
struct RemovedFile(SocketFile);

impl Drop for RemovedFile {
    fn drop(&mut self) {
        // It may have been removed by another program.
        let _ = self.0.remove();
    }
}
