//! Logs of containers, as streams of lines for as long as somebody looks.
//!
//! A stream that ends is opened anew from its last line on: containers end, connections break, and the server closes what is
//! silent for long. What a container writes faster than can be read is left out, and counted.

use std::{collections::BTreeMap, time::Duration};

use http_body_util::BodyExt;
use tokio::{
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::{
    Backoff, Reader,
    hub::Closed,
    reader::{collection, query, segment},
    trouble::Trouble,
};
use crate::{
    model::{
        LinkState, Text, Time,
        log::{Container, Following, Line, News},
        moment,
    },
    msg::{Body, Msg},
    object::{Resource, kinds},
};

/// As the refusal names it.
pub static POD_LOG: Resource = Resource::new("", "v1", "Pod", "pods/log");

/// Lines from before somebody looked.
const TAIL: usize = 100;
/// The same of the run before a restart.
const TAIL_BEFORE: usize = 20;
/// Lines gather this long, so that a chatty container does not wake the screen for each.
const GATHER: Duration = Duration::from_millis(100);
/// Longest line that is kept, bytes.
const LONGEST: usize = 16 * 1024;
/// Most lines of one pod that go on at once.
const AT_ONCE: usize = 200;

/// What to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub container: Container,
    /// It runs not for the first time: what the run before wrote last is asked for, too.
    pub restarted: bool,
}

/// Follows whatever is wanted at the time, until `tx` is closed. The number is the epoch of the messages.
pub async fn follow_logs(reader: Reader, mut wanted: watch::Receiver<(u64, Vec<Wanted>)>, tx: mpsc::Sender<Msg>) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<(u64, Container), AbortHandle> = BTreeMap::new();
    loop {
        let (epoch, now) = wanted.borrow_and_update().clone();
        running.retain(|(of, container), task| {
            let stays = *of == epoch && now.iter().any(|w| w.container == *container);
            if !stays {
                task.abort();
            }
            stays
        });
        for Wanted { container, restarted } in now {
            running.entry((epoch, container.clone())).or_insert_with(|| {
                let follower = Follower { reader: reader.clone(), container, epoch, tx: tx.clone(), last: None };
                tasks.spawn(follower.run(restarted))
            });
        }
        while tasks.try_join_next().is_some() {}
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = tx.closed() => return,
        }
    }
}

struct Follower {
    reader: Reader,
    container: Container,
    epoch: u64,
    tx: mpsc::Sender<Msg>,
    /// Time of the last line that was passed on.
    last: Option<Time>,
}

/// Lines on their way.
#[derive(Default)]
struct Batch {
    lines: Vec<Line>,
    skipped: u64,
}

impl Batch {
    fn push(&mut self, line: Line) {
        if self.lines.len() >= AT_ONCE {
            self.skipped += self.lines.len() as u64;
            self.lines.clear();
        }
        self.lines.push(line);
    }
}

impl Follower {
    async fn run(mut self, restarted: bool) {
        if restarted && self.before().await.is_err() {
            return;
        }
        let mut backoff = Backoff::new(self.reader.pace());
        loop {
            let began = Instant::now();
            let Ok(end) = self.once().await else { return };
            backoff.settle(began.elapsed(), true);
            let wait = match end {
                None => backoff.next(fastrand::f64()),
                Some(trouble) => {
                    let gone = matches!(trouble.state, LinkState::CrdMissing { .. });
                    let forbidden = matches!(trouble.state, LinkState::Forbidden { .. });
                    let following = if gone { Following::Over } else { Following::Not { state: trouble.state, detail: trouble.detail } };
                    if self.tell(Batch::default(), Some(following)).await.is_err() || gone {
                        return;
                    }
                    if forbidden { self.reader.pace().forbidden } else { backoff.next(fastrand::f64()) }
                }
            };
            let mut nudges = self.reader.nudges();
            nudges.mark_unchanged();
            let _ = tokio::time::timeout(wait, nudges.changed()).await;
        }
    }

    /// What the run before the last restart wrote last. That there is nothing left of it is no news.
    async fn before(&mut self) -> Result<(), Closed> {
        let ask = self.reader.ask("get", Some(&POD_LOG), Some(&self.container.namespace));
        let path = self.path(&format!("previous=true&tailLines={TAIL_BEFORE}"));
        let Ok(answer) = self.reader.open(&path, &ask).await else { return Ok(()) };
        let Ok(bytes) = self.reader.collect(answer.into_body(), &ask).await else { return Ok(()) };
        let mut batch = Batch::default();
        bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| batch.push(self.line(line, true)));
        self.tell(batch, None).await
    }

    /// One stream from its head to its end; the trouble, if it was no ordinary end.
    async fn once(&mut self) -> Result<Option<Trouble>, Closed> {
        let from = match self.last {
            // Whole seconds: what is known already is left out below.
            Some(last) => format!("sinceTime={}", query(&last.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))),
            None => format!("tailLines={TAIL}"),
        };
        let (reader, namespace) = (self.reader.clone(), self.container.namespace.clone());
        let ask = reader.ask("get", Some(&POD_LOG), Some(&namespace));
        let mut body = match reader.open(&self.path(&format!("follow=true&{from}")), &ask).await {
            Ok(answer) => answer.into_body(),
            Err(trouble) => return Ok(Some(trouble)),
        };
        self.tell(Batch::default(), Some(Following::Live)).await?;
        let known = self.last;
        let (mut batch, mut rest) = (Batch::default(), Vec::new());
        let mut nudges = reader.nudges();
        nudges.mark_unchanged();
        let mut due = Instant::now();
        let end = loop {
            let silence = Instant::now() + reader.pace().silence;
            tokio::select! {
                frame = body.frame() => match frame {
                    None => break None,
                    Some(Err(error)) => break Some(Trouble::of_error(&error, ask.login)),
                    Some(Ok(frame)) => {
                        if batch.lines.is_empty() {
                            due = Instant::now() + GATHER;
                        }
                        let data = frame.into_data().unwrap_or_default();
                        reader.touch();
                        self.cut(&data, &mut rest, known, &mut batch);
                    }
                },
                () = tokio::time::sleep_until(due), if !batch.lines.is_empty() => self.tell(std::mem::take(&mut batch), None).await?,
                () = tokio::time::sleep_until(silence) => break None,
                _ = nudges.changed() => break None,
            }
        };
        self.tell(batch, None).await?;
        Ok(end)
    }

    /// Bytes as lines. The last may still grow; one without end is cut.
    fn cut(&mut self, data: &[u8], rest: &mut Vec<u8>, known: Option<Time>, batch: &mut Batch) {
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST.saturating_sub(rest.len());
            rest.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = self.line(rest, false);
                rest.clear();
                if line.at.is_none() || line.at > known {
                    self.last = line.at.or(self.last);
                    batch.push(line);
                }
            }
        }
    }

    fn line(&self, raw: &[u8], before: bool) -> Line {
        let raw = String::from_utf8_lossy(raw);
        let (at, text) = match raw.split_once(' ').map(|(stamp, text)| (moment(stamp), text)) {
            Some((Some(at), text)) => (Some(at), text),
            _ => (moment(raw.trim_end()), if moment(raw.trim_end()).is_some() { "" } else { &*raw }),
        };
        let plain = anstream::adapter::strip_str(text.trim_end()).to_string();
        Line { at, pod: self.container.pod.clone(), text: Text::clean(&plain), before }
    }

    fn path(&self, options: &str) -> String {
        let Container { namespace, pod, name } = &self.container;
        let pods = collection(&kinds::POD, Some(namespace));
        format!("{pods}/{}/log?container={}&timestamps=true&{options}", segment(pod), query(name))
    }

    async fn tell(&self, batch: Batch, following: Option<Following>) -> Result<(), Closed> {
        if batch.lines.is_empty() && following.is_none() {
            return Ok(());
        }
        let news = News { pod: self.container.pod.clone(), lines: batch.lines, skipped: batch.skipped, following };
        self.tx.send(Msg::of_epoch(self.epoch, Body::Log(Box::new(news)))).await.map_err(|_| Closed)
    }
}
