use proptest::prelude::*;

use super::*;

type Owned = (Option<String>, String);

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, finish: bool) -> Vec<Owned> {
    let mut reader = SseReader::new(usize::MAX);
    let mut events = Vec::new();
    let mut keep = |event: SseEvent<'_>| events.push((event.event.map(str::to_owned), event.data.to_owned()));
    for piece in pieces {
        reader.feed(piece, &mut keep).unwrap();
    }
    if finish {
        reader.finish(keep);
    }
    events
}

fn data(stream: &str) -> Vec<String> {
    read([stream.as_bytes()], false).into_iter().map(|(_, data)| data).collect()
}

/// The standard's own steps, one line at a time.
fn reference(stream: &[u8], finish: bool) -> Vec<Owned> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines: Vec<&str> = text.split('\n').collect();
    if finish {
        lines.push("");
    } else {
        lines.pop();
    }
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), String::new());
    for line in lines {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut name), std::mem::take(&mut data));
            if let Some(data) = data.strip_suffix('\n') {
                events.push((Some(name).filter(|name| !name.is_empty()), data.to_owned()));
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => data = data + value + "\n",
            _ => {}
        }
    }
    events
}

#[test]
fn each_line_end_of_the_standard_ends_a_line() {
    for end in ["\n", "\r", "\r\n"] {
        assert_eq!(data(&format!("data: a{end}{end}data: b{end}data: c{end}{end}")), ["a", "b\nc"]);
    }
}

#[test]
fn line_end_split_between_chunks_is_one() {
    let pieces: [&[u8]; 6] = [b"data: a\r", b"\ndata: b\r", b"", b"\n\r", b"\ndata: c\r", b"\r"];
    let events: Vec<_> = read(pieces, false).into_iter().map(|(_, data)| data).collect();
    assert_eq!(events, ["a\nb", "c"]);
}

#[test]
fn a_byte_order_mark_at_the_start_is_skipped() {
    let stream = "\u{feff}data: a\n\n\u{feff}data: b\n\n".as_bytes();
    assert_eq!(read([stream], false), [(None, "a".to_owned())]);
    assert_eq!(read(stream.chunks(1), false), [(None, "a".to_owned())]);
}

#[test]
fn one_space_after_the_colon_is_not_part_of_the_value() {
    assert_eq!(data("data:a\n\ndata: b\n\ndata:  c\n\ndata:\n\ndata\n\n"), ["a", "b", " c", "", ""]);
}

#[test]
fn comments_and_other_fields_are_ignored() {
    assert_eq!(data(": hello\nid: 7\nretry: 10\ndata : x\nDATA: y\n:\ndata: a\n\n"), ["a"]);
}

#[test]
fn last_type_of_an_event_wins() {
    let stream =
        b"event: a\nevent: b\ndata: 1\n\ndata: 2\n\nevent: c\nevent\ndata: 3\n\nevent: d\n\ndata: 4\n\n";
    let types: Vec<_> = read([&stream[..]], false).into_iter().map(|(event, _)| event).collect();
    assert_eq!(types, [Some("b".to_owned()), None, None, None]);
}

#[test]
fn event_without_its_blank_line_is_yielded_at_the_end() {
    assert_eq!(data("data: a\n"), [""; 0]);
    assert_eq!(read([&b"event: e\ndata: a\n"[..]], true), [(Some("e".to_owned()), "a".to_owned())]);
    assert_eq!(read([&b"data: a\ndata: [DONE]"[..]], true), [(None, "a\n[DONE]".to_owned())]);
    assert_eq!(read([&b"data: a\n\nda"[..], b"ta: [DONE]"], true)[1], (None, "[DONE]".to_owned()));
    assert_eq!(read([&b": comment"[..]], true), []);
}

#[test]
fn invalid_utf8_is_replaced() {
    assert_eq!(read([&b"data: a\xFF"[..], b"b\n\n"], false), [(None, "a\u{fffd}b".to_owned())]);
}

#[test]
fn event_inside_one_chunk_is_not_copied() {
    let stream = b": x\nevent: delta\ndata: {\"a\":1}\n\n";
    let mut reader = SseReader::new(100);
    let mut calls = 0;
    let place = stream.as_ptr_range();
    let borrowed = |text: &str| place.contains(&text.as_ptr());
    reader
        .feed(stream, |event| {
            calls += 1;
            assert!(borrowed(event.data) && event.event.is_some_and(borrowed));
        })
        .unwrap();
    assert_eq!(calls, 1);
    assert_eq!(reader.pending.data.capacity() + reader.line.capacity(), 0);
}

#[test]
fn long_line_takes_linear_time_however_it_is_split() {
    let stream = format!("data: {}\n\n", "x".repeat(8 << 20));
    for pieces in [1, 1024, 65_536] {
        let mut reader = SseReader::new(16 << 20);
        let mut length = 0;
        for piece in stream.as_bytes().chunks(stream.len().div_ceil(pieces)) {
            reader.feed(piece, |event| length += event.data.len()).unwrap();
        }
        assert_eq!(length, 8 << 20);
        assert!(reader.work <= 4 * stream.len(), "{} bytes touched", reader.work);
    }
}

#[test]
fn event_limit_holds_however_the_event_is_split() {
    let fits = b"event: abc\ndata: 4567\n\n: note\n: note\n: note\n: note\n\ndata: 4567890\n\n";
    let one_line = b"data: 45678901\n\n";
    let endless = b"data: 456789012345";
    let many_lines = b"data: 4\ndata: 4\ndata: 4\ndata: 4\ndata: 4\n\n";
    let outcome = |stream: &[u8], piece: usize| {
        let mut reader = SseReader::new(13);
        stream.chunks(piece).try_for_each(|piece| reader.feed(piece, |_| {}))
    };
    for piece in 1..30 {
        assert_eq!(outcome(fits, piece), Ok(()), "in pieces of {piece}");
        for stream in [&one_line[..], endless, many_lines] {
            assert_eq!(
                outcome(stream, piece),
                Err(EventTooLarge { max_event_bytes: 13 }),
                "in pieces of {piece}"
            );
        }
    }
}

proptest! {
    #[test]
    fn any_stream_in_any_pieces_reads_as_the_standard_says(
        lines in prop::collection::vec(
            "(\u{feff}|data|event|data|id|:|)(: |:|)([a-c é:😀]{0,4})(\n|\r|\r\n|\n\n|\r\n\r\n|\r\r|)", 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        noise in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        finish in any::<bool>(),
    ) {
        let mut stream = lines.concat().into_bytes();
        if let Some((place, byte)) = noise {
            stream.insert(place.index(stream.len() + 1), byte);
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]);
        prop_assert_eq!(read(pieces, finish), reference(&stream, finish));
    }
}
