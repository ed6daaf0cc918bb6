//! Calls to a sidecar over its Unix socket.
//!
//! Owns one connection. An error here says what happened to the connection or the run; what that
//! means for a job is decided in `jobs/`.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status, Streaming};
use tower::service_fn;

use super::wire::sidecar_client::SidecarClient;
use super::wire::{self, run_event::Event};

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

/// A connection to one sidecar.
#[derive(Debug, Clone)]
pub struct Client {
    inner: SidecarClient<Channel>,
}

impl Client {
    /// Connects and agrees on a protocol.
    ///
    /// # Errors
    /// Of the connection, or no common protocol.
    pub(super) async fn connect(socket: &Path) -> Result<(Self, wire::HelloReply), ConnectError> {
        let path: PathBuf = socket.to_owned();
        let connector = service_fn(move |_: Uri| {
            let path = path.clone();
            async move { tokio::net::UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The address is never used: the connector ignores it.
        let channel =
            Endpoint::from_static("http://sidecar").connect_with_connector(connector).await?;
        let inner = SidecarClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let mut client = Self { inner };
        let hello = wire::HelloRequest {
            protocol_min: postern_wire::PROTOCOL_MIN,
            protocol_max: postern_wire::PROTOCOL_MAX,
            host_version: env!("CARGO_PKG_VERSION").into(),
        };
        let reply = client.inner.hello(hello).await.map_err(Box::new)?.into_inner();
        Ok((client, reply))
    }

    /// The heartbeat.
    ///
    /// # Errors
    /// `Gone`.
    pub async fn health(&self) -> Result<wire::HealthReply, RunError> {
        let mut inner = self.inner.clone();
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
        let mut inner = self.inner.clone();
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
        let mut inner = self.inner.clone();
        if let Err(error) = inner.cancel(wire::CancelRequest { run_id }).await {
            tracing::warn!(%error, "cancel not delivered");
        }
    }
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
