//! `NO_PROXY`: which servers are reached without a proxy.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

/// The entries of `NO_PROXY`, as Node.js reads them, and networks (`10.0.0.0/8`).
#[derive(Debug, Default)]
pub(super) struct NoProxy(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    hosts: Hosts,
    /// `None`: each port.
    port: Option<u16>,
}

#[derive(Debug)]
enum Hosts {
    All,
    /// In lower case, an IPv6 address without its brackets.
    One(String),
    /// All whose names end in this, which begins with a dot.
    Below(String),
    Network(IpNet),
    /// From the first to the last, both included.
    Range(IpAddr, IpAddr),
}

impl NoProxy {
    /// Reads entries that commas or blanks separate.
    pub fn parse(list: &str) -> Self {
        let entries = list.split(|char: char| char == ',' || char.is_whitespace());
        Self(entries.filter(|entry| !entry.is_empty()).map(Entry::parse).collect())
    }

    /// Whether all servers are reached without a proxy.
    pub fn is_everything(&self) -> bool {
        self.0.iter().any(|entry| matches!(entry.hosts, Hosts::All) && entry.port.is_none())
    }

    pub fn contains(&self, address: &Uri) -> bool {
        let Some(host) = address.host() else { return false };
        let host = unbracketed(host);
        let standard = if address.scheme_str() == Some("https") { 443 } else { 80 };
        let port = address.port_u16().unwrap_or(standard);
        let ip: Option<IpAddr> = host.parse().ok();
        self.0.iter().any(|entry| {
            entry.port.is_none_or(|own| own == port)
                && match &entry.hosts {
                    Hosts::All => true,
                    Hosts::One(own) => {
                        own.eq_ignore_ascii_case(host) || (ip.is_some() && own.parse::<IpAddr>().ok() == ip)
                    }
                    Hosts::Below(end) => host.to_ascii_lowercase().ends_with(end.as_str()),
                    Hosts::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
                    Hosts::Range(first, last) => {
                        ip.is_some_and(|ip| ip.is_ipv4() == first.is_ipv4() && *first <= ip && ip <= *last)
                    }
                }
        })
    }
}

impl Entry {
    fn parse(entry: &str) -> Self {
        if let Ok(network) = entry.parse() {
            return Self { hosts: Hosts::Network(network), port: None };
        }
        // An IPv6 address without brackets has no port.
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if entry.parse::<IpAddr>().is_err() => match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => (entry, None),
            },
            _ => (entry, None),
        };
        let host = unbracketed(host).to_ascii_lowercase();
        let range = host
            .split_once('-')
            .and_then(|(first, last)| Some(Hosts::Range(first.parse().ok()?, last.parse().ok()?)));
        let hosts = match range {
            Some(range) => range,
            None if host == "*" => Hosts::All,
            None => match host.strip_prefix('*').unwrap_or(&host) {
                end if end.starts_with('.') => Hosts::Below(end.to_owned()),
                _ => Hosts::One(host),
            },
        };
        Self { hosts, port }
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_node_reads_them() {
        let exempt =
            |list: &str, address: &'static str| NoProxy::parse(list).contains(&Uri::from_static(address));
        for (list, address) in [
            ("a.test", "http://a.test/v1"),
            ("A.test", "http://a.TEST"),
            ("x.test,a.test:8080", "http://a.test:8080"),
            ("a.test:443", "https://a.test"),
            ("x.test a.test", "http://a.test"),
            ("*.a.test", "http://b.a.test"),
            (".a.test", "http://c.b.a.test"),
            ("*.a.test:80", "http://b.a.test"),
            ("[::1]", "http://[::1]:9000"),
            ("::1", "http://[::1]"),
            ("[::1]:9000", "http://[::1]:9000"),
            ("10.0.0.0/8", "http://10.1.2.3"),
            ("192.168.1.1-192.168.1.9", "http://192.168.1.5"),
            ("*", "https://10.1.2.3"),
        ] {
            assert!(exempt(list, address), "{list} {address}");
        }
        for (list, address) in [
            ("a.test", "http://b.a.test"),
            ("a.test:8080", "http://a.test"),
            (".a.test", "http://a.test"),
            ("*.a.test", "http://xa.test"),
            ("[::1]:9000", "http://[::1]:9001"),
            ("10.0.0.0/8", "http://11.1.2.3"),
            ("192.168.1.1-192.168.1.9", "http://192.168.1.10"),
            ("", "http://a.test"),
        ] {
            assert!(!exempt(list, address), "{list} {address}");
        }
        assert!(NoProxy::parse("a.test, *").is_everything());
    }
}
