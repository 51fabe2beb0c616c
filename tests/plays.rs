//! Plays: what the real controllers show when somebody acts, and whether the embedded cluster shows the same.
//!
//! `tests/plays/golden` holds what the real components showed. The embedded cluster is held against it everywhere;
//! where the rig is built, the real components are, too, so that the files stay true. `tests/plays/record` makes them.
//! `PLAYS=abort,undo cargo test --test plays` performs only plays with one of these in their names.

// A test that cannot go on should say where.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// What a play showed is for people.
#![allow(clippy::print_stderr)]

#[path = "cluster/rig.rs"]
mod cluster;

#[path = "plays/catalogue.rs"]
mod catalogue;
#[path = "plays/golden.rs"]
mod golden;
#[path = "plays/improvise.rs"]
mod improvise;
#[path = "plays/plugin.rs"]
mod plugin;
#[path = "plays/project.rs"]
mod project;
#[path = "plays/record.rs"]
mod record;
#[path = "plays/report.rs"]
mod report;
#[path = "plays/script.rs"]
mod script;
#[path = "plays/stage.rs"]
mod stage;

use cluster::Rig;
use futures::{FutureExt, StreamExt, future::join_all, stream::FuturesUnordered};
use golden::Golden;
use project::Track;
use record::Recording;
use script::Play;
use stage::{
    embedded::{Embedded, Timing},
    perform::perform,
    rig::Theatre,
};

/// Plays at a time on the rig: more make the machine slow and the plays stray.
const AT_ONCE: usize = 6;

/// How often each play is performed to learn what varies.
const RUNS: usize = 3;

/// Random plays at a time.
const RANDOM: u64 = 6;

/// How often the rig may show another way before two differ.
const ROUNDS: usize = 3;

macro_rules! plays {
    ($($room:ident: $($name:ident)*;)*) => {
        fn all() -> Vec<Play> {
            let named = |name: &str, play: Play| Play { name: name.into(), ..play };
            vec![$($(named(stringify!($name), catalogue::$room::$name()),)*)*]
        }

        mod embedded {
            $($(#[test] fn $name() { super::embedded_agrees(stringify!($name)); })*)*
        }
    };
}

plays! {
    canary: promote_nginx promote_istio promote_basic promote_by_rolltop without_steps_nginx without_steps_basic
        timed_pauses_need_nobody promote_ends_a_timed_pause_early two_people_promote_one_pause two_people_promote_by_rolltop
        second_press_before_the_first_was_seen promote_full_from_a_pause promote_full_basic promote_full_swallows_a_plain_abort
        promote_full_on_healthy_is_nothing skip_the_pause skip_all_steps promote_skips_a_running_step abort_at_a_pause_then_retry
        abort_basic_then_retry abort_istio abort_by_rolltop abort_before_the_pods_are_there abort_on_healthy_is_nothing
        abort_with_nobody_to_scale_down promote_on_aborted_is_undone promote_full_ships_an_aborted_version undo_an_aborted_version
        undo_in_mid_update undo_basic_in_mid_update undo_after_the_release_runs_all_steps undo_to_a_revision two_bad_revisions_then_undo
        release_over_an_aborted_version release_over_a_paused_version quick_redeploys changed_steps_start_again
        rollback_window_skips_steps pause_and_resume_at_a_pause_step pause_and_resume_by_rolltop promote_while_manually_paused
        a_timed_pause_elapses_under_a_manual_one pause_while_a_step_runs pause_on_healthy_then_release abort_while_manually_paused
        abort_by_rolltop_while_manually_paused promote_full_while_manually_paused scale_at_a_pause scale_basic_at_a_pause
        scale_on_healthy scale_while_manually_paused_then_abort restart_on_healthy restart_at_a_pause set_canary_scale
        dynamic_stable_scale dynamic_stable_scale_aborted dynamic_stable_scale_with_a_deadline_is_invalid ephemeral_metadata weights_out_of_hundred_and_all_at_once created_paused;
    analysis: step_succeeds step_measures_thrice step_fails step_fails_again_after_retry step_is_inconclusive_then_accepted
        step_is_inconclusive_then_measured_again step_is_inconclusive_then_aborted step_errs step_condition_errs step_that_never_ends_is_invalid
        step_without_its_template step_skipped_by_promote step_terminated_by_hand step_aborted_while_it_measures
        step_replaced_by_a_new_version step_kept_over_pause_and_resume step_with_arguments step_dry_run_does_not_count
        two_metrics_one_bad failures_within_the_limit background_succeeds_while_waiting background_runs_to_the_end
        background_fails_while_waiting background_is_inconclusive background_fails_under_a_manual_pause background_starts_at_its_step;
    experiments: experiment_of_some_seconds experiment_judged_good experiment_judged_bad experiment_aborted
        experiment_terminated_by_hand;
    blue_green: bg_promote bg_flip_by_rolltop bg_two_people_promote bg_automatic bg_automatic_after_seconds bg_without_preview_service
        bg_small_preview bg_promote_full bg_skip_is_removed bg_abort_before_the_cutover_then_retry bg_abort_by_rolltop
        bg_abort_while_pods_start bg_abort_on_healthy_is_nothing bg_undo_before_the_cutover bg_undo_an_aborted_version
        bg_undo_soon_after_the_cutover bg_undo_when_the_old_pods_are_gone bg_release_over_a_waiting_version bg_quick_redeploys
        bg_pause_and_resume bg_promote_while_manually_paused bg_old_promote_full_while_manually_paused bg_abort_while_manually_paused
        bg_scale_while_waiting bg_scale_while_manually_paused bg_restart bg_pre_analysis_good bg_pre_analysis_good_then_by_hand
        bg_pre_analysis_bad_then_retry bg_pre_analysis_vague bg_pre_analysis_skipped_by_full_promotion bg_post_analysis_good
        bg_post_analysis_bad bg_post_analysis_bad_then_retry bg_post_analysis_vague bg_abort_after_the_cutover
        bg_abort_after_the_cutover_then_retry bg_abort_after_the_cutover_with_broken_pods bg_undo_after_the_cutover;
    trouble: deadline_exceeded_then_abort deadline_exceeded_then_skip deadline_exceeded_then_undo deadline_aborts
        deadline_exceeded_on_the_first_deploy crash_loop_basic crash_loop_nginx image_pull_then_fixed slow_pods
        bg_crash_loop_before_the_cutover canary_pods_lost_at_a_pause stable_pods_lost_at_a_pause pods_lost_on_healthy
        pods_unready_on_healthy service_missing_then_there ingress_missing_then_there invalid_spec_then_fixed both_strategies_is_invalid;
    workload_ref: workload_ref_promote workload_ref_abort_and_undo workload_ref_scales_down_on_success
        workload_ref_scales_down_progressively workload_ref_missing;
}

/// Plays in which the embedded cluster is known to differ, and in what. Each is a debt, not a licence: whoever pays one
/// takes it from this list.
const KNOWN: &[(&str, &str)] = &[
    ("background_is_inconclusive", "the status of the run and the pause it causes interleave otherwise"),
    ("bg_restart", "evictions and the counts of the ReplicaSet interleave otherwise"),
    ("restart_at_a_pause", "evictions and the counts of the ReplicaSet interleave otherwise"),
    ("canary_pods_lost_at_a_pause", "all controllers take 10 ms; the real Rollouts controller is quicker than that"),
    ("experiment_judged_good", "states of templates and runs come in another order"),
    ("experiment_judged_bad", "states of templates and runs come in another order"),
    ("step_errs", "the retry of an erroneous measurement is seen at another moment"),
];

fn wanted() -> Vec<Play> {
    let parts = std::env::var("PLAYS").unwrap_or_default();
    all().into_iter().filter(|play| parts.split(',').any(|part| play.name.contains(part))).collect()
}

fn embedded_agrees(name: &str) {
    let play = all().into_iter().find(|play| play.name == name).unwrap();
    let golden = golden::read(name).unwrap_or_else(|error| panic!("{error}"));
    if let Err(report) = any_timing(&play, |recording| judge(&golden, recording)) {
        if let Some((_, reason)) = KNOWN.iter().find(|(known, _)| *known == name) {
            eprintln!("KNOWN DIFFERENCE {name}: {reason}");
            return;
        }
        panic!("{name} goes another way in the embedded cluster\n{play}{report}");
    }
}

/// Whether the embedded cluster with one of the timings plays as is wanted; else what is wrong with the first.
fn any_timing(play: &Play, wanted: impl Fn(&Recording) -> Result<(), String>) -> Result<(), String> {
    let mut reports = Vec::new();
    let chosen = std::env::var("TIMING").ok().and_then(|number| number.parse().ok());
    for timing in Timing::ALL
        .into_iter()
        .enumerate()
        .filter(|(index, _)| chosen.is_none_or(|chosen: usize| chosen == *index))
        .map(|(_, timing)| timing)
    {
        match wanted(&embedded(play, timing)) {
            Ok(()) => return Ok(()),
            Err(report) => reports.push(report),
        }
    }
    Err(reports.swap_remove(0))
}

fn embedded(play: &Play, timing: Timing) -> Recording {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(perform(Embedded::new(1, timing), play))
}

fn judge(golden: &Golden, recording: &Recording) -> Result<(), String> {
    let tracks = project::tracks(recording);
    let stuck = recording.stuck.clone().map(|stuck| format!("\n{stuck}\n"));
    match (report::compare(golden, &tracks), stuck) {
        (Ok(()), None) => Ok(()),
        (different, stuck) => Err(stuck.unwrap_or_default() + &different.err().unwrap_or_default()),
    }
}

/// Performs each play so many times on the rig; `done` gets its recordings as soon as it is over.
async fn on_the_rig(rig: &Rig, plays: &[Play], runs: usize, mut done: impl FnMut(&Play, Vec<Recording>)) {
    let theatre = Theatre::open(rig).await;
    let seats = tokio::sync::Semaphore::new(AT_ONCE);
    let (theatre, seats) = (&theatre, &seats);
    let one = |play: &Play| {
        let play = play.clone();
        async move {
            let _seat = seats.acquire().await.unwrap();
            perform(theatre.stage(&play.name).await, &play).await
        }
    };
    let mut all: FuturesUnordered<_> =
        plays.iter().map(|play| join_all((0..runs).map(|_| one(play))).map(move |recordings| (play, recordings))).collect();
    while let Some((play, recordings)) = all.next().await {
        done(play, recordings);
    }
}

#[test]
fn every_recorded_variation_is_explained() {
    let wrong: Vec<String> = all().iter().filter_map(|play| golden::check(&play.name).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_components_play_as_recorded() {
    let Some(rig) = Rig::shared().await else { return };
    let plays = wanted();
    if std::env::var("RECORD_PLAYS").is_ok() {
        return record(rig, &plays).await;
    }
    let mut open = plays;
    let mut different = Vec::new();
    // A busy machine makes even the real ones stray; what is different for good stays different.
    for _ in 0..ROUNDS {
        different.clear();
        let compare = |play: &Play, runs: Vec<Recording>| different.extend(strays(play, &runs[0]).map(|report| (play.clone(), report)));
        on_the_rig(rig, &open, 1, compare).await;
        open = different.iter().map(|(play, _)| play.clone()).collect();
        if open.is_empty() {
            return;
        }
    }
    let reports: Vec<String> =
        different.iter().map(|(play, report)| format!("{} is not as it was recorded\n{play}{report}", play.name)).collect();
    panic!("{} plays\n{}", reports.len(), reports.join("\n"));
}

/// What in a run of the real components nobody has seen or explained.
fn strays(play: &Play, run: &Recording) -> Option<String> {
    judge_kindly(play, &golden::read(&play.name).unwrap_or_else(|error| panic!("{error}")), run).err()
}

/// As [`judge`], but what varies as is known of the real components is no difference.
fn judge_kindly(play: &Play, golden: &Golden, recording: &Recording) -> Result<(), String> {
    judge(golden, recording).or_else(|report| {
        if recording.stuck.is_some() || !golden.explains(&project::tracks(recording)) {
            return Err(report);
        }
        eprintln!("{} varied as is known of it", play.name);
        Ok(())
    })
}

async fn record(rig: &Rig, plays: &[Play]) {
    let mut wrong = Vec::new();
    let store = |play: &Play, runs: Vec<Recording>| {
        wrong.extend(runs.iter().filter_map(|run| run.stuck.as_ref().map(|stuck| format!("{}: {stuck}", play.name))));
        let tracks: Vec<Vec<Track>> = runs.iter().filter(|run| run.stuck.is_none()).map(project::tracks).collect();
        wrong.extend(golden::write(&play.name, &golden::known(&play.name, &play.to_string()).merge(&tracks)).err());
    };
    let runs = std::env::var("RECORD_PLAYS").unwrap().parse().unwrap_or(RUNS);
    on_the_rig(rig, plays, runs, store).await;
    assert!(wrong.is_empty(), "{} plays are not recorded well\n{}", wrong.len(), wrong.join("\n"));
}

/// Plays that nobody wrote. `SEEDS=17,4711` performs those, `SEEDS=new` some that nobody has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_plays_go_the_same_way() {
    let Some(rig) = Rig::shared().await else { return };
    let given = std::env::var("SEEDS").ok();
    let seeds: Vec<u64> = match given.as_deref() {
        Some("new") => (0..RANDOM).map(|_| fastrand::u64(..100_000)).collect(),
        Some(seeds) => seeds.split(',').map(|seed| seed.trim().parse().expect("a number")).collect(),
        None => (1..=RANDOM).collect(),
    };
    eprintln!("random plays {seeds:?}");
    let mut open: Vec<(Play, Golden)> = seeds.iter().map(|seed| (improvise::play(*seed), Golden::default())).collect();
    let mut different = Vec::new();
    // The real components, too, go one of several ways; what looks different is performed again.
    for _ in 0..ROUNDS {
        let plays: Vec<Play> = open.iter().map(|(play, _)| play.clone()).collect();
        let learn = |play: &Play, runs: Vec<Recording>| {
            let known = open.iter_mut().find(|(known, _)| known.name == play.name).unwrap();
            let tracks: Vec<Vec<Track>> = runs.iter().map(project::tracks).collect();
            known.1 = std::mem::take(&mut known.1).merge(&tracks);
        };
        on_the_rig(rig, &plays, RUNS, learn).await;
        different.clear();
        open.retain(|(play, golden)| {
            // It has a runtime of its own.
            let Err(report) = tokio::task::block_in_place(|| any_timing(play, |recording| judge_kindly(play, golden, recording))) else {
                return false;
            };
            different.push(format!("{}\n{play}{report}", play.name));
            true
        });
        if open.is_empty() {
            return;
        }
    }
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    panic!("{} of {} random plays (SEEDS={}) go another way\n{}", different.len(), seeds.len(), seeds.join(","), different.join("\n"));
}
