//! The first screen: which releases move, and which one needs a person.

use ratatui::{buffer::Buffer, layout::Rect, style::Modifier, style::Style};

use super::{Ctx, footer, format, glyphs, header, layout, line, line::Writer, links, panes::pods, rollout, selected_row};
use crate::{
    model::{
        LinkState, Phase, Severity, Source, Strategy, Time, WaitFor,
        metrics::{Reading, Series, Side},
    },
    state::{Finished, Known},
    verdict::Advice,
};

/// Where the parts of the screen lie.
#[derive(Debug, Default)]
pub struct Plan {
    pub tally: Rect,
    pub titles: Rect,
    pub rows: Rect,
    /// Separator and the lines about the selected rollout.
    pub about: Rect,
    pub keys: Rect,
    /// Room for the selected rollout's panes, at the right of the list or below it.
    pub beside: Rect,
    pub below: Rect,
}

/// Rows of panes below a short list: what they need, and what they get where there is plenty.
const BELOW: u16 = 11;
const BELOW_ROOMY: u16 = 14;

/// Rows for the two sentences about the selected rollout and the rule above them.
const ABOUT: u16 = 3;

/// Lays the screen out below the header, which takes its rows itself.
pub fn plan(ctx: &Ctx<'_>, area: Rect) -> Plan {
    if area.height <= layout::LINES_ONLY {
        return Plan { rows: area, ..Plan::default() };
    }
    let mut area = area;
    header::take(ctx, &mut area);
    parts(ctx, area)
}

fn parts(ctx: &Ctx<'_>, mut area: Rect) -> Plan {
    let mut plan = Plan { keys: layout::bottom(&mut area, 1), tally: layout::top(&mut area, 1), ..Plan::default() };
    if area.width >= layout::BESIDE && area.height >= 20 {
        let columns = (area.width / 2).max(92);
        let list = layout::left(&mut area, columns);
        plan.beside = area;
        area = list;
    }
    if area.height >= 6 {
        let titles = 1;
        let free = area.height.saturating_sub(ABOUT + titles + u16::try_from(ctx.state.order.len()).unwrap_or(u16::MAX));
        let lines = if area.height >= 10 { about_rows(ctx, area.width, free) } else { ABOUT - 1 };
        plan.about = layout::bottom(&mut area, lines);
    }
    if area.height >= 4 {
        plan.titles = layout::top(&mut area, 1);
    }
    let spare = usize::from(area.height).saturating_sub(ctx.state.order.len());
    if plan.beside.is_empty() && area.width >= 100 && spare > usize::from(BELOW) && !ctx.state.order.is_empty() {
        let rows = match u16::try_from(spare).unwrap_or(u16::MAX).saturating_sub(4) {
            rows @ rollout::TWO_ROWS.. => rows.min(2 * BELOW_ROOMY),
            BELOW_ROOMY.. => BELOW_ROOMY,
            _ => BELOW,
        };
        plan.below = layout::bottom(&mut area, rows);
    }
    plan.rows = area;
    plan
}

pub fn draw(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect) {
    let mut rest = area;
    header::draw(ctx, buf, &mut rest);
    let plan = parts(ctx, rest);
    line::draw(buf, plan.tally, tally(ctx, usize::from(plan.tally.width)));
    if ctx.state.order.is_empty() {
        let room = Rect { height: plan.rows.bottom().saturating_sub(plan.titles.y), ..plan.titles.union(plan.rows) };
        nothing(ctx, buf, Rect { y: plan.titles.y.max(plan.tally.bottom()), ..room });
    } else {
        table(ctx, buf, &plan);
        about(ctx, buf, plan.about);
        beside(ctx, buf, &plan);
    }
    line::draw(buf, plan.keys, footer::line(ctx, usize::from(plan.keys.width)));
}

/// Counts left, filter right.
fn tally(ctx: &Ctx<'_>, width: usize) -> line::Words {
    // No list, no counts: a zero would be a claim.
    if ctx.state.rollouts.is_empty() {
        return line::both(line::Words::default(), filter(ctx), width);
    }
    let counts = ctx.state.tally();
    let folded = counts.steady > 0 && !ctx.view.steady && ctx.view.filter.is_empty() && ctx.state.order.len() < ctx.state.rollouts.len();
    let parts = [
        (counts.waiting, if counts.waiting == 1 { "waits for you" } else { "wait for you" }, ctx.ink.warn),
        (counts.failing, "failing", ctx.ink.bad),
        (counts.moving, "moving", ctx.ink.plain),
        (counts.paused, "paused", ctx.ink.plain),
        (counts.steady, if folded { "steady, folded" } else { "steady" }, ctx.ink.dim),
    ];
    let mut out = Writer::new();
    for (n, word, style) in parts.into_iter().filter(|(n, word, _)| *n > 0 || *word != "paused") {
        let joint = if out.is_empty() { " ".into() } else { format!(" {} ", glyphs::DOT) };
        out = out.put(joint, ctx.ink.dim).put(format!("{n} {word}"), if n == 0 { ctx.ink.dim } else { style });
    }
    let counts = out.line();
    // Without a filter the rest of the line says what the counts leave out.
    if !ctx.view.filtering && ctx.view.filter.is_empty() {
        let room = width.saturating_sub(counts.width() + 3);
        return line::both(counts, line::fit(lacks(ctx), room), width);
    }
    // What is being typed must be seen; the counts give way.
    let filter = filter(ctx);
    let room = if filter.width() == 0 { width } else { width.saturating_sub(filter.width() + 2) };
    line::both(line::fit(counts, room), filter, width)
}

fn filter(ctx: &Ctx<'_>) -> line::Words {
    let text = &ctx.view.filter.text;
    if !ctx.view.filtering && ctx.view.filter.is_empty() {
        return line::Words::default();
    }
    let mut out = Writer::new().put(format!("/{text}"), ctx.ink.strong);
    if ctx.view.filtering {
        out.push(" ", ctx.ink.select);
    }
    for mistake in ctx.view.filter.mistakes() {
        out.push(format!("  {mistake}"), ctx.ink.warn);
    }
    out.put(format!("  {} shown ", ctx.state.order.len()), ctx.ink.dim).line()
}

fn lacks(ctx: &Ctx<'_>) -> line::Words {
    withheld(ctx).map(|what| line::words(format!("{what} "), ctx.ink.warn)).unwrap_or_default()
}

/// What the picture lacks though the server answers: kinds that may not be read, namespaces that are not watched.
fn withheld(ctx: &Ctx<'_>) -> Option<String> {
    let link = ctx.state.links.get(Source::Fleet);
    (link.is_live() && !link.detail.is_empty()).then(|| link.detail.to_string())
}

/// A cell's text and style.
type Cell = (String, Style);

/// One column of the table.
struct Column {
    title: &'static str,
    width: u16,
    /// Numbers stand at the right.
    right: bool,
    /// Given room in this order.
    rank: u8,
    cell: fn(&Ctx<'_>, &Known) -> Cell,
}

/// The table from left to right. Sign and name come before these.
const COLUMNS: &[Column] = &[
    Column { title: "ENGINE", width: 11, right: false, rank: 9, cell: |c, k| (k.rollout.engine.name().into(), c.ink.dim) },
    Column { title: "STEP", width: 6, right: false, rank: 4, cell: step },
    Column { title: "TRAFFIC", width: 8, right: false, rank: 6, cell: |_, _| Default::default() },
    Column { title: "", width: 4, right: true, rank: 0, cell: traffic },
    Column { title: "READY", width: 7, right: true, rank: 1, cell: ready },
    Column { title: "ERR", width: 6, right: true, rank: 2, cell: errors },
    Column { title: "was", width: 5, right: true, rank: 5, cell: was },
    Column {
        title: "P99",
        width: 6,
        right: true,
        rank: 7,
        cell: |c, k| reading(c, k, main_side(k), Series::P99, format::latency, c.ink.plain),
    },
    Column { title: "WAIT", width: WAIT as u16, right: true, rank: 3, cell: wait },
    Column { title: "VERDICT", width: 16, right: false, rank: 8, cell: verdict },
];

/// Columns for how long it waits.
const WAIT: usize = 8;

/// Sign before the name, and the least a name is given.
const SIGN: u16 = 3;
const NAME: u16 = 17;
/// The least a name is given before the columns of lesser rank come.
const ROOMY: u16 = 19;

/// Columns that fit beside a name, in the table's order.
fn chosen(width: u16) -> Vec<&'static Column> {
    let mut by_rank: Vec<&Column> = COLUMNS.iter().collect();
    by_rank.sort_by_key(|c| c.rank);
    let mut left = width.saturating_sub(SIGN);
    let mut kept: Vec<&Column> = Vec::new();
    for column in by_rank {
        let name = if column.rank > 3 { ROOMY } else { NAME };
        if left < column.width + 1 + name {
            break;
        }
        left -= column.width + 1;
        kept.push(column);
    }
    COLUMNS.iter().filter(|c| kept.iter().any(|k| k.rank == c.rank)).collect()
}

/// The first row to draw.
pub fn offset(ctx: &Ctx<'_>, rows: usize) -> usize {
    let selected = selected_row(ctx);
    let last = ctx.state.order.len().saturating_sub(rows.max(1));
    ctx.view.offset.min(selected).max((selected + 1).saturating_sub(rows.max(1))).min(last)
}

fn table(ctx: &Ctx<'_>, buf: &mut Buffer, plan: &Plan) {
    let columns = chosen(plan.rows.width);
    let used: u16 = columns.iter().map(|c| c.width + 1).sum();
    let name = plan.rows.width.saturating_sub(SIGN + used).min(48);
    let titles =
        columns.iter().fold(Writer::new().pad(usize::from(SIGN)).put("ROLLOUT", ctx.ink.dim).pad(usize::from(SIGN + name)), |out, c| {
            out.append(aligned(c.title, ctx.ink.dim, c))
        });
    line::draw(buf, plan.titles, titles.line());
    let first = offset(ctx, usize::from(plan.rows.height));
    for ((uid, row), index) in ctx.state.order.iter().skip(first).zip(plan.rows.rows()).zip(first..) {
        if let Some(known) = ctx.state.rollouts.get(uid) {
            line::draw(buf, row, entry(ctx, known, &columns, usize::from(name)));
            if index == selected_row(ctx) && !ctx.lost_selection() {
                line::select(buf, row);
            }
        }
    }
}

fn entry(ctx: &Ctx<'_>, known: &Known, columns: &[&Column], name: usize) -> line::Words {
    let (sign, style) = sign(ctx, known);
    let stale = links::stale(ctx);
    let mark = if stale { "~" } else { " " };
    let path = known.rollout.id.path();
    let urgent = known.verdict.is == Advice::Abort && known.rollout.in_flight();
    let held = known.verdict.is == Advice::Hold && known.rollout.in_flight();
    let relapsed = known.relapsed();
    let name_style = if needs_a_person(known) { ctx.ink.strong } else { ctx.ink.plain };
    let out = Writer::new().put(format!("{mark}{sign} "), style).put(format::middle(&path, name), name_style).pad(usize::from(SIGN) + name);
    let out = columns.iter().fold(out, |out, column| match column.title {
        "TRAFFIC" => out.put(" ", ctx.ink.plain).append(bar(ctx, known, column.width.into())),
        "WAIT" if relapsed => out.append(aligned("fails", ctx.ink.bad, column)),
        "WAIT" if urgent && !columns.iter().any(|c| c.title == "VERDICT") => out.append(aligned("abort?", ctx.ink.bad, column)),
        "WAIT" if held && !columns.iter().any(|c| c.title == "VERDICT") => out.append(aligned(&hold(ctx, known), ctx.ink.warn, column)),
        _ => {
            let (text, style) = (column.cell)(ctx, known);
            out.append(aligned(&text, style, column))
        }
    });
    if stale || known.deleted.is_some() { line::all(out.line(), Modifier::DIM) } else { out.line() }
}

fn aligned(text: &str, style: Style, column: &Column) -> line::Words {
    let width = usize::from(column.width);
    let text = format::end(text, width);
    let gap = " ".repeat(width - line::columns(&text));
    let out = Writer::new().put(" ", style);
    if column.right { out.put(gap, Style::new()).put(text, style).line() } else { out.put(text, style).put(gap, Style::new()).line() }
}

/// What share fails since a release came to its end, and what failed before, where it is clearly more.
fn relapse(known: &Known) -> Option<(f64, f64, &Finished)> {
    let finished = known.finished.as_ref()?;
    Some((finished.errors?, finished.errors_before?, finished))
}

fn needs_a_person(known: &Known) -> bool {
    known.relapsed()
        || known.stalled
        || known.verdict.is == Advice::Abort
        || !matches!(known.rollout.phase, Phase::Healthy | Phase::Progressing | Phase::Paused)
}

/// One sign for where a rollout stands; a verdict to abort stands above all.
pub fn sign(ctx: &Ctx<'_>, known: &Known) -> (&'static str, Style) {
    match known.rollout.phase {
        _ if known.deleted.is_some() => ("×", ctx.ink.dim),
        _ if known.relapsed() || known.verdict.is == Advice::Abort && known.rollout.in_flight() => (glyphs::ALERT, ctx.ink.bad),
        // What goes on by itself does not look like what needs a person.
        Phase::Paused if known.rollout.wait.as_ref().is_some_and(|w| w.who == WaitFor::Timer) => (glyphs::TIMED, ctx.ink.new),
        Phase::Waiting | Phase::Paused => (glyphs::PAUSED, ctx.ink.warn),
        Phase::Failing | Phase::Aborted => (glyphs::FAILED, ctx.ink.bad),
        Phase::Stuck => (glyphs::STUCK, ctx.ink.bad),
        Phase::Unknown => (glyphs::UNKNOWN, ctx.ink.warn),
        Phase::Progressing if known.stalled => (glyphs::STUCK, ctx.ink.warn),
        Phase::Progressing => (glyphs::MOVING, ctx.ink.new),
        Phase::Healthy => (glyphs::DONE, ctx.ink.good),
    }
}

/// Where it stands, in at most six columns.
pub fn step(ctx: &Ctx<'_>, known: &Known) -> Cell {
    let r = &known.rollout;
    let text = match (r.phase, r.strategy, r.steps.current) {
        _ if known.deleted.is_some() => "gone".into(),
        (Phase::Aborted, ..) => "abort".into(),
        (Phase::Unknown, ..) => "?".into(),
        (Phase::Stuck, ..) => "stuck".into(),
        (Phase::Healthy, ..) if known.finished.is_some() => "done".into(),
        (Phase::Healthy, ..) => glyphs::DASH.into(),
        (_, Strategy::BlueGreen, _) => "flip".into(),
        (_, _, Some(i)) if !r.steps.items.is_empty() => format!("{}/{}", (i + 1).min(r.steps.items.len()), r.steps.items.len()),
        (_, Strategy::Rolling, _) => "roll".into(),
        (Phase::Failing, ..) => "fails".into(),
        _ => glyphs::DASH.into(),
    };
    (text, ctx.ink.plain)
}

/// The new side's share of the users, by the best word there is: applied, else its pods. What is only asked is no share.
pub fn new_share(known: &Known) -> Option<f64> {
    let traffic = &known.rollout.new_side()?.traffic;
    traffic.applied.or(traffic.replica_share)
}

fn bar(ctx: &Ctx<'_>, known: &Known, width: usize) -> line::Words {
    line::bar(new_share(known).filter(|_| known.rollout.in_flight()), width, ctx.ink.new, ctx.ink.dim)
}

fn traffic(ctx: &Ctx<'_>, known: &Known) -> Cell {
    match (known.rollout.in_flight(), new_share(known)) {
        (false, _) => (String::new(), ctx.ink.dim),
        (true, Some(0.0)) if known.rollout.strategy == Strategy::BlueGreen => ("pre".into(), ctx.ink.plain),
        (true, Some(share)) => (format!("{:.0}%", share * 100.0), ctx.ink.strong),
        (true, None) => (glyphs::UNKNOWN.into(), ctx.ink.dim),
    }
}

fn ready(ctx: &Ctx<'_>, known: &Known) -> Cell {
    let r = &known.rollout;
    if r.new_side().or(r.tracks.first()).is_some_and(|side| r.is_scaled_to_zero(side)) {
        return ("to zero".into(), ctx.ink.dim);
    }
    match r.ready_to_watch() {
        Some((ready, wanted)) => (format!("{ready}/{wanted}"), if ready < wanted { ctx.ink.warn } else { ctx.ink.plain }),
        None => (glyphs::DASH.into(), ctx.ink.dim),
    }
}

fn errors(ctx: &Ctx<'_>, known: &Known) -> Cell {
    let style = if known.verdict.is == Advice::Abort || known.relapsed() { ctx.ink.bad } else { ctx.ink.plain };
    reading(ctx, known, main_side(known), Series::Errors, format::ratio, style)
}

/// The old side's errors, where there is another to compare them with.
fn was(ctx: &Ctx<'_>, known: &Known) -> Cell {
    match known.rollout.in_flight() {
        true => reading(ctx, known, Side::Old, Series::Errors, format::ratio, ctx.ink.dim),
        false => match known.finished.and_then(|finished| finished.errors_before) {
            Some(before) => (format::ratio(before), ctx.ink.dim),
            None => (glyphs::DASH.into(), ctx.ink.dim),
        },
    }
}

/// Whose readings stand in the main columns: the new side's while there is one.
pub fn main_side(known: &Known) -> Side {
    if known.rollout.in_flight() { Side::New } else { Side::Old }
}

fn reading(ctx: &Ctx<'_>, known: &Known, side: Side, series: Series, show: fn(f64) -> String, style: Style) -> Cell {
    let Some(metrics) = ctx.metrics(known) else { return (glyphs::DASH.into(), ctx.ink.dim) };
    match metrics.side(side).get(series) {
        Reading::Value(v) if links::readings_stale(ctx, metrics.at) => (format!("~{}", show(v)), ctx.ink.dim),
        Reading::Value(v) => (show(v), style),
        other => (brief(other).into(), ctx.ink.dim),
    }
}

/// Words for a table cell where there is no number.
pub fn brief(reading: Reading) -> &'static str {
    match reading {
        Reading::Unasked => glyphs::ELLIPSIS,
        Reading::NoData => "n/a",
        Reading::NoTraffic => "idle",
        Reading::NotANumber => "NaN",
        Reading::Value(_) => "",
    }
}

fn wait(ctx: &Ctx<'_>, known: &Known) -> Cell {
    let Some(wait) = known.rollout.wait.as_ref() else {
        return match known.finished {
            Some(finished) => (ago(ctx, finished.at), ctx.ink.dim),
            None => (glyphs::DASH.into(), ctx.ink.dim),
        };
    };
    let style = if wait.who == WaitFor::Human || known.stalled { ctx.ink.warn } else { ctx.ink.plain };
    match (wait.until, wait.since) {
        (Some(until), _) => (due(&ctx.clock.until(until)), style),
        (None, Some(since)) => (ctx.clock.since(since), style),
        (None, None) => (glyphs::DASH.into(), ctx.ink.dim),
    }
}

/// How long ago, in at most eight columns.
fn ago(ctx: &Ctx<'_>, at: Time) -> String {
    match ctx.clock.age(at).as_str() {
        "now" => "now".into(),
        age => format!("{age} ago"),
    }
}

/// That it should be held, with the time if there is room for it.
fn hold(ctx: &Ctx<'_>, known: &Known) -> String {
    let time = known.rollout.wait.as_ref().and_then(|w| w.until.map(|at| ctx.clock.until(at)).or(w.since.map(|at| ctx.clock.since(at))));
    let long = format!("ho? {}", time.unwrap_or_default());
    if line::columns(&long) <= WAIT { long.trim_end().into() } else { "hold?".into() }
}

/// A countdown, never to be read as overdue.
pub fn due(left: &str) -> String {
    if left == "now" { left.into() } else { format!("in {left}") }
}

pub fn verdict(ctx: &Ctx<'_>, known: &Known) -> Cell {
    let style = match known.verdict.is {
        Advice::Abort => ctx.ink.bad,
        Advice::Hold => ctx.ink.warn,
        Advice::Go => ctx.ink.good,
        Advice::NotEnoughData | Advice::None => ctx.ink.dim,
    };
    let idle = known.verdict.is == Advice::None && !known.rollout.in_flight();
    (if idle { glyphs::DASH } else { known.verdict.is.words() }.into(), style)
}

/// Two sentences about the selected rollout, a rule above them.
fn about(ctx: &Ctx<'_>, buf: &mut Buffer, mut area: Rect) {
    if area.height > 2 {
        let rule = layout::top(&mut area, 1);
        line::draw(buf, rule, line::words(glyphs::RULE.repeat(usize::from(rule.width)), ctx.ink.border));
    }
    let Some(known) = ctx.selected() else {
        return line::draw(buf, area, line::words(" The selected rollout is gone: choose another row.", ctx.ink.warn));
    };
    line::draw_all(buf, area, sentences(ctx, known, area.width, area.height));
}

/// Rows that they would take at this width, the rule among them, where so many more are free.
fn about_rows(ctx: &Ctx<'_>, width: u16, spare: u16) -> u16 {
    let lines = ctx.selected().map_or(2, |known| sentences(ctx, known, width, ABOUT - 1 + spare).len());
    1 + u16::try_from(lines).unwrap_or(u16::MAX)
}

/// The two sentences in as many rows as they need, or as fit: the first is the one that must be read.
fn sentences(ctx: &Ctx<'_>, known: &Known, width: u16, rows: u16) -> Vec<line::Words> {
    let (columns, rows) = (usize::from(width), usize::from(rows));
    let indented = |line: line::Words| Writer::new().put(" ", ctx.ink.plain).append(line).line();
    let broken = |line: line::Words| line::wrap(line, columns.saturating_sub(2)).into_iter().map(indented).collect::<Vec<_>>();
    let name = known.rollout.id.path();
    let titled = |name: String| {
        let out = Writer::new().put(name, ctx.ink.strong).put(" ", ctx.ink.plain);
        match alarm(ctx, known) {
            Some((text, style)) => out.put(text, style).line(),
            None => out.append(rollout::verdict_words(ctx, known)).line(),
        }
    };
    let first = titled(format!("{name} "));
    // Lines break at spaces: the one that sets the name apart is not to go.
    let mut whole = broken(titled("x".repeat(line::columns(&name) + 1)));
    if let Some(span) = whole.first_mut().and_then(|line| line.spans.get_mut(1)) {
        span.content = format!("{name} ").into();
    }
    let next = rollout::next_words(ctx, known, columns.saturating_sub(2));
    let (coming, back) = (rollout::coming(ctx, known, false), rollout::back_words(ctx, known));
    let apart = if coming.width() + 2 + back.width() + 2 > columns {
        [broken(coming), broken(back)].concat()
    } else {
        vec![indented(next.clone())]
    };
    let apart: Vec<_> = apart.into_iter().filter(|line| line.width() > 1).collect();
    let most = [[whole.clone(), apart].concat(), [whole, vec![indented(next.clone())]].concat()];
    most.into_iter().find(|lines| lines.len() <= rows).unwrap_or_else(|| vec![indented(first), indented(next)])
}

/// What stands before the verdict: danger always, lesser trouble where the verdict has nothing to say.
fn alarm(ctx: &Ctx<'_>, known: &Known) -> Option<Cell> {
    let r = &known.rollout;
    if let Some((now, before, finished)) = relapse(known) {
        let (now, before, ago) = (format::ratio(now), format::ratio(before), ago(ctx, finished.at));
        return Some((format!("{now} fail since the release was finished ({ago}), {before} before"), ctx.ink.bad));
    }
    if let Some(said) = stall(ctx, known) {
        return Some((said, ctx.ink.warn));
    }
    let silent = matches!(known.verdict.is, Advice::None | Advice::NotEnoughData);
    let notice = r.alarm().filter(|n| n.severity == Severity::Danger || (silent && n.severity == Severity::Warning));
    match notice {
        _ if known.verdict.is == Advice::Abort => None,
        Some(notice) => Some((notice.text.to_string(), if notice.severity == Severity::Danger { ctx.ink.bad } else { ctx.ink.warn })),
        None if !silent => None,
        None => r
            .tracks
            .iter()
            .find_map(pods::first_trouble)
            .or_else(|| Some(r.phase_detail.to_string()).filter(|_| matches!(r.phase, Phase::Failing | Phase::Stuck | Phase::Unknown)))
            .filter(|text| !text.is_empty())
            .map(|text| (text, ctx.ink.bad)),
    }
}

/// Pods that do not come up, for how long already, and until when they have.
fn stall(ctx: &Ctx<'_>, known: &Known) -> Option<String> {
    let pods = known.rollout.new_side().and_then(pods::first_trouble);
    let wait = known.rollout.wait.as_ref().filter(|_| known.stalled && known.verdict.is != Advice::Abort)?;
    let end = known.rollout.next.at.filter(|at| ctx.clock.ahead(*at)).map(|at| format!(", gives up in {}", ctx.clock.until(at)));
    let why = pods.map(|why| format!(": {why}")).unwrap_or_else(|| "; open it to see why".into());
    Some(format!("{}, no progress for {}{}{why}", wait.reason, ctx.clock.since(wait.since?), end.unwrap_or_default()))
}

fn beside(ctx: &Ctx<'_>, buf: &mut Buffer, plan: &Plan) {
    let Some(known) = ctx.selected() else { return };
    if !plan.beside.is_empty() {
        rollout::beside(ctx, known, buf, plan.beside);
    }
    if !plan.below.is_empty() {
        rollout::below(ctx, known, buf, plan.below);
    }
}

/// The empty screen: each reason for it is another picture.
fn nothing(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect) {
    let link = ctx.state.links.get(Source::Fleet);
    let ink = &ctx.ink;
    if let Some(trouble) = links::trouble(Source::Fleet, &link).filter(|_| ctx.state.rollouts.is_empty()) {
        let retry = link.retry_at.map(|at| links::retry(ctx, at).trim().to_owned()).unwrap_or_default();
        let style = if link.state == LinkState::Connecting { ink.strong } else { ink.bad };
        return layout::message(
            buf,
            area,
            (&trouble.title, style),
            &[(retry, ink.plain), (trouble.advice, ink.plain), (trouble.detail, ink.dim)],
        );
    }
    let (title, advice) = match (ctx.state.rollouts.len(), ctx.view.filter.is_empty()) {
        (0, _) if link.state == LinkState::Off => ("Not connected".into(), "nothing has been asked of the cluster yet".into()),
        (0, _) if link.synced.is_none() => ("Listing rollouts".into(), "connected; the first list is on its way".into()),
        (0, _) => (
            format!("No rollouts in {}", ctx.state.scope),
            match withheld(ctx) {
                Some(what) => format!("of what may be read: {what}"),
                None => {
                    "the list is complete and empty. Another namespace: -n NAME, all of them: -A, another cluster: --context NAME".into()
                }
            },
        ),
        (n, false) => {
            (format!("None of {} matches /{}", format::plural(n, "rollout"), ctx.view.filter.text), "Esc clears the filter".into())
        }
        (n, true) => (format!("Nothing moves: {} steady", format::plural(n, "rollout")), "s shows them".into()),
    };
    layout::message(buf, area, (&title, ink.strong), &[(advice, ink.plain)]);
}
