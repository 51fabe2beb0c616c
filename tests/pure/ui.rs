//! Views: pictures at four sizes, and what must hold for every picture.

use chrono::TimeDelta;
use insta::assert_snapshot;
use proptest::prelude::*;
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use rolltop::{
    model::{
        EngineKind, Link, LinkState, Notice, Phase, Severity, Source, Steps, Text, Time, Wait, WaitFor,
        log::{Following, Line},
    },
    settings::Colours,
    state::{Card, Known, Overlay, Pane, Prompt, PromptKind, Screen, Stage, State},
    ui,
    verdict::Mark,
};

use crate::sample;

const SIZES: [(u16, u16); 4] = [(40, 12), (80, 24), (120, 40), (200, 50)];

fn picture(state: &State, (width, height): (u16, u16), now: Time) -> Buffer {
    let mut state = state.clone();
    state.view.size = (width, height);
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| _ = ui::draw(frame, &state, now)).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width.max(1));
    let lines = buffer.content.chunks(width).map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    lines.map(|l| l.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn show(state: &State, size: (u16, u16)) -> String {
    text(&picture(state, size, sample::now()))
}

fn snapshot(name: &str, state: &State, size: (u16, u16)) {
    let settings = insta::Settings::clone_current();
    settings.bind(|| assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), show(state, size)));
}

#[test]
fn fleet() {
    for size in SIZES {
        snapshot("fleet", &sample::fleet(), size);
    }
}

#[test]
fn what_somebody_holds_does_not_move() {
    let mut state = sample::fleet();
    let held = state.rollouts.values_mut().find(|known| known.rollout.phase == Phase::Progressing).unwrap();
    held.rollout.phase = Phase::Paused;
    for (who, said) in [(WaitFor::Human, "2 moving · 1 paused · 3 steady"), (WaitFor::Timer, "3 moving · 3 steady")] {
        let held = state.rollouts.values_mut().find(|known| &*known.rollout.id.name == "frontend").unwrap();
        held.rollout.wait = Some(Wait { who, reason: "spec.paused".into(), since: None, until: None });
        let header = show(&state, (80, 24)).lines().nth(1).unwrap().to_owned();
        assert!(header.contains(said), "{header}");
        let rows: Vec<&Known> = state.rollouts.values().map(|known| &**known).collect();
        assert!(rolltop::report::line(&state, &rows).contains(said));
    }
    // As many as can be: nothing of it may be cut.
    for (i, known) in state.rollouts.values_mut().enumerate() {
        known.rollout.phase = [Phase::Waiting, Phase::Failing, Phase::Progressing, Phase::Paused, Phase::Healthy][i % 5];
    }
    assert!(show(&state, (80, 24)).lines().nth(1).unwrap().contains("steady"));
}

#[test]
fn what_was_not_sent_is_neither_sent_nor_refused() {
    let mut state = sample::open();
    let card = sample::cards().remove("unknown").unwrap();
    let said = "the API server cannot be reached (connection refused)".into();
    state.card = Some(Card { stage: Stage::NotSent { said }, ..card });
    let screen = show(&state, (120, 40));
    assert!(screen.contains("✖ sent") && screen.contains("Not sent: the API server cannot be reached (connection refused)"), "{screen}");
    assert!(!screen.contains("Refused by") && screen.contains("Nothing was changed"), "{screen}");
}

/// Who asks for one look must not overlook what the verdict has against it; the exit code stays the phase's.
#[test]
fn a_status_warns_of_what_is_advised() {
    use rolltop::{report, verdict::Advice};
    let mut state = sample::fleet();
    let rows = |state: &State| state.rollouts.values().map(|known| (**known).clone()).collect::<Vec<Known>>();
    for (advice, said) in [(Advice::Abort, "ABORT advised"), (Advice::Hold, "HOLD advised")] {
        for known in state.rollouts.values_mut() {
            known.verdict.is = if &*known.rollout.id.name == "checkout" { advice } else { Advice::Go };
        }
        let all = rows(&state);
        let all: Vec<&Known> = all.iter().collect();
        let one: Vec<&Known> = all.iter().copied().filter(|known| &*known.rollout.id.name == "checkout").collect();
        let table = report::table(&state, &all);
        assert!(table.lines().any(|line| line.contains("shop/checkout") && line.contains(said)), "{table}");
        assert_eq!(table.matches("advised").count(), 1, "{table}");
        assert!(report::line(&state, &one).ends_with(&format!(" · {said}")));
        assert!(report::line(&state, &all).ends_with(&format!(" · 1 {said}")));
        assert_eq!(report::exit_code(&one), 11);
    }
}

#[test]
fn rollout() {
    for size in SIZES {
        snapshot("canary", &sample::open(), size);
    }
    snapshot("blue_green", &sample::open_blue_green(), (80, 24));
    snapshot("blue_green", &sample::open_blue_green(), (120, 40));
    for rows in [1, 2, 4, 6, 9] {
        snapshot("canary", &sample::open(), (80, rows));
    }
}

#[test]
fn cards() {
    for (name, card) in sample::cards() {
        let mut state = sample::open();
        state.card = Some(card);
        snapshot(&format!("card_{name}"), &state, (80, 24));
    }
    let mut state = sample::open();
    state.card = sample::cards().remove("override");
    for size in [(40, 12), (60, 8), (80, 4), (120, 40)] {
        snapshot("card_override", &state, size);
    }
}

#[test]
fn a_card_says_the_verdict_once_and_to_its_end() {
    let because = "canary fails 4.1 % of 1 204 requests (the last 2 min: 3.9 %), stable 0.2 % of 10 836; odds over a million : 1; \
                   49 users hit so far";
    let mut card = sample::cards().remove("override").unwrap();
    card.verdict = format!("ABORT advised: {because}").into();
    for objections in [vec![format!("ABORT is advised: {because}")], Vec::new()] {
        card.objections = objections.into_iter().map(|text| Notice { severity: Severity::Danger, text: text.into() }).collect();
        let mut state = sample::open();
        state.card = Some(card.clone());
        let shown = show(&state, (80, 24));
        let drawn = shown.lines().filter(|l| l.contains('│')).map(|l| l.trim_matches(['│', ' '])).collect::<Vec<_>>();
        let drawn = drawn.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(drawn.matches(because).count(), 1, "{drawn}");
    }
}

#[test]
fn what_goes_on_below_says_so() {
    let mut state = sample::open();
    let known = state.rollouts.values_mut().find(|known| &*known.rollout.id.name == "checkout").unwrap();
    known.verdict.rules = (0..30).map(|i| (Mark::Fine, format!("rule {i}: now 0 %, limit 5 %; would hold").into())).collect();
    state.view.zoom = Some(Pane::Rules);
    let sign = |state: &State| {
        let shown = show(state, (80, 24));
        shown.lines().rev().nth(1).unwrap().to_owned()
    };
    assert!(sign(&state).contains("↓") && !sign(&state).contains("↑"), "{}", sign(&state));
    state.view.scroll = 3;
    assert!(sign(&state).contains("↑ 3 ↓"), "{}", sign(&state));
    state.view.scroll = 1_000;
    assert!(sign(&state).contains("↑") && !sign(&state).contains("↓"), "{}", sign(&state));
    state.view.zoom = Some(Pane::Traffic);
    assert!(!sign(&state).contains("more"));
}

#[test]
fn scaled_to_zero_is_said_in_words() {
    let mut state = sample::open();
    let known = state.rollouts.values_mut().find(|known| &*known.rollout.id.name == "checkout").unwrap();
    (known.rollout.engine, known.rollout.steps) = (EngineKind::Knative, Steps::default());
    known.rollout.tracks.iter_mut().for_each(|t| (t.desired, t.current, t.ready, t.pods) = (0, 0, 0, Vec::new()));
    let open = show(&state, (120, 40));
    assert!(!open.contains("0 of 0") && !open.contains("0/0"), "{open}");
    assert!(open.contains("canary has no steps; ") && open.contains("canary   scaled to zero"), "{open}");
    state.view.screen = Screen::Fleet;
    assert!(show(&state, (80, 24)).lines().any(|l| l.contains("checkout") && l.contains("to zero")));
}

#[test]
fn overlays() {
    let mut state = sample::fleet();
    state.view.overlay = Some(Overlay::QuitAnyway);
    snapshot("quit", &state, (80, 24));
    let choices = vec![("rev 41  api:v2.8.1  (stable, 8/8 ready)".into(), "a".into()), ("rev 40  api:v2.8.0".into(), "b".into())];
    state.view.overlay = Some(Overlay::Prompt(Prompt { kind: PromptKind::Undo, input: String::new(), selected: 1, choices }));
    snapshot("undo", &state, (80, 24));
    state.view.overlay = Some(Overlay::Prompt(Prompt {
        kind: PromptKind::Image { container: "api".into() },
        input: "registry.corp/api:v3".into(),
        selected: 0,
        choices: vec![],
    }));
    snapshot("image", &state, (80, 24));
}

/// Which keys to try is said in lines of its own, with the keys as configured, where there is room.
#[test]
fn a_hint_for_somebody_new() {
    let hint = "{promote} promotes shop/checkout, {open} opens another one, {skip} is in the palette, {help} lists all keys";
    for (name, state) in [("hint_fleet", sample::fleet()), ("hint_canary", sample::open())] {
        let state = State { hint: Some(hint.into()), ..state };
        snapshot(name, &state, (80, 24));
        assert!(!show(&state, (40, 12)).contains("try:"));
    }
    let state = State { hint: Some(hint.into()), ..sample::fleet() };
    assert_eq!(show(&state, (120, 40)).lines().filter(|l| l.contains("try:")).count(), 1);
}

#[test]
fn zoomed_panes() {
    for pane in Pane::ORDER.into_iter().chain([Pane::Diff]) {
        let mut state = sample::open();
        state.view.zoom = Some(pane);
        state.view.pane = Some(pane);
        state.view.diff = sample::plan().changes;
        snapshot(&format!("zoom_{pane:?}").to_lowercase(), &state, (80, 24));
    }
}

#[test]
fn logs_of_both_sides() {
    let mut state = sample::open();
    state.view.zoom = Some(Pane::Logs);
    let (new, old) = {
        let rollout = &state.open().unwrap().rollout;
        let chosen = rolltop::state::podlogs::chosen(rollout);
        let first = |new: bool| chosen.iter().find(|(side, _)| side.is_new == new).unwrap().1.name.clone();
        (first(true), first(false))
    };
    let line = |seconds: i64, pod: &Text, text: &str, before: bool| Line {
        at: Some(sample::ago(seconds)),
        pod: pod.clone(),
        text: text.into(),
        before,
    };
    state.pod_logs.lines = [
        line(40, &new, "panic: runtime error: invalid memory address", true),
        line(9, &old, "GET /cart 200 12ms", false),
        line(
            8,
            &new,
            "level=warning msg=\"retrying: the upstream did not answer within its time, this is the second of three attempts\"",
            false,
        ),
        line(5, &new, "ERROR 500 could not reach payments", false),
        line(3, &"gone-12345".into(), "bye", false),
    ]
    .into();
    state.pod_logs.skipped = 1_204;
    state.pod_logs.following.insert(
        old.clone(),
        Following::Not {
            state: LinkState::ServerError { code: 400 },
            detail: "container \"api\" is waiting to start: ImagePullBackOff".into(),
        },
    );
    snapshot("zoom_logs", &state, (80, 24));
    state.view.log_filter = "error".into();
    state.view.filtering = true;
    let shown = show(&state, (80, 24));
    assert!(shown.contains("/error") && shown.contains("could not reach payments") && !shown.contains("GET /cart"), "{shown}");
    state.pod_logs = Default::default();
    assert!(show(&state, (80, 24)).contains("nothing yet"));
}

/// No two ways of knowing nothing look alike: neither on an empty screen nor over the last picture.
#[test]
fn every_state_of_a_link_is_another_picture() {
    for base in [sample::session(), sample::fleet(), sample::open()] {
        for source in [Source::Fleet, Source::Prometheus] {
            let mut seen = std::collections::BTreeMap::new();
            for (name, link) in sample::links() {
                let mut state = base.clone();
                *state.links.entry(source) = sample::link(link);
                if let Some(other) = seen.insert(show(&state, (80, 24)), name) {
                    panic!("{source:?}: {name} looks like {other}");
                }
            }
        }
    }
}

#[test]
fn empty_screens() {
    let mut all = String::new();
    for (name, link) in sample::links() {
        let mut state = sample::session();
        *state.links.entry(Source::Fleet) = sample::link(link);
        all += &format!("== {name}\n{}\n", show(&state, (80, 10)));
    }
    assert_snapshot!("empty", all);
}

#[test]
fn an_empty_list_a_filter_and_a_quiet_fleet_differ() {
    let empty = show(&sample::session(), (80, 24));
    assert!(empty.contains("No rollouts in all namespaces"), "{empty}");
    let mut state = sample::fleet();
    state.order.clear();
    state.view.filter.text = "nope".into();
    assert!(show(&state, (80, 24)).contains("None of 9 rollouts matches /nope"));
    state.view.filter.text.clear();
    assert!(show(&state, (80, 24)).contains("Nothing moves"));
}

#[test]
fn what_changes_the_meaning_of_everything_is_said() {
    let mut state = sample::open();
    state.mode = rolltop::state::Mode::Watch;
    state.frozen = Some(Box::new(sample::open()));
    state.frozen_at = Some(sample::ago(300));
    *state.links.entry(Source::Fleet) = sample::link(LinkState::Cut);
    state.frozen.as_mut().unwrap().mode = rolltop::state::Mode::Watch;
    for size in [(80, 24), (120, 40)] {
        let seen = show(&state, size);
        for words in ["WATCH — cannot write", "FROZEN at 13:58"] {
            assert!(seen.contains(words), "{words} is missing:\n{seen}");
        }
    }
}

#[test]
fn the_last_picture_shows_its_age_when_the_api_is_gone() {
    let mut state = sample::fleet();
    *state.links.entry(Source::Fleet) = sample::link(LinkState::Cut);
    snapshot("api_gone", &state, (80, 24));
}

#[test]
fn readings_that_are_no_numbers_are_words() {
    let seen = show(&sample::fleet(), (120, 30));
    for words in ["idle", "n/a", "NaN", "0%", "<0.1%"] {
        assert!(seen.contains(words), "{words} is missing:\n{seen}");
    }
}

#[test]
fn a_deleted_rollout_says_so_and_keeps_its_last_picture() {
    let mut state = sample::open();
    let uid = sample::uid("shop", "checkout");
    state.rollouts.get_mut(&uid).unwrap().deleted = Some(sample::ago(30));
    let seen = show(&state, (80, 24));
    assert!(seen.contains("DELETED 30s ago") && seen.contains("canary"), "{seen}");
}

#[test]
fn the_selection_stays_in_sight() {
    let mut state = sample::fleet();
    for selected in 0..state.order.len() {
        state.view.selected = selected;
        let buffer = picture(&state, (80, 12), sample::now());
        let reversed = buffer.content.iter().any(|c| c.modifier.contains(ratatui::style::Modifier::REVERSED) && c.symbol() != " ");
        assert!(reversed, "row {selected} is not in sight");
    }
}

#[test]
fn without_colours_there_are_none() {
    let mut state = sample::open();
    state.settings.look.colours = Colours::None;
    for pane in [None, Some(Pane::Traffic)] {
        state.view.pane = pane;
        let buffer = picture(&state, (120, 40), sample::now());
        let coloured = buffer.content.iter().find(|c| c.fg != ratatui::style::Color::Reset || c.bg != ratatui::style::Color::Reset);
        assert_eq!(coloured, None);
    }
}

#[test]
fn not_a_number_is_never_drawn() {
    let mut state = sample::open();
    let metrics = state.metrics.get_mut(&sample::uid("shop", "checkout")).unwrap();
    let before = metrics.clone();
    for points in metrics.history.values_mut() {
        for i in [3, 7, 90] {
            points[i].1 = Some([f64::NAN, f64::INFINITY, f64::NEG_INFINITY][i % 3]);
        }
    }
    let broken = show(&state, (120, 40));
    let metrics = state.metrics.get_mut(&sample::uid("shop", "checkout")).unwrap();
    *metrics = before;
    for points in metrics.history.values_mut() {
        for i in [3, 7, 90] {
            points[i].1 = None;
        }
    }
    assert_eq!(broken, show(&state, (120, 40)));
}

/// A state with any of everything that changes a picture.
fn any_state() -> impl Strategy<Value = State> {
    let cards: Vec<_> = sample::cards().into_values().collect();
    let links: Vec<_> = sample::links().into_values().collect();
    let base = prop_oneof![Just(0), Just(1), Just(2), Just(3)];
    let view = (prop::option::of(0..9_usize), prop::option::of(0..10_usize), 0..30_usize, 0..6_usize, 0..12_usize, 0..8_usize);
    let over = (prop::option::weighted(0.3, 0..cards.len()), 0..links.len(), 0..links.len(), any::<bool>(), any::<bool>(), any::<bool>());
    (base, view, over).prop_map(move |(base, (pane, zoom, scroll, window, selected, overlay), (card, api, prom, ascii, frozen, stale))| {
        let mut state = match base {
            0 => sample::session(),
            1 => sample::fleet(),
            2 => sample::open(),
            _ => sample::open_blue_green(),
        };
        let panes: Vec<Pane> = Pane::ORDER.into_iter().chain([Pane::Diff]).collect();
        state.view.pane = pane.map(|p| panes[p]);
        state.view.zoom = zoom.map(|p| panes[p]);
        (state.view.scroll, state.view.window, state.view.selected) = (scroll, window, selected);
        state.view.overlay = match overlay {
            0 => Some(Overlay::Help { scroll }),
            1 => Some(Overlay::Palette { input: "pa".into(), selected: scroll }),
            2 => Some(Overlay::QuitAnyway),
            _ => None,
        };
        state.card = card.map(|i| cards[i].clone());
        state.settings.look.ascii = ascii;
        if stale {
            *state.links.entry(Source::Fleet) = sample::link(links[api].clone());
            *state.links.entry(Source::Prometheus) = sample::link(links[prom].clone());
            state.note = Some((sample::ago(4), "copied: shop/checkout".into()));
        }
        if frozen && !stale {
            state.frozen = Some(Box::new(sample::fleet()));
            state.frozen_at = Some(sample::ago(90));
        }
        state
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_size_is_too_small(state in any_state(), width in 0..=220_u16, height in 0..=60_u16) {
        if width > 0 && height > 0 {
            picture(&state, (width, height), sample::now());
        }
        let mut state = state;
        state.view.size = (width, height);
        ui::next_change(&state, sample::now());
        ui::fleet_rows(&state);
        ui::fleet_offset(&state);
        ui::first_fleet_row(&state);
        ui::scroll_limit(&state);
    }

    #[test]
    fn ascii_is_ascii(mut state in any_state(), size in 0..4_usize) {
        state.settings.look.ascii = true;
        let seen = show(&state, SIZES[size]);
        prop_assert!(seen.is_ascii(), "{}", seen);
    }

    /// The loop sleeps until then: nothing may change before.
    #[test]
    fn the_picture_stays_true_until_it_says(mut state in any_state(), size in 0..4_usize, from in prop_oneof![-100..400_i64, -100..100_000_i64], ms in 0..1_000_i64, part in 0.0..1.0_f64) {
        state.view.size = SIZES[size];
        let now = sample::now() + TimeDelta::seconds(from) + TimeDelta::milliseconds(ms);
        let end = ui::next_change(&state, now).unwrap_or(now + TimeDelta::days(3));
        prop_assert!(end > now);
        let length = (end - now - TimeDelta::milliseconds(1)).num_milliseconds().max(0);
        let first = picture(&state, SIZES[size], now);
        // Any moment in between, and the very last one: that is where a wrong end shows.
        for later in [now + TimeDelta::milliseconds((length as f64 * part) as i64), now + TimeDelta::milliseconds(length)] {
            prop_assert_eq!(text(&first), text(&picture(&state, SIZES[size], later)));
            prop_assert!(first == picture(&state, SIZES[size], later), "only the styles differ");
        }
    }
}

#[test]
fn every_width_and_height_of_the_small_sizes() {
    let states = [sample::session(), sample::fleet(), sample::open(), sample::open_blue_green()];
    for state in &states {
        for (width, height) in (1..30).flat_map(|w| (1..14).map(move |h| (w, h))) {
            picture(state, (width, height), sample::now());
        }
    }
}

#[test]
fn a_quiet_screen_changes_seldom() {
    let mut state = sample::fleet();
    // Nothing counts down: all that may change is the minute and the ages.
    state.rollouts.retain(|_, known| known.rollout.wait.is_none() && known.rollout.next.at.is_none());
    let known: Vec<_> = state.rollouts.keys().cloned().collect();
    state.order.retain(|uid| known.contains(uid));
    state.view.size = (80, 24);
    let next = ui::next_change(&state, sample::now()).unwrap();
    assert!(next - sample::now() >= TimeDelta::seconds(5), "changes already at {next}");
}

#[test]
fn small_screens_still_say_what_matters() {
    let state = sample::open();
    let seen = show(&state, (40, 12));
    for words in ["shop/checkout", "WAITING", "25%", "2/2", "4.1%", "ABORT"] {
        assert!(seen.contains(words), "{words} is missing:\n{seen}");
    }
    let line = show(&state, (80, 1));
    for words in ["shop/checkout", "waiting", "25%", "2/2", "4.1%", "ABORT"] {
        assert!(line.contains(words), "{words} is missing: {line}");
    }
}

#[test]
fn the_open_rollout_is_not_mistaken_for_its_namesake() {
    let mut state = sample::open();
    state.view.screen = Screen::Rollout("another-uid".into());
    assert!(show(&state, (80, 24)).contains("This rollout is not there"));
}

#[test]
fn trouble_has_words_where_there_is_no_screen() {
    let link = Link { detail: "tls: unknown authority".into(), ..sample::link(LinkState::BadCertificate) };
    let trouble = ui::trouble(Source::Fleet, &link).unwrap();
    assert!(trouble.title.contains("certificate") && trouble.detail.contains("unknown authority"));
}

#[test]
fn what_is_typed_into_the_filter_is_seen() {
    let mut state = sample::fleet();
    state.view.filtering = true;
    state.view.filter.text = "ns:shop phse:waiting".into();
    for width in [60, 80, 120] {
        let seen = show(&state, (width, 24));
        assert!(seen.contains("/ns:shop phse:waiting"), "{seen}");
    }
    assert!(show(&state, (80, 24)).contains("phse: is no field"));
}

fn of<'a>(state: &'a mut State, namespace: &str, name: &str) -> &'a mut rolltop::model::Rollout {
    &mut state.rollouts.get_mut(&sample::uid(namespace, name)).unwrap().rollout
}

#[test]
fn a_weight_that_is_only_asked_is_no_share() {
    let mut state = sample::open();
    let r = of(&mut state, "shop", "checkout");
    r.router = None;
    r.tracks[0].traffic = rolltop::model::Traffic { desired: Some(0.25), replica_share: Some(0.5), ..Default::default() };
    assert!(show(&state, (80, 24)).contains("applied  — no router: pods decide"));
    state.view.screen = Screen::Fleet;
    let seen = show(&state, (80, 24));
    assert!(seen.contains("░  50%") && !seen.contains(" 25%"), "{seen}");
    of(&mut state, "shop", "checkout").tracks[0].traffic.replica_share = None;
    let seen = show(&state, (80, 24));
    assert!(seen.contains("4/8    ────────    ?"), "{seen}");
}

#[test]
fn a_steady_rollout_shows_the_readings_of_its_only_side() {
    let mut state = sample::fleet();
    let metrics = rolltop::model::metrics::RolloutMetrics {
        at: Some(sample::ago(2)),
        old: sample::readings(9.0, 0.031, 0.077),
        ..Default::default()
    };
    state.metrics.insert(sample::uid("shop", "search"), metrics);
    let seen = show(&state, (80, 24));
    assert!(seen.contains("8/8   3.1%     —   77ms        —"), "{seen}");
}

#[test]
fn what_ails_the_pods_is_said_on_a_small_screen() {
    let mut state = sample::open();
    let new = &mut of(&mut state, "shop", "checkout").tracks[0];
    new.ready = 0;
    for pod in &mut new.pods {
        pod.health = rolltop::model::PodHealth::Failing;
        pod.trouble = Some("ImagePullBackOff: no such tag".into());
    }
    let seen = show(&state, (80, 24));
    assert!(seen.contains("✖✖  api:v2.9.0 · ImagePullBackOff: no such tag"), "{seen}");
    let seen = show(&state, (40, 12));
    assert!(seen.contains("✖✖ · ImagePullBackOff"), "{seen}");
    state.view.screen = Screen::Fleet;
    let known = state.rollouts.get_mut(&sample::uid("shop", "checkout")).unwrap();
    known.verdict = rolltop::verdict::Verdict::default();
    let seen = show(&state, (80, 24));
    assert!(seen.contains(" shop/checkout  ImagePullBackOff: no such tag"), "{seen}");
}

#[test]
fn an_aborted_rollout_says_where_it_is_and_offers_the_ways_on() {
    let mut state = sample::fleet();
    state.view.screen = Screen::Rollout(sample::uid("pay", "fx"));
    for current in [None, Some(0)] {
        of(&mut state, "pay", "fx").steps.current = current;
        let seen = show(&state, (80, 24));
        assert!(seen.contains("aborted: 5 steps, back at the start"), "{seen}");
        let keys = seen.lines().last().unwrap();
        assert!(keys.starts_with(" r retry  u undo") && !keys.contains("promote"), "{keys}");
    }
}

#[test]
fn keys_that_do_nothing_are_not_offered() {
    let bottom = |state: &State| show(state, (80, 24)).lines().last().unwrap().to_owned();
    let mut state = sample::open();
    assert!(bottom(&state).contains("p promote → 50%"));
    of(&mut state, "shop", "checkout").wait = None;
    assert!(!bottom(&state).contains("p promote") && bottom(&state).contains("a abort"));
    let mut gone = sample::open();
    gone.rollouts.get_mut(&sample::uid("shop", "checkout")).unwrap().deleted = Some(sample::ago(30));
    let mut frozen = sample::open();
    frozen.frozen = Some(Box::new(sample::open()));
    frozen.frozen_at = Some(sample::ago(300));
    let mut watch = sample::open();
    watch.mode = rolltop::state::Mode::Watch;
    for state in [gone, frozen, watch] {
        let keys = bottom(&state);
        assert!(["promote", "pause", "abort", "undo"].iter().all(|word| !keys.contains(word)), "{keys}");
    }
}

#[test]
fn what_comes_next_begins_with_the_time() {
    let mut state = sample::fleet();
    state.view.screen = Screen::Rollout(sample::uid("shop", "cart"));
    for size in SIZES {
        let seen = show(&state, size);
        assert!(seen.contains("Next: in 4m20s: weight 75 %"), "{seen}");
    }
}

#[test]
fn a_small_card_keeps_what_speaks_against_it() {
    let mut state = sample::open();
    let unknown = rolltop::msg::Check::Unknown("not asked: the right is missing".into());
    let objection = |text: &str| rolltop::model::Notice { severity: rolltop::model::Severity::Danger, text: text.into() };
    let mut card = sample::cards().remove("forbidden").unwrap();
    card.dry_run = unknown.clone();
    card.objections = vec![objection("ABORT is advised"), rolltop::guard::doubts(&unknown, "the dry run").unwrap()];
    card.others = "kubectl-edit 5m ago · helm 3h ago".into();
    state.card = Some(card);
    for size in [(40, 12), (40, 8), (60, 6), (80, 24)] {
        let seen = show(&state, size);
        for words in ["ABORT is advised", "you may    ✖ no: patch", "not possible", "esc cancel"] {
            assert!(seen.contains(words), "{words} is missing:\n{seen}");
        }
        assert!(!seen.contains("could not be asked"), "{seen}");
        let more = if size == (40, 8) { "more …" } else { "more on a larger screen" };
        assert_eq!(seen.contains(more), size.1 < 24, "{seen}");
    }
    assert!(show(&state, (80, 24)).contains("\"kubectl-edit\" 5m ago · \"helm\" 3h ago"));
}

#[test]
fn a_deleted_rollout_promises_nothing_aloud() {
    let mut state = sample::open();
    state.settings.look.colours = Colours::None;
    state.rollouts.get_mut(&sample::uid("shop", "checkout")).unwrap().deleted = Some(sample::ago(30));
    let buffer = picture(&state, (80, 24), sample::now());
    let seen = text(&buffer);
    for words in ["Next: on promote", "Way back: abort", "✔✔✔▶ pause"] {
        let (row, line) = seen.lines().enumerate().find(|(_, l)| l.contains(words)).unwrap();
        let column = line[..line.find(words).unwrap()].chars().count();
        for x in column..column + words.chars().count() {
            let cell = &buffer[(x as u16, row as u16)];
            assert!(cell.modifier.contains(ratatui::style::Modifier::DIM), "{words} is loud at {x}:\n{seen}");
        }
    }
}

#[test]
fn a_chart_without_a_value_has_no_axis() {
    let mut state = sample::open();
    for points in state.metrics.get_mut(&sample::uid("shop", "checkout")).unwrap().history.values_mut() {
        points.iter_mut().for_each(|p| p.1 = None);
    }
    let seen = show(&state, (120, 40));
    assert!(seen.contains("no values in the last 15m") && !seen.contains("-15m"), "{seen}");
}

#[test]
fn a_link_that_is_down_does_not_understate_its_silence() {
    let mut state = sample::fleet();
    *state.links.entry(Source::Fleet) = Link { heard: Some(sample::ago(51)), ..sample::link(LinkState::TimedOut) };
    let seen = show(&state, (80, 24));
    assert!(seen.contains("no answer 51s") && seen.contains("picture 51s old"), "{seen}");
}

#[test]
fn a_hint_about_the_fleet_is_not_said_of_what_is_open() {
    for (hint, kept) in [
        ("{open} opens shop/checkout, {promote} takes it to the next step", Some("try: p takes it to the next step")),
        ("{open} opens shop/checkout; compare both sides", Some("try: compare both sides")),
        ("{open} opens shop/checkout", None),
    ] {
        let open = State { hint: Some(hint.into()), ..sample::open() };
        let seen = show(&open, (80, 24));
        assert!(!seen.contains("opens shop/checkout"), "{seen}");
        assert_eq!(kept.is_some_and(|kept| seen.contains(kept)), kept.is_some(), "{seen}");
        let fleet = State { hint: Some(hint.into()), ..sample::fleet() };
        assert!(show(&fleet, (80, 24)).contains("try: Enter opens shop/checkout"));
    }
}

/// The row of a rollout on the fleet screen.
fn row_of(state: &State, path: &str) -> String {
    let seen = show(state, (80, 24));
    seen.lines().find(|line| line.contains(path)).unwrap_or_else(|| panic!("{seen}")).to_owned()
}

#[test]
fn an_advised_hold_is_a_word_in_its_row() {
    let mut state = sample::fleet();
    let known = state.rollouts.get_mut(&sample::uid("shop", "cart")).unwrap();
    known.verdict.is = rolltop::verdict::Advice::Hold;
    known.rollout.wait.as_mut().unwrap().until = Some(sample::ago(-108));
    assert!(row_of(&state, "shop/cart").ends_with("ho? 1:48"), "{}", row_of(&state, "shop/cart"));
    state.rollouts.get_mut(&sample::uid("shop", "cart")).unwrap().rollout.wait.as_mut().unwrap().until = Some(sample::ago(-250));
    assert!(row_of(&state, "shop/cart").ends_with("hold?"), "{}", row_of(&state, "shop/cart"));
}

#[test]
fn the_sentence_that_matters_is_whole_where_there_is_room() {
    let because =
        "canary is slow in 14 % of 4 041 requests (over 50 ms), stable 1.2 % of 36 369; odds over a million : 1; 517 users hit so far";
    let next = "nothing until someone promotes; then weight 50 %, then pause 10m, then weight 100 %, then all users on the new version";
    let mut state = sample::fleet();
    let uid = state.order[0].clone();
    let known = state.rollouts.get_mut(&uid).unwrap();
    known.verdict = rolltop::verdict::Verdict { is: rolltop::verdict::Advice::Hold, because: because.into(), ..Default::default() };
    known.rollout.notices.clear();
    known.rollout.next.what = next.into();
    for size in [(80, 24), (120, 40)] {
        let seen = show(&state, size).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(seen.contains(&format!("HOLD advised: {because}")) && seen.contains(next), "{seen}");
    }
    // Rows come first.
    let seen = show(&state, (80, 17));
    assert_eq!(
        seen.lines()
            .filter(|line| ["shop/", "pay/", "ml/", "web/"].iter().any(|ns| line.chars().take(8).collect::<String>().contains(ns)))
            .count(),
        10,
        "{seen}"
    );
}

#[test]
fn one_release_on_a_large_screen_leaves_no_desert() {
    let mut state = sample::fleet();
    state.order.truncate(1);
    let seen = show(&state, (120, 40));
    let blank = seen.lines().filter(|line| line.trim_matches(['│', ' ']).is_empty()).count();
    assert!(blank <= 12, "{blank} blank lines:\n{seen}");
    assert!(seen.contains("─ Verdict ") || seen.contains(" Verdict "), "{seen}");
    snapshot("fleet_of_one", &state, (120, 40));
}

#[test]
fn what_was_chosen_and_is_gone_has_no_row_and_no_keys() {
    let mut state = sample::fleet();
    state.view.selected_uid = Some("gone".into());
    let buffer = picture(&state, (80, 24), sample::now());
    assert!(!buffer.content.iter().any(|c| c.modifier.contains(ratatui::style::Modifier::REVERSED)), "{}", text(&buffer));
    let seen = text(&buffer);
    assert!(seen.contains("The selected rollout is gone: choose another row."), "{seen}");
    assert!(!seen.lines().last().unwrap().contains("abort"), "{seen}");
}

#[test]
fn pods_that_do_not_come_up_are_no_good_release() {
    let mut state = sample::fleet();
    let uid = sample::uid("shop", "cart");
    state.view.selected = state.order.iter().position(|o| *o == uid).unwrap();
    let known = state.rollouts.get_mut(&uid).unwrap();
    known.verdict = Default::default();
    known.rollout.phase = Phase::Progressing;
    known.rollout.notices.clear();
    known.rollout.next = rolltop::model::Next { at: Some(sample::ago(-5)), what: "gives up unless 2 more pods get ready".into() };
    known.rollout.wait =
        Some(Wait { who: WaitFor::Pods, reason: "0 of 2 new pods ready".into(), since: Some(sample::ago(110)), until: None });
    known.stalled = true;
    let seen = show(&state, (80, 24)).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(seen.contains("0 of 2 new pods ready, no progress for 1m50s, gives up in 0:05; open it to see why"), "{seen}");
    assert!(!row_of(&state, "shop/cart").contains('▸'), "{}", row_of(&state, "shop/cart"));
}

#[test]
fn a_release_that_fails_once_finished_is_loud_and_says_what_it_was() {
    let mut state = sample::fleet();
    let uid = sample::uid("shop", "search");
    let metrics =
        rolltop::model::metrics::RolloutMetrics { at: Some(sample::ago(2)), old: sample::readings(9.0, 0.4, 0.077), ..Default::default() };
    state.metrics.insert(uid.clone(), metrics);
    let known = state.rollouts.get_mut(&uid).unwrap();
    known.finished = Some(rolltop::state::Finished { at: sample::ago(60), errors_before: Some(0.002), errors: None });
    let row = row_of(&state, "shop/search");
    assert!(row.contains("✔ shop/search") && row.contains("done") && row.ends_with("1m ago"), "{row}");
    known_of(&mut state, &uid).finished.as_mut().unwrap().errors = Some(0.4);
    state.view.selected = state.order.iter().position(|o| *o == uid).unwrap();
    let row = row_of(&state, "shop/search");
    assert!(row.contains("! shop/search") && row.contains("40%  0.2%") && row.ends_with("fails"), "{row}");
    let seen = show(&state, (80, 24));
    assert!(seen.contains("40% fail since the release was finished (1m ago), 0.2% before") && seen.contains(" failing"), "{seen}");
}

fn known_of<'a>(state: &'a mut State, uid: &str) -> &'a mut Known {
    state.rollouts.get_mut(uid).unwrap()
}
