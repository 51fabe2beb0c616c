//! Leases of armed rollouts: kept up while the guard may act, given back when it may no longer.
//!
//! Nothing here decides: a lease is only held once an approved plan has taken it, and only this session's own are touched.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{Failure, Kind, Writer};
use crate::{
    guard::arming::{self, RENEWED, Word},
    model::{Id, Text},
    msg::{Body, Msg},
};

/// A renewal that takes longer has failed: the next one must come before the lease ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Leases this session holds, by the rollout's uid, each with the task that keeps it up.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<HashMap<Arc<str>, Lease>>>);

type Lease = (Id, tokio::task::AbortHandle);

impl Held {
    fn remove(&self, uid: &str) -> Option<Id> {
        let (id, task) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid)?;
        task.abort();
        Some(id)
    }

    fn all(&self) -> Vec<Id> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(|(id, _)| id.clone()).collect()
    }
}

impl Writer {
    /// Keeps a lease up that was just taken.
    pub(super) fn hold(&self, id: &Id) {
        self.held.remove(&id.uid);
        let task = tokio::spawn(self.clone().keep_up(id.clone())).abort_handle();
        let mut held = self.held.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(id.uid.clone(), (id.clone(), task));
    }

    async fn keep_up(self, id: Id) {
        loop {
            crate::clock::sleep(RENEWED).await;
            let write = arming::renewal(&id, &self.holder, crate::clock::now());
            let renewed = match tokio::time::timeout(PATIENCE, self.send(&id, &write, false)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(Failure { kind: Kind::Conflict, .. })) => Err("it is another's, or was used".into()),
                Ok(Err(Failure { kind: Kind::Refused, said })) => Err(said),
                // Nobody said no. Whether that lasts too long is for the reducer to see.
                Ok(Err(_)) | Err(_) => continue,
            };
            let lost = renewed.is_err();
            let uid = Text::from(&*id.uid);
            if self.tx.send(Msg::now(Body::Held { uid, renewed })).await.is_err() || lost {
                return;
            }
        }
    }

    /// No renewal any more: the lease was given back or used by a plan.
    pub(super) fn forget(&self, id: &Id) {
        self.held.remove(&id.uid);
    }

    /// Gives a lease back, if it is held. One that was used meanwhile stays so.
    pub fn let_go(&self, id: &Id) {
        let Some(id) = self.held.remove(&id.uid) else { return };
        let (this, flying) = (self.clone(), self.flying.clone());
        tokio::spawn(async move {
            let _flying = flying;
            let write = arming::ending(&id, &this.holder, Word::Disarmed);
            // One that was spent is not given back.
            if let Err(Failure { kind, said }) = this.send(&id, &write, false).await
                && kind != Kind::Conflict
            {
                tracing::warn!(%said, rollout = %id.path(), "the guard's lease could not be given back");
            }
        });
    }

    /// At the end of a session.
    pub fn let_all_go(&self) {
        self.held.all().iter().for_each(|id| self.let_go(id));
    }
}
