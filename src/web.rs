//! What our HTTP clients have in common: Prometheus, the servers of feature flags, and those that tell people.

use reqwest::{Certificate, Url};

/// How rolltop names itself.
pub const AGENT: &str = concat!("rolltop/", env!("CARGO_PKG_VERSION"));

/// The authorities of a PEM file, if it holds any certificate at all.
pub fn authorities(pem: &[u8]) -> Option<Vec<Certificate>> {
    Certificate::from_pem_bundle(pem).ok().filter(|found| !found.is_empty())
}

/// Whether what is sent to this host stays on the machine. IPv6 in brackets or without.
pub fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether this URL's server is this machine.
pub fn stays_here(url: &Url) -> bool {
    url.host_str().is_some_and(is_local)
}

/// The innermost reason: those around it only repeat the address.
pub fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
