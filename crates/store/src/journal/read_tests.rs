#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;

use gateway_engine::records::{Batch, RatesUsed, UsageRow};
use gateway_engine::state::{Charge, Counter, CounterWindow};
use gateway_model::{AttemptRecord, UsageSource};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn batch(number: u64, text: &str) -> Batch {
    let row = UsageRow {
        request_id: format!("{number}"),
        metadata: Some(text.to_owned()),
        at_ms: i64::try_from(number).unwrap(),
        ..UsageRow::default()
    };
    let counter = Counter { key: "k".into(), window: CounterWindow::Rolling { length_ms: 5 } };
    Batch { rows: vec![row], charges: vec![Charge { counter, figures: [1, -2, 3, i64::MAX], at_ms: 7 }] }
}

fn files(folder: &TempDir) -> Files {
    Files { folder: folder.path().to_owned(), id: "j".into() }
}

/// Segments of three batches each; what was written, and where each record begins.
fn journal(folder: &TempDir, texts: &[String]) -> (Vec<Numbered>, Vec<(u32, usize, usize)>) {
    let (mut all, mut places) = (Vec::new(), Vec::new());
    for (index, three) in texts.chunks(3).enumerate() {
        let number = index as u32 + 1;
        let mut bytes = Vec::new();
        for text in three {
            let sequence = all.len() as u64 + 1;
            let batch = batch(sequence, text);
            let begin = bytes.len();
            assert!(format::write(&mut bytes, sequence, &rows::encode(&batch).unwrap()));
            places.push((number, begin, bytes.len()));
            all.push(Numbered { sequence, batch: Arc::new(batch) });
        }
        fs::write(files(folder).segment(number), bytes).unwrap();
    }
    (all, places)
}

fn read_all(folder: &TempDir) -> (Vec<Numbered>, Reader) {
    let mut reader = Reader::new(files(folder), 0);
    let mut all = Vec::new();
    loop {
        let group = reader.next(u64::MAX, 2).unwrap();
        if group.is_empty() {
            return (all, reader);
        }
        all.extend(group);
    }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(".{0,40}", 1..10)
}

#[test]
fn every_field_of_a_row_comes_back() {
    let row = UsageRow {
        request_id: "r".into(),
        part: 2,
        at_ms: -5,
        provider: "p\0\"".into(),
        model: "m".into(),
        route_rule: "rule".into(),
        feature: Some("f".into()),
        user_tier: Some("t".into()),
        user_id: Some("u".into()),
        key_id: Some("k".into()),
        team: Some("team".into()),
        metadata: Some("{}".into()),
        success: true,
        error_code: Some("E".into()),
        input_tokens: u64::MAX,
        output_tokens: 2,
        cache_read_tokens: Some(0),
        cache_write_tokens: Some(4),
        reasoning_tokens: Some(5),
        usage_source: UsageSource::Estimated,
        cost: i64::MAX,
        saved: i64::MIN,
        rates: Some(RatesUsed { input: 0.1, output: 1e-300 }),
        latency_ms: 9,
        first_token_ms: Some(0),
        streamed: true,
        cached: true,
        degraded: true,
        fallback_triggered: true,
        fallback_from: Some("x".into()),
        attempts: vec![AttemptRecord {
            provider: "p".into(),
            model: "m".into(),
            error_code: Some("E".into()),
            latency_ms: 3,
        }],
    };
    let until = Counter { key: "c".into(), window: CounterWindow::Until { at_ms: 9 } };
    let charges = vec![Charge { counter: until, figures: [1, 2, 3, 4], at_ms: 8 }];
    let batch = Batch { rows: vec![row, UsageRow::default()], charges };
    assert_eq!(rows::decode(&rows::encode(&batch).unwrap()).unwrap(), batch);
}

#[test]
fn a_price_that_is_no_number_does_not_make_a_row_unreadable() {
    let rates = Some(RatesUsed { input: f64::NAN, output: 1.0 });
    let batch = Batch { rows: vec![UsageRow { rates, ..UsageRow::default() }], charges: vec![] };
    assert_eq!(rows::decode(&rows::encode(&batch).unwrap()).unwrap().rows, [UsageRow::default()]);
}

/// Written by the first version; a change here means that journals of former versions can no longer be read.
#[test]
fn a_record_of_the_first_version_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let payload = br#"{"rows":[{"id":"a","at":5,"ok":true,"rates":[0.1,0.2],"later":1}],"charges":[{"counter":"c","window":{"rolling":9},"figures":[1,2,3,4],"at":6,"later":{}}],"later":[]}"#;
    let head =
        [0xF8, 0xFB, 0xFE, 0xF9, 62, 198, 56, 8, 1, 7, 0, 0, 0, 0, 0, 0, 0, payload.len() as u8, 0, 0, 0];
    fs::write(files(&folder).segment(1), [&head[..], payload].concat()).unwrap();
    let (found, reader) = read_all(&folder);
    assert_eq!(reader.damage, []);
    assert_eq!((found[0].sequence, found[0].batch.rows[0].request_id.as_str()), (7, "a"));
    assert_eq!(found[0].batch.rows[0].rates, Some(RatesUsed { input: 0.1, output: 0.2 }));
    assert_eq!(found[0].batch.charges[0].figures, [1, 2, 3, 4]);
}

#[test]
fn what_a_newer_program_wrote_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    journal(&folder, &["a".into()]);
    let path = files(&folder).segment(1);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[8..]).to_le_bytes();
    bytes[4..8].copy_from_slice(&checksum);
    fs::write(&path, bytes).unwrap();
    let error = Reader::new(files(&folder), 0).next(u64::MAX, 1).unwrap_err();
    assert!(matches!(error, ReadError::Newer(_, 2)), "{error}");
}

#[test]
fn a_reader_goes_on_where_a_file_grows() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = Vec::new();
    for sequence in 1..=2 {
        format::write(&mut bytes, sequence, &rows::encode(&batch(sequence, "x")).unwrap());
    }
    let half = bytes.len() / 2 + 9;
    fs::write(files(&folder).segment(1), &bytes[..half]).unwrap();
    let mut reader = Reader::new(files(&folder), 0);
    assert_eq!(reader.next(9, 9).unwrap().len(), 1);
    assert_eq!(reader.next(9, 9).unwrap().len(), 0);
    fs::write(files(&folder).segment(1), &bytes).unwrap();
    assert_eq!(reader.next(9, 9).unwrap()[0].sequence, 2);
    fs::write(files(&folder).segment(2), &bytes).unwrap();
    assert_eq!(reader.next(9, 9).unwrap(), [], "these are known");
    assert_eq!(reader.damage, []);
}

#[test]
fn batches_above_the_bound_wait() {
    let folder = tempfile::tempdir().unwrap();
    journal(&folder, &["a".into(), "b".into()]);
    let mut reader = Reader::new(files(&folder), 0);
    assert_eq!(reader.next(1, 9).unwrap().len(), 1);
    assert_eq!(reader.next(1, 9).unwrap().len(), 0);
    assert_eq!(reader.next(2, 9).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn a_whole_journal_is_read_whole(texts in texts(), after in 0..12u64) {
        let folder = tempfile::tempdir().unwrap();
        let (written, _) = journal(&folder, &texts);
        let (found, reader) = read_all(&folder);
        prop_assert_eq!(&found, &written);
        prop_assert!(reader.damage.is_empty());
        let rest = Reader::new(files(&folder), after).next(u64::MAX, 1_000).unwrap();
        prop_assert_eq!(rest, written.into_iter().filter(|each| each.sequence > after).collect::<Vec<_>>());
    }

    #[test]
    fn a_cut_last_record_is_lost_alone_and_is_no_damage(texts in texts(), at in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        let (written, places) = journal(&folder, &texts);
        let (number, begin, end) = *places.last().unwrap();
        let path = files(&folder).segment(number);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..begin + at.index(end - begin)]).unwrap();
        let (found, reader) = read_all(&folder);
        prop_assert_eq!(&found, &written[..written.len() - 1]);
        prop_assert!(reader.damage.is_empty());
    }

    #[test]
    fn flipped_bits_lose_their_own_records_at_most(
        texts in texts(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (written, places) = journal(&folder, &texts);
        let mut hit = BTreeSet::new();
        for (record, bit) in flips {
            let index = record.index(places.len());
            let (number, begin, end) = places[index];
            let path = files(&folder).segment(number);
            let mut bytes = fs::read(&path).unwrap();
            let bit = bit.index((end - begin) * 8);
            bytes[begin + bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, bytes).unwrap();
            hit.insert(index as u64 + 1);
        }
        let (found, reader) = read_all(&folder);
        for each in &found {
            prop_assert!(written.contains(each), "{:?} was not written", each);
        }
        for each in written.iter().filter(|each| !hit.contains(&each.sequence)) {
            prop_assert_eq!(found.iter().filter(|other| *other == each).count(), 1);
        }
        let lost = written.iter().filter(|each| !found.contains(each));
        // Damaged records that nothing whole follows look like a last one that was cut.
        let last = found.iter().map(|each| each.sequence).max().unwrap_or(0);
        let seen = lost.filter(|each| each.sequence < last).count();
        prop_assert!(seen == 0 || !reader.damage.is_empty());
        for damage in &reader.damage {
            let at = places.iter().any(|(number, begin, end)| {
                files(&folder).segment(*number) == damage.path && (*begin as u64..*end as u64).contains(&damage.offset)
            });
            prop_assert!(at, "{:?}", damage);
        }
    }

    #[test]
    fn a_segment_truncated_anywhere_loses_no_other_segment(texts in texts(), which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>()) {
        let folder = tempfile::tempdir().unwrap();
        let (written, places) = journal(&folder, &texts);
        let number = places[which.index(places.len())].0;
        let path = files(&folder).segment(number);
        let bytes = fs::read(&path).unwrap();
        let cut = at.index(bytes.len());
        fs::write(&path, &bytes[..cut]).unwrap();
        let (found, _) = read_all(&folder);
        let whole = |each: &&Numbered| {
            let (segment, _, end) = places[each.sequence as usize - 1];
            segment != number || end <= cut
        };
        prop_assert_eq!(found, written.iter().filter(whole).cloned().collect::<Vec<_>>());
    }

    #[test]
    fn bytes_of_any_kind_are_read_as_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..400), marks in proptest::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = bytes;
        for mark in marks {
            let at = mark.index(bytes.len() + 1);
            bytes.splice(at..at, format::MARK);
        }
        fs::write(files(&folder).segment(1), bytes).unwrap();
        let (found, _) = read_all(&folder);
        prop_assert_eq!(found, vec![]);
    }
}
