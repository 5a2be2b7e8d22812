use proptest::prelude::*;

use super::*;

type Owned = (Option<String>, String);

/// A frame, written by the specification.
fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let length = u32::try_from(16 + head.len() + payload.len()).unwrap();
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn event(name: &str, payload: &str) -> Vec<u8> {
    let headers = [(":event-type", name), (":content-type", "application/json"), (":message-type", "event")];
    frame(&headers, payload.as_bytes())
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Owned>, Result<(), String>) {
    let mut reader = EventStreamReader::new(4096);
    let mut events = Vec::new();
    for piece in pieces {
        let fed = reader.feed(piece, |name, data| events.push((name.map(str::to_owned), data.to_owned())));
        if let Err(problem) = fed {
            return (events, Err(problem));
        }
    }
    (events, Ok(()))
}

fn owned(name: &str, data: &str) -> Owned {
    (Some(name.to_owned()), data.to_owned())
}

/// Of the specification's examples, the one without headers and payload.
#[test]
fn smallest_frame_is_an_event_without_a_type() {
    let bytes = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
    assert_eq!(frame(&[], b""), bytes);
    assert_eq!(read([&bytes[..]]), (vec![(None, String::new())], Ok(())));
}

#[test]
fn exceptions_and_errors_are_events_with_their_own_types() {
    let exception = frame(
        &[(":exception-type", "throttlingException"), (":message-type", "exception")],
        b"{\"message\":\"m\"}",
    );
    let error = frame(
        &[(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "a \"b\"")],
        b"",
    );
    let bare = frame(&[(":message-type", "exception")], b"x");
    assert_eq!(
        read([&[exception, error, bare].concat()[..]]).0,
        [
            owned("throttlingException", "{\"message\":\"m\"}"),
            owned("error", "{\"message\":\"InternalError: a \\\"b\\\"\"}"),
            owned("error", "x"),
        ]
    );
}

#[test]
fn damaged_frame_is_an_error_and_earlier_events_are_kept() {
    let good = event("a", "{}");
    for place in 0..good.len() {
        let mut bytes = [good.clone(), good.clone()].concat();
        bytes[good.len() + place] ^= 0x40;
        let (events, end) = read([&bytes[..]]);
        assert_eq!(events, [owned("a", "{}")], "byte {place}");
        assert!(end.unwrap_err().starts_with("the stream is damaged: "), "byte {place}");
    }
}

#[test]
fn wrong_header_lengths_are_damage() {
    // The checksums are right, the headers are not.
    for head in [&b"\x05"[..], b"\x05ab\x07\x00", b"\x01a\x07\xff\xff", b"\x01a\x63", b"\x02\xff\xfe\x00"] {
        let mut bytes = u32::try_from(16 + head.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        assert!(read([&bytes[..]]).1.is_err(), "{head:?}");
    }
    for length in 0..16_u32 {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend_from_slice(&[0; 8]);
        assert!(read([&bytes[..]]).1.is_err(), "{length}");
    }
}

#[test]
fn frame_limit_is_checked_by_the_frames_length() {
    let fits = event("a", &"x".repeat(4096 - 16 - 71));
    assert_eq!(fits.len(), 4096);
    assert_eq!(read([&[fits.clone(), fits].concat()[..]]).0.len(), 2);
    let too_long = event("a", &"x".repeat(4096 - 16 - 70));
    let problem = Err("one event of the stream is longer than maxResponseBytes".to_owned());
    assert_eq!(read([&too_long[..PRELUDE]]), (Vec::new(), problem));
}

#[test]
fn text_body_has_no_events() {
    for text in ["{\"message\":\"m\"}", "<html>", "\n\n{}", "data: a\n\n"] {
        assert_eq!(read(text.as_bytes().chunks(1)), (Vec::new(), Ok(())), "{text}");
    }
}

#[test]
fn long_frame_takes_linear_time_however_it_is_split() {
    let stream = event("a", &"x".repeat(4 << 20));
    for pieces in [1, 1024, 65_536] {
        let mut reader = EventStreamReader::new(16 << 20);
        let mut length = 0;
        for piece in stream.chunks(stream.len().div_ceil(pieces)) {
            reader.feed(piece, |_, data| length += data.len()).unwrap();
        }
        assert_eq!(length, 4 << 20);
        assert!(reader.work <= 2 * stream.len(), "{} bytes touched", reader.work);
    }
}

proptest! {
    #[test]
    fn any_frames_in_any_pieces_are_the_same_events(
        frames in prop::collection::vec(("[a-zA-Z]{1,12}", "\\PC{0,40}"), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream: Vec<u8> = frames.iter().flat_map(|(name, data)| event(name, data)).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]);
        let expected = frames.iter().map(|(name, data)| owned(name, data)).collect();
        prop_assert_eq!(read(pieces), (expected, Ok(())));
        prop_assert_eq!(read(stream.chunks(1)).0.len(), frames.len());
    }

    #[test]
    fn any_bytes_end_in_events_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        // A frame's first byte, so that it is not taken for text.
        let bytes = [&[0][..], &bytes].concat();
        let (first, second) = bytes.split_at(cut.index(bytes.len()));
        prop_assert_eq!(read([first, second]), read([&bytes[..]]));
    }
}
