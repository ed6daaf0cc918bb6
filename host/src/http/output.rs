//! Outputs: a job's artifacts, streamed with `Range` and `ETag`.
//!
//! Owns the sending of blobs. Always: a blob is streamed in pieces, never read whole; an artifact
//! is sent so that a browser shows or saves it but never runs it in this origin.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::App;
use super::job::{self, Caller};
use super::respond::Answer;
use crate::blobs::Blob;
use crate::problem::{self, Problem};
use crate::store::JobState;

/// Bytes of one piece.
const PIECE_BYTES: usize = 256 << 10;

/// `GET /v1/jobs/{id}/outputs/{name}`.
pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Caller(caller): Caller,
    Path((id, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let job = job::find(&app, &caller, &id).await?;
    let Some(used) = job.outputs.iter().find(|output| output.name == name) else {
        let detail = match job.state {
            JobState::Succeeded => "the job's `outputs` list what there is",
            _ => "the job has no outputs before it has succeeded",
        };
        return Err(Problem::new(problem::OUTPUT_NOT_FOUND, detail));
    };
    let blob = app.jobs.open(&job.tenant, used).await.map_err(|error| {
        tracing::error!(job = %job.id, %error, "output cannot be opened");
        Problem::new(problem::INTERNAL, "the output cannot be opened")
    })?;
    let mut response = stream(blob, &headers)?;
    let headers = response.headers_mut();
    // Names are letters, digits, '_', '.' and '-': no quoting is needed.
    let disposition = format!("inline; filename=\"{name}\"");
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    let private = HeaderValue::from_static("private, max-age=3600, immutable");
    headers.insert(header::CACHE_CONTROL, private);
    Ok(response)
}

/// A blob as the answer to a request with these headers. Without a digest there is no `ETag`.
pub(super) fn stream(blob: Blob, asked: &HeaderMap) -> Result<Response, Problem> {
    let etag = blob.digest().map(|digest| format!("\"{digest}\""));
    let text = |name| asked.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let (Some(etag), Some(known)) = (&etag, text(header::IF_NONE_MATCH))
        && (known == "*" || known.split(',').any(|one| one.trim().trim_start_matches("W/") == etag))
    {
        return Ok(with_etag(StatusCode::NOT_MODIFIED.into_response(), Some(etag)));
    }
    // `If-Range` with another tag: the client's parts are of other bytes, so it gets all of ours.
    let same = text(header::IF_RANGE).is_none_or(|tag| etag.as_deref() == Some(tag));
    let range = text(header::RANGE).filter(|_| same).map(|range| parse_range(range, blob.size()));
    let size = blob.size();
    let media_type = HeaderValue::from_str(blob.media_type()).ok().filter(|v| !v.is_empty());
    let (status, part, content_range) = match range {
        None | Some(Ranged::Ignored) => (StatusCode::OK, blob, None),
        Some(Ranged::Part { first, last }) => {
            let part = blob.slice(first, last - first + 1, blob.media_type().into());
            (StatusCode::PARTIAL_CONTENT, part, Some(format!("bytes {first}-{last}/{size}")))
        }
        Some(Ranged::Outside) => {
            let detail = format!("there are {size} bytes");
            let mut problem = Problem::new(problem::RANGE, detail);
            problem.headers.push(("content-range".into(), format!("bytes */{size}")));
            return Err(problem);
        }
    };
    let length = part.size();
    let mut response = with_etag(Response::new(body(part)), etag.as_deref());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, media_type.unwrap_or(octets));
    let sandbox = HeaderValue::from_static("default-src 'none'; sandbox");
    headers.insert(header::CONTENT_SECURITY_POLICY, sandbox);
    if let Some(Ok(value)) = content_range.map(|text| HeaderValue::from_str(&text)) {
        headers.insert(header::CONTENT_RANGE, value);
    }
    Ok(response)
}

/// The bytes, piece by piece.
pub(super) fn body(blob: Blob) -> Body {
    let pieces = stream::try_unfold((blob, 0_u64), |(blob, at)| async move {
        if at >= blob.size() {
            return Ok::<_, std::io::Error>(None);
        }
        let piece = Bytes::from(blob.read(at, PIECE_BYTES).await?);
        let next = at + piece.len() as u64;
        Ok(Some((piece, (blob, next))))
    });
    Body::from_stream(pieces)
}

fn with_etag(mut response: Response, etag: Option<&str>) -> Response {
    if let Some(Ok(value)) = etag.map(HeaderValue::from_str) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

/// What a `Range` header means for `size` bytes.
#[derive(Debug, PartialEq, Eq)]
enum Ranged {
    /// Inclusive, as in the header.
    Part {
        first: u64,
        last: u64,
    },
    Outside,
    /// Several ranges, or another unit: a server may send everything (RFC 9110, 14.2).
    Ignored,
}

fn parse_range(header: &str, size: u64) -> Ranged {
    let Some((first, last)) = header.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Ranged::Ignored;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last && first < size => {
            Ranged::Part { first, last: last.min(size - 1) }
        }
        (Ok(first), Err(_)) if last.trim().is_empty() && first < size => {
            Ranged::Part { first, last: size - 1 }
        }
        (Err(_), Ok(count)) if first.trim().is_empty() && count > 0 && size > 0 => {
            Ranged::Part { first: size - count.min(size), last: size - 1 }
        }
        (Ok(first), Ok(last)) if first > last => Ranged::Ignored,
        (Err(_), Err(_)) | (Ok(_), Err(_)) if last.contains(',') => Ranged::Ignored,
        (Ok(_), _) => Ranged::Outside,
        (Err(_), Ok(_)) if first.trim().is_empty() => Ranged::Outside,
        (Err(_), _) => Ranged::Ignored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_says() {
        let part = |first, last| Ranged::Part { first, last };
        for (header, size, want) in [
            ("bytes=0-0", 10, part(0, 0)),
            ("bytes=2-5", 10, part(2, 5)),
            ("bytes=5-", 10, part(5, 9)),
            ("bytes=5-99", 10, part(5, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-30", 10, part(0, 9)),
            ("bytes=10-", 10, Ranged::Outside),
            ("bytes=10-11", 10, Ranged::Outside),
            ("bytes=-0", 10, Ranged::Outside),
            ("bytes=-1", 0, Ranged::Outside),
            ("bytes=5-2", 10, Ranged::Ignored),
            ("bytes=0-1,3-4", 10, Ranged::Ignored),
            ("lines=0-1", 10, Ranged::Ignored),
            ("bytes=x-y", 10, Ranged::Ignored),
            ("bytes=18446744073709551616-", 10, Ranged::Ignored),
        ] {
            assert_eq!(parse_range(header, size), want, "{header} of {size}");
        }
    }
}
