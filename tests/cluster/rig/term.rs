//! Runs a program in a pseudo-terminal and sees its screen as a person would.

use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use color_eyre::eyre::{Result, eyre};
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use rustix::process::{Pid, Signal, kill_process};

/// What to run, and on what screen.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    env: Vec<(String, String)>,
    directory: PathBuf,
    columns: u16,
    rows: u16,
}

impl Program {
    /// On a screen of 120 by 40, with nothing in its environment but TERM, PATH, HOME (a folder that does not exist)
    /// and a UTF-8 locale.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let env = [
            ("TERM", "xterm-256color".into()),
            ("PATH", std::env::var("PATH").unwrap_or_default()),
            ("HOME", "/nonexistent".into()),
            ("LANG", "C.UTF-8".into()),
        ];
        let env = env.map(|(key, value)| (key.to_owned(), value)).to_vec();
        Self { path: path.into(), arguments: Vec::new(), env, directory: ".".into(), columns: 120, rows: 40 }
    }

    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub fn args<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, key: &str, value: impl AsRef<Path>) -> Self {
        self.env.push((key.into(), value.as_ref().to_string_lossy().into_owned()));
        self
    }

    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    pub fn size(mut self, columns: u16, rows: u16) -> Self {
        (self.columns, self.rows) = (columns, rows);
        self
    }

    pub fn start(&self) -> Result<Term> {
        Term::start(self)
    }

    fn command(&self) -> CommandBuilder {
        let mut command = CommandBuilder::new(&self.path);
        command.args(&self.arguments);
        command.env_clear();
        self.env.iter().for_each(|(key, value)| command.env(key, value));
        // Without one it would be HOME.
        command.cwd(&self.directory);
        command
    }
}

type Writer = Arc<Mutex<Box<dyn Write + Send>>>;

/// A running program. Dropping it kills it.
pub struct Term {
    output: Arc<Output>,
    writer: Writer,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
    exit: Option<ExitStatus>,
}

struct Output {
    seen: Mutex<Seen>,
    changed: Condvar,
}

struct Seen {
    parser: vt100::Parser,
    raw: Vec<u8>,
    closed: bool,
}

impl Term {
    fn start(program: &Program) -> Result<Self> {
        let pty = native_pty_system().openpty(size(program.columns, program.rows)).map_err(|e| eyre!("{e}"))?;
        let child = pty.slave.spawn_command(program.command()).map_err(|e| eyre!("{e}"))?;
        // Ours would keep the terminal open after the program's end.
        drop(pty.slave);
        let writer = Arc::new(Mutex::new(pty.master.take_writer().map_err(|e| eyre!("{e}"))?));
        let reader = pty.master.try_clone_reader().map_err(|e| eyre!("{e}"))?;
        let (columns, rows) = cells(program.columns, program.rows);
        let seen = Seen { parser: vt100::Parser::new(rows, columns, 0), raw: Vec::new(), closed: false };
        let output = Arc::new(Output { seen: Mutex::new(seen), changed: Condvar::new() });
        let (theirs, answers) = (output.clone(), writer.clone());
        std::thread::Builder::new().name("terminal".into()).spawn(move || read(reader, &theirs, &answers))?;
        Ok(Self { output, writer, master: pty.master, child, exit: None })
    }

    /// The text on the screen, without trailing blanks.
    pub fn screen(&self) -> String {
        self.output.seen.lock().unwrap().parser.screen().contents()
    }

    /// Looks at the screen with its colours, cursor and modes.
    pub fn look<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.output.seen.lock().unwrap().parser.screen())
    }

    /// Waits until the screen is as wished and returns it; after `timeout`, or when the program has ended, the last
    /// screen is the error. Blocks the thread.
    pub fn wait_for(&self, wish: impl Fn(&str) -> bool, timeout: Duration) -> Result<String, String> {
        let end = Instant::now() + timeout;
        let mut seen = self.output.seen.lock().unwrap();
        loop {
            let screen = seen.parser.screen().contents();
            if wish(&screen) {
                return Ok(screen);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || seen.closed {
                return Err(screen);
            }
            seen = self.output.changed.wait_timeout(seen, left).unwrap().0;
        }
    }

    /// Types.
    pub fn send(&self, keys: &str) {
        let mut writer = self.writer.lock().unwrap();
        writer.write_all(keys.as_bytes()).and_then(|()| writer.flush()).expect("typing into the terminal");
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        let (wide, high) = cells(columns, rows);
        self.output.seen.lock().unwrap().parser.set_size(high, wide);
        self.master.resize(size(columns, rows)).expect("resizing the terminal");
    }

    /// How much the program has written so far.
    pub fn bytes_written(&self) -> usize {
        self.output.seen.lock().unwrap().raw.len()
    }

    /// All it has written so far, escape sequences included.
    pub fn raw(&self) -> Vec<u8> {
        self.output.seen.lock().unwrap().raw.clone()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.process_id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = self.child.process_id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?));
        if let Some(pid) = pid.filter(|_| self.exit.is_none()) {
            let _ = kill_process(pid, signal);
        }
    }

    /// The signal a closed terminal window sends.
    pub fn hup(&self) {
        self.signal(Signal::HUP);
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Waits for the end. `None`: still running after `timeout`.
    pub fn wait_exit(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + timeout;
        while self.exit.is_none() {
            self.exit = self.child.try_wait().ok().flatten();
            if self.exit.is_none() && Instant::now() > end {
                return None;
            }
            if self.exit.is_none() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.exit.clone()
    }

    /// The exit code, when the program ends by itself within `timeout`.
    pub fn exit_code(&mut self, timeout: Duration) -> Option<u32> {
        self.wait_exit(timeout).filter(|status| status.signal().is_none()).map(|status| status.exit_code())
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        if self.wait_exit(Duration::ZERO).is_none() {
            self.kill();
            self.wait_exit(Duration::from_secs(5));
        }
    }
}

fn read(mut reader: Box<dyn Read + Send>, output: &Output, writer: &Writer) {
    let mut buffer = [0; 16 * 1024];
    loop {
        // An error is how Linux reports the last program leaving the terminal.
        let read = reader.read(&mut buffer).unwrap_or(0);
        let mut seen = output.seen.lock().unwrap();
        seen.closed = read == 0;
        seen.parser.process(&buffer[..read]);
        seen.raw.extend_from_slice(&buffer[..read]);
        let reply = reply(&buffer[..read], seen.parser.screen().cursor_position());
        drop(seen);
        output.changed.notify_all();
        if read == 0 {
            return;
        }
        if !reply.is_empty() {
            let _ = writer.lock().unwrap().write_all(reply.as_bytes());
        }
    }
}

/// What a terminal answers to the questions programs ask at start.
fn reply(asked: &[u8], (row, column): (u16, u16)) -> String {
    let contains = |question: &[u8]| asked.windows(question.len()).any(|window| window == question);
    let mut reply = String::new();
    if contains(b"\x1b[6n") {
        reply += &format!("\x1b[{};{}R", row + 1, column + 1);
    }
    if contains(b"\x1b[c") || contains(b"\x1b[0c") {
        reply += "\x1b[?62;22c";
    }
    reply
}

fn size(columns: u16, rows: u16) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

fn cells(columns: u16, rows: u16) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(columns).expect("columns"), NonZeroU16::new(rows).expect("rows"))
}
