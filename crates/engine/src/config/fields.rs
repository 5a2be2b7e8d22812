//! Checks of the fields of one entry.

use serde_json::{Map, Value};

use super::ValidationError;

pub const AN_ARRAY: &str = "must be an array";
pub const AN_OBJECT: &str = "must be an object";
pub const A_STRING: &str = "must be a string";
pub const A_COUNT: &str = "must be a number of 1 or more";
const REQUIRED_STRING: &str = "required string";

/// An object at `path`, whose faults go to a common list. `null` counts as unset everywhere.
pub struct Fields<'v, 'f> {
    path: String,
    values: &'v Map<String, Value>,
    faults: &'f mut Vec<ValidationError>,
}

/// Calls `check` with each element of `list`, which must be an array of objects.
pub fn each(
    path: &str,
    list: Option<&Value>,
    faults: &mut Vec<ValidationError>,
    mut check: impl FnMut(&mut Fields<'_, '_>),
) {
    let Some(list) = list.and_then(Value::as_array) else { return fault(faults, path, AN_ARRAY) };
    for (index, element) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        object(&path, element, faults, &mut check);
    }
}

/// Calls `check` with the object at `path`.
pub fn object(
    path: &str,
    value: &Value,
    faults: &mut Vec<ValidationError>,
    check: impl FnOnce(&mut Fields<'_, '_>),
) {
    match value {
        Value::Object(values) => check(&mut Fields { path: path.to_owned(), values, faults }),
        _ => fault(faults, path, AN_OBJECT),
    }
}

pub fn is_count(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number >= 1.0)
}

pub fn fault(faults: &mut Vec<ValidationError>, path: impl Into<String>, message: impl Into<String>) {
    faults.push(ValidationError { path: path.into(), message: message.into() });
}

impl<'v> Fields<'v, '_> {
    pub fn get(&self, key: &str) -> Option<&'v Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    pub fn fault(&mut self, key: &str, message: impl Into<String>) {
        fault(self.faults, format!("{}.{key}", self.path), message);
    }

    pub fn required_string(&mut self, key: &str) {
        self.required_string_or(key, REQUIRED_STRING);
    }

    pub fn required_string_or(&mut self, key: &str, message: &str) {
        if !self.get(key).is_some_and(is_filled) {
            self.fault(key, message);
        }
    }

    pub fn required_number(&mut self, key: &str) {
        if !self.get(key).is_some_and(Value::is_number) {
            self.fault(key, "required number");
        }
    }

    /// An array with at least one string, and no empty ones.
    pub fn strings(&mut self, key: &str) {
        let strings = self.get(key).and_then(Value::as_array);
        if !strings.is_some_and(|list| !list.is_empty() && list.iter().all(is_filled)) {
            self.fault(key, "must be a non-empty array of strings");
        }
    }

    pub fn one_of(&mut self, key: &str, words: &[&str]) {
        if !self.get(key).and_then(Value::as_str).is_some_and(|word| words.contains(&word)) {
            self.fault(key, must_be_one_of(words));
        }
    }

    pub fn optional_one_of(&mut self, key: &str, words: &[&str]) {
        if self.get(key).is_some() {
            self.one_of(key, words);
        }
    }

    /// The object at `key`, or a fault with `message`.
    pub fn required_object(&mut self, key: &str, message: &str) -> Option<Fields<'v, '_>> {
        match self.get(key) {
            Some(Value::Object(values)) => {
                Some(Fields { path: format!("{}.{key}", self.path), values, faults: self.faults })
            }
            _ => {
                self.fault(key, message);
                None
            }
        }
    }

    pub fn optional_object(&mut self, key: &str) -> Option<Fields<'v, '_>> {
        self.get(key)?;
        self.required_object(key, AN_OBJECT)
    }

    /// Calls `check` with each field's object, whatever its name.
    pub fn each_object(self, mut check: impl FnMut(&mut Fields<'_, '_>)) {
        for (key, value) in self.values {
            object(&format!("{}.{key}", self.path), value, self.faults, &mut check);
        }
    }

    pub fn optional_strings<const N: usize>(&mut self, keys: [&str; N]) {
        for key in keys {
            self.optional(key, Value::is_string, A_STRING);
        }
    }

    pub fn all_strings(&mut self) {
        self.all(Value::is_string, A_STRING);
    }

    /// Every field, whatever its name.
    pub fn all(&mut self, fits: impl Fn(&Value) -> bool, message: &str) {
        for key in self.values.keys() {
            self.optional(key, &fits, message);
        }
    }

    /// Numbers that may not be negative.
    pub fn optional_amounts<const N: usize>(&mut self, keys: [&str; N]) {
        for key in keys {
            let is_amount = |value: &Value| value.as_f64().is_some_and(|number| number >= 0.0);
            self.optional(key, is_amount, "must be a number of 0 or more");
        }
    }

    pub fn optional(&mut self, key: &str, fits: impl Fn(&Value) -> bool, message: &str) {
        if self.get(key).is_some_and(|value| !fits(value)) {
            self.fault(key, message);
        }
    }

    /// Calls `check` with each element of the array at `key`, which must not be empty.
    pub fn each(&mut self, key: &str, check: impl FnMut(&mut Fields<'_, '_>)) {
        match self.get(key).filter(|list| list.as_array().is_some_and(|list| !list.is_empty())) {
            Some(list) => each(&format!("{}.{key}", self.path), Some(list), self.faults, check),
            None => self.fault(key, "must be a non-empty array"),
        }
    }
}

/// What is wrong with any other word.
pub fn must_be_one_of(words: &[&str]) -> String {
    format!("must be one of: {}", words.join(", "))
}

fn is_filled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}
