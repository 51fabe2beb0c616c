//! The one event loop: keys and messages in, pictures and effects out.
//!
//! It awaits nothing but its one `select!`. Connections, queries and actions are tasks that send messages.

use std::{io, time::Duration};

use crossterm::event::EventStream;
use futures::StreamExt;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    hands::Hands,
    keys,
    model::Time,
    msg::{Body, Msg},
    session::{EVERYWHERE, Session},
    state::{Effect, Event, State, update, update::settle},
    term::Screen,
};

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Quit,
    /// SIGTERM or SIGINT.
    Asked,
    /// SIGHUP, or the terminal is gone.
    Gone,
    /// There is no rollout of the name that was given, and none else in its namespace.
    Nothing,
}

/// Pictures that may come at once after quiet, so that an isolated change does not wait for the one before it.
const AT_ONCE: u32 = 3;

/// How long quitting may wait for messages to people; what is left is sent by the next session.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Messages taken in before keys are looked at again.
const FOLD: usize = 256;

/// Time after which a rollout named on the command line is opened though not all lists are there.
const ALL_LISTED: Duration = Duration::from_secs(3);

/// Time between pictures while much happens: a slow link gets fewer.
fn pace() -> Duration {
    let remote = std::env::var_os("SSH_CONNECTION").is_some() || std::env::var_os("SSH_TTY").is_some();
    Duration::from_millis(if remote { 250 } else { 100 })
}

struct Loop<'a, H> {
    state: State,
    session: Session,
    screen: Screen,
    hands: &'a H,
    /// Rollout to open as soon as it is seen: `NS/NAME` or `NAME`.
    open: Option<String>,
    began: Instant,
    dirty: bool,
    /// When the picture changes by time alone.
    next: Option<Time>,
    /// When the next picture would be due were all of them spaced evenly.
    due: Instant,
    pace: Duration,
    end: Option<End>,
}

/// Draws and acts until the person quits, is gone, or the process is asked to end.
///
/// # Errors
/// When the terminal cannot be taken.
pub async fn run<H: Hands>(mut state: State, session: Session, hands: &H, open: Option<String>) -> io::Result<End> {
    state.grant = hands.grant().map(std::sync::Arc::new);
    let screen = Screen::enter(state.settings.mouse)?;
    state.view.size = crossterm::terminal::size()?;
    let pace = pace();
    let now = Instant::now();
    let mut this = Loop { state, session, screen, hands, open, began: now, dirty: true, next: None, due: now, pace, end: None };
    let end = this.turn().await;
    let Loop { screen, session, .. } = this;
    // The terminal is given back before the last messages are sent.
    drop(screen);
    session.notifier.close(LAST_WORDS).await;
    end
}

impl<H: Hands> Loop<'_, H> {
    async fn turn(&mut self) -> io::Result<End> {
        let mut keyboard = EventStream::new();
        let mut signals = signals()?;
        while self.end.is_none() {
            if self.dirty
                && Instant::now() >= self.ready()
                && let Err(end) = self.draw()
            {
                return Ok(end);
            }
            let wake = self.wake();
            tokio::select! {
                biased;
                Some(signal) = signals.recv() => self.signal(signal),
                input = keyboard.next() => self.input(input),
                msg = self.session.rx.recv(), if !self.holds() => self.messages(msg),
                () = tokio::time::sleep_until(wake) => self.event(Event::Tick),
            }
        }
        Ok(self.end.unwrap_or(End::Quit))
    }

    /// From when on a picture may be drawn.
    fn ready(&self) -> Instant {
        self.due - self.pace * (AT_ONCE - 1)
    }

    /// Until the next picture messages may gather: a wake for each costs more than what it says.
    fn holds(&self) -> bool {
        self.dirty && Instant::now() < self.ready() && self.session.rx.len() < FOLD
    }

    /// When to wake if nobody calls: for a picture held back, or one that time alone changes.
    fn wake(&self) -> Instant {
        if self.dirty {
            return self.ready();
        }
        let now = crate::clock::now();
        let waits = !self.state.arms.is_empty() || !self.state.recoveries.is_empty();
        let busy =
            waits || self.state.card.is_some() || self.state.note.is_some() || self.state.rollouts.values().any(|k| k.rollout.unobserved);
        let next = self.next.and_then(|at| (at - now).to_std().ok()).unwrap_or(Duration::from_secs(60));
        let most = Duration::from_secs(if busy { 1 } else { 60 });
        Instant::now() + next.min(most).max(Duration::from_millis(20))
    }

    fn draw(&mut self) -> Result<(), End> {
        self.fold();
        let now = crate::clock::now();
        settle(&mut self.state, now);
        self.session.listen(&self.state);
        self.dirty = false;
        if let Some(ring) = self.session.notifier.observe(&self.state, now) {
            self.screen.ring(&ring).map_err(|_| End::Gone)?;
        }
        let drawn = self.screen.draw(&self.state, now).map_err(|_| End::Gone)?;
        // While what changes is out of sight, looking half as often is enough.
        let cost = if drawn.news { 1 } else { 2 };
        self.due = self.due.max(Instant::now()) + self.pace * cost;
        self.next = drawn.next;
        Ok(())
    }

    fn input(&mut self, input: Option<io::Result<crossterm::event::Event>>) {
        match input {
            Some(Ok(input)) => {
                if let Some(event) = keys::translate(input) {
                    // A key is judged by all that is known.
                    self.fold();
                    self.event(event);
                    // A key is answered at once, whatever the pace.
                    self.due = Instant::now();
                }
            }
            _ => self.end = Some(End::Gone),
        }
    }

    fn messages(&mut self, first: Option<Msg>) {
        let Some(first) = first else {
            self.end = Some(End::Quit);
            return;
        };
        self.message(first);
        self.fold();
    }

    /// Takes in what is waiting, but comes up for keys in between.
    fn fold(&mut self) {
        for _ in 0..FOLD {
            match self.session.rx.try_recv() {
                Ok(msg) => self.message(msg),
                Err(_) => break,
            }
        }
    }

    fn message(&mut self, msg: Msg) {
        if let Body::Identity(Ok(identity)) = &msg.body {
            self.hands.known_as(&identity.user);
        }
        self.event(Event::Msg(msg));
        self.open_wanted();
    }

    /// Opens the rollout named on the command line once it is known.
    fn open_wanted(&mut self) {
        let Some(wanted) = &self.open else { return };
        // Somebody was faster: what they opened stays.
        if matches!(self.state.view.screen, crate::state::Screen::Rollout(_)) {
            self.open = None;
            return;
        }
        let found = self.state.named(wanted);
        let synced = self.state.links.get(crate::model::Source::Fleet).synced.is_some();
        // A route, say, may be listed after the workload that belongs to it; but one kind in trouble must not keep all back.
        if !synced && self.began.elapsed() < ALL_LISTED {
            return;
        }
        if found.is_none() && synced {
            // A bare name is looked for in one namespace only: an empty screen would say that there is nothing anywhere.
            if self.state.rollouts.is_empty() && !wanted.contains('/') && self.state.scope != EVERYWHERE {
                self.end = Some(End::Nothing);
            }
            self.state.note = Some((crate::clock::now(), crate::cli::missing(wanted, &self.state.scope).into()));
            self.open = None;
        } else if let Some(uid) = found {
            self.open = None;
            let mut effects = Vec::new();
            crate::state::input::open(&mut self.state, &uid, crate::clock::now(), &mut effects);
            self.perform(effects);
        }
    }

    fn event(&mut self, event: Event) {
        let effects = update(&mut self.state, event, crate::clock::now());
        self.dirty = true;
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Some(ring) = self.session.notifier.effect(&self.state, &effect, crate::clock::now()) {
                self.terminal(|screen| screen.ring(&ring));
            }
            let Some(effect) = self.hands.take(effect) else { continue };
            match effect {
                Effect::Watch { epoch, selections } => self.session.watch(epoch, selections),
                Effect::Unwatch => self.session.unwatch(),
                Effect::Measure => {
                    self.session.measure(&self.state);
                    self.session.focus(&self.state, crate::clock::now());
                }
                Effect::Focus => self.session.focus(&self.state, crate::clock::now()),
                Effect::Copy(text) => self.terminal(|screen| screen.copy(&text)),
                Effect::Bell => self.terminal(Screen::bell),
                Effect::Redraw => self.terminal(Screen::redraw),
                Effect::Suspend => self.terminal(Screen::suspend),
                Effect::Quit => self.end = Some(End::Quit),
                Effect::Rehearse { .. } | Effect::Act { .. } | Effect::Journal { .. } | Effect::LetGo { .. } => {}
            }
        }
    }

    fn terminal(&mut self, does: impl FnOnce(&mut Screen) -> io::Result<()>) {
        if does(&mut self.screen).is_err() {
            self.end = Some(End::Gone);
        }
    }

    fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Hangup => self.end = Some(End::Gone),
            Signal::Terminate => self.end = Some(End::Asked),
            Signal::Stop => self.terminal(Screen::suspend),
            Signal::Continue => self.terminal(Screen::retake),
        }
        self.dirty = true;
    }
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Hangup,
    Terminate,
    Stop,
    Continue,
}

impl Signal {
    /// The exit code shells expect, of those that end the process.
    fn ends_with(self) -> Option<i32> {
        match self {
            Self::Hangup => Some(129),
            Self::Terminate => Some(143),
            Self::Stop | Self::Continue => None,
        }
    }
}

/// Signals as messages. A terminal that vanishes counts as a hang-up even where SIGHUP is ignored.
fn signals() -> io::Result<mpsc::Receiver<Signal>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (tx, rx) = mpsc::channel(8);
    let kinds = [
        (SignalKind::hangup(), Signal::Hangup),
        (SignalKind::terminate(), Signal::Terminate),
        // The key comes as a key; this is `kill -INT` from elsewhere.
        (SignalKind::interrupt(), Signal::Terminate),
        (SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw()), Signal::Stop),
        (SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()), Signal::Continue),
    ];
    for (kind, meaning) in kinds {
        let mut stream = signal(kind)?;
        let tx = tx.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                if let Some(code) = meaning.ends_with() {
                    // A terminal that takes no more bytes (Ctrl-S, a stalled tmux) holds the loop in a write.
                    std::thread::spawn(move || {
                        std::thread::sleep(Duration::from_secs(3));
                        std::process::exit(code);
                    });
                }
                if tx.send(meaning).await.is_err() {
                    return;
                }
            }
        });
    }
    std::thread::Builder::new().name("hangup".into()).spawn(move || {
        crate::term::until_hangup();
        let _ = tx.blocking_send(Signal::Hangup);
    })?;
    Ok(rx)
}
