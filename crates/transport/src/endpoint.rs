//! Where requests go: an address, a method and headers.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use url::Url;

/// Where requests go and with which headers; built once for each provider where the address does not depend on the call.
#[derive(Debug, Clone)]
pub struct Endpoint {
    url: Url,
    method: Method,
    pub(super) address: Uri,
    /// Path and query of the address.
    pub(super) path: Uri,
    /// Scheme, host and port: connections of the same origin can be reused.
    pub(super) origin: Arc<str>,
    /// Other hosts that a redirect may carry a request to.
    redirect_hosts: Arc<[Box<str>]>,
    headers: HeaderMap,
}

impl Endpoint {
    /// `None`: not an HTTP URL.
    pub fn new(mut url: Url, mut headers: HeaderMap) -> Option<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        // A key of the entry's own takes the place of the address's user and password, as with curl.
        if !headers.contains_key(AUTHORIZATION)
            && let Some(basic) = basic_authorization(&url)
        {
            headers.insert(AUTHORIZATION, basic);
        }
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_fragment(None);
        let address: Uri = url.as_str().parse().ok()?;
        let path = Uri::from(address.path_and_query()?.clone());
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("ai-gateway-native/", env!("CARGO_PKG_VERSION"))));
        let origin = url.origin().ascii_serialization().into();
        Some(Self {
            url,
            method: Method::POST,
            address,
            path,
            origin,
            headers,
            redirect_hosts: Arc::default(),
        })
    }

    /// With other hosts (`name`, or `name:port`) that a redirect may carry the request to, without its keys.
    pub fn allow_redirects_to(self, hosts: &[String]) -> Self {
        let redirect_hosts = hosts.iter().map(|host| host.trim().to_ascii_lowercase().into()).collect();
        Self { redirect_hosts, ..self }
    }

    /// The endpoint at `path` (a query may follow) below this one, with the same headers. The query of this one comes
    /// first. `None`: the path would climb out of this one's.
    pub fn at(&self, path: &str) -> Option<Self> {
        let base = self.url[..url::Position::AfterPath].trim_end_matches('/');
        let (below, own) = path.split_once('?').unwrap_or((path, ""));
        if below.split(['/', '\\']).any(is_dots) {
            return None;
        }
        let inherited = self.url.query().unwrap_or("");
        let mark = if inherited.is_empty() && own.is_empty() { "" } else { "?" };
        let between = if inherited.is_empty() || own.is_empty() { "" } else { "&" };
        let url = Url::parse(&format!("{base}{below}{mark}{inherited}{between}{own}")).ok()?;
        let redirect_hosts = self.redirect_hosts.clone();
        Some(Self { method: self.method.clone(), redirect_hosts, ..Self::new(url, self.headers.clone())? })
    }

    /// The same address with GET instead of POST.
    pub fn read(self) -> Self {
        Self { method: Method::GET, ..self }
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn method(&self) -> &Method {
        &self.method
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Where a redirect leads: 307 and 308 alone, which repeat the request; the others turn a POST into a GET, which no
    /// provider means. Keys and the entry's own headers are for the configured origin alone, and the request itself is
    /// for its host and those that the entry allows, and not for plain HTTP in place of TLS.
    pub(super) fn redirected(&self, status: StatusCode, headers: &HeaderMap) -> Redirect {
        if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
            return Redirect::None;
        }
        let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let Some(mut url) = location.and_then(|location| self.url.join(location).ok()) else {
            return Redirect::None;
        };
        // Credentials in a location are the upstream's words, and none of ours.
        let _ = (url.set_username(""), url.set_password(None));
        let headers = if url.origin() == self.url.origin() {
            self.headers.clone()
        } else if self.may_redirect_to(&url) {
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
        } else {
            return Redirect::Refused(url[url::Position::BeforeHost..url::Position::AfterPort].to_owned());
        };
        let redirect_hosts = self.redirect_hosts.clone();
        match Self::new(url, headers) {
            Some(target) => {
                Redirect::To(Box::new(Self { method: self.method.clone(), redirect_hosts, ..target }))
            }
            None => Redirect::None,
        }
    }

    fn may_redirect_to(&self, url: &Url) -> bool {
        let is_downgrade = self.url.scheme() == "https" && url.scheme() == "http";
        if url.host() == self.url.host() && !is_downgrade {
            return true;
        }
        let host = &url[url::Position::BeforeHost..url::Position::AfterHost];
        let with_port = &url[url::Position::BeforeHost..url::Position::AfterPort];
        self.redirect_hosts.iter().any(|allowed| **allowed == *host || **allowed == *with_port)
    }
}

/// What an answer says about another address.
pub(super) enum Redirect {
    None,
    To(Box<Endpoint>),
    /// To a host (named here) that may not have the request.
    Refused(String),
}

/// Whether a parser of addresses takes `segment` for the folder itself or the one above it.
fn is_dots(segment: &str) -> bool {
    matches!(&*segment.to_ascii_lowercase().replace("%2e", "."), "." | "..")
}

/// `Authorization: Basic` for the user and the password of an address, if it has them.
fn basic_authorization(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let user = percent_decode_str(url.username());
    let password = percent_decode_str(url.password().unwrap_or(""));
    let pair: Vec<u8> = user.chain([b':']).chain(password).collect();
    let mut value = HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
