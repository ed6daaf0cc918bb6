//! Calls to a sidecar over its Unix socket.
//!
//! Owns the connections. An error here says what happened to the connection or the run; what that
//! means for a job is decided in `jobs/`.

use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::sync::OnceCell;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status, Streaming};
use tower::service_fn;

use super::wire::sidecar_client::SidecarClient;
use super::wire::{self, run_event::Event};
use crate::lanes;

/// Largest message; parameters and metadata are JSON of at most a few MiB.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Why a run could not be started or followed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Every slot is taken; the job can wait.
    #[error("the sidecar has no free slot")]
    Busy,
    /// The process died or stopped answering.
    #[error("the sidecar went away")]
    Gone(#[source] Box<Status>),
    /// It answered, but refused the request: a fault of ours.
    #[error("the sidecar refused the run")]
    Refused(#[source] Box<Status>),
}

/// Connections to one sidecar.
///
/// Each lane has one of its own, made when it is first used: what a call wakes stays on the lane.
#[derive(Debug, Clone)]
pub struct Client {
    socket: Arc<Path>,
    places: Arc<[OnceCell<SidecarClient<Channel>>]>,
}

impl Client {
    /// Connects and agrees on a protocol.
    ///
    /// # Errors
    /// Of the connection, or no common protocol.
    pub(super) async fn connect(socket: &Path) -> Result<(Self, wire::HelloReply), ConnectError> {
        let places = (0..lanes::places()).map(|_| OnceCell::new()).collect();
        let client = Self { socket: socket.into(), places };
        let hello = wire::HelloRequest {
            protocol_min: postern_wire::PROTOCOL_MIN,
            protocol_max: postern_wire::PROTOCOL_MAX,
            host_version: env!("CARGO_PKG_VERSION").into(),
        };
        let mut inner = client.here().await?;
        let reply = inner.hello(hello).await.map_err(Box::new)?.into_inner();
        Ok((client, reply))
    }

    /// This lane's connection.
    async fn here(&self) -> Result<SidecarClient<Channel>, tonic::transport::Error> {
        let place = &self.places[lanes::place()];
        place.get_or_try_init(|| dial(self.socket.clone())).await.cloned()
    }

    /// The same for calls, where a connection that cannot be made is one that broke.
    async fn reach(&self) -> Result<SidecarClient<Channel>, RunError> {
        self.here()
            .await
            .map_err(|error| RunError::Gone(Box::new(Status::unavailable(error.to_string()))))
    }

    /// The heartbeat.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn health(&self) -> Result<wire::HealthReply, RunError> {
        let mut inner = self.reach().await?;
        match inner.health(wire::HealthRequest {}).await {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) => Err(RunError::Gone(Box::new(status))),
        }
    }

    /// Starts a run.
    ///
    /// # Errors
    /// See [`RunError`].
    pub async fn run(&self, request: wire::RunRequest) -> Result<RunEvents, RunError> {
        let mut inner = self.reach().await?;
        match inner.run(request).await {
            Ok(stream) => Ok(RunEvents { stream: stream.into_inner() }),
            Err(status) => Err(match status.code() {
                Code::ResourceExhausted => RunError::Busy,
                Code::InvalidArgument | Code::NotFound | Code::AlreadyExists => {
                    RunError::Refused(Box::new(status))
                }
                _ => RunError::Gone(Box::new(status)),
            }),
        }
    }

    /// Asks a run to stop; its stream says when it has.
    pub async fn cancel(&self, run_id: String) {
        let request = wire::CancelRequest { run_id };
        let sent = match self.reach().await {
            Ok(mut inner) => inner.cancel(request).await.map(drop).map_err(Box::new),
            Err(error) => Err(Box::new(Status::unavailable(error.to_string()))),
        };
        if let Err(error) = sent {
            tracing::warn!(%error, "cancel not delivered");
        }
    }
}

async fn dial(socket: Arc<Path>) -> Result<SidecarClient<Channel>, tonic::transport::Error> {
    let connector = service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(&socket).await.map(TokioIo::new) }
    });
    // The address is never used: the connector ignores it.
    let channel = Endpoint::from_static("http://sidecar").connect_with_connector(connector).await?;
    Ok(SidecarClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX))
}

/// What a run tells, in order.
#[derive(Debug)]
pub struct RunEvents {
    stream: Streaming<wire::RunEvent>,
}

impl RunEvents {
    /// The next event. A stream that ends without `finished` or `failed` is `Gone`.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn next(&mut self) -> Result<Event, RunError> {
        loop {
            match self.stream.message().await {
                Ok(Some(wire::RunEvent { event: Some(event) })) => return Ok(event),
                // An event of a later protocol: not for us.
                Ok(Some(wire::RunEvent { event: None })) => {}
                Ok(None) => {
                    let status = Status::unavailable("the stream ended before the run");
                    return Err(RunError::Gone(Box::new(status)));
                }
                Err(status) => return Err(RunError::Gone(Box::new(status))),
            }
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("the socket does not answer")]
    Transport(#[from] tonic::transport::Error),
    #[error("the handshake failed")]
    Hello(#[from] Box<Status>),
}
