//! The socket: accepts connections, bounds them, and ends gracefully.
//!
//! Owns the listener and the connections, which it spreads over the lanes. Always: at most
//! `connections_max` connections are open; one that does not send a whole head in time is closed;
//! after the stop signal no new request is taken and those that run have the grace to finish.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::Peer;
use super::linger::Lingering;
use crate::lanes::Lanes;
use crate::settings::Server;
use crate::tasks::Tasks;

/// Largest head, in bytes, that is read from a socket.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Header lines that are read from a socket; above the gate's own limit, which answers with a
/// problem.
const HEADERS_MAX: usize = 256;
/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;
/// Pause after a failed accept: the usual cause is too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections run.
#[derive(Debug, Clone, Copy)]
pub struct On<'a> {
    pub lanes: &'a Lanes,
    /// Their stop is the server's.
    pub tasks: &'a Tasks,
}

/// Serves until `tasks` stop, then until the connections have ended or the grace is over.
pub async fn serve(listener: TcpListener, router: Router, settings: &Server, on: On<'_>) {
    let On { lanes, tasks } = on;
    let places = Arc::new(Semaphore::new(
        usize::try_from(settings.connections_max).unwrap_or(Semaphore::MAX_PERMITS),
    ));
    let builder = Arc::new(builder(settings));
    let graceful = GracefulShutdown::new();
    loop {
        let place = tokio::select! {
            place = places.clone().acquire_owned() => place,
            () = tasks.stopping() => break,
        };
        let Ok(place) = place else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    note_accept(&error);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = tasks.stopping() => break,
        };
        let stream = match prepare(stream) {
            Ok(stream) => stream,
            Err(error) => {
                note_accept(&error);
                continue;
            }
        };
        let router = router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let router = router.clone();
            router.oneshot(request.map(Body::new))
        });
        let builder = builder.clone();
        let watcher = graceful.watcher();
        lanes.spawn(tasks, move || async move {
            // Here, because a socket belongs to the runtime that it was made in.
            let stream = match TcpStream::from_std(stream) {
                Ok(stream) => stream,
                Err(error) => return note_accept(&error),
            };
            let io = TokioIo::new(Lingering::new(stream));
            let connection = builder.serve_connection(io, service);
            if let Err(error) = watcher.watch(connection.into_owned()).await {
                tracing::debug!(error, "connection ended early");
            }
            drop(place);
        });
    }
    let grace = Duration::from_secs(settings.shutdown_secs_max.into());
    if tokio::time::timeout(grace, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections cut off at the end of the grace");
    }
}

fn builder(settings: &Server) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(settings.head_secs_max.into()))
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(settings.head_secs_max.into()));
    builder
}

/// Takes the socket off this runtime.
fn prepare(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    // Without it small answers wait for the client's acknowledgement. A failure costs only speed.
    let _ = stream.set_nodelay(true);
    stream.into_std()
}

fn note_accept(error: &io::Error) {
    tracing::warn!(%error, "connection not accepted");
}
