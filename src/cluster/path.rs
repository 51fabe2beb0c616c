//! What a request path of the API server means, taken apart the way the server takes it apart.

use http::Method;

/// Subresources that only tell something. `exec`, `attach`, `portforward` and `proxy` act, even by GET.
const TELLING: [&str; 3] = ["status", "scale", "log"];
/// The reviews of one's own rights and identity: POST by form, questions by nature.
const REVIEWS: [(&str, &str); 3] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
    ("authentication.k8s.io", "selfsubjectreviews"),
];

/// A path of the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiPath<'a> {
    /// A collection, an object or a subresource.
    Resource {
        group: &'a str,
        version: &'a str,
        namespace: Option<&'a str>,
        resource: &'a str,
        name: Option<&'a str>,
        subresource: Option<&'a str>,
    },
    /// `/version`, `/readyz`, discovery.
    Other,
}

impl<'a> ApiPath<'a> {
    /// `None` for anything that two readers could understand differently: escapes, dots, empty segments,
    /// and the long-gone `/watch/` and `/proxy/` forms.
    pub fn parse(path: &'a str) -> Option<Self> {
        let segments = segments(path)?;
        let (group, version, rest) = match *segments.as_slice() {
            ["api", version, ref rest @ ..] => ("", version, rest),
            ["apis", group, version, ref rest @ ..] => (group, version, rest),
            _ => return Some(Self::Other),
        };
        let at = |namespace, resource, name, subresource| Some(Self::Resource { group, version, namespace, resource, name, subresource });
        match *rest {
            [] => Some(Self::Other),
            ["watch" | "proxy", ..] => None,
            ["namespaces", name] => at(None, "namespaces", Some(name), None),
            ["namespaces", name, sub @ ("status" | "finalize")] => at(None, "namespaces", Some(name), Some(sub)),
            ["namespaces", ns, resource] => at(Some(ns), resource, None, None),
            ["namespaces", ns, resource, name] => at(Some(ns), resource, Some(name), None),
            ["namespaces", ns, resource, name, sub, ..] => at(Some(ns), resource, Some(name), Some(sub)),
            [resource] => at(None, resource, None, None),
            [resource, name] => at(None, resource, Some(name), None),
            [resource, name, sub, ..] => at(None, resource, Some(name), Some(sub)),
        }
    }
}

fn segments(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_prefix('/')?;
    let plain = |s: &&str| !s.is_empty() && *s != "." && *s != ".." && !s.contains(['%', '\\', ';']);
    let segments: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    segments.iter().all(plain).then_some(segments)
}

/// Whether a request can change nothing. The error says why not.
///
/// # Errors
/// One phrase, to be shown after "refused:".
pub fn reads_only(method: &Method, path: &str, upgrade: bool) -> Result<(), String> {
    if upgrade {
        return Err("it asks for a two-way connection".into());
    }
    let Some(parsed) = ApiPath::parse(path) else { return Err(format!("the path {path} can be read in two ways")) };
    match (method, parsed) {
        (&(Method::GET | Method::HEAD), ApiPath::Resource { subresource: Some(sub), .. }) if !TELLING.contains(&sub) => {
            Err(format!("{sub} can act, even when asked with {method}"))
        }
        (&(Method::GET | Method::HEAD), _) => Ok(()),
        (&Method::POST, ApiPath::Resource { group, version: "v1", namespace: None, resource, name: None, .. })
            if REVIEWS.contains(&(group, resource)) =>
        {
            Ok(())
        }
        _ => Err(format!("{method} {path} would write")),
    }
}

/// Whether a request reads below the proxy of one service, `scheme:` before and `:port` after its name included.
///
/// # Errors
/// One phrase, to be shown after "refused:".
pub fn within_service(method: &Method, path: &str, upgrade: bool, service: &OneService) -> Result<(), String> {
    if upgrade || method != Method::GET {
        return Err(format!("only GET may pass the proxy of {service}"));
    }
    let Some(segments) = segments(path) else { return Err(format!("the path {path} can be read in two ways")) };
    match *segments.as_slice() {
        ["api", "v1", "namespaces", ns, "services", name, "proxy", ..] if ns == service.namespace && service.is_called(name) => Ok(()),
        _ => Err(format!("{path} is not below the proxy of {service}")),
    }
}

/// The one service a proxy client may read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneService {
    pub namespace: String,
    pub service: String,
    pub port: String,
}

impl OneService {
    fn is_called(&self, name: &str) -> bool {
        let plain = name.strip_prefix("https:").or_else(|| name.strip_prefix("http:")).unwrap_or(name);
        plain.split_once(':').is_some_and(|(service, port)| service == self.service && port == self.port)
    }
}

impl std::fmt::Display for OneService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}:{}", self.namespace, self.service, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass() {
        for path in [
            "/version",
            "/readyz",
            "/apis",
            "/apis/argoproj.io/v1alpha1",
            "/api/v1/pods",
            "/api/v1/namespaces",
            "/api/v1/namespaces/proxy",
            "/api/v1/namespaces/proxy/pods",
            "/api/v1/namespaces/exec/pods/attach",
            "/api/v1/namespaces/a/pods/b/log",
            "/api/v1/namespaces/a/status",
            "/apis/argoproj.io/v1alpha1/namespaces/proxy/rollouts/exec/status",
        ] {
            assert_eq!(reads_only(&Method::GET, path, false), Ok(()), "{path}");
        }
        for path in [
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        ] {
            assert_eq!(reads_only(&Method::POST, path, false), Ok(()), "{path}");
        }
    }

    #[test]
    fn what_may_not() {
        for (method, path) in [
            (Method::GET, "/api/v1/namespaces/a/pods/b/exec"),
            (Method::GET, "/api/v1/namespaces/a/pods/b/attach"),
            (Method::GET, "/api/v1/namespaces/a/pods/b/portforward"),
            (Method::GET, "/api/v1/namespaces/a/pods/b/proxy/x"),
            (Method::GET, "/api/v1/namespaces/a/services/b/proxy"),
            (Method::GET, "/api/v1/nodes/n/proxy/run"),
            (Method::GET, "/api/v1/proxy/namespaces/a/services/b"),
            (Method::GET, "/api/v1/namespaces/a/pods/b/%65xec"),
            (Method::GET, "/api/v1/namespaces/a/pods/c/../b/exec"),
            (Method::GET, "/api/v1//namespaces/a/pods/b/exec"),
            (Method::PATCH, "/apis/apps/v1/namespaces/a/deployments/b"),
            (Method::DELETE, "/api/v1/namespaces/a/pods/b"),
            (Method::PUT, "/api/v1/namespaces/a/pods/b"),
            (Method::OPTIONS, "/version"),
            (Method::POST, "/api/v1/namespaces/a/pods"),
            (Method::POST, "/apis/authorization.k8s.io/v1/subjectaccessreviews"),
            (Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x"),
            (Method::POST, "/apis/evil.io/v1/selfsubjectaccessreviews"),
            (Method::POST, "/apis/authorization.k8s.io/v1/namespaces/a/selfsubjectaccessreviews"),
        ] {
            assert!(reads_only(&method, path, false).is_err(), "{method} {path}");
        }
        assert!(reads_only(&Method::GET, "/api/v1/namespaces/a/pods/b/log", true).is_err(), "an upgrade is never a read");
    }

    #[test]
    fn one_service_and_no_other() {
        let prom = OneService { namespace: "mon".into(), service: "prom".into(), port: "9090".into() };
        let ask = |method: Method, path: &str| within_service(&method, path, false, &prom);
        assert_eq!(ask(Method::GET, "/api/v1/namespaces/mon/services/prom:9090/proxy/api/v1/query"), Ok(()));
        assert_eq!(ask(Method::GET, "/api/v1/namespaces/mon/services/https:prom:9090/proxy/"), Ok(()));
        for path in [
            "/api/v1/namespaces/mon/services/prom:9091/proxy/",
            "/api/v1/namespaces/mon/services/other:9090/proxy/",
            "/api/v1/namespaces/x/services/prom:9090/proxy/",
            "/api/v1/namespaces/mon/services/prom:9090/proxy/../../../secrets",
            "/api/v1/namespaces/mon/services/prom:9090/proxy/%2e%2e/x",
            "/api/v1/namespaces/mon/services/prom:9090",
            "/api/v1/namespaces/mon/pods/prom:9090/proxy/",
            "/api/v1/secrets",
        ] {
            assert!(ask(Method::GET, path).is_err(), "{path}");
        }
        assert!(ask(Method::POST, "/api/v1/namespaces/mon/services/prom:9090/proxy/api/v1/query").is_err());
    }
}
