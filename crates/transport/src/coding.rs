//! Content codings: bodies that servers, and proxies on the way, compress though nobody asked for it.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// More codings upon each other are nobody's.
const MAX_CODINGS: usize = 4;
/// Compressed bytes of brotli that are kept until they are decoded.
const BROTLI_BUFFER: usize = 4096;

/// Decodes a body as it arrives.
pub(super) struct Decoder {
    /// In the order in which they are undone.
    layers: Vec<Layer>,
    /// Bytes that one piece may become at most.
    max: u64,
}

enum Layer {
    Gzip(Box<MultiGzDecoder<Bounded>>),
    /// `deflate` is one of two: its first byte says which.
    Deflate(Bounded),
    Zlib(Box<ZlibDecoder<Bounded>>),
    Raw(Box<DeflateDecoder<Bounded>>),
    Brotli(Box<DecompressorWriter<Bounded>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Bounded>>),
}

/// Why a body cannot be decoded.
#[derive(Debug)]
pub(super) enum Undecodable {
    /// It grows beyond the limit.
    TooLong,
    /// It is damaged, or ends too early.
    Damaged(&'static str),
}

/// What has been decoded and not yet been taken.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    max: u64,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > self.max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// The decoder of a body with these headers; `None`: it is as it is, or in a coding that nobody here reads. `max` is
    /// the limit of what one piece may become.
    pub fn new(headers: &HeaderMap, max: u64) -> Option<Self> {
        let values = headers.get_all(CONTENT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let names = values.flat_map(|value| value.split(',')).map(str::trim);
        let mut layers = Vec::new();
        for name in names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")) {
            layers.push(Layer::new(name, max)?);
        }
        layers.reverse();
        (!layers.is_empty() && layers.len() <= MAX_CODINGS).then_some(Self { layers, max })
    }

    /// What the next bytes of the body add to it; it may be nothing.
    pub fn decode(&mut self, bytes: Bytes) -> Result<Bytes, Undecodable> {
        let mut bytes = bytes;
        for layer in &mut self.layers {
            bytes = layer.decode(&bytes, self.max)?.into();
        }
        Ok(bytes)
    }

    /// What the end of the body adds to it.
    pub fn finish(&mut self) -> Result<Bytes, Undecodable> {
        let mut bytes = Vec::new();
        for layer in &mut self.layers {
            let mut more = if bytes.is_empty() { Vec::new() } else { layer.decode(&bytes, self.max)? };
            more.extend(layer.finish()?);
            bytes = more;
        }
        Ok(bytes.into())
    }
}

impl Layer {
    fn new(name: &str, max: u64) -> Option<Self> {
        let into = Bounded { bytes: Vec::new(), max };
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        Some(if is("gzip") || is("x-gzip") {
            Self::Gzip(Box::new(MultiGzDecoder::new(into)))
        } else if is("deflate") {
            Self::Deflate(into)
        } else if is("br") {
            Self::Brotli(Box::new(DecompressorWriter::new(into, BROTLI_BUFFER)))
        } else if is("zstd") {
            Self::Zstd(Box::new(zstd::stream::write::Decoder::new(into).ok()?))
        } else {
            return None;
        })
    }

    fn decode(&mut self, bytes: &[u8], max: u64) -> Result<Vec<u8>, Undecodable> {
        if let (Self::Deflate(into), Some(first)) = (&mut *self, bytes.first()) {
            let into = Bounded { bytes: Vec::new(), max: into.max };
            // Zlib's header names the method, 8, and a window; raw blocks that are stored begin with zeros there.
            *self = if first & 0x0f == 8 && first >> 4 != 0 {
                Self::Zlib(Box::new(ZlibDecoder::new(into)))
            } else {
                Self::Raw(Box::new(DeflateDecoder::new(into)))
            };
        }
        // Flushed, so that an event is read when it has come and not with the next one.
        let (written, into) = match self {
            Self::Gzip(decoder) => (write(decoder, bytes), decoder.get_mut()),
            Self::Zlib(decoder) => (write(decoder, bytes), decoder.get_mut()),
            Self::Raw(decoder) => (write(decoder, bytes), decoder.get_mut()),
            Self::Brotli(decoder) => (write(&mut **decoder, bytes), decoder.get_mut()),
            Self::Zstd(decoder) => (write(&mut **decoder, bytes), decoder.get_mut()),
            Self::Deflate(into) => (Ok(()), into),
        };
        let decoded = std::mem::take(&mut into.bytes);
        written.map_err(|error| self.problem(&error))?;
        if decoded.len() as u64 > max { Err(Undecodable::TooLong) } else { Ok(decoded) }
    }

    fn finish(&mut self) -> Result<Vec<u8>, Undecodable> {
        let (finished, into) = match self {
            Self::Gzip(decoder) => (decoder.try_finish(), decoder.get_mut()),
            Self::Zlib(decoder) => (decoder.try_finish(), decoder.get_mut()),
            Self::Raw(decoder) => (decoder.try_finish(), decoder.get_mut()),
            Self::Brotli(decoder) => (decoder.close(), decoder.get_mut()),
            Self::Zstd(decoder) => (decoder.flush(), decoder.get_mut()),
            Self::Deflate(into) => (Ok(()), into),
        };
        let decoded = std::mem::take(&mut into.bytes);
        finished.map_err(|error| self.problem(&error))?;
        Ok(decoded)
    }

    fn problem(&self, error: &io::Error) -> Undecodable {
        if error.kind() == io::ErrorKind::FileTooLarge {
            return Undecodable::TooLong;
        }
        Undecodable::Damaged(match self {
            Self::Gzip(_) => "gzip",
            Self::Zlib(_) | Self::Raw(_) | Self::Deflate(_) => "deflate",
            Self::Brotli(_) => "br",
            Self::Zstd(_) => "zstd",
        })
    }
}

fn write(decoder: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    decoder.write_all(bytes)?;
    decoder.flush()
}

#[cfg(test)]
mod tests;
