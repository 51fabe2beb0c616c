//! Arguments to one command, the command to a documented exit code.

use std::{
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{CommandFactory, Parser};
use color_eyre::eyre::{Result, WrapErr, eyre};
use etcetera::{BaseStrategy, choose_base_strategy};
use futures::FutureExt;
use rolltop::{
    act::Writer,
    cli::{self, Cli, Command},
    cluster::{self, Connection},
    config::{CEILING, Config, Sources},
    demo::{drill, scenario, serve},
    guard::arming::LONGEST,
    hands::{Hands, NoHands},
    headless::{
        self, Form, Look,
        executor::Executor,
        watchman::{End, Goal, Watchman},
    },
    journal::{Event, Journal},
    model::Text,
    msg::{Body, Msg},
    notify::{self, Notifier, ask::Tested},
    prometheus, report, run,
    session::{self, Session},
    state::{Mode, State},
    term,
};

/// Exit codes of all commands.
mod exit {
    pub const OK: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const UNREACHABLE: u8 = 3;
    pub const NOT_ALLOWED: u8 = 4;
    pub const UNKNOWN: u8 = 13;
    /// What shells expect of SIGHUP and SIGTERM.
    pub const HUNG_UP: u8 = 129;
    pub const TERMINATED: u8 = 143;
}

fn main() -> ExitCode {
    // Before any client is built: the tree carries one TLS provider, and it must be named.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Err(error) = color_eyre::config::HookBuilder::default().display_env_section(false).install() {
        return fail(exit::FAILED, &error.to_string());
    }
    term::restore_on_panic();
    let cli = Cli::parse();
    // Whoever has made a mistake in the settings asks for this: they are not read.
    if let Some(Command::Config { example: true }) = &cli.command {
        return match say(&rolltop::config::fields::example()) {
            Ok(()) => ExitCode::from(exit::OK),
            Err(error) => fail(exit::FAILED, &format!("{error:#}")),
        };
    }
    let loaded = load(&cli).map(|config| (config, None)).or_else(|mistakes| match without_files(&cli) {
        Some(config) => Ok((config, Some(mistakes))),
        None => Err(mistakes),
    });
    let (config, mistakes) = match loaded {
        Ok(loaded) => loaded,
        Err(mistakes) => return fail(exit::USAGE, &mistakes),
    };
    let _log = log(&config);
    match execute(&cli, &config, mistakes.as_deref()) {
        Ok(code) => ExitCode::from(code),
        // A full disk is nobody's mistake in here: no report is asked for.
        Err(error) if error.is::<std::io::Error>() => fail(exit::FAILED, &format!("{error:#}")),
        Err(error) => {
            tracing::error!("{error:?}");
            fail(exit::FAILED, &format!("{error:?}"))
        }
    }
}

fn fail(code: u8, text: &str) -> ExitCode {
    // A context name or a plugin's words may hold what a terminal would obey.
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let lines: Vec<String> = text.trim_end().lines().map(clean).collect();
    let _ = writeln!(std::io::stderr(), "rolltop: {}", lines.join("\n"));
    ExitCode::from(code)
}

fn say(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        // `rolltop status | head` is no failure.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn load(cli: &Cli) -> Result<Config, String> {
    let named = cli.global.config.clone().or_else(|| std::env::var_os("ROLLTOP_CONFIG").map(PathBuf::from));
    let usual = choose_base_strategy().ok().map(|dirs| dirs.config_dir().join("rolltop/config.toml"));
    let policy = cli.policy().map(Into::into);
    let sources =
        Sources { ceiling: Some(CEILING.into()), named: named.is_some(), file: named.or(usual), policy, flags: cli.global.settings() };
    Config::load(&sources, |name| std::env::var(name).ok()).map_err(|m| format!("the settings have mistakes:\n{m}"))
}

/// The settings of a demo whose usual ones have mistakes: it is another cluster, so it can do without them. A file that was
/// named for it, or a flag with a mistake, is another matter.
fn without_files(cli: &Cli) -> Option<Config> {
    let is_usual = matches!(cli.command, Some(Command::Demo(_))) && cli.global.config.is_none();
    let ceilings = [Some(CEILING.into()), None].into_iter().filter(|_| is_usual);
    let load = |ceiling| Config::load(&Sources { ceiling, flags: cli.global.settings(), ..Sources::default() }, |_| None).ok();
    ceilings.filter_map(load).next()
}

fn state_dir() -> Option<PathBuf> {
    let dirs = choose_base_strategy().ok()?;
    Some(dirs.state_dir().unwrap_or_else(|| dirs.data_dir()).join("rolltop"))
}

/// Logs go to a file, a new one each day, and never to the screen. Without a place to log there is no log.
fn log(config: &Config) -> Option<tracing_appender::non_blocking::WorkerGuard> {
    let folder = state_dir()?;
    std::fs::create_dir_all(&folder).ok()?;
    let file = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .max_log_files(7)
        .filename_prefix("rolltop")
        .filename_suffix("log")
        .build(folder)
        .ok()?;
    let (writer, guard) = tracing_appender::non_blocking(file);
    let level = config.text("log.level").unwrap_or("info");
    // kube logs every URL at debug; hyper every frame.
    let filter = tracing_subscriber::EnvFilter::new(format!("warn,rolltop={level}"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(false).try_init().ok()?;
    Some(guard)
}

/// `mistakes` are those of settings that were left out.
fn execute(cli: &Cli, config: &Config, mistakes: Option<&str>) -> Result<u8> {
    if let Some(Command::Demo(args)) = &cli.command {
        return demo(cli, config, args, mistakes);
    }
    if let Some(Command::Completions { shell }) = &cli.command {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "rolltop", &mut script);
        say(&String::from_utf8_lossy(&script))?;
        return Ok(exit::OK);
    }
    let sampler = match rolltop::config::sampler::settings(config) {
        Ok(sampler) => sampler,
        Err(problem) => {
            fail(exit::USAGE, &format!("the settings have mistakes:\n{}", rolltop::config::sampler::mistake(config, &problem)));
            return Ok(exit::USAGE);
        }
    };
    if let Some(Command::Config { .. }) = &cli.command {
        say(&config.effective())?;
        return Ok(exit::OK);
    }
    if let Some(Command::Notify { what }) = &cli.command {
        return match what {
            None => block_on(async { say(&notify::ask::list(&config.channels, state_dir().as_deref()).await).map(|()| exit::OK) }),
            Some(cli::Notify::Test { channel }) => block_on(notify_test(config, channel)),
        };
    }
    block_on(connected(cli, config, sampler))
}

/// Sends one message to a channel and says what came of it.
async fn notify_test(config: &Config, name: &str) -> Result<u8> {
    let Some(channel) = config.channels.iter().find(|channel| channel.name == name) else {
        let known: Vec<&str> = config.channels.iter().map(|channel| channel.name.as_str()).collect();
        let known = if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
        fail(exit::USAGE, &format!("no channel '{name}' in [[notify]]: {known}"));
        return Ok(exit::USAGE);
    };
    let label = channel.label();
    let (code, words) = match notify::ask::test(channel, config.text("cluster.context").unwrap_or_default(), rolltop::clock::now()).await {
        Tested::Taken(said) => {
            say(&format!("{label} took it: {said}\n"))?;
            return Ok(exit::OK);
        }
        Tested::Ring(bytes) => {
            say(&bytes)?;
            return Ok(exit::OK);
        }
        Tested::NoSecret(why) => (exit::USAGE, why),
        Tested::Unreachable(why) => (exit::UNREACHABLE, why),
        Tested::Refused(why) => (exit::NOT_ALLOWED, why),
    };
    fail(code, &format!("{label}: {words}"));
    Ok(code)
}

fn block_on(work: impl Future<Output = Result<u8>>) -> Result<u8> {
    // One thread draws, one talks. Each further one keeps a heap of its own, and thousands of objects are spread over them.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let code = runtime.block_on(work);
    // A query that still hangs must not keep the shell waiting.
    runtime.shutdown_timeout(Duration::from_millis(100));
    code
}

/// An ordinary session, or none, on a cluster in this process.
fn demo(cli: &Cli, config: &Config, args: &cli::Demo, mistakes: Option<&str>) -> Result<u8> {
    if args.list || args.example {
        say(&if args.list { scenario::list() } else { scenario::SHIPPED[0].1.to_owned() })?;
        return Ok(exit::OK);
    }
    let options = match options(cli, args) {
        Ok(options) => options,
        Err(problem) => {
            fail(exit::USAGE, &problem);
            return Ok(exit::USAGE);
        }
    };
    if let Some(mistakes) = mistakes {
        fail(exit::OK, &format!("this demo runs without your settings: {mistakes}"));
    }
    block_on(play(config, args, options, mistakes.is_some()))
}

/// What the screen says of settings that were left out.
const WITHOUT: &str = "your settings have mistakes and are left out here (`rolltop config` names them)";

async fn play(config: &Config, args: &cli::Demo, options: serve::Options, without: bool) -> Result<u8> {
    // From the first file on: whatever ends this process in good order takes them away.
    let ended = term::asked_to_end()?;
    let hint = options.scenario.hint.clone();
    let course = (args.scenario == drill::NAME).then(|| drill::Course::of(&options));
    let start = tokio::task::spawn_blocking(move || serve::Cluster::start(options));
    let cluster = start.await?.wrap_err("the embedded cluster does not start")?;
    if args.port.is_some_and(|port| !cluster.server.ends_with(&format!(":{port}"))) {
        fail(exit::OK, &format!("the port is in use; the API server is at {}", cluster.server));
    }
    if args.serve {
        say(&format!("KUBECONFIG={}\nPROMETHEUS_URL={}\n", cluster.kubeconfig.display(), cluster.prometheus))?;
        ended.await;
        return Ok(exit::OK);
    }
    if ended.now_or_never().is_some() {
        return Ok(exit::TERMINATED);
    }
    rolltop::clock::follow(cluster.clock());
    let config = config.elsewhere("demo", cluster.settings())?;
    let sampler = rolltop::config::sampler::settings(&config)?;
    let mode = if args.watch || config.flag("safety.read-only") { Mode::Watch } else { Mode::Interactive };
    let connection = Connection::load(reach(&config)).await?;
    let (hints, shown) = tokio::sync::mpsc::channel(2);
    let hint = if mode == Mode::Interactive { hint } else { Default::default() };
    let said = [if without { WITHOUT } else { "" }, &hint].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    if !said.is_empty() {
        hints.send(said.into()).await?;
    }
    let drilling = course.as_ref().map(|course| tokio::spawn(course.clone().follow(cluster.ledger.clone(), cluster.opening, hints)));
    let code = supervise(&config, &connection, sampler, Show { open: None, hints: Some(shown) }, mode).await?;
    if let (Some(course), Some(drilling)) = (course, drilling) {
        drilling.abort();
        let report = course.report(&cluster);
        say(&if args.json { report.json()? } else { report.text() })?;
    }
    Ok(code)
}

/// What the command line asks of the embedded cluster, or why that cannot be.
fn options(cli: &Cli, args: &cli::Demo) -> Result<serve::Options, String> {
    let elsewhere = [
        ("--context", cli.global.context.is_some()),
        ("--kubeconfig", cli.global.kubeconfig.is_some()),
        ("--prometheus", cli.global.prometheus.is_some()),
        ("[NS/]NAME", cli.rollout.is_some()),
    ];
    if let Some((flag, _)) = elsewhere.iter().find(|(_, given)| *given) {
        return Err(format!("a demo brings its own cluster: {flag} does not go with it"));
    }
    let is_drill = args.scenario == drill::NAME;
    if args.json && !is_drill {
        return Err("--json is for the report of `rolltop demo drill`".into());
    }
    let seed = args.seed.unwrap_or_else(|| if is_drill { fastrand::u64(1..100_000) } else { 1 });
    let scenario = if is_drill { drill::scenario(seed) } else { scenario::Scenario::load(&args.scenario) };
    let scenario = scenario.map_err(|error| error.to_string())?;
    if !args.serve && !has_terminal() {
        return Err(format!("{NO_TERMINAL}, and `rolltop demo --serve`"));
    }
    Ok(serve::Options { scenario, speed: args.speed, seed, port: args.port, counted: is_drill.then(|| drill::workload(seed)) })
}

const NO_TERMINAL: &str = "the screen needs a terminal; for pipes there are `rolltop status` and `rolltop watch --json`";

fn has_terminal() -> bool {
    std::io::stdout().is_terminal() && std::io::stdin().is_terminal()
}

fn reach(config: &Config) -> cluster::Options {
    cluster::Options {
        kubeconfig: config.path("cluster.kubeconfig"),
        context: config.text("cluster.context").map(str::to_owned),
        timeout: config.duration("cluster.timeout"),
    }
}

async fn connected(cli: &Cli, config: &Config, sampler: Option<prometheus::Settings>) -> Result<u8> {
    let connection = match Connection::load(reach(config)).await {
        Ok(connection) => connection,
        Err(error) => {
            fail(exit::UNREACHABLE, &error.to_string());
            return Ok(exit::UNREACHABLE);
        }
    };
    match &cli.command {
        Some(Command::Status { rollout, json, line }) => {
            let form = if *json {
                Form::Json
            } else if *line {
                Form::Line
            } else {
                Form::Table
            };
            status(config, &connection, sampler, rollout.as_deref(), form).await
        }
        Some(Command::Guard(args)) => {
            let about = Attended {
                rollout: &args.rollout,
                goal: Goal::Guard,
                span: args.span,
                json: args.json,
                execute: args.execute,
                flag: args.kill_flag.as_deref(),
            };
            attend(config, &connection, sampler, about).await
        }
        Some(Command::Wait(args)) => {
            let about = Attended { rollout: &args.rollout, goal: args.goal, span: args.timeout, json: false, execute: false, flag: None };
            attend(config, &connection, sampler, about).await
        }
        Some(Command::Watch { rollout, json: true }) => follow(config, &connection, sampler, rollout.as_deref()).await,
        Some(Command::Watch { rollout, json: false }) => supervise(config, &connection, sampler, Show::open(rollout), Mode::Watch).await,
        _ => {
            let mode = if config.flag("safety.read-only") { Mode::Watch } else { Mode::Interactive };
            supervise(config, &connection, sampler, Show::open(&cli.rollout), mode).await
        }
    }
}

/// What a session begins with.
#[derive(Default)]
struct Show {
    /// The rollout to open at once.
    open: Option<String>,
    /// What somebody new could try, each in the place of the one before.
    hints: Option<tokio::sync::mpsc::Receiver<Text>>,
}

impl Show {
    fn open(rollout: &Option<String>) -> Self {
        Self { open: rollout.clone(), hints: None }
    }
}

/// The screen. A watch session never builds a [`Writer`]: there is nothing in it that could write.
async fn supervise(
    config: &Config,
    connection: &Connection,
    sampler: Option<prometheus::Settings>,
    Show { open, hints }: Show,
    mode: Mode,
) -> Result<u8> {
    if !has_terminal() {
        let mistyped = open.as_deref().and_then(cli::mistyped).map(|words| format!("{words}; ")).unwrap_or_default();
        fail(exit::USAGE, &format!("{mistyped}{NO_TERMINAL}"));
        return Ok(exit::USAGE);
    }
    let wanted = session::wanted(config, connection.default_namespace(), open.as_deref());
    let settings = config.settings(connection.context(), connection.server(), |name| std::env::var(name).ok());
    let state = session::state(mode, connection, &wanted, settings, config.keys.clone());
    let mut session = Session::start(connection, &wanted, sampler);
    session.notifier = Notifier::start(config.channels.clone(), state_dir(), Some(session.tx.clone()));
    if let Some(mut hints) = hints {
        let tx = session.tx.clone();
        tokio::spawn(async move {
            while let Some(hint) = hints.recv().await {
                let _ = tx.send(Msg::now(Body::Hint(hint))).await;
            }
        });
    }
    let sought = open.clone().unwrap_or_default();
    let end = match mode {
        Mode::Watch => run::run(state, session, &NoHands, open).await,
        Mode::Interactive => {
            let writer = writer(config, connection, &session, "interactive")?;
            let end = run::run(state, session, &writer, open).await;
            // A write that has begun is brought to its end: half a plan is the worst of all.
            writer.let_all_go();
            writer.settle(Duration::from_secs(2)).await;
            end
        }
    };
    Ok(match end? {
        run::End::Quit => exit::OK,
        run::End::Asked => exit::TERMINATED,
        run::End::Gone => exit::HUNG_UP,
        run::End::Nothing => {
            fail(exit::UNKNOWN, &cli::missing(&sought, &wanted.label));
            exit::UNKNOWN
        }
    })
}

/// The only hands there are, with the journal they cannot do without.
fn writer(config: &Config, connection: &Connection, session: &Session, mode: &'static str) -> Result<Writer> {
    let path = config
        .path("safety.journal")
        .or_else(|| state_dir().map(|d| d.join("journal.jsonl")))
        .ok_or_else(|| eyre!("no home folder: name a journal with ROLLTOP_SAFETY_JOURNAL"))?;
    let journal = Journal::open(&path).wrap_err_with(|| {
        format!("the journal {} cannot be opened; without it nothing may be written, so use `rolltop watch`", path.display())
    })?;
    let context = Arc::from(connection.context());
    let writer = Writer::new(connection.write_client()?, session.reader.clone(), journal, context, session.tx.clone());
    let started = Event::SessionStarted { version: env!("CARGO_PKG_VERSION"), mode };
    writer.journal().note(&writer.record(None, None, started))?;
    Ok(writer)
}

async fn status(
    config: &Config,
    connection: &Connection,
    sampler: Option<prometheus::Settings>,
    named: Option<&str>,
    form: Form,
) -> Result<u8> {
    let (mut state, mut session) = headless_session(config, connection, sampler, named);
    if let Err(code) = first_look(config, &mut state, &mut session, named).await {
        return Ok(code);
    }
    let rows = headless::shown(&state, named);
    if rows.is_empty()
        && let Some(namespace) = session.lacks(config, named).await
    {
        fail(exit::UNKNOWN, &no_namespace(&namespace));
        return Ok(exit::UNKNOWN);
    }
    complain(&state, rows.is_empty());
    say(&headless::print(&state, &rows, form)?)?;
    Ok(report::exit_code(&rows))
}

fn no_namespace(name: &str) -> String {
    format!("there is no namespace {name}")
}

/// Waits for the first picture. Without one, or without the rollout in it, says why and gives the exit code.
async fn first_look(config: &Config, state: &mut State, session: &mut Session, named: Option<&str>) -> Result<(), u8> {
    let look = headless::look(state, session, named, config.duration("cluster.timeout")).await;
    let code = match look {
        Look::Known if named.is_some() && headless::shown(state, named).is_empty() => {
            let missing = session.lacks(config, named).await.map(|namespace| no_namespace(&namespace));
            fail(exit::UNKNOWN, &missing.unwrap_or_else(|| cli::missing(named.unwrap_or_default(), &state.scope)));
            return Err(exit::UNKNOWN);
        }
        Look::Known => return Ok(()),
        Look::Unreachable => exit::UNREACHABLE,
        Look::NotAllowed => exit::NOT_ALLOWED,
    };
    let trouble = rolltop::ui::trouble(rolltop::model::Source::Fleet, &state.links.get(rolltop::model::Source::Fleet));
    fail(code, &trouble.map(|t| format!("{}: {}", t.title, t.advice)).unwrap_or_else(|| "no answer in time".into()));
    Err(code)
}

/// What `guard` and `wait` are about.
struct Attended<'a> {
    rollout: &'a str,
    goal: Goal,
    span: Duration,
    json: bool,
    /// Whether it may abort, once.
    execute: bool,
    /// Or switch this flag off.
    flag: Option<&'a str>,
}

/// Watches one release for a pipeline. Only with `--execute`, and where the settings let it, there is a writer.
async fn attend(config: &Config, connection: &Connection, sampler: Option<prometheus::Settings>, about: Attended<'_>) -> Result<u8> {
    // For the rest of that time nobody would pull the brake.
    if about.execute && about.span > LONGEST {
        let (asked, longest) = (humantime::format_duration(about.span), humantime::format_duration(LONGEST));
        fail(exit::USAGE, &format!("--for {asked}: with --execute it is {longest} at most, as no release is left to a machine for longer"));
        return Ok(exit::USAGE);
    }
    let ended = term::asked_to_end()?;
    let watchman = Watchman::new(about.goal, about.span, rolltop::clock::now());
    let (mut state, mut session) = headless_session(config, connection, sampler, Some(about.rollout));
    if let Err(code) = first_look(config, &mut state, &mut session, Some(about.rollout)).await {
        return Ok(code);
    }
    if let [one, other, ..] = &headless::namesakes(&state, about.rollout)[..] {
        fail(exit::USAGE, &format!("there are several of this name, such as {one} and {other}: write NAMESPACE/NAME"));
        return Ok(exit::USAGE);
    }
    complain(&state, false);
    if about.goal == Goal::Guard && !state.settings.prometheus {
        fail(exit::OK, "no Prometheus is configured: of this release only its phases and its own analyses can be judged");
    }
    if about.execute && config.flag("safety.read-only") {
        fail(
            End::NotArmed.code(),
            "this session is read-only (--read-only, or safety.read-only in the settings): --execute is not possible",
        );
        return Ok(End::NotArmed.code());
    }
    // Who waits for something is there; who lets something be guarded may not be.
    if about.goal == Goal::Guard {
        session.notifier = Notifier::start(config.channels.clone(), state_dir(), Some(session.tx.clone())).about(about.rollout);
    }
    let code = match about.execute {
        true => armed(config, connection, &mut state, &mut session, about, watchman, ended).await,
        false => attended(&mut state, &mut session, &NoHands, about, watchman, ended).await,
    };
    if let Some(untold) = headless::last_words(&state, &mut session).await {
        fail(exit::OK, &format!("somebody could not be told: {untold}"));
    }
    code
}

/// The same with hands, and with a lease that goes back whatever the end.
async fn armed(
    config: &Config,
    connection: &Connection,
    state: &mut State,
    session: &mut Session,
    about: Attended<'_>,
    watchman: Watchman,
    ended: impl Future<Output = ()>,
) -> Result<u8> {
    let writer = writer(config, connection, session, "guard")?;
    state.mode = Mode::Interactive;
    state.grant = writer.grant().map(Arc::new);
    state.settings.promote = config.promotion().filter(|_| about.flag.is_none());
    if let Some(Ok(identity)) = &state.identity {
        writer.known_as(identity.user.clone());
    }
    // Nobody looks at the card that arms; its consent was given on the command line.
    state.view.size = (80, 24);
    let code = attended(state, session, &writer, about, watchman, ended).await;
    writer.let_all_go();
    writer.settle(Duration::from_secs(2)).await;
    code
}

async fn attended(
    state: &mut State,
    session: &mut Session,
    hands: &impl Hands,
    about: Attended<'_>,
    watchman: Watchman,
    ended: impl Future<Output = ()>,
) -> Result<u8> {
    let form = if about.json { Form::Json } else { Form::Line };
    let executor = about.execute.then(|| Executor::new(about.span, about.flag));
    tokio::select! {
        end = headless::attend(state, session, hands, (about.rollout, watchman, executor), form, std::io::stdout()) => match end {
            // Nobody can read it any more: that is no finding.
            Err(error) => {
                fail(exit::UNKNOWN, &format!("its lines cannot be written: {error}"));
                Ok(exit::UNKNOWN)
            }
            Ok(end) => {
                fail(end.code(), end.words());
                Ok(end.code())
            }
        },
        () = ended => {
            let words = match about.execute {
                true if headless::executor::has_acted(state) => "the guard had acted; nothing else was written",
                true => "disarmed, the cluster is left as it is",
                false => "the cluster is left as it is",
            };
            fail(exit::TERMINATED, &format!("asked to end: {words}"));
            Ok(exit::TERMINATED)
        }
    }
}

/// What a table cannot show: that there is nothing, or that one source is missing.
fn complain(state: &State, empty: bool) {
    use rolltop::model::Source;
    let say = |text: &str| drop(writeln!(std::io::stderr(), "rolltop: {text}"));
    if empty {
        match rolltop::ui::trouble(Source::Fleet, &state.links.get(Source::Fleet)) {
            Some(trouble) => say(&trouble.title),
            None => say(&format!("no rollouts in {}", state.scope)),
        }
    }
    if let Some(trouble) = rolltop::ui::trouble(Source::Prometheus, &state.links.get(Source::Prometheus)) {
        say(&trouble.title);
    }
}

async fn follow(config: &Config, connection: &Connection, sampler: Option<prometheus::Settings>, named: Option<&str>) -> Result<u8> {
    let (mut state, mut session) = headless_session(config, connection, sampler, named);
    let notifier = Notifier::start(config.channels.clone(), state_dir(), Some(session.tx.clone()));
    session.notifier = match named {
        Some(name) => notifier.about(name),
        None => notifier,
    };
    let missing = |scope: &str| {
        fail(exit::OK, &format!("{}; waiting for it", cli::missing(named.unwrap_or_default(), scope)));
    };
    match headless::stream(&mut state, &mut session, named, std::io::stdout(), missing).await {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(exit::OK),
    }
}

fn headless_session(
    config: &Config,
    connection: &Connection,
    sampler: Option<prometheus::Settings>,
    named: Option<&str>,
) -> (State, Session) {
    let wanted = session::wanted(config, connection.default_namespace(), named);
    let settings = config.settings(connection.context(), connection.server(), |name| std::env::var(name).ok());
    let state = session::state(Mode::Watch, connection, &wanted, settings, config.keys.clone());
    let session = Session::start(connection, &wanted, sampler);
    (state, session)
}
