//! How the machine reaches the network: proxies and certificates.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use url::Url;

use super::certificates::TrustingVerifier;
use super::no_proxy::NoProxy;
use super::socks::SOCKS_PORT;

/// Proxies and extra certificates, named as in the environment variables they usually come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// `HTTPS_PROXY`: the proxy of `https:` addresses.
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY`: the proxy of `http:` addresses.
    pub http_proxy: Option<String>,
    /// `ALL_PROXY`: the proxy of addresses that have none by the other two.
    pub all_proxy: Option<String>,
    /// `NO_PROXY`: hosts reached without one, separated by commas or blanks.
    pub no_proxy: Option<String>,
    /// `NODE_EXTRA_CA_CERTS`: a PEM file of authorities trusted in addition to Mozilla's.
    pub extra_ca_file: Option<String>,
}

impl NetworkSettings {
    /// The environment variables that [`NetworkSettings::from_vars`] looks up.
    pub const VARIABLES: [&str; 9] = [
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "https_proxy",
        "http_proxy",
        "all_proxy",
        "no_proxy",
        "NODE_EXTRA_CA_CERTS",
    ];

    /// Reads the settings with `var`, which looks an environment variable up. Lower-case names win, as with curl.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let set =
            |names: [&str; 2]| names.iter().find_map(|name| var(name).filter(|value| !value.is_empty()));
        Self {
            https_proxy: set(["https_proxy", "HTTPS_PROXY"]),
            http_proxy: set(["http_proxy", "HTTP_PROXY"]),
            all_proxy: set(["all_proxy", "ALL_PROXY"]),
            no_proxy: set(["no_proxy", "NO_PROXY"]),
            extra_ca_file: var("NODE_EXTRA_CA_CERTS").filter(|path| !path.is_empty()),
        }
    }

    /// The addresses of all proxies, as they are written: they may hold passwords.
    pub fn proxy_addresses(&self) -> impl Iterator<Item = &str> {
        [&self.https_proxy, &self.http_proxy, &self.all_proxy].into_iter().filter_map(Option::as_deref)
    }

    /// Which proxy an address needs; `None`: no address needs one. An unusable proxy address is an error that does not quote it
    /// (it may hold a password).
    pub(super) fn proxies(&self) -> Result<Option<Proxies>, String> {
        let exempt = NoProxy::parse(self.no_proxy.as_deref().unwrap_or(""));
        if exempt.is_everything() {
            return Ok(None);
        }
        let set = |value: &Option<String>| value.clone().unwrap_or_default();
        let (https, http, all) = (set(&self.https_proxy), set(&self.http_proxy), set(&self.all_proxy));
        for (variable, value) in [("HTTPS_PROXY", &https), ("HTTP_PROXY", &http), ("ALL_PROXY", &all)] {
            let usable = || {
                let chosen = Matcher::builder()
                    .all(value.as_str())
                    .build()
                    .intercept(&Uri::from_static("http://a.test"));
                chosen.is_some_and(|proxy| {
                    matches!(proxy.uri().scheme_str(), Some("http" | "https" | "socks5" | "socks5h"))
                })
            };
            if !value.is_empty() && !usable() {
                return Err(format!("{variable} is not the address of an HTTP or SOCKS5 proxy"));
            }
        }
        if https.is_empty() && http.is_empty() && all.is_empty() {
            return Ok(None);
        }
        Ok(Some(Proxies { matcher: Matcher::builder().https(https).http(http).all(all).build(), exempt }))
    }

    /// Mozilla's authorities, as Node trusts them, and those of the extra file. As in Node, a file that cannot be
    /// read is ignored.
    pub(super) fn tls(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let file = self.extra_ca_file.as_ref().and_then(|path| CertificateDer::pem_file_iter(path).ok());
        let extra: Vec<CertificateDer<'static>> = file.into_iter().flatten().filter_map(Result::ok).collect();
        roots.add_parsable_certificates(extra.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS: {error}"))?;
        if extra.is_empty() {
            return Ok(builder.with_root_certificates(roots).with_no_client_auth());
        }
        let verifier =
            TrustingVerifier::new(roots, extra, provider).map_err(|error| format!("TLS: {error}"))?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
    }
}

/// The proxies of the machine.
pub(super) struct Proxies {
    matcher: Matcher,
    exempt: NoProxy,
}

impl Proxies {
    /// The proxy on the way to an address; `None`: it is reached without one.
    pub fn intercept(&self, address: &Uri) -> Option<Intercept> {
        if self.exempt.contains(address) { None } else { self.matcher.intercept(address) }
    }

    /// The address of that proxy, with its user and password.
    pub fn address(&self, url: &Url) -> Option<Url> {
        let proxy = self.intercept(&url.as_str().parse().ok()?)?;
        let mut address = Url::parse(&proxy.uri().to_string()).ok()?;
        if let Some((user, password)) = proxy.raw_auth() {
            address.set_username(user).ok()?;
            address.set_password(Some(password)).ok()?;
        } else if let Some(basic) = proxy.basic_auth() {
            let encoded = basic.to_str().ok()?.strip_prefix("Basic ")?;
            let pair = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
            let (user, password) = pair.split_once(':')?;
            address.set_username(user).ok()?;
            address.set_password(Some(password)).ok()?;
        }
        if address.scheme().starts_with("socks") && address.port().is_none() {
            address.set_port(Some(SOCKS_PORT)).ok()?;
        }
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_case_names_win_and_empty_values_are_unset() {
        let settings = NetworkSettings::from_vars(|name| match name {
            "https_proxy" => Some("http://lower:1".into()),
            "HTTPS_PROXY" => Some("http://upper:1".into()),
            "http_proxy" => Some(String::new()),
            "HTTP_PROXY" => Some("http://upper:2".into()),
            _ => None,
        });
        assert_eq!(settings.https_proxy.as_deref(), Some("http://lower:1"));
        assert_eq!(settings.http_proxy.as_deref(), Some("http://upper:2"));
        assert_eq!(settings.no_proxy, None);
    }

    #[test]
    fn unusable_proxy_address_is_not_quoted() {
        let settings =
            NetworkSettings { https_proxy: Some("http://user:hunter2@[".into()), ..Default::default() };
        let error = settings.proxies().err();
        assert_eq!(error.as_deref(), Some("HTTPS_PROXY is not the address of an HTTP or SOCKS5 proxy"));
    }
}
