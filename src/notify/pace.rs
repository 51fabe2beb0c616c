//! How much is sent, and when after a failure. Pure.

use std::time::Duration;

use chrono::TimeDelta;

use crate::{
    model::Time,
    notify::{message::Message, outbox::Entry},
};

/// The longest a server can make us wait, and the longest we wait by ourselves.
const LONGEST_ASKED: Duration = Duration::from_secs(3_600);
const LONGEST: Duration = Duration::from_secs(300);

/// How long to wait after so many failures in a row; `jitter` from 0 to 1 keeps many rolltops apart.
pub fn back_off(failures: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    let own = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16))).min(LONGEST);
    let own = own.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
    match asked {
        // Never sooner than the server says.
        Some(asked) => asked.min(LONGEST_ASKED).max(own),
        None => own,
    }
}

/// Messages that may still be sent: as many as the rate says, and then one as each part of its time passes.
#[derive(Debug, Clone)]
pub struct Bucket {
    most: f64,
    a_second: f64,
    left: f64,
    at: Time,
}

impl Bucket {
    pub fn new((messages, time): (u32, Duration), now: Time) -> Self {
        let most = f64::from(messages.max(1));
        Self { most, a_second: most / time.as_secs_f64().max(0.001), left: most, at: now }
    }

    fn fill(&mut self, now: Time) {
        let passed = (now - self.at).to_std().unwrap_or_default().as_secs_f64();
        self.left = (self.left + passed * self.a_second).min(self.most);
        self.at = now;
    }

    /// How long until one may be sent.
    fn wait(&mut self, now: Time) -> Duration {
        self.fill(now);
        Duration::from_secs_f64(((1.0 - self.left) / self.a_second).max(0.0))
    }

    fn take(&mut self) {
        self.left -= 1.0;
    }
}

/// What a channel does next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Nothing waits.
    Idle,
    /// Nothing is due before this.
    Wait(Duration),
    /// These entries are one message.
    Send(Vec<Entry>),
}

/// Picks what to send of what waits. Events of one release go together; when more messages are due than may be sent, all of them do.
pub fn next(entries: &[Entry], bucket: &mut Bucket, throttled: &mut bool, now: Time) -> Next {
    let Some(first) = entries.iter().map(|e| e.due).min() else {
        *throttled = false;
        return Next::Idle;
    };
    if first > now {
        return Next::Wait((first - now).to_std().unwrap_or_default());
    }
    let wait = bucket.wait(now);
    if wait > Duration::ZERO {
        *throttled = true;
        return Next::Wait(wait);
    }
    bucket.take();
    let due = entries.iter().filter(|e| e.due <= now);
    if std::mem::take(throttled) {
        return Next::Send(due.cloned().collect());
    }
    // The loudest first, then the oldest; with it all that waits of the same release, due or not.
    let Some(lead) = due.min_by_key(|e| (std::cmp::Reverse(e.event.urgency), e.event.at)) else { return Next::Idle };
    Next::Send(entries.iter().filter(|e| e.event.id == lead.event.id).cloned().collect())
}

/// The message that some entries make.
pub fn message(mut entries: Vec<Entry>) -> Message {
    entries.sort_by(|a, b| (a.event.at, &a.id).cmp(&(b.event.at, &b.id)));
    let names: Vec<&str> = entries.iter().map(|e| e.id.as_str()).collect();
    let mut releases: Vec<_> = entries.iter().map(|e| &e.event.id).collect();
    releases.sort();
    releases.dedup();
    let folded = if releases.len() > 1 { releases.len() } else { 0 };
    // An entry knows the message it was first sent in: only then is another attempt the same message.
    let sent: Vec<_> = entries.iter().filter_map(|e| e.sent_as.clone()).collect();
    let id = sent.first().cloned().unwrap_or_else(|| super::long_hash(&names.join(" ")));
    let again = entries.iter().any(|e| e.unclear);
    let mut instead: Vec<String> = entries.iter().flat_map(|e| e.instead.iter().cloned()).collect();
    instead.sort();
    instead.dedup();
    let events = entries.into_iter().map(|e| e.event).collect();
    Message { id, events, instead, again, folded }
}

/// When an event may be sent: a little later, as others of its release may follow.
pub fn due(urgent: bool, group: Duration, now: Time) -> Time {
    let wait = if urgent { group.min(Duration::from_secs(1)) } else { group };
    now + TimeDelta::from_std(wait).unwrap_or_default()
}

#[cfg(test)]
mod tests;
