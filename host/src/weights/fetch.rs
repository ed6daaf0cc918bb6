//! One file over HTTP, on and on until it is whole.
//!
//! Owns the conversation: ranges, validators, retries with growing pauses. Always: bytes of two
//! versions of a file are never put together: what goes on carries `If-Range`, and an answer that
//! is not the rest of the same version starts anew. Retries are bounded: pauses without a byte in
//! between by [`IDLE_ATTEMPTS_MAX`], all of them by [`ATTEMPTS_MAX`].

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use http::header;
use ureq::{Agent, Body};

use super::PullError;
use super::meter::Meter;
use super::part::{CHUNK_BYTES, Digests, Note, Part, file_name};

/// Attempts in a row that brought nothing; protects whoever waits for a host that is gone.
const IDLE_ATTEMPTS_MAX: u32 = 5;
/// A connection that breaks every few bytes is given up in the end, too.
const ATTEMPTS_MAX: u32 = 200;
/// First and longest pause between attempts.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// Largest file where nobody said how large it is: protects the disk.
const BYTES_MAX: u64 = 256 << 30;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// For messages.
    pub(super) model: &'a str,
    /// Each is tried in turn.
    pub(super) urls: &'a [String],
    pub(super) bytes: Option<u64>,
    pub(super) sha256: Option<&'a str>,
}

/// How files are fetched.
pub(super) struct Fetcher<'a> {
    pub(super) agent: &'a Agent,
    /// Sleeps; tests do not.
    pub(super) sleep: &'a dyn Fn(Duration),
    /// Fails when the disk has no room for so many more bytes.
    pub(super) room: &'a dyn Fn(u64) -> Result<(), PullError>,
}

/// Why one attempt ended before the file did.
enum Broken {
    /// Worth another try, after this pause if the server named one.
    Retry {
        detail: String,
        pause: Option<Duration>,
    },
    /// This address will never do.
    Refused {
        status: u16,
    },
    Final(PullError),
}

impl From<PullError> for Broken {
    fn from(error: PullError) -> Self {
        Self::Final(error)
    }
}

impl Fetcher<'_> {
    /// Fetches `wanted` to `target`, going on with an earlier part if the server still has it.
    /// Says the digests and the address that it came from.
    ///
    /// # Errors
    /// `Unreachable`, `NotThere`, `Wrong`, `TooLarge`, `Disk`, `DiskFull`.
    pub(super) fn fetch(
        &self,
        wanted: Wanted<'_>,
        target: &Path,
        meter: &mut Meter,
    ) -> Result<(Digests, String), PullError> {
        let mut part = Part::open(target)?;
        let (mut idle, mut pause, mut at) = (0, PAUSE.0, 0);
        let mut refused = Vec::new();
        for attempt in 0.. {
            let url = &wanted.urls[at % wanted.urls.len()];
            let before = part.bytes();
            let (detail, asked) = match self.attempt(wanted, url, &mut part, meter) {
                Ok(()) => break,
                Err(Broken::Final(error)) => return Err(error),
                Err(Broken::Refused { status }) => {
                    refused.push(at % wanted.urls.len());
                    at += 1;
                    if refused.len() >= wanted.urls.len() {
                        return Err(PullError::NotThere { url: url.clone(), status });
                    }
                    continue;
                }
                Err(Broken::Retry { detail, pause }) => (detail, pause),
            };
            if part.bytes() > before {
                (idle, pause) = (0, PAUSE.0);
            } else {
                idle += 1;
            }
            if idle >= IDLE_ATTEMPTS_MAX || attempt >= ATTEMPTS_MAX {
                let (model, file) = (wanted.model.to_owned(), file_name(target));
                return Err(PullError::Unreachable { url: url.clone(), detail, model, file });
            }
            let wait = asked.unwrap_or(pause).min(PAUSE.1);
            meter.say(&format!("{url}: {detail}; again in {} s", wait.as_secs()));
            (self.sleep)(wait);
            pause = (pause * 2).min(PAUSE.1);
            at += 1;
        }
        meter.finish();
        let url = wanted.urls[at % wanted.urls.len()].clone();
        Ok((part.finish(wanted.sha256)?, url))
    }

    /// One request: `Ok` when the part is whole.
    fn attempt(
        &self,
        wanted: Wanted<'_>,
        url: &str,
        part: &mut Part,
        meter: &mut Meter,
    ) -> Result<(), Broken> {
        let resumed = part.resumable(url).cloned();
        let mut request = self.agent.get(url);
        if let Some(validator) = resumed.as_ref().and_then(|note| note.validator.as_ref()) {
            let range = format!("bytes={}-", part.bytes());
            request = request.header(header::RANGE, range).header(header::IF_RANGE, validator);
        }
        let answer = request.call().map_err(|error| retry(error.to_string()))?;
        let (head, body) = answer.into_parts();
        let total = match (head.status.as_u16(), resumed) {
            (200, _) => {
                let total = number(&head.headers, header::CONTENT_LENGTH);
                let validator = validator(&head.headers);
                part.restart(Note { url: url.to_owned(), validator, bytes_total: total })?;
                total
            }
            (206, Some(note)) => {
                let range = content_range(&head.headers);
                let fits = range.is_some_and(|(begin, _)| begin == part.bytes())
                    && validator(&head.headers).is_none_or(|now| Some(now) == note.validator);
                if !fits {
                    part.restart(Note { validator: None, ..note })?;
                    return Err(retry("the rest of something else".to_owned()));
                }
                range.and_then(|(_, total)| total).or(note.bytes_total)
            }
            (416, Some(note)) if note.bytes_total == Some(part.bytes()) => return Ok(()),
            (416, Some(note)) => {
                part.restart(Note { validator: None, ..note })?;
                return Err(retry("no such range".to_owned()));
            }
            (status @ (408 | 425 | 429 | 500..=599), _) => {
                let seconds = number(&head.headers, header::RETRY_AFTER);
                let pause = seconds.map(Duration::from_secs);
                return Err(Broken::Retry { detail: format!("it answers {status}"), pause });
            }
            (status, _) => return Err(Broken::Refused { status }),
        };
        self.check_total(wanted, url, part, total)?;
        meter.begin(part.bytes(), total);
        read(wanted, part, body, meter, total)
    }

    /// Refuses a file of the wrong size before its bytes come, and one that the disk cannot hold.
    fn check_total(
        &self,
        wanted: Wanted<'_>,
        url: &str,
        part: &Part,
        total: Option<u64>,
    ) -> Result<(), PullError> {
        let Some(total) = total else { return Ok(()) };
        if let Some(want) = wanted.bytes.filter(|want| *want != total) {
            let (what, file) = ("the size", url.to_owned());
            return Err(PullError::Wrong {
                file,
                what,
                got: total.to_string(),
                want: want.to_string(),
            });
        }
        if total > BYTES_MAX {
            return Err(PullError::TooLarge { file: url.to_owned(), limit: BYTES_MAX });
        }
        (self.room)(total.saturating_sub(part.bytes()))
    }
}

fn read(
    wanted: Wanted<'_>,
    part: &mut Part,
    mut body: Body,
    meter: &mut Meter,
    total: Option<u64>,
) -> Result<(), Broken> {
    let limit = total.or(wanted.bytes).unwrap_or(BYTES_MAX);
    let mut reader = body.as_reader();
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        let count = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Err(retry(error.to_string())),
        };
        if part.bytes() + count as u64 > limit {
            let file = wanted.urls.first().cloned().unwrap_or_default();
            return Err(PullError::TooLarge { file, limit }.into());
        }
        part.write(&buffer[..count])?;
        meter.add(count as u64);
    }
    match total.or(wanted.bytes) {
        Some(total) if part.bytes() < total => Err(retry("it ended too early".to_owned())),
        _ => Ok(()),
    }
}

fn retry(detail: String) -> Broken {
    Broken::Retry { detail, pause: None }
}

/// A strong entity tag, else the time of the last change: what `If-Range` may carry.
fn validator(headers: &http::HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let tag = text(header::ETAG).filter(|tag| !tag.starts_with("W/"));
    tag.or_else(|| text(header::LAST_MODIFIED))
}

fn number(headers: &http::HeaderMap, name: header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// First byte and whole length of `bytes 5-9/10`; the length may be `*`.
fn content_range(headers: &http::HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}
