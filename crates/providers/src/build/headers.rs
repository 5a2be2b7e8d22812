//! The headers of an entry's calls.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::error::BuildProblem;
use super::{Builder, KeyHeader};
use gateway_model::config::AuthType;

impl Builder<'_> {
    /// What every call sends, except for its key.
    pub(super) fn headers(&self) -> Result<HeaderMap, BuildProblem> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.defaults.headers {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        for (name, value) in &self.config.headers {
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                BuildProblem::invalid(format_args!("headers: \"{name}\" is not a header name"))
            })?;
            headers.insert(header, secret_value(value, &format!("headers.{name}"))?);
        }
        Ok(headers)
    }

    /// How requests carry the key.
    pub(super) fn key_carrier(&self) -> Result<KeyCarrier, BuildProblem> {
        let auth = &self.config.auth;
        let name = match (auth.kind, self.defaults.key_header) {
            (_, KeyHeader::Always(name)) => {
                let replaced = self.config.headers.keys().any(|own| own.eq_ignore_ascii_case(name));
                let header = HeaderName::from_static(name);
                return Ok(if replaced { KeyCarrier::None } else { KeyCarrier::Header(header) });
            }
            (AuthType::CustomHeader, _) => {
                match auth.header_name.as_deref().filter(|name| !name.is_empty()) {
                    Some(name) => name,
                    None => return Ok(KeyCarrier::None),
                }
            }
            (AuthType::ApiKey, KeyHeader::Named(name)) => name,
            (AuthType::ApiKey, KeyHeader::Unsent) => return Ok(KeyCarrier::None),
            _ => return Ok(KeyCarrier::Bearer),
        };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            BuildProblem::invalid(format_args!("auth.headerName \"{name}\" is not a header name"))
        })?;
        Ok(KeyCarrier::Header(header))
    }
}

/// How requests carry a key.
#[derive(Clone)]
pub enum KeyCarrier {
    /// In no header.
    None,
    /// As the value of this header.
    Header(HeaderName),
    /// As a bearer token.
    Bearer,
}

impl KeyCarrier {
    /// The header that carries `key`; `source` is where it comes from, for errors.
    pub fn carry(&self, key: &str, source: &str) -> Result<Option<(HeaderName, HeaderValue)>, BuildProblem> {
        Ok(match self {
            Self::None => None,
            Self::Header(name) => Some((name.clone(), secret_value(key, source)?)),
            Self::Bearer => Some((AUTHORIZATION, secret_value(&format!("Bearer {key}"), source)?)),
        })
    }
}

/// A header's value that no log may show; `source` is where it comes from, for errors.
fn secret_value(value: &str, source: &str) -> Result<HeaderValue, BuildProblem> {
    let mut header = HeaderValue::from_str(value.trim()).map_err(|_| {
        BuildProblem::invalid(format_args!("{source} holds a character that no header may hold"))
    })?;
    header.set_sensitive(true);
    Ok(header)
}
