//! Faults on request.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use crate::demo::world::World;

#[derive(Default)]
pub struct Faults;

/// May delay a request, never answer it, drop its connection or answer otherwise.
pub async fn intercept(State(_world): State<Arc<World>>, request: Request, next: Next) -> Response {
    next.run(request).await
}
