#![allow(clippy::unwrap_used)]

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;

use super::*;

const TEXT: &str = "data: pong\n\ndata: pong\n\ndata: pong\n\n";
/// `TEXT`, as Node.js compresses it.
const BROTLI: &str = "1b2300f81d09760ce537e151bb0421836b85b0b337a9e3461744c5022a972f00";
/// Eight mebibytes of zeros.
const BROTLI_BOMB: &str = "9bffff7ff82700e2b14020f7fe0f";
const MAX: u64 = 1024 * 1024;

fn from_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn headers(codings: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(codings))])
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn raw(bytes: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn read(codings: &'static str, body: &[u8], piece: usize) -> Result<String, Undecodable> {
    let mut decoder = Decoder::new(&headers(codings), MAX).unwrap();
    let mut all = Vec::new();
    for piece in body.chunks(piece) {
        all.extend(decoder.decode(Bytes::copy_from_slice(piece))?);
    }
    all.extend(decoder.finish()?);
    Ok(String::from_utf8(all).unwrap())
}

#[test]
fn each_coding_is_read_however_it_is_split() {
    let text = TEXT.as_bytes();
    let twice = zlib(&gzip(text));
    for (codings, body) in [
        ("gzip", gzip(text)),
        ("X-GZIP", gzip(text)),
        ("gzip", [gzip(&text[..12]), gzip(&text[12..])].concat()),
        ("deflate", zlib(text)),
        ("deflate", raw(text, Compression::default())),
        ("deflate", raw(text, Compression::none())),
        ("br", from_hex(BROTLI)),
        ("zstd", zstd::encode_all(text, 3).unwrap()),
        ("gzip, deflate", twice),
        ("identity, gzip", gzip(text)),
    ] {
        for piece in [1, 2, 7, body.len()] {
            assert_eq!(read(codings, &body, piece).unwrap(), TEXT, "{codings} in pieces of {piece}");
        }
    }
}

#[test]
fn what_has_been_flushed_is_read_at_once() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let mut decoders =
        ["gzip", "deflate", "zstd", "br"].map(|coding| Decoder::new(&headers(coding), MAX).unwrap());
    for (text, brotli) in [("one", "0b01806f6e65"), ("two", "10000874776f")] {
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.flush().unwrap();
        zlib.write_all(text.as_bytes()).unwrap();
        zlib.flush().unwrap();
        zstd.write_all(text.as_bytes()).unwrap();
        zstd.flush().unwrap();
        let pieces = [
            std::mem::take(gzip.get_mut()),
            std::mem::take(zlib.get_mut()),
            std::mem::take(zstd.get_mut()),
            from_hex(brotli),
        ];
        for (decoder, piece) in decoders.iter_mut().zip(pieces) {
            assert_eq!(decoder.decode(piece.into()).unwrap(), text);
        }
    }
}

#[test]
fn a_body_that_grows_beyond_the_limit_is_refused() {
    let zeros = vec![0; 8 * 1024 * 1024];
    for (codings, body) in [
        ("gzip", gzip(&zeros)),
        ("deflate", zlib(&zeros)),
        ("deflate", raw(&zeros, Compression::default())),
        ("br", from_hex(BROTLI_BOMB)),
        ("zstd", zstd::encode_all(&*zeros, 3).unwrap()),
        ("gzip, gzip", gzip(&gzip(&zeros))),
    ] {
        assert!(matches!(read(codings, &body, body.len()), Err(Undecodable::TooLong)), "{codings}");
    }
}

#[test]
fn damaged_and_cut_bodies_are_errors() {
    for (codings, body) in
        [("gzip", gzip(TEXT.as_bytes())), ("deflate", zlib(TEXT.as_bytes())), ("br", from_hex(BROTLI))]
    {
        assert!(read(codings, &body[..body.len() - 3], 100).is_err(), "{codings}");
        assert!(read(codings, b"no such coding at all", 100).is_err(), "{codings}");
    }
    assert!(read("zstd", b"no such coding at all", 100).is_err());
}

#[test]
fn other_codings_are_left_alone() {
    for codings in ["", "identity", "aws-chunked", "gzip, what"] {
        assert!(Decoder::new(&headers(codings), MAX).is_none(), "{codings}");
    }
    assert!(Decoder::new(&HeaderMap::new(), MAX).is_none());
}
