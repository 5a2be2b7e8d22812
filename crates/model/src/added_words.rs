//! Words that providers put beside the caller's, where a vendor's format needs them. Estimates count them, too.

/// Asks for the answer's form, where the vendor has no field for it.
pub const JSON_ALONE: &str = "Answer with JSON alone: no other text, no code fence.";
/// Stands before the schema of such an answer.
pub const FOLLOWS_SCHEMA: &str = "The answer follows this JSON Schema:";
/// Begins the result of a tool that failed.
pub const FAILED_RESULT: &str = "Error:";
/// Stands, with the call's id, before what was moved out of a tool's result.
pub const RESULT_OF_CALL: &str = "From the result of call";
/// The user's turn of a conversation that begins with none.
pub const FIRST_TURN: &str = "Begin.";
