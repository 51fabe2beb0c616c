//! The socket under a router: a port on loopback that can close, open again, and cut every connection.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use futures::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A connection, as requests that came through it see it: `ConnectInfo<Connection>`.
#[derive(Clone, Default)]
pub struct Connection(Arc<Line>);

#[derive(Default)]
struct Line {
    cut: AtomicBool,
    waker: AtomicWaker,
}

impl Connection {
    /// Ends it at once, in the middle of whatever it carries.
    pub fn cut(&self) {
        self.0.cut();
    }
}

impl Line {
    fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn check(&self, cx: &Context<'_>) -> io::Result<()> {
        self.waker.register(cx.waker());
        if self.cut.load(Ordering::Acquire) { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

/// A running server. It ends when it is dropped.
pub struct Server {
    router: Router,
    address: SocketAddr,
    lines: Lines,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

type Lines = Arc<Mutex<Vec<Weak<Line>>>>;

impl Server {
    /// Serves on 127.0.0.1: on the wished port if it is free, else on any. Needs a tokio runtime.
    ///
    /// # Errors
    /// When no port can be had at all.
    pub async fn start(router: Router, wished: Option<u16>) -> io::Result<Self> {
        let listener = match TcpListener::bind((Ipv4Addr::LOCALHOST, wished.unwrap_or(0))).await {
            Ok(listener) => listener,
            Err(_) if wished.is_some() => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
            Err(error) => return Err(error),
        };
        let address = listener.local_addr()?;
        let server = Self { router, address, lines: Lines::default(), accepting: Mutex::default() };
        server.accept(listener);
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes the port and cuts every connection: connecting is refused from now on.
    pub async fn close(&self) {
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = accepting {
            task.abort();
            // The listener is gone only when its task is.
            let _ = task.await;
        }
        self.cut_all();
    }

    /// Opens the same port again after [`Server::close`].
    ///
    /// # Errors
    /// When somebody else has taken it.
    pub async fn open(&self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.accept(listener);
        Ok(())
    }

    /// Cuts every connection. New ones are welcome.
    pub fn cut_all(&self) {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        lines.iter().filter_map(Weak::upgrade).for_each(|line| line.cut());
    }

    fn accept(&self, listener: TcpListener) {
        let listener = Door { listener, lines: self.lines.clone() };
        let service = self.router.clone().into_make_service_with_connect_info::<Connection>();
        let task = tokio::spawn(async move { drop(axum::serve(listener, service).await) });
        let before = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(task) = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        self.cut_all();
    }
}

struct Door {
    listener: TcpListener,
    lines: Lines,
}

impl Listener for Door {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    // Watch events are small and must not wait for each other.
                    let _ = stream.set_nodelay(true);
                    let line = Arc::new(Line::default());
                    let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
                    lines.retain(|line| line.strong_count() > 0);
                    lines.push(Arc::downgrade(&line));
                    return (Wire { stream, line }, from);
                }
                // Out of file descriptors or the like: it passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl Connected<IncomingStream<'_, Door>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        Self(stream.io().line.clone())
    }
}

/// A stream that can be cut from outside. Reading and writing happen in one task, therefore one waker is enough.
struct Wire {
    stream: TcpStream,
    line: Arc<Line>,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.line.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.line.check(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, parts: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.line.check(cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::{body::Body, routing};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn serve(wished: Option<u16>) -> Server {
        let endless = || async { Body::from_stream(futures::stream::pending::<io::Result<bytes::Bytes>>()) };
        Server::start(Router::new().route("/", routing::get(endless)), wished).await.unwrap()
    }

    /// Asks and reads the head of the answer, which then goes on for ever.
    async fn open_stream(server: &Server) -> TcpStream {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut head = [0; 512];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        stream
    }

    #[tokio::test]
    async fn closes_refuses_and_opens_again() {
        let server = serve(None).await;
        let mut stream = open_stream(&server).await;
        server.close().await;
        assert!(matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
        assert!(TcpStream::connect(server.address()).await.is_err());
        server.open().await.unwrap();
        drop(open_stream(&server).await);
    }

    #[tokio::test]
    async fn cutting_leaves_the_door_open() {
        let server = serve(None).await;
        let mut stream = open_stream(&server).await;
        server.cut_all();
        assert!(matches!(stream.read(&mut [0; 16]).await, Ok(0) | Err(_)));
        drop(open_stream(&server).await);
    }

    #[tokio::test]
    async fn a_port_in_use_is_avoided() {
        let first = serve(None).await;
        let second = serve(Some(first.address().port())).await;
        assert_ne!(first.address(), second.address());
        drop(open_stream(&second).await);
    }
}
