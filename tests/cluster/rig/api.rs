//! Requests in plain JSON: the rig needs no types of the objects it handles.

use futures::Stream;
use http::{Method, Request};
use kube::core::WatchEvent;
use kube::{Client, Error};
use serde_json::Value;

type Result<T> = std::result::Result<T, Error>;

#[derive(Clone)]
pub struct Api {
    client: Client,
}

impl Api {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub async fn text(&self, path: &str) -> Result<String> {
        self.client.request_text(request(Method::GET, path, "", Vec::new())).await
    }

    pub async fn get(&self, path: &str) -> Result<Value> {
        self.client.request(request(Method::GET, path, "", Vec::new())).await
    }

    /// The items of a list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let list = self.get(path).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Creates an object in its collection.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        self.client.request(request(Method::POST, path, "application/json", body(object))).await
    }

    /// All changes of a collection from now on.
    pub async fn watch(&self, path: &str) -> Result<impl Stream<Item = Result<WatchEvent<Value>>> + use<>> {
        let mark = if path.contains('?') { '&' } else { '?' };
        self.client.request_events(request(Method::GET, &format!("{path}{mark}watch=1&timeoutSeconds=36000"), "", Vec::new())).await
    }

    /// A request that is no object's, as to a Service through the API server.
    pub async fn post(&self, path: &str, body_of: &Value) -> Result<String> {
        self.client.request_text(request(Method::POST, path, "application/json", body(body_of))).await
    }

    /// Creates what a YAML document describes.
    pub async fn create_yaml(&self, path: &str, document: &str) -> Result<()> {
        self.client.request_text(request(Method::POST, path, "application/yaml", document.into())).await.map(drop)
    }

    /// Server-side apply; the address follows from the object.
    pub async fn apply(&self, object: &Value) -> Result<Value> {
        let path = format!("{}?fieldManager=rig&force=true", path_of(object));
        self.client.request(request(Method::PATCH, &path, "application/apply-patch+yaml", body(object))).await
    }

    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        self.client.request(request(Method::PATCH, path, "application/merge-patch+json", body(patch))).await
    }

    pub async fn json_patch(&self, path: &str, patch: &Value) -> Result<Value> {
        self.client.request(request(Method::PATCH, path, "application/json-patch+json", body(patch))).await
    }

    pub async fn delete(&self, path: &str) -> Result<()> {
        self.client.request_text(request(Method::DELETE, path, "", Vec::new())).await.map(drop)
    }
}

/// Whether the server refused for lack of rights.
pub fn is_forbidden<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Api(status)) if status.code == 403)
}

/// Path of the collection, for example `/apis/apps/v1/namespaces/shop/replicasets`.
pub fn collection(api_version: &str, namespace: Option<&str>, plural: &str) -> String {
    let root = if api_version.contains('/') { "/apis" } else { "/api" };
    match namespace {
        Some(namespace) => format!("{root}/{api_version}/namespaces/{namespace}/{plural}"),
        None => format!("{root}/{api_version}/{plural}"),
    }
}

fn path_of(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default().to_lowercase();
    let vowel = |c: char| "aeiou".contains(c);
    let plural = match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(vowel) => format!("{stem}ies"),
        _ if kind.ends_with(['s', 'x']) => format!("{kind}es"),
        _ => format!("{kind}s"),
    };
    let collection = collection(text("/apiVersion").unwrap_or_default(), text("/metadata/namespace"), &plural);
    format!("{collection}/{}", text("/metadata/name").unwrap_or_default())
}

fn body(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn request(method: Method, path: &str, content_type: &str, body: Vec<u8>) -> Request<Vec<u8>> {
    let mut request = Request::builder().method(method).uri(path);
    if !content_type.is_empty() {
        request = request.header(http::header::CONTENT_TYPE, content_type);
    }
    request.body(body).expect("a well-formed request")
}
