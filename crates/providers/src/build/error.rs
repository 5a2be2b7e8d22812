//! Why an entry has no provider.

use std::fmt;

use super::address_secrets::shown_variable;

/// An entry that no provider can be built of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// The entry's name.
    pub provider: String,
    pub problem: BuildProblem,
}

/// What is wrong with an entry. As text, it names the field or the variable at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildProblem {
    /// An environment variable has no value.
    VariableNotSet(String),
    /// A field is missing that `needed_by` (a family, a type of `auth`) cannot do without.
    Required { field: &'static str, needed_by: String },
    /// A field, a key or the network's settings cannot be used; the text is a sentence that names which.
    Invalid(String),
}

impl BuildProblem {
    /// A problem described by a sentence that begins with the field at fault.
    pub(crate) fn invalid(sentence: impl fmt::Display) -> Self {
        Self::Invalid(sentence.to_string())
    }
}

impl fmt::Display for BuildProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::VariableNotSet(name) => {
                write!(out, "environment variable {} is not set", shown_variable(name))
            }
            Self::Required { field, needed_by } => write!(out, "{field} is required for {needed_by}"),
            Self::Invalid(sentence) => out.write_str(sentence),
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Provider \"{}\": {}", self.provider, self.problem)
    }
}

impl std::error::Error for BuildError {}
impl std::error::Error for BuildProblem {}
