//! Whether the way to the API server leads through a proxy.
//!
//! Our own decision: kube 5.0 compares `NO_PROXY` with the proxy's address instead of the cluster's, and
//! a trailing comma in it makes the whole configuration fail to load. The rules here are those of Go's
//! `httpproxy`, which kubectl uses.

use std::net::IpAddr;

use http::Uri;

use crate::web;

/// Chooses the proxy for `server`: the kubeconfig's `proxy-url` always, else the environment's unless
/// `NO_PROXY` names the server.
///
/// # Errors
/// The name of the setting and its value, when that is no address of a proxy.
pub fn decide(server: &Uri, configured: Option<&str>, env: impl Fn(&str) -> Option<String>) -> Result<Option<Uri>, (String, String)> {
    if let Some(url) = configured.map(str::trim).filter(|u| !u.is_empty()) {
        return parse(url).map(Some).ok_or_else(|| ("proxy-url".into(), url.into()));
    }
    let names = if server.scheme_str() == Some("http") { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
    let first = |names: &[&str]| names.iter().find_map(|n| env(n).filter(|v| !v.trim().is_empty()).map(|v| ((*n).to_owned(), v)));
    let Some((name, url)) = first(&names) else { return Ok(None) };
    let exempt = first(&["NO_PROXY", "no_proxy"]).map(|(_, v)| v).unwrap_or_default();
    if bypasses(server, &exempt) {
        return Ok(None);
    }
    parse(url.trim()).map(Some).ok_or((name, url))
}

/// `proxy:3128` means `http://proxy:3128`; `socks5h` is what kube's `socks5` does anyway.
fn parse(url: &str) -> Option<Uri> {
    let url = match url.split_once("://") {
        None => format!("http://{url}"),
        Some(("socks5h", rest)) => format!("socks5://{rest}"),
        Some(_) => url.to_owned(),
    };
    let uri: Uri = url.parse().ok()?;
    (uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https" | "socks5"))).then_some(uri)
}

/// Whether `NO_PROXY` (or being local) exempts the server.
fn bypasses(server: &Uri, list: &str) -> bool {
    let Some(host) = server.host() else { return false };
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
    let ip: Option<IpAddr> = host.parse().ok();
    if web::is_local(&host) {
        return true;
    }
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    list.split([',', ' ']).map(str::trim).filter(|e| !e.is_empty()).any(|entry| exempts(&entry.to_ascii_lowercase(), &host, ip, port))
}

fn exempts(entry: &str, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return ip.is_some_and(|ip| contains(network, bits, ip));
    }
    if let Ok(same) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return ip == Some(same);
    }
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, digits)) if digits.parse::<u16>().is_ok() => (name.trim_matches(['[', ']']), digits.parse().ok()),
        _ => (entry, None),
    };
    if wanted.is_some_and(|w: u16| w != port) {
        return false;
    }
    // `.example.com` and `*.example.com` mean what is below; `example.com` means itself as well.
    let below = name.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
    let is_below = host.strip_suffix(below).is_some_and(|front| front.ends_with('.'));
    !below.is_empty() && (is_below || (name == host || (!name.starts_with(['.', '*']) && below == host)))
}

fn contains(network: &str, bits: &str, ip: IpAddr) -> bool {
    let (Ok(network), Ok(bits)) = (network.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    match (network, ip) {
        (IpAddr::V4(n), IpAddr::V4(ip)) if bits <= 32 => shared(n.to_bits().into(), ip.to_bits().into(), 32 - bits),
        (IpAddr::V6(n), IpAddr::V6(ip)) if bits <= 128 => shared(n.to_bits(), ip.to_bits(), 128 - bits),
        _ => false,
    }
}

fn shared(a: u128, b: u128, ignored: u32) -> bool {
    a.checked_shr(ignored).unwrap_or(0) == b.checked_shr(ignored).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, no_proxy: &str) -> Option<String> {
        let env = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://proxy.corp:3128".to_owned()),
            "NO_PROXY" => Some(no_proxy.to_owned()),
            _ => None,
        };
        decide(&server.parse().unwrap(), None, env).unwrap().map(|u| u.to_string())
    }

    #[test]
    fn no_proxy_is_about_the_server() {
        const API: &str = "https://api.internal.example:6443";
        for (server, list, direct) in [
            (API, "", false),
            (API, "api.internal.example", true),
            (API, "localhost,", false),
            (API, "localhost,api.internal.example,", true),
            (API, " , internal.example ", true),
            (API, ".internal.example", true),
            (API, "*.internal.example", true),
            (API, "API.Internal.Example", true),
            (API, "api.internal.example:6443", true),
            (API, "api.internal.example:443", false),
            (API, "ternal.example", false),
            (API, ".api.internal.example", false),
            (API, "proxy.corp", false),
            (API, "*", true),
            (API, "localhost,*", true),
            (API, "not a cidr/99", false),
            ("https://10.1.2.3:6443", "10.0.0.0/8", true),
            ("https://11.1.2.3:6443", "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "10.1.2.3", true),
            ("https://10.1.2.3:6443", "0.0.0.0/0", true),
            ("https://[fd00::1]:6443", "fd00::/8", true),
            ("https://[fd00::1]:6443", "fd00::1", true),
            ("https://[fe80::1]:6443", "fd00::/8", false),
            ("https://127.0.0.1:6443", "", true),
            ("https://localhost:6443", "", true),
        ] {
            assert_eq!(chosen(server, list).is_none(), direct, "{server} with NO_PROXY={list:?}");
        }
    }

    #[test]
    fn where_the_proxy_comes_from() {
        let server: Uri = "https://api:6443".parse().unwrap();
        let none = |_: &str| None;
        let all = |_: &str| Some("*".to_owned());
        assert_eq!(decide(&server, Some("proxy:3128"), none), Ok(Some("http://proxy:3128".parse().unwrap())));
        assert_eq!(
            decide(&server, Some("socks5h://p:1"), all),
            Ok(Some("socks5://p:1".parse().unwrap())),
            "the kubeconfig's own proxy knows no exception"
        );
        assert_eq!(decide(&server, Some(""), none), Ok(None));
        assert_eq!(decide(&server, Some("ftp://p"), none), Err(("proxy-url".into(), "ftp://p".into())));
        let broken = |name: &str| (name == "https_proxy").then(|| "::".to_owned());
        assert_eq!(decide(&server, None, broken), Err(("https_proxy".into(), "::".into())));
        let plain: Uri = "http://api:8080".parse().unwrap();
        let env = |name: &str| (name == "HTTP_PROXY").then(|| "http://p:1".to_owned());
        assert_eq!(decide(&plain, None, env), Ok(Some("http://p:1".parse().unwrap())));
        assert_eq!(decide(&server, None, env), Ok(None), "HTTP_PROXY is for http only");
    }
}
