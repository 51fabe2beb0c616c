//! Words for the state of a connection: no two ways of knowing nothing look alike.

use ratatui::style::Style;

use super::{Ctx, line};
use crate::model::{Link, LinkState, Source};

/// A connection's trouble, in full.
pub struct Trouble {
    pub title: String,
    /// What it means and what to do about it.
    pub advice: String,
    /// The error as it was given.
    pub detail: String,
}

/// Short words for the header: what the link is, when it is not live.
fn short(state: &LinkState) -> &'static str {
    match state {
        LinkState::Off => "off",
        LinkState::Connecting => "connecting",
        LinkState::Live => "",
        LinkState::Forbidden { .. } => "forbidden",
        LinkState::Expired { .. } => "login expired",
        LinkState::Refused => "unreachable",
        LinkState::TimedOut => "no answer",
        LinkState::Cut => "gone",
        LinkState::CrdMissing { .. } => "no CRD",
        LinkState::BadCertificate => "bad cert",
        LinkState::NoRoute => "no route",
        LinkState::Garbage => "garbage",
        LinkState::Throttled => "throttled",
        LinkState::ServerError { .. } => "server error",
    }
}

/// Who is meant, as a sentence begins.
fn who(source: Source) -> &'static str {
    match source {
        Source::Fleet | Source::Detail | Source::Events => "The API server",
        Source::Prometheus => "Prometheus",
    }
}

/// What is wrong with a link, in words; nothing when it is live or not wanted.
pub fn trouble(source: Source, link: &Link) -> Option<Trouble> {
    let who = who(source);
    let (title, advice) = match &link.state {
        LinkState::Off | LinkState::Live => return None,
        LinkState::Connecting => (format!("Connecting to {}", who.replace("The", "the")), "waiting for its first answer".into()),
        LinkState::Forbidden { verb, resource, namespace, role } => {
            let place = namespace.as_ref().map_or_else(|| "in all namespaces".into(), |n| format!("in namespace {n}"));
            (format!("Not allowed to {verb} {resource} {place}"), format!("ask an administrator for:  {role}"))
        }
        LinkState::Expired { hint } if hint.is_empty() => {
            ("Your login has expired".into(), "log in again; rolltop goes on by itself".into())
        }
        LinkState::Expired { hint } => ("Your login has expired".into(), format!("run:  {hint}   then rolltop goes on by itself")),
        LinkState::Refused => (format!("{who} cannot be reached: nobody listens"), "is the address right, is it running?".into()),
        LinkState::TimedOut => {
            (format!("{who} does not answer in time"), "it listens, but it is too slow or a firewall swallows the answers".into())
        }
        LinkState::Cut => (format!("{who} is gone"), "the connection broke".into()),
        LinkState::CrdMissing { kind } => {
            (format!("This cluster has no {kind}"), format!("the CRD of {kind} is not installed; nothing else is wrong"))
        }
        LinkState::BadCertificate => (
            format!("{who} shows a certificate we do not trust"),
            "wrong CA in the kubeconfig, or a proxy in between that opens TLS".into(),
        ),
        LinkState::NoRoute => (
            format!("No way to {}", who.replace("The", "the")),
            "the name cannot be looked up, or the proxy refuses: check HTTPS_PROXY, NO_PROXY and the VPN".into(),
        ),
        LinkState::Garbage => (format!("{who} answers garbage"), "something else answers at its address: a login page, a proxy?".into()),
        LinkState::Throttled => (format!("{who} asks us to slow down"), "asking less often until it can take more".into()),
        LinkState::ServerError { code } => (format!("{who} has an error of its own: {code}"), String::new()),
    };
    Some(Trouble { title, advice, detail: link.detail.to_string() })
}

/// One source in the header: its name, and its age or its trouble.
pub fn badge(ctx: &Ctx<'_>, source: Source) -> Option<line::Words> {
    let link = ctx.state.links.get(source);
    let fresh = &ctx.state.settings.fresh;
    let limit = if source == Source::Prometheus { fresh.prometheus } else { fresh.kubernetes };
    let name = source.label();
    let (text, style): (String, Style) = match (&link.state, link.heard) {
        (LinkState::Off, _) if source == Source::Prometheus && !ctx.state.settings.prometheus => ("not set".into(), ctx.ink.dim),
        (LinkState::Off, _) if matches!(source, Source::Detail | Source::Events) => return None,
        (LinkState::Off | LinkState::Connecting, _) => (short(&link.state).into(), ctx.ink.warn),
        (LinkState::Live, None) => ("no answer yet".into(), ctx.ink.warn),
        (LinkState::Live, Some(at)) if ctx.clock.older(at, limit) => (format!("stale {}", ctx.clock.silence(at)), ctx.ink.loud),
        (LinkState::Live, Some(at)) => (ctx.clock.age(at), ctx.ink.plain),
        (state, Some(at)) => (format!("{} {}", short(state), ctx.clock.silence(at)), ctx.ink.loud),
        (state, None) => (short(state).into(), ctx.ink.loud),
    };
    Some(line::Writer::new().put(format!("{name} "), ctx.ink.dim).put(text, style).line())
}

/// The line that says which picture this is when the cluster does not answer.
pub fn banner(ctx: &Ctx<'_>) -> Option<line::Words> {
    let link = ctx.state.links.get(Source::Fleet);
    let trouble = trouble(Source::Fleet, &link)?;
    if ctx.state.rollouts.is_empty() {
        return None;
    }
    let mut text = line::Writer::new().put(format!(" {} ", trouble.title), ctx.ink.loud);
    if let Some(at) = link.heard.or(link.synced) {
        text.push(picture_age(ctx, at), ctx.ink.strong);
    }
    if let Some(at) = link.retry_at {
        text.push(retry(ctx, at), ctx.ink.plain);
    }
    if !trouble.advice.is_empty() {
        text.push(format!("  {}", trouble.advice), ctx.ink.plain);
    }
    Some(text.line())
}

fn picture_age(ctx: &Ctx<'_>, at: crate::model::Time) -> String {
    format!("  picture {} old", ctx.clock.silence(at))
}

/// When the next attempt is due.
pub fn retry(ctx: &Ctx<'_>, at: crate::model::Time) -> String {
    match ctx.clock.until(at).as_str() {
        "now" => "  trying again now".into(),
        left => format!("  next try in {left}"),
    }
}

/// Whether what the cluster said can no longer be called the present.
pub fn stale(ctx: &Ctx<'_>) -> bool {
    let link = ctx.state.links.get(Source::Fleet);
    match link.heard {
        Some(at) => !link.is_live() || ctx.clock.older(at, ctx.state.settings.fresh.kubernetes),
        None => true,
    }
}

/// Whether readings taken then are too old to be believed.
pub fn readings_stale(ctx: &Ctx<'_>, taken: Option<crate::model::Time>) -> bool {
    taken.is_none_or(|at| ctx.clock.older(at, ctx.state.settings.fresh.prometheus))
}

/// Whether Prometheus has nothing to say, whatever it said before.
pub fn prometheus_is_off(ctx: &Ctx<'_>) -> bool {
    !ctx.state.links.get(Source::Prometheus).is_live()
}

/// Why there are no readings at all, in a few words.
pub fn no_readings(ctx: &Ctx<'_>) -> String {
    let link = ctx.state.links.get(Source::Prometheus);
    match trouble(Source::Prometheus, &link) {
        _ if !ctx.state.settings.prometheus => "no Prometheus is configured".into(),
        Some(trouble) => trouble.title,
        None => "Prometheus has no such series".into(),
    }
}
