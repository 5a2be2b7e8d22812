//! The audit, and what changes have in common.

use serde_json::Value as Json;

use super::tables::{AdminRow, Administered, Fault, Read, Transaction, values};
use super::{AdminError, AuditEntry, Page};
use crate::clock::now_ms;

/// What a change is called in the audit, and by whom.
pub(super) struct Audited<'a> {
    pub actor: &'a str,
    pub action: &'static str,
    pub kind: &'static str,
    pub id: &'a str,
    pub detail: Json,
}

/// Writes the line, and counts the change: whoever asks for the count afterwards sees what was changed.
pub(super) async fn write<T: Transaction>(transaction: &mut T, what: Audited<'_>) -> Result<(), Fault> {
    let Audited { actor, action, kind, id, detail } = what;
    let count = "INSERT INTO change_counts (subject, changes) VALUES ($1, 1) \
                 ON CONFLICT (subject) DO UPDATE SET changes = change_counts.changes + 1";
    transaction.write(count, &values![kind]).await?;
    let detail = (!detail.is_null()).then(|| detail.to_string());
    let sql = "INSERT INTO audit (at_ms, actor, action, subject, subject_id, detail) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    transaction.write(sql, &values![now_ms(), actor, action, kind, id, detail]).await
}

/// How many changes there were of this kind.
pub(super) async fn count<D: Administered>(database: &D, kind: &str) -> Result<i64, AdminError> {
    let sql = "SELECT changes FROM change_counts WHERE subject = $1";
    let found = database.read(sql, &values![kind], |row| row.read(0)).await?;
    Ok(found.first().copied().unwrap_or_default())
}

fn entry<R: AdminRow>(row: &R) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        id: row.read(0)?,
        at_ms: row.read(1)?,
        actor: row.read(2)?,
        action: row.read(3)?,
        subject: row.read(4)?,
        subject_id: row.read(5)?,
        detail: row.read(6)?,
    })
}

pub(super) async fn list<D: Administered>(
    database: &D,
    before: Option<&str>,
    most: u32,
) -> Result<Page<AuditEntry>, AdminError> {
    let before = before.and_then(|before| before.parse().ok()).unwrap_or(i64::MAX);
    let sql = "SELECT id, at_ms, actor, action, subject, subject_id, detail FROM audit WHERE id < $1 \
               ORDER BY id DESC LIMIT $2";
    let entries = database.read(sql, &values![before, i64::from(most) + 1], entry).await?;
    Ok(page(entries, most, |entry| entry.id.to_string()))
}

/// The value, or that there is none.
pub(super) fn found<T>(value: Option<T>, kind: &'static str, id: &str) -> Result<T, AdminError> {
    value.ok_or_else(|| AdminError::NotFound { kind, id: id.to_owned() })
}

pub(super) fn expect_version(wanted: Option<i64>, current: i64) -> Result<(), AdminError> {
    if wanted.is_some_and(|wanted| wanted != current) { Err(AdminError::Changed { current }) } else { Ok(()) }
}

/// A page of what was read, one more than fits.
pub(super) fn page<T>(mut items: Vec<T>, most: u32, place: impl Fn(&T) -> String) -> Page<T> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let next = (items.len() > most).then(|| {
        items.truncate(most);
        items.last().map(place)
    });
    Page { items, next: next.flatten() }
}
