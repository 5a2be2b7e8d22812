//! URLs of Redis, and their names without secrets.

use gateway_engine::state::StoreError;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Where Redis is.
#[derive(Debug, Clone)]
pub(super) struct Address {
    /// Scheme, hosts and database: what errors say.
    pub name: String,
    pub is_cluster: bool,
    /// One of them, or some nodes of a cluster.
    pub nodes: Vec<ConnectionInfo>,
}

const FORMS: &str = "write redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE], rediss:// for TLS, or redis+cluster:// and \
                     rediss+cluster:// with several HOST:PORT between commas; in a user name or password write signs such as \
                     @, : and / percent-encoded";

impl Address {
    /// Reads `redis://`, `rediss://`, `redis+cluster://` and `rediss+cluster://`. An error quotes no more than the scheme: in
    /// a URL that is malformed a password may stand anywhere.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(StoreError::failed(
                "state store",
                format!("the URL of Redis has no scheme; {FORMS}"),
            ));
        };
        let (node_scheme, is_cluster) = match scheme {
            "redis" | "rediss" => (scheme, false),
            "redis+cluster" => ("redis", true),
            "rediss+cluster" => ("rediss", true),
            _ => return Err(malformed("state store", "the scheme is not one of Redis")),
        };
        let shown = format!("{scheme}://…");
        if rest.contains('#') {
            return Err(malformed(&shown, "it has a `#`, which means nothing here (TLS is always verified)"));
        }
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        if hosts.contains(',') && !is_cluster {
            return Err(malformed(&shown, "it names several hosts, which only a cluster has"));
        }
        let nodes = hosts
            .split(',')
            .map(|host| format!("{node_scheme}://{user}{host}/{path}?{query}").into_connection_info())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| malformed(&shown, error.category()))?;
        let shown_hosts: Vec<_> = nodes.iter().map(|node| host_and_port(node.addr())).collect();
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        let name = format!("{scheme}://{}{path}", shown_hosts.join(","));
        Ok(Self { name, is_cluster, nodes })
    }

    /// Takes what is secret out of a text of the server's or of a library's.
    pub fn redact(&self, text: &str) -> String {
        let secrets = self.nodes.iter().filter_map(|node| node.redis_settings().password());
        secrets
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

fn malformed(shown: &str, what: &str) -> StoreError {
    StoreError::failed(shown, format!("this is not a URL of Redis: {what}; {FORMS}"))
}

fn host_and_port(address: &ConnectionAddr) -> String {
    let (host, port) = match address {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => (host, port),
        other => return other.to_string(),
    };
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_without_secrets() {
        for (url, name) in [
            ("redis://localhost", "redis://localhost:6379"),
            ("redis://user:p%40ss@10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
            ("rediss://:secret@cache.example.com:6380", "rediss://cache.example.com:6380"),
            ("redis://[::1]:7000", "redis://[::1]:7000"),
            ("redis+cluster://:secret@a:1,b:2,c", "redis+cluster://a:1,b:2,c:6379"),
            ("rediss+cluster://a:1", "rediss+cluster://a:1"),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.name, name);
            assert_eq!(address.is_cluster, url.contains("cluster"));
        }
    }

    #[test]
    fn user_password_and_database_are_read() {
        let address = Address::parse("redis+cluster://user:p%40s%2Fs@a:1,b:2/4").unwrap();
        assert_eq!(address.nodes.len(), 2);
        for node in &address.nodes {
            let settings = node.redis_settings();
            assert_eq!((settings.username(), settings.password()), (Some("user"), Some("p@s/s")));
            assert_eq!(settings.db(), 4);
        }
        assert_eq!(address.redact("no p@s/s here"), "no *** here");
    }

    #[test]
    fn what_is_malformed_is_refused_without_being_quoted() {
        for url in [
            "hunter2",
            "http://hunter2@host",
            "hunter2://host",
            "redis://user:hunter2/x@host:6379",
            "redis://user:12/hunter2@host:6379",
            "redis://:hunter2@",
            "redis://:hunter2@host:port",
            "redis://:hunter2@a:1,b:2",
            "redis://:hunter2@host/database",
            "rediss://:hunter2@host#insecure",
            "redis+cluster://:hunter2@a:1,,b:2",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
            assert!(error.to_string().contains("write redis://"), "{error}");
        }
    }
}
