//! Masking of a stream that comes in chunks.

use std::io::{self, Write};

use super::{MASK, Masker};

/// Masks one stream; holds back only what may be the beginning of a secret.
#[derive(Debug)]
pub struct MaskStream {
    masker: Masker,
    held: Vec<u8>,
    /// How many bytes at the beginning of `held` belong to a secret whose mask was already put out.
    covered: usize,
}

impl MaskStream {
    pub(super) fn new(masker: Masker) -> Self {
        Self { masker, held: Vec::new(), covered: 0 }
    }

    /// Takes the next bytes of the stream and appends what is certain to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(bytes);
        self.release(false, out);
    }

    /// Appends all that was held back to `out`: the stream has ended. A new stream may follow.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.release(true, out);
    }

    /// Puts out everything before the first byte that the next chunk may still make part of a secret.
    ///
    /// Every form that begins before that byte is complete in `held`, so the decision about each byte before it is final, wherever the
    /// stream is cut.
    fn release(&mut self, ended: bool, out: &mut Vec<u8>) {
        let patterns = self.masker.snapshot();
        let hold = if ended { self.held.len() } else { patterns.hold_from(&self.held) };
        let mut done = self.covered;
        let mut from = 0;
        while let Some((start, end)) = patterns.find(&self.held, from) {
            if start >= hold {
                break;
            }
            if start >= done {
                out.extend_from_slice(&self.held[done..start]);
                out.extend_from_slice(MASK.as_bytes());
            }
            done = done.max(end);
            // Not from `end`: another secret may overlap this one, and its rest must not show.
            from = start + 1;
        }
        if done < hold {
            out.extend_from_slice(&self.held[done..hold]);
        }
        self.covered = done.saturating_sub(hold);
        self.held.drain(..hold);
    }
}

/// Masks what is written to it. Call [`MaskWriter::finish`] at the end; dropping it does the same but cannot report an error.
#[derive(Debug)]
pub struct MaskWriter<W: Write> {
    stream: MaskStream,
    inner: Option<W>,
}

impl<W: Write> MaskWriter<W> {
    pub(super) fn new(stream: MaskStream, inner: W) -> Self {
        Self { stream, inner: Some(inner) }
    }

    /// Writes what was held back, flushes, and returns the inner writer.
    pub fn finish(mut self) -> io::Result<Option<W>> {
        self.write_rest()?;
        Ok(self.inner.take())
    }

    fn write_rest(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        self.stream.finish(&mut out);
        match &mut self.inner {
            Some(inner) => inner.write_all(&out).and_then(|()| inner.flush()),
            None => Ok(()),
        }
    }
}

impl<W: Write> Write for MaskWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = Vec::with_capacity(bytes.len());
        self.stream.push(bytes, &mut out);
        if let Some(inner) = &mut self.inner {
            inner.write_all(&out)?;
        }
        Ok(bytes.len())
    }

    /// Flushes the inner writer; what may be the beginning of a secret stays held back.
    fn flush(&mut self) -> io::Result<()> {
        self.inner.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl<W: Write> Drop for MaskWriter<W> {
    fn drop(&mut self) {
        let _ = self.write_rest();
    }
}
