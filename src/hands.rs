//! What a session can do to a cluster: what a [`Writer`] can, or nothing at all.

use crate::{
    act::Writer,
    engine::{Plan, Probe},
    guard::{Approved, Grant},
    journal,
    model::{Id, Text},
    object::Resource,
    state::Effect,
};

/// What a session can do to a cluster. A watch session has [`NoHands`].
pub trait Hands {
    /// Permission for the guard to approve plans, where there is a writer.
    fn grant(&self) -> Option<Grant>;
    fn rehearse(&self, card: u64, plan: Plan, root: &'static Resource, probes: Vec<Probe>);
    fn carry_out(&self, card: u64, approved: Approved<Plan>);
    fn journal(&self, card: Option<u64>, rollout: Option<Id>, event: journal::Event);
    fn known_as(&self, user: &Text);
    /// The lease of an armed rollout goes back.
    fn let_go(&self, rollout: &Id);

    /// Does what hands are for, and gives back the rest.
    fn take(&self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Rehearse { card, plan, root, probes } => self.rehearse(card, *plan, root, probes),
            Effect::Act { card, approved } => self.carry_out(card, *approved),
            Effect::Journal { card, rollout, event } => self.journal(card, rollout, *event),
            Effect::LetGo { rollout } => self.let_go(&rollout),
            other => return Some(other),
        }
        None
    }
}

impl Hands for Writer {
    fn grant(&self) -> Option<Grant> {
        Some(Grant::from_writer(self))
    }

    fn rehearse(&self, card: u64, plan: Plan, root: &'static Resource, probes: Vec<Probe>) {
        Self::rehearse(self, card, plan, root, probes);
    }

    fn carry_out(&self, card: u64, approved: Approved<Plan>) {
        Self::carry_out(self, card, approved);
    }

    /// Off the loop: a disk that hangs must not freeze the screen.
    fn journal(&self, card: Option<u64>, rollout: Option<Id>, event: journal::Event) {
        let (journal, record) = (Writer::journal(self).clone(), self.record(card, rollout, event));
        tokio::task::spawn_blocking(move || {
            if let Err(error) = journal.note(&record) {
                tracing::error!(%error, "the journal does not take a line");
            }
        });
    }

    fn known_as(&self, user: &Text) {
        Self::known_as(self, user.clone());
    }

    fn let_go(&self, rollout: &Id) {
        Self::let_go(self, rollout);
    }
}

/// The hands of `rolltop watch`: none. There is nothing here that could write.
pub struct NoHands;

impl Hands for NoHands {
    fn grant(&self) -> Option<Grant> {
        None
    }
    fn rehearse(&self, _: u64, _: Plan, _: &'static Resource, _: Vec<Probe>) {}
    fn carry_out(&self, _: u64, _: Approved<Plan>) {}
    fn journal(&self, _: Option<u64>, _: Option<Id>, _: journal::Event) {}
    fn known_as(&self, _: &Text) {}
    fn let_go(&self, _: &Id) {}
}
