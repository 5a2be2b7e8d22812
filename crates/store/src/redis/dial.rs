//! Connections to Redis: one server, or a cluster.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::RoutingInfo;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, RedisError, RedisResult, TlsCertificates,
    Value,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::address::Address;

/// Commands that wait for the connection's task to take them.
const WAITING_COMMANDS: usize = 1_024;

/// Shared by calls that are under way at once.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// `nodes`: which of a cluster's, where the command has no key that says so.
    pub async fn run(&self, command: &Cmd, nodes: Option<&RoutingInfo>) -> RedisResult<Value> {
        match (self, nodes) {
            (Self::One(connection), _) => command.query_async(&mut connection.clone()).await,
            (Self::Cluster(connection), None) => command.query_async(&mut connection.clone()).await,
            (Self::Cluster(connection), Some(nodes)) => {
                connection.clone().route_command(command.clone(), nodes.clone()).await?.extract_error()
            }
        }
    }
}

/// A connection, and what becomes of it.
pub(super) struct Line {
    pub connection: Connection,
    /// Ends when the server has closed the connection. Those of a cluster are the library's affair.
    pub closed: BoxFuture<'static, ()>,
    driver: Option<AbortHandle>,
}

impl Drop for Line {
    /// Calls that are under way on a line that was replaced are bounded in time; after that its socket is of no use.
    fn drop(&mut self) {
        let Some(driver) = self.driver.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                driver.abort();
            })),
            Err(_) => driver.abort(),
        }
    }
}

/// Makes connections to one address.
pub(super) enum Dialer {
    One {
        node: Box<ConnectionInfo>,
        tls: Option<Arc<ClientConfig>>,
    },
    /// Tried one after the other: the library trusts either the public authorities or those it is given.
    Cluster(Vec<ClusterClient>),
}

impl Dialer {
    /// `extra_roots`: certificates of further authorities, as PEM. `bound`: how long a command may take.
    pub fn new(address: &Address, extra_roots: Option<&[u8]>, bound: Duration) -> RedisResult<Self> {
        if address.is_cluster {
            let plain = cluster(address, None, bound)?;
            let extra = extra_roots.and_then(|roots| cluster(address, Some(roots), bound).ok());
            return Ok(Self::Cluster([Some(plain), extra].into_iter().flatten().collect()));
        }
        let [node] = address.nodes.as_slice() else {
            return Err(io::Error::other("one address").into());
        };
        let tls = match node.addr() {
            ConnectionAddr::TcpTls { .. } => Some(Arc::new(tls_config(extra_roots)?)),
            _ => None,
        };
        Ok(Self::One { node: Box::new(node.clone()), tls })
    }

    pub async fn dial(&self) -> RedisResult<Line> {
        match self {
            Self::One { node, tls } => one(node, tls.as_ref()).await,
            Self::Cluster(clients) => {
                let mut failure = None;
                for client in clients {
                    match client.get_async_connection().await {
                        Ok(connection) => {
                            let closed = futures::future::pending().boxed();
                            return Ok(Line {
                                connection: Connection::Cluster(connection),
                                closed,
                                driver: None,
                            });
                        }
                        Err(error) => failure = failure.or(Some(error)),
                    }
                }
                Err(failure.unwrap_or_else(|| io::Error::other("no node").into()))
            }
        }
    }
}

fn cluster(address: &Address, roots: Option<&[u8]>, bound: Duration) -> RedisResult<ClusterClient> {
    let builder = ClusterClient::builder(address.nodes.clone())
        .connection_timeout(2 * bound)
        .response_timeout(bound)
        // A node that moved a slot, or is being replaced, is found within the bound or not. The library repeats all commands
        // for that; a take whose reply was lost may so count twice, which lets less through and not more.
        .retries(3)
        .min_retry_wait(5)
        .max_retry_wait(40);
    match roots {
        Some(roots) => {
            builder.certs(TlsCertificates { client_tls: None, root_cert: Some(roots.to_vec()) }).build()
        }
        None => builder.build(),
    }
}

fn tls_config(extra_roots: Option<&[u8]>) -> RedisResult<ClientConfig> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in extra_roots.into_iter().flat_map(CertificateDer::pem_slice_iter) {
        // As everywhere: what cannot be read among extra certificates is passed over.
        let _ = certificate.map(|certificate| roots.add(certificate));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn one(node: &ConnectionInfo, tls: Option<&Arc<ClientConfig>>) -> RedisResult<Line> {
    let (ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }) = node.addr() else {
        return Err(
            io::Error::new(io::ErrorKind::Unsupported, "this kind of address is not supported").into()
        );
    };
    let socket = TcpStream::connect((host.as_str(), *port)).await?;
    socket.set_nodelay(true)?;
    match tls {
        None => over(node, socket).await,
        Some(config) => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            over(node, TlsConnector::from(config.clone()).connect(name, socket).await?).await
        }
    }
}

/// Logs in over a stream. The connection's task ends with the stream, and so tells at once that it was closed.
async fn over(
    node: &ConnectionInfo,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Line, RedisError> {
    // Calls bound their time themselves.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(WAITING_COMMANDS);
    let (connection, driver) =
        MultiplexedConnection::new_with_config(node.redis_settings(), stream, config).await?;
    let driver = tokio::spawn(driver);
    let abort = driver.abort_handle();
    let closed = driver.map(|_| ()).boxed();
    Ok(Line { connection: Connection::One(connection), closed, driver: Some(abort) })
}
