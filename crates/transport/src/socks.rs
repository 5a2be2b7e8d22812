//! Sockets through a SOCKS5 proxy.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::connect::ConnectError;

/// Of a proxy whose address names none.
pub(super) const SOCKS_PORT: u16 = 1080;

/// Connects through the proxy. `socks5:` resolves names here and `socks5h:` at the proxy, as with curl.
#[derive(Clone)]
pub(super) struct Socks {
    tunnel: SocksV5<HttpConnector>,
    resolves_here: bool,
}

impl Socks {
    /// `None`: `proxy` is one of another kind.
    pub fn new(proxy: &Intercept, sockets: HttpConnector) -> Option<Self> {
        let resolves_here = match proxy.uri().scheme_str() {
            Some("socks5") => true,
            Some("socks5h") => false,
            _ => return None,
        };
        let address = Uri::builder()
            .scheme("http")
            .authority(match proxy.uri().port_u16() {
                Some(_) => proxy.uri().authority()?.as_str().to_owned(),
                None => format!("{}:{SOCKS_PORT}", proxy.uri().host()?),
            })
            .path_and_query("/")
            .build()
            .ok()?;
        let mut tunnel = SocksV5::new(address, sockets);
        if let Some((user, password)) = proxy.raw_auth() {
            tunnel = tunnel.with_auth(user.to_owned(), password.to_owned());
        }
        Some(Self { tunnel, resolves_here })
    }
}

impl Service<Uri> for Socks {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let Self { mut tunnel, resolves_here } = self.clone();
        Box::pin(async move {
            let address = if resolves_here { resolved(&address).await? } else { address };
            Ok(tunnel.call(address).await?)
        })
    }
}

/// `address` with an IP address in place of its host's name.
async fn resolved(address: &Uri) -> Result<Uri, ConnectError> {
    let host = address.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let standard = if address.scheme_str() == Some("https") { 443 } else { 80 };
    let port = address.port_u16().unwrap_or(standard);
    let first = tokio::net::lookup_host((host, port)).await?.next();
    let first = first.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let scheme = address.scheme_str().unwrap_or("http");
    Ok(Uri::builder().scheme(scheme).authority(first.to_string()).path_and_query("/").build()?)
}
