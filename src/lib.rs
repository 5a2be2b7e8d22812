//! An AI gateway in process. (map follows)

pub mod error;
pub mod model;
