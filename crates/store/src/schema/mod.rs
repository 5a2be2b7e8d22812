//! The versions of the database's schema, and who may work on which: the same rules for each engine.
//!
//! A database says in `schema_info` its version, and the oldest program that may still work on it (`readable_by`). A
//! migration that an older program does not notice (a new table, a column with a default) leaves `readable_by` as it was.

use std::fmt;

/// One step of the schema, from the version before it to its own.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    pub version: i64,
    pub name: &'static str,
    /// Several statements.
    pub sql: &'static str,
    /// The oldest version of the program's schema that may work on the database after this step.
    pub readable_by: i64,
}

/// What a database says of its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaInfo {
    pub version: i64,
    pub readable_by: i64,
}

/// The database is not for this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooNew {
    pub found: SchemaInfo,
    pub own: i64,
}

impl fmt::Display for TooNew {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found, own } = self;
        write!(
            out,
            "the schema has version {}, which needs a program of schema version {} or later; this program's is {own}. \
             Update the program, or restore a backup from before the update. Nothing was changed",
            found.version, found.readable_by
        )
    }
}

/// The program's own version: that of its last migration.
pub fn own_version(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |last| last.version)
}

/// The steps that a database lacks, in their order; none where it is as new as the program or newer and still readable.
/// `found` is `None` for an empty database.
pub fn missing(migrations: &[Migration], found: Option<SchemaInfo>) -> Result<&[Migration], TooNew> {
    let own = own_version(migrations);
    let version = found.map_or(0, |found| found.version);
    if let Some(found) = found.filter(|found| found.readable_by > own) {
        return Err(TooNew { found, own });
    }
    let done = migrations.iter().take_while(|migration| migration.version <= version).count();
    Ok(migrations.get(done..).unwrap_or_default())
}

/// What the database says after `steps`.
pub fn after(steps: &[Migration], found: Option<SchemaInfo>) -> Option<SchemaInfo> {
    let last = steps.last().map(|last| SchemaInfo { version: last.version, readable_by: last.readable_by });
    last.or(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: [Migration; 3] = [
        Migration { version: 1, name: "first", sql: "", readable_by: 1 },
        Migration { version: 2, name: "adds a table", sql: "", readable_by: 1 },
        Migration { version: 3, name: "renames a column", sql: "", readable_by: 3 },
    ];

    fn names(found: Option<(i64, i64)>) -> Result<Vec<&'static str>, TooNew> {
        let found = found.map(|(version, readable_by)| SchemaInfo { version, readable_by });
        missing(&STEPS, found).map(|steps| steps.iter().map(|step| step.name).collect())
    }

    #[test]
    fn a_database_gets_the_steps_that_it_lacks() {
        assert_eq!(names(None), Ok(vec!["first", "adds a table", "renames a column"]));
        assert_eq!(names(Some((2, 1))), Ok(vec!["renames a column"]));
        assert_eq!(names(Some((3, 3))), Ok(vec![]));
    }

    #[test]
    fn an_older_program_works_on_a_newer_schema_that_it_can_read() {
        assert_eq!(names(Some((9, 3))), Ok(vec![]));
        let refused = names(Some((9, 4))).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains("version 9") && text.contains("version 4") && text.contains("is 3"), "{text}");
    }

    #[test]
    fn after_the_last_step_the_database_says_its_version() {
        assert_eq!(after(&STEPS, None), Some(SchemaInfo { version: 3, readable_by: 3 }));
        let found = Some(SchemaInfo { version: 9, readable_by: 3 });
        assert_eq!(after(&[], found), found);
    }
}
