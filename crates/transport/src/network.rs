//! How the machine reaches the network: proxies and certificates.

use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::certificates::TrustingVerifier;

/// Proxies and extra certificates, named as in the environment variables they usually come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkSettings {
    /// `HTTPS_PROXY`: the proxy of `https:` addresses.
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY`: the proxy of `http:` addresses.
    pub http_proxy: Option<String>,
    /// `NO_PROXY`: hosts reached without one, comma-separated.
    pub no_proxy: Option<String>,
    /// `NODE_EXTRA_CA_CERTS`: a PEM file of authorities trusted in addition to Mozilla's.
    pub extra_ca_file: Option<String>,
}

impl NetworkSettings {
    /// The environment variables that [`NetworkSettings::from_vars`] looks up.
    pub const VARIABLES: [&str; 7] = [
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "https_proxy",
        "http_proxy",
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
            no_proxy: set(["no_proxy", "NO_PROXY"]),
            extra_ca_file: var("NODE_EXTRA_CA_CERTS").filter(|path| !path.is_empty()),
        }
    }

    /// Which proxy an address needs; `None`: no address needs one. An unusable proxy address is an error that does not quote it
    /// (it may hold a password).
    pub(super) fn proxies(&self) -> Result<Option<Matcher>, String> {
        // The matcher's own `*` covers host names but not IP addresses.
        if self.no_proxy.as_deref().is_some_and(|list| list.split(',').any(|host| host.trim() == "*")) {
            return Ok(None);
        }
        let (https, http) =
            (self.https_proxy.as_deref().unwrap_or(""), self.http_proxy.as_deref().unwrap_or(""));
        for (variable, value) in [("HTTPS_PROXY", https), ("HTTP_PROXY", http)] {
            let usable = || {
                let chosen =
                    Matcher::builder().all(value).build().intercept(&Uri::from_static("http://a.test"));
                chosen.is_some_and(|proxy| matches!(proxy.uri().scheme_str(), Some("http" | "https")))
            };
            if !value.is_empty() && !usable() {
                return Err(format!("{variable} is not the address of an HTTP proxy"));
            }
        }
        if https.is_empty() && http.is_empty() {
            return Ok(None);
        }
        let exempt = self.no_proxy.as_deref().unwrap_or("");
        Ok(Some(Matcher::builder().https(https).http(http).no(exempt).build()))
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
        assert_eq!(error.as_deref(), Some("HTTPS_PROXY is not the address of an HTTP proxy"));
    }
}
