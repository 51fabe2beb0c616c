//! The tasks that send: one a channel, so that a slow one keeps nobody else waiting.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
};

use super::{
    channel::{Answer, Channel},
    outbox::{Entry, Lock, Outbox, Trouble},
    pace::{self, Bucket, Next},
    post,
    seen::Change,
};
use crate::{
    model::Text,
    msg::{Body, Msg},
};

/// Times that tests shorten.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// How often a channel looks into its folder: another rolltop may have put something in, or gone.
    pub look: Duration,
    /// A channel that fails for so long is not waited for: the next one is told.
    pub patience: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { look: Duration::from_secs(2), patience: Duration::from_secs(60) }
    }
}

/// What all tasks share.
struct Shared {
    channels: Vec<Channel>,
    outbox: Outbox,
    times: Times,
    troubles: Mutex<BTreeMap<usize, String>>,
    /// Something was put into the outbox.
    put: Vec<Notify>,
    /// Where the screen hears that somebody could not be told.
    tx: Option<mpsc::Sender<Msg>>,
}

/// The running tasks.
pub struct Sender {
    changes: mpsc::UnboundedSender<Vec<Change>>,
    closing: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Sender {
    /// Begins to send; what an earlier session left behind goes first.
    pub fn start(channels: Vec<Channel>, outbox: Outbox, times: Times, tx: Option<mpsc::Sender<Msg>>) -> Self {
        let (changes, noted) = mpsc::unbounded_channel();
        let (closing, closed) = watch::channel(false);
        let put = channels.iter().map(|_| Notify::new()).collect();
        let shared = Arc::new(Shared { channels, outbox, times, troubles: Mutex::default(), put, tx });
        let mut tasks = JoinSet::new();
        let sending: Vec<usize> = (0..shared.channels.len()).filter(|i| !shared.channels[*i].is_terminal()).collect();
        // The workers end once everything is noted.
        let (all_noted, ended) = watch::channel(false);
        tasks.spawn(note(shared.clone(), noted, all_noted));
        for index in sending {
            let (bucket, now) = (shared.channels[index].rate, crate::clock::now());
            let worker = Worker {
                shared: shared.clone(),
                index,
                lock: None,
                bucket: Bucket::new(bucket, now),
                throttled: false,
                failures: 0,
                failing_since: None,
            };
            tasks.spawn(worker.run(closed.clone(), ended.clone()));
        }
        Self { changes, closing, tasks }
    }

    pub fn note(&self, changes: Vec<Change>) {
        let _ = self.changes.send(changes);
    }

    /// Sends what waits without waiting for more, for as long as this; the rest stays for the next session.
    pub async fn close(self, patience: Duration) {
        let Self { changes, closing, mut tasks } = self;
        drop(changes);
        let _ = closing.send(true);
        let all = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(patience, all).await;
    }
}

/// Puts what is news into the outbox.
async fn note(shared: Arc<Shared>, mut noted: mpsc::UnboundedReceiver<Vec<Change>>, all_noted: watch::Sender<bool>) {
    while let Some(changes) = noted.recv().await {
        let at = shared.clone();
        let done = tokio::task::spawn_blocking(move || at.outbox.note(&changes, &at.channels, crate::clock::now())).await;
        match done {
            Ok(Ok(0)) => {}
            Ok(Ok(_)) => shared.put.iter().for_each(Notify::notify_one),
            Ok(Err(error)) => shared.say(usize::MAX, Some(format!("the outbox of notifications cannot be written: {error}"))).await,
            Err(_) => {}
        }
    }
    let _ = all_noted.send(true);
}

impl Shared {
    /// What is wrong with a channel, for the screen.
    async fn say(&self, index: usize, trouble: Option<String>) {
        let whole = {
            let Ok(mut all) = self.troubles.lock() else { return };
            let changed = match &trouble {
                Some(text) => all.insert(index, text.clone()).as_ref() != Some(text),
                None => all.remove(&index).is_some(),
            };
            if !changed {
                return;
            }
            all.values().cloned().collect::<Vec<_>>().join(" · ")
        };
        if let Some(text) = &trouble {
            tracing::warn!("somebody could not be told: {text}");
        }
        let untold = (!whole.is_empty()).then(|| Text::from(whole));
        if let Some(tx) = &self.tx {
            let _ = tx.send(Msg::now(Body::Untold(untold))).await;
        }
    }
}

struct Worker {
    shared: Arc<Shared>,
    index: usize,
    lock: Option<Lock>,
    bucket: Bucket,
    /// More was due than may be sent.
    throttled: bool,
    failures: u32,
    failing_since: Option<tokio::time::Instant>,
}

impl Worker {
    fn channel(&self) -> &Channel {
        &self.shared.channels[self.index]
    }

    async fn run(mut self, mut closed: watch::Receiver<bool>, mut ended: watch::Receiver<bool>) {
        let mut not_before = tokio::time::Instant::now();
        let look = self.shared.times.look;
        loop {
            let closing = *closed.borrow();
            if closing {
                let _ = ended.wait_for(|ended| *ended).await;
            }
            if self.lock.is_none() && !self.take_lock().await {
                if closing {
                    return;
                }
                self.rest(look, &mut closed).await;
                continue;
            }
            let wait = match self.next(closing).await {
                // What waits for another attempt stays for the next session.
                Next::Idle | Next::Wait(_) if closing => return,
                Next::Idle => look,
                Next::Wait(time) => time.min(look),
                Next::Send(_) if tokio::time::Instant::now() < not_before && closing => return,
                Next::Send(_) if tokio::time::Instant::now() < not_before => not_before - tokio::time::Instant::now(),
                Next::Send(entries) => {
                    let pause = self.send(entries).await;
                    not_before = tokio::time::Instant::now() + pause;
                    continue;
                }
            };
            self.rest(wait, &mut closed).await;
        }
    }

    /// Until there may be something to do.
    async fn rest(&self, wait: Duration, closed: &mut watch::Receiver<bool>) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.shared.put[self.index].notified() => {}
            _ = closed.changed(), if !*closed.borrow() => {}
        }
    }

    async fn take_lock(&mut self) -> bool {
        let (shared, index) = (self.shared.clone(), self.index);
        let looked = tokio::task::spawn_blocking(move || {
            let channel = &shared.channels[index];
            (shared.outbox.lock(channel), shared.outbox.trouble(channel))
        });
        let Ok((lock, trouble)) = looked.await else { return false };
        self.lock = lock;
        // Who sends knows better than what was written down; who does not has only that.
        if self.lock.is_none() {
            self.shared.say(self.index, trouble.map(|t| t.text)).await;
        }
        self.lock.is_some()
    }

    async fn next(&mut self, closing: bool) -> Next {
        let (shared, index) = (self.shared.clone(), self.index);
        let now = crate::clock::now();
        let waiting = tokio::task::spawn_blocking(move || shared.outbox.waiting(&shared.channels[index], now)).await;
        let mut entries = waiting.unwrap_or_default();
        if closing {
            // Nobody is here any more to wait for what else may come.
            entries.iter_mut().for_each(|e| e.due = e.due.min(now));
        }
        if self.failures > 0 {
            // No further message is spent on a channel that does not answer; what waits goes together.
            self.throttled |= entries.len() > 1;
        }
        pace::next(&entries, &mut self.bucket, &mut self.throttled, now)
    }

    /// One attempt; how long to leave the channel alone after it.
    async fn send(&mut self, entries: Vec<Entry>) -> Duration {
        let message = pace::message(entries.clone());
        // Marked before the request: whoever comes after a crash knows that it may have arrived.
        let begun = entries.iter().cloned().map(|e| Entry { sent_as: Some(message.id.clone()), unclear: true, ..e }).collect();
        if !self.store(begun).await {
            return pace::back_off(3, None, fastrand::f64());
        }
        match post::post(self.channel(), &message, crate::clock::now()).await {
            Answer::Taken(said) => {
                tracing::info!(channel = %self.channel().name, events = message.events.len(), %said, "told");
                self.forget(entries).await;
                self.recovered().await;
                Duration::ZERO
            }
            Answer::Refused(why) => {
                let raised = self.raise(&entries, &why).await;
                self.forget(entries).await;
                self.trouble(&why, &raised).await;
                Duration::ZERO
            }
            Answer::Later { why, after } => {
                self.failures += 1;
                let since = *self.failing_since.get_or_insert_with(tokio::time::Instant::now);
                let pause = pace::back_off(self.failures, after, fastrand::f64());
                let late = since.elapsed() + pause >= self.shared.times.patience;
                let fresh: Vec<Entry> = entries.iter().filter(|e| late && !e.raised).cloned().collect();
                let raised = self.raise(&fresh, &why).await;
                // An answer came, and it was no: only silence leaves it open whether it arrived.
                let silent = !why.starts_with(|c: char| c.is_ascii_digit());
                let kept = entries.into_iter().map(|e| Entry {
                    sent_as: Some(message.id.clone()),
                    unclear: e.unclear || silent,
                    raised: e.raised || late,
                    ..e
                });
                self.store(kept.collect()).await;
                self.trouble(&format!("{why}, tried again"), &raised).await;
                pause
            }
        }
    }

    /// Hands entries to the next channel that would not have told them anyway.
    async fn raise(&self, entries: &[Entry], why: &str) -> Vec<String> {
        let channels = &self.shared.channels;
        let mut told = Vec::new();
        let mut handed = Vec::new();
        for entry in entries {
            let failed = |c: &Channel| entry.instead.iter().any(|f| f.starts_with(&c.label()));
            let others = (1..channels.len()).map(|i| (self.index + i) % channels.len());
            let next = others
                .map(|i| (i, &channels[i]))
                .find(|(_, c)| !c.is_terminal() && !failed(c) && c.covers(&entry.event) && !c.wants(&entry.event));
            let Some((index, channel)) = next else { continue };
            let mut copy = Entry::new(&entry.event, channel, crate::clock::now());
            copy.instead = entry.instead.iter().cloned().chain([format!("{}: {why}", self.channel().label())]).collect();
            handed.push((index, copy));
            if !told.contains(&channel.name) {
                told.push(channel.name.clone());
            }
        }
        let shared = self.shared.clone();
        let _ = tokio::task::spawn_blocking(move || {
            for (index, entry) in &handed {
                if let Err(error) = shared.outbox.put(&shared.channels[*index], entry) {
                    tracing::error!(%error, "the outbox does not take an entry");
                }
            }
            handed.iter().for_each(|(index, _)| shared.put[*index].notify_one());
        })
        .await;
        told
    }

    async fn trouble(&mut self, why: &str, raised: &[String]) {
        let instead = if raised.is_empty() { String::new() } else { format!("; {} told instead", raised.join(", ")) };
        let text = format!("{}: {why}{instead}", self.channel().label());
        self.write_trouble(Some(Trouble { at: crate::clock::now(), text: text.clone() })).await;
        self.shared.say(self.index, Some(text)).await;
    }

    async fn recovered(&mut self) {
        (self.failures, self.failing_since) = (0, None);
        self.write_trouble(None).await;
        self.shared.say(self.index, None).await;
    }

    async fn write_trouble(&self, trouble: Option<Trouble>) {
        let (shared, index) = (self.shared.clone(), self.index);
        let _ = tokio::task::spawn_blocking(move || shared.outbox.say(&shared.channels[index], trouble.as_ref())).await;
    }

    async fn store(&self, entries: Vec<Entry>) -> bool {
        let (shared, index) = (self.shared.clone(), self.index);
        let stored =
            tokio::task::spawn_blocking(move || entries.iter().try_for_each(|entry| shared.outbox.put(&shared.channels[index], entry)));
        matches!(stored.await, Ok(Ok(())))
    }

    async fn forget(&self, entries: Vec<Entry>) {
        let (shared, index) = (self.shared.clone(), self.index);
        let _ = tokio::task::spawn_blocking(move || {
            for entry in &entries {
                if let Err(error) = shared.outbox.remove(&shared.channels[index], entry) {
                    tracing::error!(%error, "an entry of the outbox cannot be taken away");
                }
            }
        })
        .await;
    }
}
