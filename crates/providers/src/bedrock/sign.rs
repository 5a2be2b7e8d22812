//! Signature Version 4 of AWS, in the headers of a request.
//!
//! Source: the AWS Identity and Access Management user guide, "Signature Version 4 for API requests".

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use http::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue};

use crate::wire::Sign;
use gateway_model::error::GatewayError;
use gateway_transport::Endpoint;

const SERVICE: &str = "bedrock";
/// Others may be changed on the way.
const SIGNED: [HeaderName; 2] = [HOST, CONTENT_TYPE];

/// What a key pair of AWS is as one text.
pub const A_PAIR: &str =
    "a key pair is written ACCESS_KEY_ID:SECRET_ACCESS_KEY, or with :SESSION_TOKEN behind it";

/// A key pair of AWS.
pub struct KeyPair {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

impl KeyPair {
    /// `None`: the text is none.
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, ':').map(str::to_owned);
        let mut next = || parts.next().filter(|part| !part.is_empty());
        Some(Self { id: next()?, secret: next()?, token: next() })
    }
}

pub struct Signer {
    /// `None`: each request comes with its own.
    credentials: Option<Credentials>,
    region: String,
    now: fn() -> SystemTime,
}

impl Signer {
    pub fn new(key_id: String, secret: String, token: Option<String>, region: String) -> Self {
        let credentials = Some(Credentials::new(key_id, secret, token, None, "environment"));
        Self { credentials, region, now: SystemTime::now }
    }

    /// For key pairs that come with each request.
    pub fn of_given_keys(region: String) -> Self {
        Self { credentials: None, region, now: SystemTime::now }
    }
}

impl Sign for Signer {
    /// Adds the signature, its date and the session token.
    fn sign(&self, endpoint: &mut Endpoint, body: &[u8], key: Option<&str>) -> Result<(), GatewayError> {
        let given = || {
            let KeyPair { id, secret, token } = KeyPair::read(key.unwrap_or_default())?;
            Some(Credentials::new(id, secret, token, None, "program"))
        };
        let identity = self.credentials.clone().or_else(given).ok_or_else(|| unsigned(A_PAIR))?.into();
        // The defaults are those of all services but S3: the path is encoded once more.
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time((self.now)())
            .settings(SigningSettings::default())
            .build()
            .map_err(unsigned)?
            .into();
        let headers = SIGNED.iter().filter_map(|name| {
            let value = endpoint.headers().get(name)?.to_str().ok()?;
            Some((name.as_str(), value))
        });
        let request = SignableRequest::new(
            endpoint.method().as_str(),
            endpoint.url().as_str(),
            headers,
            SignableBody::Bytes(body),
        )
        .map_err(unsigned)?;
        let (signed, _) = sign(request, &params).map_err(unsigned)?.into_parts();
        let (added, _) = signed.into_parts();
        for header in added {
            let mut value = HeaderValue::from_str(header.value()).map_err(unsigned)?;
            value.set_sensitive(true);
            endpoint.headers_mut().insert(HeaderName::from_static(header.name()), value);
        }
        Ok(())
    }
}

fn unsigned(error: impl std::fmt::Display) -> GatewayError {
    GatewayError::unwritable(format_args!("signing failed: {error}"))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use http::HeaderMap;
    use url::Url;

    use super::*;

    /// 2015-08-30, 12:36:00 UTC: the moment of AWS's own examples, whose key pair this is, too.
    fn then() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_440_938_160)
    }

    fn signed(path: &str, region: &str, token: Option<&str>) -> HeaderMap {
        let url = Url::parse(&format!("https://bedrock-runtime.{region}.amazonaws.com{path}")).unwrap();
        let json = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let mut endpoint = Endpoint::new(url, json).unwrap();
        let signer = Signer {
            now: then,
            ..Signer::new(
                "AKIDEXAMPLE".to_owned(),
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
                token.map(str::to_owned),
                region.to_owned(),
            )
        };
        signer.sign(&mut endpoint, b"{\"messages\":[]}", None).unwrap();
        endpoint.headers().clone()
    }

    /// The signatures were worked out by the steps of the documentation, with the path `…v1%253A0…` in the canonical
    /// request.
    #[test]
    fn a_request_is_signed_with_its_path_encoded_twice() {
        let headers =
            signed("/model/us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse", "us-east-1", None);
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert_eq!(headers.get("x-amz-security-token"), None);
        assert_eq!(
            headers["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=40e0b26f1b49e01d3cb4489d545a017251c1f00bc991acaa05d0e1c46df51ec8"
        );
    }

    #[test]
    fn the_session_token_is_signed_too() {
        let token = "AQoDYXdzEPT//////////wEXAMPLE";
        let headers = signed(
            "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Feu.amazon.nova-pro-v1%3A0/converse-stream",
            "eu-west-1",
            Some(token),
        );
        assert_eq!(headers["x-amz-security-token"], token);
        assert_eq!(
            headers["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/bedrock/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, \
             Signature=6af6ee8ff15d4e3d5d7a7c13d9b1f800e81bf71658ffee2743bb1e184a079bab"
        );
        for name in ["authorization", "x-amz-security-token"] {
            assert!(headers[name].is_sensitive(), "{name}");
        }
    }

    #[test]
    fn a_key_pair_is_one_text() {
        let read = |text| KeyPair::read(text).map(|pair| (pair.id, pair.secret, pair.token));
        let pair =
            |token: Option<&str>| Some(("ID".to_owned(), "SECRET".to_owned(), token.map(str::to_owned)));
        assert_eq!(read(" ID:SECRET\n"), pair(None));
        assert_eq!(read("ID:SECRET:"), pair(None));
        assert_eq!(read("ID:SECRET:A:B"), pair(Some("A:B")));
        for none in ["", "ID", "ID:", ":SECRET"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
