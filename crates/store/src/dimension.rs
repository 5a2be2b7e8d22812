//! What usage is grouped by, in the database.

use gateway_engine::records::GroupBy;

/// The column of `usage_series`; `None`: it is a time.
pub(crate) fn column(dimension: &GroupBy) -> Option<&'static str> {
    Some(match dimension {
        GroupBy::Hour | GroupBy::Day => return None,
        GroupBy::Provider => "provider",
        GroupBy::Model => "model",
        GroupBy::RouteRule => "route_rule",
        GroupBy::Feature => "feature",
        GroupBy::UserTier => "user_tier",
        GroupBy::UserId => "user_id",
        GroupBy::Key => "key_id",
        GroupBy::Team => "team",
    })
}
