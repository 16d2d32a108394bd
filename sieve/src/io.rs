//! The sieve before a connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::machine::Sieve;

/// Bytes read at once.
const CHUNK: usize = 8 * 1024;

/// A connection to an XMPP server, of which one reads what the sieve lets pass. What was left out is logged as a warning.
#[derive(Debug)]
pub struct Sieved<S> {
    inner: S,
    sieve: Sieve,
    passed: Vec<u8>,
    /// Bytes of `passed` that were read.
    read: usize,
}

impl<S> Sieved<S> {
    /// At the beginning of a stream.
    pub fn new(inner: S) -> Self {
        Self { inner, sieve: Sieve::default(), passed: Vec::new(), read: 0 }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sieved<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.read >= this.passed.len() {
            this.passed.clear();
            this.read = 0;
            let mut chunk = [0; CHUNK];
            let mut chunk = ReadBuf::new(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut chunk))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            for left_out in this.sieve.feed(chunk.filled(), &mut this.passed) {
                tracing::warn!(
                    stanza = %left_out.name.escape_debug(),
                    from = %left_out.from.escape_debug(),
                    "a stanza from the XMPP server was left out: {}",
                    left_out.why
                );
            }
        }
        let rest = this.passed.get(this.read..).unwrap_or_default();
        let some = rest.get(..rest.len().min(buf.remaining())).unwrap_or_default();
        buf.put_slice(some);
        this.read += some.len();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sieved<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
