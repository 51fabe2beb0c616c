//! rolltop in a pseudo-terminal, with the moment of every write to it.

use std::{
    io::{Read, Write},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tokio::sync::Notify;

use crate::{
    cluster::{Identity, Rig},
    process::Process,
};

const SIZE: PtySize = PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
/// The question where the cursor is; a terminal answers it.
const WHERE: &[u8] = b"\x1b[6n";
const PATIENCE: Duration = Duration::from_secs(30);

/// What to start.
pub struct App {
    command: CommandBuilder,
    home: tempfile::TempDir,
}

impl App {
    pub fn new(rig: &Rig, who: Identity) -> Self {
        // Another build can be measured in the place of this tree's.
        let binary = std::env::var_os("ROLLTOP_BENCH_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_rolltop")), PathBuf::from);
        let home = tempfile::tempdir().unwrap();
        let mut command = CommandBuilder::new(binary);
        command.env_clear();
        command.cwd(home.path());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        command.env("HOME", home.path());
        command.env("KUBECONFIG", rig.kubeconfig(who, "default"));
        Self { command, home }
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    pub fn prometheus(mut self, url: &str) -> Self {
        self.command.env("ROLLTOP_PROMETHEUS_URL", url);
        self.command.env("ROLLTOP_PROMETHEUS_INTERVAL", "1s");
        self
    }

    pub fn start(self) -> Glass {
        let pty = native_pty_system().openpty(SIZE).unwrap();
        let child = pty.slave.spawn_command(self.command).unwrap();
        drop(pty.slave);
        let seen = Arc::new(Seen::default());
        let mut reader = pty.master.try_clone_reader().unwrap();
        let writer = Arc::new(Mutex::new(pty.master.take_writer().unwrap()));
        let (theirs, answers) = (seen.clone(), writer.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 256 * 1024];
            while let Ok(n @ 1..) = reader.read(&mut buffer) {
                let at = Instant::now();
                if buffer[..n].windows(WHERE.len()).any(|w| w == WHERE) {
                    let _ = answers.lock().unwrap().write_all(b"\x1b[1;1R");
                }
                theirs.writes.lock().unwrap().push((at, buffer[..n].to_vec()));
                theirs.news.notify_one();
            }
        });
        let screen = Mutex::new((0, vt100::Parser::new(40.try_into().unwrap(), 120.try_into().unwrap(), 0)));
        Glass { seen, child, writer, screen, _master: pty.master, _home: self.home }
    }
}

#[derive(Default)]
struct Seen {
    writes: Mutex<Vec<(Instant, Vec<u8>)>>,
    news: Notify,
}

/// A running rolltop. Dropping it ends it.
pub struct Glass {
    seen: Arc<Seen>,
    child: Box<dyn Child + Send + Sync>,
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
    /// How many writes the screen has taken in, and the screen.
    screen: Mutex<(usize, vt100::Parser)>,
    _master: Box<dyn MasterPty + Send>,
    _home: tempfile::TempDir,
}

impl Glass {
    pub fn process(&self) -> Process {
        Process(self.child.process_id().unwrap())
    }

    /// Now, for the questions about what came since.
    pub fn mark(&self) -> usize {
        self.seen.writes.lock().unwrap().len()
    }

    /// Bytes of each write since; what came together is one.
    pub fn writes_since(&self, mark: usize) -> Vec<usize> {
        let writes = self.seen.writes.lock().unwrap();
        let mut sizes: Vec<(Instant, usize)> = Vec::new();
        for (at, bytes) in &writes[mark..] {
            match sizes.last_mut().filter(|(last, _)| *at - *last < Duration::from_millis(5)) {
                Some((_, size)) => *size += bytes.len(),
                None => sizes.push((*at, bytes.len())),
            }
        }
        sizes.into_iter().map(|(_, size)| size).collect()
    }

    /// The moment of the write since `mark` with which a row came to be as wished.
    pub async fn shown_since(&self, mark: usize, wish: impl Fn(&str) -> bool) -> Instant {
        let shows = |screen: &vt100::Screen| screen.rows(0, SIZE.cols).any(|row| wish(&row));
        self.reaches(mark, shows).await
    }

    pub async fn until(&self, wish: impl Fn(&str) -> bool) {
        self.reaches(0, |screen| wish(&screen.contents())).await;
    }

    async fn reaches(&self, mark: usize, wish: impl Fn(&vt100::Screen) -> bool) -> Instant {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.take_in(mark, &wish) {
                return at;
            }
            if Instant::now() > end {
                panic!("never shown; the screen is\n{}", self.screen.lock().unwrap().1.screen().contents());
            }
            let _ = tokio::time::timeout(Duration::from_secs(1), self.seen.news.notified()).await;
        }
    }

    fn take_in(&self, mark: usize, wish: impl Fn(&vt100::Screen) -> bool) -> Option<Instant> {
        let mut screen = self.screen.lock().unwrap();
        let writes = self.seen.writes.lock().unwrap();
        let (taken, parser) = &mut *screen;
        for (n, (at, bytes)) in writes.iter().enumerate().skip(*taken) {
            parser.process(bytes);
            *taken = n + 1;
            if n >= mark && wish(parser.screen()) {
                return Some(*at);
            }
        }
        let last = writes.last().filter(|_| *taken > 0 && mark == 0);
        last.filter(|_| wish(parser.screen())).map(|(at, _)| *at)
    }

    pub fn press(&self, keys: &str) {
        let mut writer = self.writer.lock().unwrap();
        writer.write_all(keys.as_bytes()).and_then(|()| writer.flush()).unwrap();
    }

    pub async fn quit(mut self) {
        self.press("q");
        for _ in 0..100 {
            if self.child.try_wait().unwrap().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Glass {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
