//! The terminal: entered, left in good order whatever happens, and never written to without need.

use std::{
    io::{self, Stdout, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use crossterm::{
    clipboard::CopyToClipboard,
    cursor, event, execute,
    terminal::{self, EnterAlternateScreen, LeaveAlternateScreen},
};
use ratatui::{Terminal, backend::CrosstermBackend, buffer::Buffer};

use crate::{model::Time, state::State, ui};

static RAW: AtomicBool = AtomicBool::new(false);

/// Collects a whole frame: one `write` call per picture instead of one per cell run.
struct Output {
    frame: Vec<u8>,
    stdout: Stdout,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.frame.is_empty() {
            self.stdout.write_all(&self.frame)?;
            self.frame.clear();
        }
        self.stdout.flush()
    }
}

/// What became of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    /// It was another than the one shown.
    pub news: bool,
    /// When time alone will change it.
    pub next: Option<Time>,
}

/// The screen while it is ours.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Output>>,
    last: Option<Buffer>,
    mouse: bool,
}

impl Screen {
    /// Takes the terminal: alternate screen, raw mode, bracketed paste.
    ///
    /// # Errors
    /// When it is not a terminal, or has gone.
    pub fn enter(mouse: bool) -> io::Result<Self> {
        let output = Output { frame: Vec::with_capacity(64 * 1024), stdout: io::stdout() };
        let mut screen = Self { terminal: Terminal::new(CrosstermBackend::new(output))?, last: None, mouse };
        screen.take()?;
        Ok(screen)
    }

    fn take(&mut self) -> io::Result<()> {
        RAW.store(true, Ordering::SeqCst);
        terminal::enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen, event::EnableBracketedPaste, cursor::Hide)?;
        if self.mouse {
            execute!(io::stdout(), event::EnableMouseCapture)?;
        }
        self.redraw()
    }

    /// Forgets what is on the screen: the next picture is drawn whole.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn redraw(&mut self) -> io::Result<()> {
        self.last = None;
        // Not `clear`: it asks the terminal where its cursor is, and whoever answers may be a shell.
        let size = self.terminal.size()?;
        self.terminal.resize(size.into())
    }

    /// Draws the picture of a state; writes nothing when it is the one already shown.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn draw(&mut self, state: &State, now: Time) -> io::Result<Drawn> {
        self.terminal.autoresize()?;
        let next = ui::draw(&mut self.terminal.get_frame(), state, now);
        let picture = self.terminal.current_buffer_mut();
        if self.last.as_ref() == Some(picture) {
            picture.reset();
            return Ok(Drawn { news: false, next });
        }
        self.last = Some(picture.clone());
        self.terminal.flush()?;
        self.terminal.swap_buffers();
        ratatui::backend::Backend::flush(self.terminal.backend_mut())?;
        Ok(Drawn { news: true, next })
    }

    /// Hands text to the clipboard of the terminal at the other end (OSC 52).
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
    }

    /// # Errors
    /// When the terminal has gone.
    pub fn bell(&mut self) -> io::Result<()> {
        io::stdout().write_all(b"\x07")?;
        io::stdout().flush()
    }

    /// Writes what makes a terminal call its owner; it must not move the cursor.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn ring(&mut self, bytes: &str) -> io::Result<()> {
        io::stdout().write_all(bytes.as_bytes())?;
        io::stdout().flush()
    }

    /// Gives the terminal back, stops this process, and takes it again when it is continued.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn suspend(&mut self) -> io::Result<()> {
        restore();
        #[cfg(unix)]
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::STOP)?;
        self.take()
    }

    /// After something else may have written to the terminal or changed its mode.
    ///
    /// # Errors
    /// When the terminal has gone.
    pub fn retake(&mut self) -> io::Result<()> {
        self.take()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, once. Errors are of no use here: the terminal may be gone.
pub fn restore() {
    if RAW.swap(false, Ordering::SeqCst) {
        let _ = execute!(io::stdout(), event::DisableMouseCapture, event::DisableBracketedPaste, LeaveAlternateScreen, cursor::Show);
        let _ = terminal::disable_raw_mode();
    }
}

/// Restores the terminal before any panic report is printed.
pub fn restore_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        restore();
        report(info);
    }));
}

/// Ends when the process is asked to: Ctrl-C, SIGTERM, SIGHUP. From this call on, none of them ends it by itself.
///
/// # Errors
/// When the signals cannot be had.
pub fn asked_to_end() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Returns when the terminal at the other end is gone. Blocks; meant for a thread of its own.
///
/// A vanished terminal makes the event reader spin instead of ending, and SIGHUP may be ignored (nohup).
#[cfg(unix)]
pub fn until_hangup() {
    use rustix::event::{PollFd, PollFlags, poll};
    let stdin = io::stdin();
    loop {
        // No flags: only hang-up and error are reported, so typing does not wake this.
        let mut fds = [PollFd::new(&stdin, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) if fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) => return,
            Err(rustix::io::Errno::INTR) | Ok(_) => {}
            Err(_) => return,
        }
    }
}
