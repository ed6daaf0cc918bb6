//! Bodies: from the socket into a blob, with a limit on length and on patience.
//!
//! Owns the reading of request bodies. Always: a client that sends nothing, or next to nothing, is
//! cut off; no more than the limit is stored.

use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::App;
use crate::blobs::{Blob, UploadError};
use crate::problem::{self, Problem};

/// A body may be slow at first; after this its average rate counts.
const RATE_FREE: Duration = Duration::from_secs(10);

/// Stores a request's body; `None` when there is none.
///
/// # Errors `encoding_unsupported`, `body_too_large`, `body_timeout`, `bad_request` when the client
/// broke off, `internal`.
pub(super) async fn receive(
    app: &App,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<Option<Blob>, Problem> {
    let announced = body.size_hint();
    if announced.exact() == Some(0) {
        return Ok(None);
    }
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING)
        && encoding != "identity"
    {
        let detail = "send the body without `content-encoding`: nothing is inflated here";
        return Err(Problem::new(problem::ENCODING_UNSUPPORTED, detail).field("content-encoding"));
    }
    let bytes_max = app.limits.body_bytes_max;
    if announced.lower() > bytes_max {
        return Err(too_large(bytes_max));
    }
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let memory = usize::try_from(app.limits.body_memory_bytes).unwrap_or(usize::MAX);
    let mut upload = app.blobs.upload(bytes_max, memory);
    let began = app.clock.monotonic();
    let idle = Duration::from_secs(app.server.body_idle_secs_max.into());
    loop {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => return Err(too_slow("nothing arrived for too long")),
            Ok(None) => break,
            Ok(Some(Err(error))) => {
                tracing::debug!(%error, "body broken off");
                return Err(Problem::new(problem::BAD_REQUEST, "the body broke off"));
            }
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers carry nothing that we read.
        let Ok(data) = frame.into_data() else { continue };
        upload.push(&data).await.map_err(refusal)?;
        let elapsed = app.clock.monotonic().saturating_sub(began);
        let least = u64::from(app.server.body_bytes_per_sec_min) * elapsed.as_secs();
        if elapsed > RATE_FREE && upload.received() < least {
            return Err(too_slow("it arrives more slowly than this gate allows"));
        }
    }
    app.metrics.body_received(upload.received());
    if upload.received() == 0 {
        return Ok(None);
    }
    upload.finish(media_type.unwrap_or("").into()).await.map(Some).map_err(refusal)
}

fn refusal(error: UploadError) -> Problem {
    match error {
        UploadError::TooLarge { bytes_max } => too_large(bytes_max),
        UploadError::Disk(error) => {
            tracing::error!(%error, "body not stored");
            Problem::new(problem::INTERNAL, "the body could not be stored")
        }
    }
}

fn too_large(bytes_max: u64) -> Problem {
    let detail = format!("this gate takes bodies of at most {bytes_max} bytes");
    Problem::new(problem::BODY_TOO_LARGE, detail)
}

fn too_slow(detail: &str) -> Problem {
    Problem::new(problem::BODY_TIMEOUT, detail)
}
