//! Why an answer with a success's status is none.

use std::fmt;

use gateway_model::error::UpstreamReport;

/// What a reader finds in the place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// The upstream's own report of a failure.
    Reported(Box<UpstreamReport>),
    /// It cannot be read, or is not what was asked for: what is wrong with it, for people.
    Unacceptable(String),
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Reported(report) => &report.message,
            Self::Unacceptable(problem) => problem,
        })
    }
}

impl From<UpstreamReport> for ReadError {
    fn from(report: UpstreamReport) -> Self {
        Self::Reported(Box::new(report))
    }
}

impl From<String> for ReadError {
    fn from(problem: String) -> Self {
        Self::Unacceptable(problem)
    }
}

impl From<&str> for ReadError {
    fn from(problem: &str) -> Self {
        Self::Unacceptable(problem.to_owned())
    }
}
