//! The cluster's network in one proxy: the API server dials pods through its socket, and Flagger Services through its port.
//!
//! Pods run nothing, so a connection to a pod's port ends at that port on loopback: whoever wants to play a pod listens
//! there, and a Service that leads to it has that port as its target port.

use std::io::{Error, Result};
use std::path::Path;
use std::thread::JoinHandle;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::oneshot;

use super::api::Api;

/// More than any head of a request here.
const LONGEST_HEAD: usize = 16 * 1024;

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Stream for T {}

/// On a thread of its own, as the exporter: it outlives the runtime of the test that happened to start it.
pub struct Network {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Network {
    pub fn start(port: u16, socket: &Path, kube: kube::Config) -> color_eyre::eyre::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        let pods = std::os::unix::net::UnixListener::bind(socket)?;
        listener.set_nonblocking(true)?;
        pods.set_nonblocking(true)?;
        let thread = std::thread::Builder::new().name("network".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => (),
                    () = serve(listener, pods, kube) => (),
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: std::net::TcpListener, pods: std::os::unix::net::UnixListener, kube: kube::Config) {
    let listener = TcpListener::from_std(listener).expect("a listener that does not block");
    let pods = UnixListener::from_std(pods).expect("a listener that does not block");
    let api = Api::new(kube::Client::try_from(kube).expect("a client from a good configuration"));
    loop {
        let api = api.clone();
        tokio::select! {
            Ok((client, _)) = listener.accept() => drop(tokio::spawn(async move { forward(client, &api).await })),
            Ok((client, _)) = pods.accept() => drop(tokio::spawn(async move { forward(client, &api).await })),
        }
    }
}

async fn forward(mut client: impl Stream, api: &Api) -> Result<()> {
    let (head, rest) = head(&mut client).await?;
    let mut words = head.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let answer = match method {
        "CONNECT" => tunnel(&mut client, target, &rest).await,
        _ => request(&mut client, api, &head, target, &rest).await,
    };
    if let Err(error) = answer {
        let text = error.to_string();
        let refusal = format!("HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        client.write_all(refusal.as_bytes()).await?;
    }
    Ok(())
}

/// The head of a request, and what of its body came along.
async fn head(client: &mut impl Stream) -> Result<(String, Vec<u8>)> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&read).into_owned(), rest));
        }
        if client.read_buf(&mut read).await? == 0 || read.len() > LONGEST_HEAD {
            return Err(Error::other("no request"));
        }
    }
}

async fn tunnel(client: &mut impl Stream, target: &str, rest: &[u8]) -> Result<()> {
    let mut pod = dial(target.rsplit_once(':').and_then(|(_, port)| port.parse().ok())).await?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    pod.write_all(rest).await?;
    // From here on whatever breaks is between the two.
    let _ = tokio::io::copy_bidirectional(client, &mut pod).await;
    Ok(())
}

/// `POST http://flagger-loadtester.test/gate/check HTTP/1.1`: a request to a Service, which a proxy must send on.
async fn request(client: &mut impl Stream, api: &Api, head: &str, target: &str, rest: &[u8]) -> Result<()> {
    let url = target.parse::<http::Uri>().map_err(Error::other)?;
    let host = url.host().unwrap_or_default();
    let mut pod = dial(target_port(api, host, url.port_u16().unwrap_or(80)).await).await?;
    let path = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    // One request a connection: the next may be for another Service.
    let head = head.replacen(target, path, 1).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    pod.write_all(head.as_bytes()).await?;
    pod.write_all(rest).await?;
    let _ = tokio::io::copy_bidirectional(client, &mut pod).await;
    Ok(())
}

async fn dial(port: Option<u16>) -> Result<TcpStream> {
    TcpStream::connect(("127.0.0.1", port.ok_or_else(|| Error::other("no such Service"))?)).await
}

/// What cluster DNS and the Service would lead to: `NAME.NAMESPACE`, with or without `.svc.cluster.local`.
async fn target_port(api: &Api, host: &str, port: u16) -> Option<u16> {
    let mut labels = host.split('.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    let service = api.get(&format!("/api/v1/namespaces/{namespace}/services/{name}")).await.ok()?;
    let found = service["spec"]["ports"].as_array()?.iter().find(|p| p["port"] == port)?;
    found["targetPort"].as_u64().or(found["port"].as_u64())?.try_into().ok()
}
