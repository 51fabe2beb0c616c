//! The API server's audit log: the judge of what a program really asked.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

/// A moment in the log.
#[derive(Debug, Clone, Copy)]
pub struct Mark(usize);

impl Audit {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Now; later reading can start here.
    pub fn mark(&self) -> Mark {
        Mark(fs::metadata(&self.path).map_or(0, |file| file.len() as usize))
    }

    /// All requests since `mark`, in the order they were logged: when answered, watches when they began.
    pub fn since(&self, mark: Mark) -> Entries {
        let log = fs::read(&self.path).unwrap_or_default();
        let lines = log.get(mark.0..).unwrap_or_default().split(|byte| *byte == b'\n');
        let entries = lines.filter_map(|line| serde_json::from_slice(line).ok()).filter_map(|event| Entry::new(&event));
        Entries(entries.collect())
    }

    pub fn all(&self) -> Entries {
        self.since(Mark(0))
    }
}

/// One request.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    /// The effective user: the impersonated one where there is one.
    pub user: String,
    pub verb: String,
    pub group: String,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// HTTP status.
    pub code: u64,
    pub uri: String,
    pub user_agent: String,
}

impl Entry {
    fn new(event: &Value) -> Option<Self> {
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let verb = text("/verb");
        let code = event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
        let (stage, subresource) = (text("/stage"), text("/objectRef/subresource"));
        // A watch that was granted is logged at both ends, and so is what a Service answers.
        if verb == "watch" && code == 200 && stage == "ResponseComplete" || subresource == "proxy" && stage == "ResponseStarted" {
            return None;
        }
        let impersonated = text("/impersonatedUser/username");
        Some(Self {
            user: if impersonated.is_empty() { text("/user/username") } else { impersonated },
            verb,
            group: text("/objectRef/apiGroup"),
            resource: text("/objectRef/resource"),
            subresource,
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            code,
            uri: text("/requestURI"),
            user_agent: text("/userAgent"),
        })
    }

    pub fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=")
    }

    /// Asks what oneself may do or who one is: a POST that stores nothing.
    pub fn is_review(&self) -> bool {
        ["authorization.k8s.io", "authentication.k8s.io"].contains(&self.group.as_str()) && self.verb == "create"
    }

    /// Asks a gate how it stands: a POST that changes nothing.
    pub fn is_check(&self) -> bool {
        self.subresource == "proxy" && self.uri.ends_with("/check")
    }

    pub fn is_write(&self) -> bool {
        let writes = ["create", "update", "patch", "delete", "deletecollection"];
        writes.contains(&self.verb.as_str()) && !self.is_review() && !self.is_dry_run() && !self.is_check()
    }
}

/// Requests to choose from.
#[derive(Debug, Clone, Default)]
pub struct Entries(pub Vec<Entry>);

impl Entries {
    pub fn by(self, user: &str) -> Self {
        self.only(|entry| entry.user == user)
    }

    pub fn verb(self, verb: &str) -> Self {
        self.only(|entry| entry.verb == verb)
    }

    pub fn resource(self, resource: &str) -> Self {
        self.only(|entry| entry.resource == resource)
    }

    pub fn namespace(self, namespace: &str) -> Self {
        self.only(|entry| entry.namespace == namespace)
    }

    /// Attempts to change something, refused ones too; no access reviews, no dry runs.
    pub fn writes(self) -> Self {
        self.only(Entry::is_write)
    }

    pub fn dry_runs(self) -> Self {
        self.only(Entry::is_dry_run)
    }

    pub fn only(mut self, keep: impl Fn(&Entry) -> bool) -> Self {
        self.0.retain(keep);
        self
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.0.iter()
    }
}
