//! Opens connections to an address: directly or through a proxy, with or without TLS.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use rustls::ClientConfig;
use tower_service::Service;

use super::network::{NetworkSettings, Proxies};
use super::socks::Socks;

/// Responses can take minutes, and routers on the way drop connections that are silent for so long.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A connected socket: plain, with TLS or through a proxy.
pub(super) trait Io: hyper::rt::Read + hyper::rt::Write + Send + Unpin {}

impl<T: hyper::rt::Read + hyper::rt::Write + Send + Unpin> Io for T {}

pub(super) type ConnectError = Box<dyn Error + Send + Sync>;

/// What the request line has to name.
pub(super) enum Via {
    /// The server itself, or a tunnel to it: the path alone.
    Server,
    /// A proxy that reads the request: the full address, and the proxy's credentials.
    Proxy(Option<HeaderValue>),
}

#[derive(Clone)]
pub(super) struct Connector {
    sockets: HttpConnector,
    direct: HttpsConnector<HttpConnector>,
    tls: Arc<ClientConfig>,
    proxies: Option<Arc<Proxies>>,
}

impl Connector {
    pub fn new(network: &NetworkSettings) -> Result<Self, String> {
        let mut sockets = HttpConnector::new();
        sockets.enforce_http(false);
        sockets.set_nodelay(true);
        sockets.set_keepalive(Some(KEEP_ALIVE));
        let tls = network.tls()?;
        let direct = HttpsConnectorBuilder::new()
            .with_tls_config(tls.clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(sockets.clone());
        Ok(Self { sockets, direct, tls: Arc::new(tls), proxies: network.proxies()?.map(Arc::new) })
    }

    pub async fn connect(&self, address: &Uri) -> Result<Box<dyn Io>, ConnectError> {
        let mut direct = self.direct.clone();
        let Some(proxy) = self.proxy(address) else {
            return Ok(Box::new(direct.call(address.clone()).await?));
        };
        if let Some(mut socks) = Socks::new(&proxy, self.sockets.clone()) {
            if address.scheme_str() != Some("https") {
                return Ok(Box::new(socks.call(address.clone()).await?));
            }
            let mut secured = HttpsConnector::from((socks, self.tls.clone()));
            return Ok(Box::new(secured.call(address.clone()).await?));
        }
        if address.scheme_str() != Some("https") {
            return Ok(Box::new(direct.call(proxy.uri().clone()).await?));
        }
        let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let mut secured = HttpsConnector::from((tunnel, self.tls.clone()));
        Ok(Box::new(secured.call(address.clone()).await?))
    }

    pub fn via(&self, address: &Uri) -> Via {
        match self.proxy(address) {
            Some(proxy) if address.scheme_str() == Some("http") && !is_socks(&proxy) => {
                Via::Proxy(proxy.basic_auth().cloned())
            }
            _ => Via::Server,
        }
    }

    fn proxy(&self, address: &Uri) -> Option<Intercept> {
        self.proxies.as_ref()?.intercept(address)
    }
}

fn is_socks(proxy: &Intercept) -> bool {
    proxy.uri().scheme_str().is_some_and(|scheme| scheme.starts_with("socks"))
}
