//! The client behind all clients, replaced when credentials are renewed.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use kube::client::{AuthError, Body};
use tokio::{sync::Mutex, time::Instant};

use super::{
    Pace,
    connect::{Built, ConnectError, Recipe},
};
use crate::model::Time;

/// Credentials this close to their end are renewed first.
const MARGIN: Duration = Duration::from_secs(60);

/// Sends requests with credentials that are renewed when they end or are refused.
#[derive(Clone)]
pub struct Wire(Arc<Inner>);

struct Inner {
    recipe: Recipe,
    pace: Pace,
    current: RwLock<Current>,
    /// Held while renewing, so that many refused streams renew once. The time of the last attempt and its error.
    renewing: Mutex<Option<(Instant, Option<ConnectError>)>>,
}

#[derive(Clone)]
struct Current {
    client: kube::Client,
    expires: Option<Time>,
    generation: u64,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    pub fn new(recipe: Recipe, built: Built, pace: Pace) -> Self {
        let current = RwLock::new(Current { client: built.client, expires: built.expires, generation: 0 });
        Self(Arc::new(Inner { recipe, pace, current, renewing: Mutex::new(None) }))
    }

    /// Sends a request once. A GET whose credentials are refused is sent a second time if they could be
    /// renewed; nothing else is ever repeated.
    ///
    /// # Errors
    /// As [`kube::Client::send`]; [`kube::Error::Auth`] if credentials have ended and cannot be renewed,
    /// in which case nothing was sent.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, kube::Error> {
        let current = self.fresh().await?;
        let again = repeatable(&request);
        let answer = current.client.send(request).await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let Some(again) = again else {
            // Not to be repeated, and its sender waits for the answer: renew for the next one.
            let this = self.clone();
            tokio::spawn(async move { this.renew(current.generation).await });
            return Ok(answer);
        };
        match self.renew(current.generation).await {
            Ok(true) => self.current().client.send(again).await,
            Ok(false) => Ok(answer),
            Err(error) => Err(refused(&error)),
        }
    }

    fn current(&self) -> Current {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn fresh(&self) -> Result<Current, kube::Error> {
        let current = self.current();
        let Some(expires) = current.expires else { return Ok(current) };
        let left = (expires - chrono::Utc::now()).to_std().unwrap_or_default();
        if left > MARGIN {
            return Ok(current);
        }
        match self.renew(current.generation).await {
            Err(error) if left.is_zero() => Err(refused(&error)),
            _ => Ok(self.current()),
        }
    }

    /// Makes the client anew unless somebody did since `seen`. False if it was tried a moment ago.
    async fn renew(&self, seen: u64) -> Result<bool, ConnectError> {
        let mut last = self.0.renewing.lock().await;
        if self.current().generation > seen {
            return Ok(true);
        }
        if let Some((at, error)) = &*last
            && at.elapsed() < self.0.pace.renew
        {
            return error.clone().map_or(Ok(false), Err);
        }
        let built = self.0.recipe.build().await;
        *last = Some((Instant::now(), built.as_ref().err().cloned()));
        let built = built?;
        let next = Current { client: built.client, expires: built.expires, generation: seen + 1 };
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(true)
    }
}

fn refused(error: &ConnectError) -> kube::Error {
    kube::Error::Auth(AuthError::AuthExec(error.to_string()))
}

fn repeatable(request: &Request<Body>) -> Option<Request<Body>> {
    if *request.method() != Method::GET {
        return None;
    }
    let mut copy = Request::new(Body::empty());
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}
