//! What a client may send at all. Reading is a property of the client, not of the code that uses it.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response, header::UPGRADE};
use kube::client::Body;
use tower::{BoxError, Service};

use super::{
    path::{self, OneService},
    wire::Wire,
};

/// A request that a client is not made for. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused: {0}")]
pub struct Refused(pub String);

/// No answer came in time. What was asked may have happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {}", humantime::format_duration(*.0))]
pub struct NoAnswer(pub Duration);

/// Which requests pass.
#[derive(Debug, Clone)]
pub enum Gate {
    /// Reading, and asking about oneself.
    ReadOnly,
    /// GET below the proxy of one service.
    Service(OneService),
    /// Everything, with a time-out for the head of the answer.
    Open(Duration),
}

impl Gate {
    fn check(&self, request: &Request<Body>) -> Result<(), Refused> {
        let (method, path, upgrade) = (request.method(), request.uri().path(), request.headers().contains_key(UPGRADE));
        match self {
            Self::ReadOnly => path::reads_only(method, path, upgrade),
            Self::Service(service) => path::within_service(method, path, upgrade, service),
            Self::Open(_) => Ok(()),
        }
        .map_err(Refused)
    }
}

/// A client that passes the gate or fails before any byte is sent.
pub fn client(wire: Wire, gate: Gate, namespace: &str) -> kube::Client {
    kube::Client::new(Gated { wire, gate }, namespace)
}

#[derive(Clone)]
struct Gated {
    wire: Wire,
    gate: Gate,
}

impl Service<Request<Body>> for Gated {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Err(refused) = self.gate.check(&request) {
            return Box::pin(async move { Err(refused.into()) });
        }
        let wire = self.wire.clone();
        let patience = if let Gate::Open(patience) = self.gate { Some(patience) } else { None };
        Box::pin(async move {
            let sending = wire.send(request);
            match patience {
                None => Ok(sending.await?),
                Some(patience) => Ok(tokio::time::timeout(patience, sending).await.map_err(|_| NoAnswer(patience))??),
            }
        })
    }
}
