//! Pods of each side, their last trouble, and the load they carry.

use ratatui::style::Style;

use super::super::{
    Ctx, footer, format, glyphs,
    line::{self, Words, Writer},
};
use crate::{
    model::{Pod, PodHealth, Role, Rollout, Time, Track, metrics::Reading},
    state::{Known, Pane},
};

const LABEL: usize = 9;

pub fn lines(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let mut lines: Vec<Words> = known.rollout.tracks.iter().map(|t| line::fit(track(ctx, &known.rollout, t, width, true), width)).collect();
    lines.extend(trouble(ctx, known, width));
    lines.extend(load(ctx, known, width));
    lines.extend(each(ctx, known, width));
    lines
}

/// One line a side, with what ails its pods: for screens that have no line for them.
pub fn tracks(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let line = |t: &Track| {
        let why = first_trouble(t).map(|why| format!(" {} {why}", glyphs::DOT)).unwrap_or_default();
        let whole = track(ctx, &known.rollout, t, width, true);
        // The image is said elsewhere too, the trouble nowhere.
        let fits = why.is_empty() || whole.width() + line::columns(&why) <= width;
        let whole = if fits { whole } else { track(ctx, &known.rollout, t, width, false) };
        line::fit(Writer::new().append(whole).put(why, ctx.ink.bad).line(), width)
    };
    known.rollout.tracks.iter().map(line).collect()
}

/// Why the worst of a side's pods is not ready.
pub fn first_trouble(track: &Track) -> Option<String> {
    let worst = track.pods.iter().filter(|p| p.trouble.is_some() && p.health != PodHealth::Ending).max_by_key(|p| p.health)?;
    worst.trouble.as_ref().map(ToString::to_string)
}

/// Ready of wanted, a dot a pod, its image, and when it goes.
fn track(ctx: &Ctx<'_>, rollout: &Rollout, track: &Track, width: usize, with_image: bool) -> Words {
    let name = if track.is_new { ctx.ink.new } else { ctx.ink.plain };
    let style = if track.ready < track.desired { ctx.ink.warn } else { ctx.ink.strong };
    let image = track.images.first().map(|i| format::image(i)).unwrap_or_default();
    // The image is in the title too: it gives way to the dots.
    let wide = width >= LABEL + 6 + (track.current.max(track.ready) as usize).min(30) + 3 + line::columns(&image);
    let mut out = Writer::new()
        .put(format!("{:<LABEL$}", track.role().name()), name)
        .put(if rollout.is_scaled_to_zero(track) { "scaled to zero ".into() } else { format!("{}/{}", track.ready, track.desired) }, style)
        .pad(LABEL + 6)
        .append(dots(ctx, track, if wide { 30 } else { width.saturating_sub(LABEL + 6 + 3).clamp(4, 30) }));
    if track.role() == Role::Old && track.current > track.desired {
        out.push(format!(" {} still run", track.current), ctx.ink.dim);
    }
    match track.scale_down_at {
        Some(at) if ctx.clock.ahead(at) => out.push(format!("  gone in {}", ctx.clock.until(at)), ctx.ink.warn),
        Some(_) => out.push("  going", ctx.ink.warn),
        None => {}
    }
    if wide && with_image && !image.is_empty() {
        out.push(format!("  {image}"), ctx.ink.dim);
    }
    out.line()
}

fn look(ctx: &Ctx<'_>, health: PodHealth) -> (&'static str, Style) {
    match health {
        PodHealth::Ready => (glyphs::READY, ctx.ink.good),
        PodHealth::Starting => (glyphs::STARTING, ctx.ink.warn),
        PodHealth::Ending => (glyphs::ENDING, ctx.ink.dim),
        PodHealth::Failing => (glyphs::FAILED, ctx.ink.bad),
    }
}

/// A dot a pod; from counts where the pods themselves are not watched.
fn dots(ctx: &Ctx<'_>, track: &Track, room: usize) -> Words {
    let mut healths: Vec<PodHealth> = track.pods.iter().map(|p| p.health).collect();
    if healths.is_empty() {
        healths = vec![PodHealth::Ready; (track.ready as usize).min(room + 1)];
        healths.resize((track.current.max(track.ready) as usize).min(room + 1), PodHealth::Starting);
    }
    // Trouble first: it must not be what is cut.
    healths.sort_unstable_by(|a, b| b.cmp(a));
    let more = (track.current as usize).max(healths.len()).saturating_sub(room);
    let out = healths.into_iter().take(room).fold(Writer::new(), |out, h| {
        let (sign, style) = look(ctx, h);
        out.put(sign, style)
    });
    if more > 0 { out.put(format!("+{more}"), ctx.ink.dim).line() } else { out.line() }
}

fn pods(known: &Known) -> impl Iterator<Item = (&Track, &Pod)> {
    known.rollout.tracks.iter().flat_map(|t| t.pods.iter().map(move |p| (t, p)))
}

/// Restarts, and the last thing that went wrong.
fn trouble(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    if !known.rollout.detailed {
        return vec![line::words("pods are not watched here", ctx.ink.dim)];
    }
    let restarts: u32 = pods(known).map(|(_, p)| p.restarts).sum();
    let stuck = pods(known).find_map(|(_, p)| p.trouble.as_ref().map(|why| format!("{}: {why}", format::middle(&p.name, 24))));
    let last = pods(known).filter_map(|(_, p)| p.last_end.as_ref().map(|(at, why)| (*at, p, why))).max_by_key(|(at, ..)| *at);
    let mut text = if restarts == 0 { "no restarts".to_owned() } else { format!("restarts {restarts}") };
    if let Some((at, pod, why)) = last {
        text += &format!(" {} {} {why} {}", glyphs::DOT, format::middle(&pod.name, 20), ago(ctx, at));
        if pod.health == PodHealth::Ready {
            text += ", back up";
        }
    }
    let style = if restarts == 0 { ctx.ink.dim } else { ctx.ink.warn };
    let mut lines: Vec<Words> = format::wrap_in(&text, width, 2).into_iter().map(|l| line::words(l, style)).collect();
    // Whole where there is room for it: what image it was stands at its end.
    let rows = if ctx.view.zoom == Some(Pane::Pods) { 6 } else { 1 };
    let stuck = stuck.into_iter().flat_map(|s| format::wrap_in(&s, width, rows));
    lines.extend(stuck.map(|s| line::words(s, ctx.ink.bad)));
    lines
}

fn ago(ctx: &Ctx<'_>, at: Time) -> String {
    match ctx.clock.age(at).as_str() {
        "now" => "just now".into(),
        age => format!("{age} ago"),
    }
}

/// Load of a new pod now, and with the next weight on the same pods.
fn load(ctx: &Ctx<'_>, known: &Known, width: usize) -> Option<Words> {
    let new = known.rollout.new_side().filter(|t| t.ready > 0)?;
    let metrics = ctx.metrics(known)?;
    let Reading::Value(now) = metrics.new.rate else { return None };
    let pods = f64::from(new.ready);
    let mut text = format!("load/pod {}", format::rate(now / pods));
    if let (Reading::Value(old), Some(weight)) = (metrics.old.rate, footer::next_weight(&known.rollout)) {
        text += &format!(", {} at {}", format::rate((now + old) * weight / pods), format::share(weight));
    }
    Some(line::fit(line::words(text, ctx.ink.plain), width))
}

/// A line a pod, trouble first.
fn each(ctx: &Ctx<'_>, known: &Known, width: usize) -> Vec<Words> {
    let mut all: Vec<(&Track, &Pod)> = pods(known).collect();
    all.sort_by(|a, b| b.1.health.cmp(&a.1.health).then_with(|| b.0.is_new.cmp(&a.0.is_new)).then_with(|| a.1.name.cmp(&b.1.name)));
    all.into_iter().map(|(_, pod)| line::fit(pod_line(ctx, pod, width), width)).collect()
}

fn pod_line(ctx: &Ctx<'_>, pod: &Pod, width: usize) -> Words {
    let (sign, style) = look(ctx, pod.health);
    let name = width.saturating_sub(30).clamp(12, 44);
    let mut out = Writer::new().put(format!("{sign} "), style).put(format::middle(&pod.name, name), ctx.ink.plain).pad(name + 3).put(
        format!("{}/{} {}", pod.containers.0, pod.containers.1, pod.status),
        if pod.health == PodHealth::Failing { ctx.ink.bad } else { ctx.ink.plain },
    );
    if pod.restarts > 0 {
        out.push(format!("  ×{}", pod.restarts), ctx.ink.warn);
    }
    if let Some(created) = pod.created {
        out.push(format!("  {}", ctx.clock.age(created)), ctx.ink.dim);
    }
    if let Some(node) = &pod.node {
        out.push(format!("  {node}"), ctx.ink.dim);
    }
    out.line()
}
