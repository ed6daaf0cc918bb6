//! Bodies: a multipart form whose files are read from the disk while they are sent, or JSON.
//!
//! Owns the form of `--param` and of RFC 7578. Always: a file is never in memory as a whole, and
//! the length is known before the first byte is sent; a file that changes meanwhile is a fault.

use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::gate::{Body, Fault};

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 256 << 10;

/// `--param name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Param {
    /// Dotted: `a.low`.
    name: String,
    text: String,
}

/// One file of a form.
#[derive(Debug)]
pub(in crate::cli) struct File {
    part: String,
    path: PathBuf,
    media_type: String,
    bytes: u64,
}

/// A form to be sent.
#[derive(Debug)]
pub(in crate::cli) struct Form {
    boundary: String,
    params: Vec<Param>,
    files: Vec<File>,
}

/// What is sent to a route.
#[derive(Debug)]
pub(in crate::cli) enum Request {
    Form(Form),
    Json(Value),
}

/// How much of a body has been taken by the connection, and why no more could be read.
#[derive(Debug, Default)]
pub(in crate::cli) struct Sending {
    sent: AtomicU64,
    fault: Mutex<Option<String>>,
}

/// A stretch of the body.
enum Piece {
    Text(String),
    File { path: PathBuf, bytes: u64 },
}

impl FromStr for Param {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("give it as NAME=VALUE")?;
        if name.is_empty() || name.split('.').any(str::is_empty) {
            return Err(format!("`{name}` is no name; `a.b` is one"));
        }
        Ok(Self { name: name.to_owned(), text: value.to_owned() })
    }
}

impl Param {
    /// JSON where it is JSON, else a text.
    fn value(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| Value::from(self.text.as_str()))
    }

    /// As a field of a form: the service reads it by the type that it wants, so a JSON string goes
    /// without its quotes and everything else as it was given.
    fn field(&self) -> String {
        match self.value() {
            Value::String(text) => text,
            _ => self.text.clone(),
        }
    }
}

/// Parameters as one JSON object.
///
/// # Errors
/// `Usage`: a name is given twice, or both as a value and with something below it.
pub(in crate::cli) fn json_of(params: &[Param]) -> Result<Value, Fault> {
    let mut object = Map::new();
    for param in params {
        let twice = || Fault::Usage(format!("--param {} is given twice", param.name));
        let mut members = &mut object;
        let mut names = param.name.split('.').peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                if members.insert(name.to_owned(), param.value()).is_some() {
                    return Err(twice());
                }
                break;
            }
            let below = members.entry(name).or_insert_with(|| Value::Object(Map::new()));
            members = below.as_object_mut().ok_or_else(twice)?;
        }
    }
    Ok(Value::Object(object))
}

impl File {
    /// Looks at the file; it is opened when it is sent.
    ///
    /// # Errors
    /// `Files`.
    pub(in crate::cli) fn look(part: &str, path: &Path) -> Result<Self, Fault> {
        let wrong = |why: &str| Fault::Files(format!("{}: {why}", path.display()));
        let meta = std::fs::metadata(path).map_err(|error| wrong(&error.to_string()))?;
        if !meta.is_file() {
            return Err(wrong("is no file"));
        }
        let media_type = mime_guess::from_path(path).first_or_octet_stream().to_string();
        let (part, path) = (part.to_owned(), path.to_owned());
        Ok(Self { part, path, media_type, bytes: meta.len() })
    }
}

impl Form {
    pub(in crate::cli) fn new(params: &[Param], files: Vec<File>) -> Self {
        let boundary = format!("postern-{}", uuid::Uuid::now_v7().simple());
        Self { boundary, params: params.to_vec(), files }
    }

    pub(in crate::cli) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    pub(in crate::cli) fn bytes(&self) -> u64 {
        let length = |piece: &Piece| match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::File { bytes, .. } => *bytes,
        };
        self.pieces().iter().map(length).sum()
    }

    /// The body, from its beginning; can be asked for again for another try.
    pub(in crate::cli) fn body(&self, sending: &Arc<Sending>) -> Body {
        sending.sent.store(0, Ordering::Relaxed);
        let sending = sending.clone();
        let pieces = stream::iter(self.pieces()).flat_map(Piece::read).map(move |piece| {
            match &piece {
                Ok(bytes) => {
                    sending.sent.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Err(error) => *sending.fault.lock() = Some(error.to_string()),
            }
            piece.map(Frame::data)
        });
        StreamBody::new(pieces).boxed_unsync()
    }

    fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        // Fields first: a service that reads in order knows its parameters before the files.
        for param in &self.params {
            let name = quoted(&param.name);
            let head = format!("content-disposition: form-data; name=\"{name}\"");
            let (boundary, value) = (&self.boundary, param.field());
            pieces.push(Piece::Text(format!("--{boundary}\r\n{head}\r\n\r\n{value}\r\n")));
        }
        for file in &self.files {
            let File { part, path, media_type, bytes } = file;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let (part, name) = (quoted(part), quoted(&name));
            let head =
                format!("content-disposition: form-data; name=\"{part}\"; filename=\"{name}\"");
            let head =
                format!("--{}\r\n{head}\r\ncontent-type: {media_type}\r\n\r\n", self.boundary);
            pieces.push(Piece::Text(head));
            pieces.push(Piece::File { path: path.clone(), bytes: *bytes });
            pieces.push(Piece::Text("\r\n".into()));
        }
        pieces.push(Piece::Text(format!("--{}--\r\n", self.boundary)));
        pieces
    }
}

impl Request {
    /// Bytes whose sending tells how far it is.
    pub(in crate::cli) fn bytes(&self) -> u64 {
        match self {
            Self::Form(form) => form.bytes(),
            // Parameters alone are sent at once: whether they arrived is not known.
            Self::Json(_) => 0,
        }
    }
}

impl Sending {
    pub(in crate::cli) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Why the body could not be read to its end.
    pub(in crate::cli) fn fault(&self) -> Option<String> {
        self.fault.lock().clone()
    }
}

impl Piece {
    fn read(self) -> BoxStream<'static, io::Result<Bytes>> {
        match self {
            Self::Text(text) => stream::once(async { Ok(Bytes::from(text)) }).boxed(),
            Self::File { path, bytes } => {
                let named = format!("{}", path.display());
                let failed = move |error| io::Error::other(format!("{named}: {error}"));
                let open = async move {
                    let file = tokio::fs::File::open(&path).await?;
                    let pieces = ReaderStream::with_capacity(file.take(bytes), PIECE_BYTES);
                    Ok::<_, io::Error>(whole(pieces, bytes))
                };
                stream::once(open).try_flatten().map_err(failed).boxed()
            }
        }
    }
}

/// The same bytes, and an error at the end when they are fewer than were announced.
fn whole<S>(pieces: S, bytes: u64) -> BoxStream<'static, io::Result<Bytes>>
where
    S: stream::Stream<Item = io::Result<Bytes>> + Send + Unpin + 'static,
{
    let step = |(mut pieces, left): (S, u64)| async move {
        match pieces.next().await {
            Some(Ok(piece)) => {
                let left = left.saturating_sub(piece.len() as u64);
                Ok(Some((piece, (pieces, left))))
            }
            Some(Err(error)) => Err(error),
            None if left == 0 => Ok(None),
            None => Err(io::Error::other("became shorter while it was sent")),
        }
    };
    stream::try_unfold((pieces, bytes), step).boxed()
}

/// A name between quotes, as browsers write it.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(texts: &[&str]) -> Vec<Param> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn check(texts: &[&str]) -> String {
        match json_of(&params(texts)) {
            Ok(value) => value.to_string(),
            Err(Fault::Usage(text)) => text,
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn dotted_names_become_objects_and_texts_become_values() {
        assert_eq!(
            check(&["a.low=1.5", "a.on=true", "name=word", "text=\"7\"", "b.c.d=[1]", "e=a=b"]),
            r#"{"a":{"low":1.5,"on":true},"b":{"c":{"d":[1]}},"e":"a=b","name":"word","text":"7"}"#
        );
        assert_eq!(check(&["a=1", "a=2"]), "--param a is given twice");
        assert_eq!(check(&["a=1", "a.b=2"]), "--param a.b is given twice");
        for bad in ["a", "=1", "a..b=1", ".a=1"] {
            assert!(bad.parse::<Param>().is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_form_has_the_length_that_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a \"b\".png");
        std::fs::write(&path, vec![7; PIECE_BYTES + 3]).unwrap();
        let file = File::look("still", &path).unwrap();
        let form = Form::new(&params(&["name=\"w\"", "list=[1, 2]"]), vec![file]);
        let sending = Arc::new(Sending::default());
        let body = form.body(&sending).collect().await.unwrap().to_bytes();
        assert_eq!(body.len() as u64, form.bytes());
        assert_eq!(sending.sent(), form.bytes());
        let text = String::from_utf8_lossy(&body);
        for part in [
            "name=\"name\"\r\n\r\nw\r\n",
            "name=\"list\"\r\n\r\n[1, 2]\r\n",
            "name=\"still\"; filename=\"a %22b%22.png\"\r\ncontent-type: image/png\r\n\r\n\u{7}",
        ] {
            assert!(text.contains(part), "{part}");
        }
        assert!(text.ends_with(&format!("\r\n--{}--\r\n", form.boundary)));
    }

    #[tokio::test]
    async fn a_file_that_shrinks_while_it_is_sent_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, b"1234").unwrap();
        let form = Form::new(&[], vec![File::look("still", &path).unwrap()]);
        std::fs::write(&path, b"12").unwrap();
        let sending = Arc::new(Sending::default());
        assert!(form.body(&sending).collect().await.is_err());
        assert!(sending.fault().unwrap().contains("became shorter"));
    }
}
