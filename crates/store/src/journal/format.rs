//! A record of a journal:
//!
//! | bytes | |
//! |---|---|
//! | 4 | mark, bytes that occur in no UTF-8 text |
//! | 4 | CRC-32 of what follows, little-endian like all numbers |
//! | 1 | version of the format, 1 |
//! | 8 | number of the batch |
//! | 4 | length of the payload |
//! | … | payload: JSON |
//!
//! As a payload cannot hold the mark, the next record is found after any damage, and no part of a payload is ever taken for one.

pub(super) const MARK: [u8; 4] = [0xF8, 0xFB, 0xFE, 0xF9];
pub(super) const VERSION: u8 = 1;
const HEAD: usize = 21;
/// Of a payload. A batch is a few calls; a length beyond is damage.
const MOST: usize = 256 << 20;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Whole {
        version: u8,
        sequence: u64,
        payload: &'a [u8],
        /// Where the next one begins.
        end: usize,
    },
    /// What is there may be the beginning of a record.
    Cut,
    Damaged,
}

/// Appends a record to `out`. `false`: the payload is too large, nothing was appended.
pub(super) fn write(out: &mut Vec<u8>, sequence: u64, payload: &[u8]) -> bool {
    let Some(length) = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MOST) else {
        return false;
    };
    out.extend_from_slice(&MARK);
    let checksum_at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(VERSION);
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(payload);
    if let Some((checksum, covered)) =
        out.get_mut(checksum_at..).and_then(|rest| rest.split_first_chunk_mut::<4>())
    {
        *checksum = crc32fast::hash(covered).to_le_bytes();
    }
    true
}

/// The record that begins at `at`.
pub(super) fn read(bytes: &[u8], at: usize) -> Record<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(head) = rest.first_chunk::<HEAD>() else {
        let mark = &rest[..rest.len().min(MARK.len())];
        return if MARK.starts_with(mark) { Record::Cut } else { Record::Damaged };
    };
    let [m0, m1, m2, m3, c0, c1, c2, c3, version, s0, s1, s2, s3, s4, s5, s6, s7, l0, l1, l2, l3] = *head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if [m0, m1, m2, m3] != MARK || length > MOST {
        return Record::Damaged;
    }
    let Some(payload) = rest.get(HEAD..HEAD + length) else { return Record::Cut };
    if crc32fast::hash(&rest[MARK.len() + 4..HEAD + length]) != u32::from_le_bytes([c0, c1, c2, c3]) {
        return Record::Damaged;
    }
    let sequence = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    Record::Whole { version, sequence, payload, end: at + HEAD + length }
}

/// Where the next mark is, after `at`.
pub(super) fn next_mark(bytes: &[u8], at: usize) -> Option<usize> {
    let from = at + 1;
    memchr::memmem::find(bytes.get(from..)?, &MARK).map(|found| from + found)
}
