//! A socket that reads a little longer than it writes.
//!
//! Owns the end of a connection. When a request is refused before its body was read, closing at
//! once makes the kernel send a reset, and the client may lose the answer that explains the
//! refusal. So after the last byte was written, what still arrives is thrown away for a bounded
//! time and length.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// How long a client may go on sending after its answer.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// How much of it is thrown away; a longer rest meets the reset.
const LINGER_BYTES_MAX: usize = 8 << 20;

/// A TCP stream with a lingering end.
#[derive(Debug)]
pub(super) struct Lingering {
    stream: TcpStream,
    end: Option<(Pin<Box<Sleep>>, usize)>,
}

impl Lingering {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, end: None }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.end.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            this.end = Some((Box::pin(tokio::time::sleep(LINGER_MAX)), LINGER_BYTES_MAX));
        }
        let Some((sleep, left)) = &mut this.end else { return Poll::Ready(Ok(())) };
        let mut waste = [0; 16 << 10];
        loop {
            if sleep.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut waste);
            // An error or the client's end: nothing more to wait for.
            match ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {
                    *left = left.saturating_sub(buffer.filled().len());
                    if *left == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
