//! The action card: what would be done, what speaks for and against it, and how far it came.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use super::{
    Ctx, format, glyphs, layout,
    line::{self, Words, Writer},
    links,
    panes::diff,
};
use crate::{
    engine::{Change, Plan, flag::Reading},
    guard,
    intent::Verb,
    model::{Severity, Source, Text},
    msg::{Check, Health},
    state::{Card, Confirm, Stage},
};

/// Widest card: as wide as the narrowest full screen, so that it looks the same everywhere.
const WIDTH: u16 = 80;
/// Columns of the labels.
const LABEL: usize = 11;
/// Rows that a verdict may take: its numbers are what the answer rests on.
const SENTENCE: usize = 4;
/// What is said when lines were dropped, and where that has no room either.
const MORE: &str = "more on a larger screen";
const MORE_BRIEF: &str = "more …";

/// A line, how soon it gives way when there is no room (small stays), and whether it goes on from the one above.
#[derive(Debug)]
struct Ranked {
    rank: u8,
    line: Words,
    goes_on: bool,
}

impl Ranked {
    fn new(rank: u8, line: Words) -> Self {
        Self { rank, line, goes_on: false }
    }
}

pub fn draw(ctx: &Ctx<'_>, buf: &mut Buffer, area: Rect) {
    let Some(card) = ctx.card.filter(|c| !c.folded) else { return };
    let bare = area.height <= 8 || area.width < 30;
    let width = area.width.min(WIDTH);
    let room = usize::from(if bare { width } else { width.saturating_sub(4) });
    let mut lines = body(ctx, card, room);
    let answer = answer(ctx, card, room);
    let border = if bare { 1 } else { 2 };
    let space = usize::from(area.height).saturating_sub(border + answer.len());
    let all = lines.len();
    lines = kept(lines, space, room);
    let dropped = lines.len() < all;
    // A blank line before the answer, where there is one to spare.
    if lines.len() < space {
        lines.push(Ranked::new(0, Words::default()));
    }
    let height = u16::try_from(lines.len() + answer.len() + border).unwrap_or(u16::MAX);
    let spot = if bare { area } else { layout::centre(area, width, height) };
    layout::clear(buf, spot);
    let title = line::words(title(card), ctx.ink.strong);
    let inside = if bare {
        let width = usize::from(spot.width);
        let said = [MORE, MORE_BRIEF].into_iter().find(|m| title.width() + line::columns(m) < width).unwrap_or(MORE_BRIEF);
        let more = line::words(if dropped { said } else { "" }, ctx.ink.warn);
        let title = line::fit(title, if dropped { width.saturating_sub(more.width() + 1) } else { width });
        line::draw(buf, Rect { height: 1, ..spot }, line::both(title, more, width));
        Rect { y: spot.y + 1, height: spot.height.saturating_sub(1), ..spot }
    } else {
        let inner = layout::framed(buf, spot, title, ctx.ink.focus, false, true);
        if dropped {
            let floor = Rect { x: spot.x + 2, y: spot.bottom().saturating_sub(1), width: spot.width.saturating_sub(4), height: 1 };
            line::draw(buf, floor, line::words(format!(" {MORE} "), ctx.ink.warn));
        }
        Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner }
    };
    line::draw_all(buf, inside, lines.into_iter().map(|l| l.line).chain(answer).collect());
}

/// Drops the lines of highest rank until the rest fits; a text that loses its end says so.
fn kept(lines: Vec<Ranked>, space: usize, width: usize) -> Vec<Ranked> {
    let mut order: Vec<(u8, usize)> = lines.iter().enumerate().map(|(i, l)| (l.rank, i)).collect();
    order.sort_unstable();
    order.truncate(space);
    let mut out: Vec<Ranked> = Vec::with_capacity(order.len());
    let mut above = false;
    for (i, line) in lines.into_iter().enumerate() {
        let stays = order.contains(&(line.rank, i));
        if !stays
            && above
            && line.goes_on
            && let Some(last) = out.last_mut()
        {
            last.line = line::broken_off(std::mem::take(&mut last.line), width);
        }
        above = stays;
        if stays {
            out.push(line);
        }
    }
    out
}

/// `Promote shop/checkout on prod-eu`.
fn title(card: &Card) -> String {
    format!("{} {} on {}", verb_words(card.intent.verb()), card.target.path(), card.target.context)
}

fn verb_words(verb: Verb) -> &'static str {
    match verb {
        Verb::Promote => "Promote",
        Verb::PromoteFull => "Promote all the way",
        Verb::Skip => "Skip a step of",
        Verb::Pause => "Pause",
        Verb::Resume => "Resume",
        Verb::Abort => "Abort",
        Verb::Retry => "Retry",
        Verb::Undo => "Undo",
        Verb::Restart => "Restart",
        Verb::SetImage => "Set an image of",
        Verb::Flip => "Flip",
        Verb::SetWeight => "Set the weight of",
        Verb::Scale => "Scale",
        Verb::ScaleDown => "Scale down the old side of",
        Verb::Arm => "Arm the guard of",
        Verb::Disarm => "Disarm the guard of",
        Verb::KillFlag => "Kill a flag of",
    }
}

fn body(ctx: &Ctx<'_>, card: &Card, width: usize) -> Vec<Ranked> {
    match &card.stage {
        Stage::Refused(refusal) => {
            let mut lines = wrapped(0, &refusal.reason, ctx.ink.bad, width);
            if let Some(instead) = &refusal.instead {
                lines.push(Ranked::new(4, Words::default()));
                lines.extend(wrapped(1, &format!("Instead: {instead}"), ctx.ink.strong, width));
            }
            lines
        }
        Stage::Asking => card.plan.as_ref().map(|plan| asking(ctx, card, plan, width)).unwrap_or_default(),
        stage => followed(ctx, card, stage, width),
    }
}

fn wrapped(rank: u8, text: &str, style: Style, width: usize) -> Vec<Ranked> {
    let put = |(i, l): (usize, String)| Ranked { goes_on: i > 0, ..Ranked::new(rank + u8::from(i > 1), line::words(l, style)) };
    format::wrap(text, width).into_iter().enumerate().map(put).collect()
}

/// A label and words behind it, wrapped under each other, at most two lines.
fn labelled(ctx: &Ctx<'_>, rank: u8, label: &str, text: &str, style: Style, width: usize) -> Vec<Ranked> {
    labelled_in(ctx, rank, label, text, style, (width, 2))
}

/// The same in at most so many rows.
fn labelled_in(ctx: &Ctx<'_>, rank: u8, label: &str, text: &str, style: Style, (width, rows): (usize, usize)) -> Vec<Ranked> {
    if text.is_empty() {
        return Vec::new();
    }
    let lines = format::wrap_in(text, width.saturating_sub(LABEL), rows);
    let put = |(i, l): (usize, String)| {
        let label = if i == 0 { label } else { "" };
        let line = Writer::new().put(format!("{label:<LABEL$}"), ctx.ink.dim).put(l, style).line();
        Ranked { goes_on: i > 0, ..Ranked::new(rank + i as u8, line) }
    };
    lines.into_iter().enumerate().map(put).collect()
}

/// Everything to be known before the answer; the gravest has the least rank.
fn asking(ctx: &Ctx<'_>, card: &Card, plan: &Plan, width: usize) -> Vec<Ranked> {
    let mut lines = wrapped(1, &plan.sentence, ctx.ink.strong, width);
    if let Some(moved) = &card.moved {
        lines.extend(labelled(ctx, 1, "changed", &format!("{moved}; this plan is new"), ctx.ink.loud, width));
    }
    // Without the right the dry run was not even asked: that is no second trouble.
    let unasked = matches!(card.rights, Check::No(_)).then(|| guard::doubts(&card.dry_run, "the dry run")).flatten();
    for objection in card.objections.iter().filter(|o| unasked.as_ref().is_none_or(|u| u.text != o.text)) {
        let state = if card.overridden { "overridden" } else { "against" };
        lines.extend(labelled_in(ctx, 0, state, &objection.text, ctx.ink.bad, (width, SENTENCE)));
    }
    for change in &plan.changes {
        let change = &read_now(card, change);
        let fields = diff::change_lines(ctx, change, width.saturating_sub(2));
        let indented = |l: Words| Writer::new().put("  ", ctx.ink.plain).append(l).line();
        lines.extend(fields.into_iter().enumerate().map(|(i, l)| Ranked { goes_on: i > 0, ..Ranked::new(6, indented(l)) }));
    }
    let conditions: Vec<&str> = plan.only_if.iter().map(Text::as_str).collect();
    lines.extend(labelled(ctx, 12, "only if", &conditions.join(" · "), ctx.ink.plain, width));
    lines.extend(checks(ctx, card, plan, width));
    lines.extend(card.health.iter().flat_map(|health| asked(ctx, health, width)));
    lines.push(Ranked::new(10, evidence(ctx)));
    if !said_against(card) {
        lines.extend(labelled_in(ctx, 7, "verdict", &card.verdict, ctx.ink.plain, (width, SENTENCE)));
    }
    lines.extend(labelled(ctx, 14, "others", &quoted(&card.others), ctx.ink.plain, width));
    if let Some(capacity) = &plan.capacity {
        lines.extend(labelled(ctx, 9, "capacity", capacity, ctx.ink.plain, width));
    }
    let spoken = |text: &Text| card.objections.iter().any(|o| o.text == *text);
    for warning in plan.warnings.iter().filter(|w| !spoken(&w.text)) {
        let style = if warning.severity == Severity::Note { ctx.ink.dim } else { ctx.ink.warn };
        lines.extend(labelled(ctx, 5, "mind", &warning.text, style, width));
    }
    lines.extend(labelled(ctx, 3, "back", &plan.back, ctx.ink.good, width));
    lines
}

/// Whether the verdict stands among the objections: once is enough.
fn said_against(card: &Card) -> bool {
    card.verdict.split_once(": ").is_some_and(|(_, because)| card.objections.iter().any(|o| o.text.ends_with(because)))
}

/// A flag's old value is no object's: it was asked for.
fn read_now(card: &Card, change: &Change) -> Change {
    let from = card.flag.as_ref().map_or_else(|| change.from.clone(), Reading::value);
    Change { from, ..change.clone() }
}

/// How old what the card rests on is, now and not when it was opened.
fn evidence(ctx: &Ctx<'_>) -> Words {
    let badges = [Source::Fleet, Source::Prometheus].into_iter().filter_map(|source| links::badge(ctx, source));
    let out = Writer::new().put(format!("{:<LABEL$}", "evidence"), ctx.ink.dim);
    let joined = |out: Writer, (i, badge): (usize, Words)| {
        let joint = if i == 0 { String::new() } else { format!(" {} ", glyphs::DOT) };
        out.put(joint, ctx.ink.dim).append(badge)
    };
    badges.enumerate().fold(out, joined).line()
}

/// Names of field managers in quotes: `"before-first-apply" 5m ago` is no sentence without them.
fn quoted(others: &str) -> String {
    let one = |part: &str| match part.strip_suffix(" ago").and_then(|p| p.rsplit_once(' ')) {
        Some((name, age)) => format!("\"{name}\" {age} ago"),
        None => part.to_owned(),
    };
    others.split(" · ").map(one).collect::<Vec<_>>().join(" · ")
}

/// What the server says to the same patch, and whether we may send it. A problem stays to the last.
fn checks(ctx: &Ctx<'_>, card: &Card, plan: &Plan, width: usize) -> Vec<Ranked> {
    if plan.switch.is_some() {
        return read_back(ctx, card, width);
    }
    let write = plan.writes.first().map(|w| {
        let sub = w.subresource.map(|s| format!("/{s}")).unwrap_or_default();
        format!(" ({} {}{sub})", w.verb(), w.resource.plural)
    });
    let (may, may_style) = check(ctx, &card.rights, "yes");
    if let Check::No(_) = card.rights {
        return labelled(ctx, 0, "you may", &may, may_style, width);
    }
    let (dry, dry_style) = check(ctx, &card.dry_run, "accepted");
    let trouble = |check: &Check| matches!(check, Check::No(_) | Check::Unknown(_));
    if trouble(&card.dry_run) || trouble(&card.rights) {
        let rank = |check: &Check| if trouble(check) { 0 } else { 8 };
        let mut lines = labelled(ctx, rank(&card.dry_run), "dry run", &dry, dry_style, width);
        let may = may + &write.unwrap_or_default();
        lines.extend(labelled(ctx, rank(&card.rights), "you may", &may, may_style, width));
        return lines;
    }
    let line = Writer::new()
        .put(format!("{:<LABEL$}", "dry run"), ctx.ink.dim)
        .put(dry, dry_style)
        .put("   you may  ", ctx.ink.dim)
        .put(may, may_style)
        .put(write.unwrap_or_default(), ctx.ink.dim)
        .line();
    vec![Ranked::new(8, line)]
}

/// What stands for a dry run where there is none: whether the flag is on. Trouble stands among the objections.
fn read_back(ctx: &Ctx<'_>, card: &Card, width: usize) -> Vec<Ranked> {
    let (text, style) = check(ctx, &card.dry_run, "it is on");
    let rank = if matches!(card.dry_run, Check::No(_)) { 0 } else { 8 };
    labelled(ctx, rank, "read back", &text, style, width)
}

/// What the pods said that users would be sent to; trouble stands among the objections.
fn asked(ctx: &Ctx<'_>, health: &Health, width: usize) -> Vec<Ranked> {
    let (text, style) = match health {
        Health::Good(what) => (format!("{} {what}", glyphs::DONE), ctx.ink.good),
        Health::Bad(what) => (format!("{} {what}", glyphs::FAILED), ctx.ink.bad),
        Health::NotAsked(why) => (format!("{} not asked: {why}", glyphs::UNKNOWN), ctx.ink.dim),
    };
    labelled(ctx, 6, "health", &text, style, width)
}

fn check(ctx: &Ctx<'_>, check: &Check, yes: &str) -> (String, Style) {
    match check {
        Check::Pending => (format!("asking {}", glyphs::ELLIPSIS), ctx.ink.dim),
        Check::Yes => (format!("{} {yes}", glyphs::DONE), ctx.ink.good),
        Check::No(why) => (format!("{} no: {why}", glyphs::FAILED), ctx.ink.bad),
        Check::Unknown(why) => (format!("{} not known: {why}", glyphs::UNKNOWN), ctx.ink.warn),
    }
}

/// How far an action came: its way, then what the outcome means.
fn followed(ctx: &Ctx<'_>, card: &Card, stage: &Stage, width: usize) -> Vec<Ranked> {
    let mut lines = Vec::new();
    if let Some(plan) = &card.plan {
        lines.extend(wrapped(2, &plan.sentence, ctx.ink.plain, width));
    }
    lines.push(Ranked::new(0, line::fit(way(ctx, card), width)));
    let (title, advice, style) = outcome(ctx, card, stage);
    lines.extend(wrapped(1, &title, style, width));
    if !advice.is_empty() {
        lines.extend(wrapped(1, &advice, ctx.ink.plain, width));
    }
    if let Some(plan) = card.plan.as_ref().filter(|_| !matches!(stage, Stage::Conflict { .. })) {
        lines.extend(labelled(ctx, 5, "back", &plan.back, ctx.ink.good, width));
    }
    lines
}

/// Stations passed: sent, accepted, observed, and the effect itself.
fn stations(stage: &Stage) -> (usize, bool) {
    match stage {
        Stage::Sent { .. } => (1, true),
        Stage::Unknown { .. } => (1, false),
        Stage::Accepted { .. } => (2, true),
        Stage::Silent { .. } => (2, false),
        Stage::Observed { .. } => (3, true),
        Stage::Diverted { .. } => (3, false),
        Stage::Done { .. } => (4, true),
        Stage::Conflict { .. } | Stage::Failed { .. } => (1, false),
        Stage::Refused(_) | Stage::Asking => (0, true),
    }
}

fn is_switch(card: &Card) -> bool {
    card.plan.as_ref().is_some_and(|plan| plan.switch.is_some())
}

fn way(ctx: &Ctx<'_>, card: &Card) -> Words {
    let goal = card.plan.as_ref().map_or("effect seen", |p| p.expect.what.as_str());
    let (passed, going) = stations(&card.stage);
    let mut out = Writer::new();
    // Nobody observes a flag's way: it reads off, or it does not.
    let all: &[&str] = if is_switch(card) { &["sent", "accepted", goal] } else { &["sent", "accepted", "observed", goal] };
    let passed = passed.min(all.len());
    for (i, name) in all.iter().enumerate() {
        let joint = if i == 0 { String::new() } else { format!(" {} ", glyphs::ARROW) };
        let (sign, style) = match i {
            i if i < passed => (glyphs::DONE, ctx.ink.good),
            i if i == passed && going => (glyphs::HERE, ctx.ink.new),
            i if i == passed => (glyphs::FAILED, ctx.ink.bad),
            _ => (" ", ctx.ink.dim),
        };
        out = out.put(joint, ctx.ink.dim).put(format!("{sign} {name}"), style);
    }
    out.line()
}

/// What a stage means, what to do about it, and how loud to say it.
fn outcome(ctx: &Ctx<'_>, card: &Card, stage: &Stage) -> (String, String, Style) {
    let ink = &ctx.ink;
    let goal = card.plan.as_ref().map_or("the effect", |p| p.expect.what.as_str());
    let reads = card.flag.as_ref().filter(|_| is_switch(card)).map(Reading::value);
    match stage {
        Stage::Accepted { at } if is_switch(card) => {
            let reads = reads.unwrap_or_default();
            (format!("Its server took it {} ago; the flag still reads {reads}.", ctx.live.since(*at)), String::new(), ink.plain)
        }
        Stage::Silent { at } if is_switch(card) => (
            format!("Accepted, but the flag has not read off for {}.", ctx.live.since(*at)),
            "Look where flags are kept before trying again: another environment, an approval, or a cache may stand between.".into(),
            ink.bad,
        ),
        Stage::Failed { said } if is_switch(card) => (format!("Not switched off: {said}"), "Nothing was changed.".into(), ink.bad),
        Stage::Unknown { said, at } if is_switch(card) => (
            format!("Outcome unknown since {}: {said}", ctx.live.since(*at)),
            format!("It may or may not have happened. It is not sent again; the flag reads {} now.", reads.unwrap_or_default()),
            ink.loud,
        ),
        Stage::Sent { at } => (format!("Sent {} ago, no answer yet.", ctx.live.since(*at)), String::new(), ink.plain),
        Stage::Accepted { at } => {
            (format!("The API server took it {} ago; the controller has not seen it yet.", ctx.live.since(*at)), String::new(), ink.plain)
        }
        Stage::Observed { at } => {
            (format!("The controller saw it {} ago. Waiting for: {goal}.", ctx.live.since(*at)), String::new(), ink.plain)
        }
        Stage::Done { .. } => match &card.since {
            Some(words) => (format!("Done: {goal}. Since then: {words}."), String::new(), ink.strong),
            None => (format!("Done: {goal}."), String::new(), ink.good),
        },
        Stage::Silent { at } => (
            format!("Accepted, but nothing has happened for {}.", ctx.live.since(*at)),
            "Is the controller running? Look before trying again: it may still act.".into(),
            ink.bad,
        ),
        Stage::Conflict { said } => (
            format!("Nothing was changed: {said}"),
            "Something moved in between. Look at the new picture, then ask again.".into(),
            ink.warn,
        ),
        Stage::Failed { said } => (format!("Refused by the server: {said}"), "Nothing was changed.".into(), ink.bad),
        Stage::Unknown { said, at } => (
            format!("Outcome unknown since {}: {said}", ctx.live.since(*at)),
            "It may or may not have happened. It is not sent again; the watch will show.".into(),
            ink.loud,
        ),
        Stage::Diverted { said } => (format!("Something else happened: {said}"), String::new(), ink.warn),
        Stage::Refused(_) | Stage::Asking => Default::default(),
    }
}

/// What is asked of the person. Cancel is always there, and it is the one in reverse.
fn answer(ctx: &Ctx<'_>, card: &Card, width: usize) -> Vec<Words> {
    let plain = ctx.ink.plain;
    let verb = verb_words(card.intent.verb()).to_lowercase();
    let verb = verb.trim_end_matches(" of");
    let mut left = Writer::new();
    match (&card.stage, card.confirm()) {
        (Stage::Refused(_), _) => left.push("nothing was sent", ctx.ink.dim),
        (Stage::Asking, Confirm::Ready | Confirm::Override) if !card.readable(ctx.state.view.size) => {
            left.push("too small to confirm", ctx.ink.warn)
        }
        (Stage::Asking, Confirm::Checking) => left.push(format!("asking the server {}", glyphs::ELLIPSIS), ctx.ink.dim),
        (Stage::Asking, Confirm::Impossible) => left.push("not possible", ctx.ink.bad),
        (Stage::Asking, Confirm::Override) => {
            left = left.put("o", ctx.ink.key).put(" to override, then ", plain).put("y", ctx.ink.key).put(format!(" to {verb}"), plain)
        }
        (Stage::Asking, Confirm::TypeName) => {
            let typed = card.typed.clone().unwrap_or_default();
            left = left.put(format!("type {} to go on: ", card.target.name), plain).put(typed, ctx.ink.strong).put(" ", ctx.ink.select);
        }
        (Stage::Asking, Confirm::Ready) => left = left.put("y", ctx.ink.key).put(format!(" to {verb}"), ctx.ink.strong),
        _ => left.push("", plain),
    }
    let close = if matches!(card.stage, Stage::Asking) { " esc cancel " } else { " esc close " };
    let right = line::words(close, ctx.ink.select);
    let left = left.line();
    if left.width() + right.width() < width {
        return vec![line::both(left, right, width)];
    }
    vec![line::fit(left, width), right]
}

/// The card out of the way: one line with how far it came.
pub fn folded(ctx: &Ctx<'_>) -> Option<Words> {
    let card = ctx.card.filter(|c| c.folded)?;
    let out = Writer::new().put(format!(" {} {}: ", verb_words(card.intent.verb()), card.target.path()), ctx.ink.strong);
    Some(out.append(way(ctx, card)).line())
}
