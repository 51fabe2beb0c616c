//! `rolltop demo drill`: training for the real night. A random incident hits a calm fleet, a person deals with it in the
//! ordinary screen, and at the end stands what it cost and what the best answer would have saved.
//!
//! The best answer is no guess: the same cluster is played again from the same seed, with that answer given at the
//! moment the incident was visible.

pub mod incident;
pub mod report;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::sync::mpsc;

use self::{
    incident::{Case, Harm, INCIDENTS, Incident},
    report::Report,
};
use super::{
    api::audit::Entry,
    ledger::{Counts, Ledger, Line},
    prometheus::Tsdb,
    scenario::{Event, NoScenario, Scenario, script::Switch},
    scrape::RETENTION,
    serve::{self, Cluster, Options, PERSON},
};
use crate::model::{Text, Time};

/// What the command line calls it.
pub const NAME: &str = "drill";

/// The line of `demo --list`.
pub const ABOUT: &str = "a random incident in a calm fleet; at the end how long you took and what it cost";

const FLEET: &str = include_str!("../../assets/demo/drill.toml");

/// What counts as visible: in this time …
const WINDOW: TimeDelta = TimeDelta::seconds(60);
/// … a version harms at least this share of its requests, …
const SHARE: f64 = 0.01;
/// … this many times what the workload harmed before the release, …
const TIMES: f64 = 3.0;
/// … and at least so many.
const LEAST: u64 = 5;

/// It is over when the workload has not harmed that much for so long.
const CALM: TimeDelta = TimeDelta::seconds(30);

/// Nobody has to wait longer than this after the release.
const LIMIT: TimeDelta = TimeDelta::minutes(15);

/// The rule of visibility in words.
pub fn rule() -> String {
    format!(
        "a version harms {:.0} % of its requests within {} s, {TIMES:.0} times as many as before, at least {LEAST}",
        SHARE * 100.0,
        WINDOW.num_seconds()
    )
}

/// The calm fleet with the incident of this seed.
///
/// # Errors
/// Never in practice: the fleet comes with the program.
pub fn scenario(seed: u64) -> Result<Scenario, NoScenario> {
    let mut scenario = Scenario::parse(NAME, "drill.toml", FLEET).map_err(NoScenario::Mistakes)?;
    let (_, _, events) = pick(seed);
    scenario.script.extend(events);
    Ok(scenario)
}

/// The workload that the incident of this seed hits.
pub fn workload(seed: u64) -> String {
    pick(seed).1.workload
}

fn pick(seed: u64) -> (&'static Incident, Case, Vec<Event>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let incident = &INCIDENTS[rng.usize(..INCIDENTS.len())];
    let case = incident.case(&mut rng);
    let events = incident.events(&case, &mut rng);
    (incident, case, events)
}

/// One drill.
#[derive(Clone)]
pub struct Course {
    seed: u64,
    scenario: Scenario,
    incident: &'static Incident,
    case: Case,
}

/// How far a drill has come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    pub begins: Time,
    pub visible: Option<Time>,
    /// Nobody is harmed any more.
    pub over: Option<Time>,
    /// The end of what counts: over, the limit, or the last moment there is.
    pub end: Time,
    pub is_finished: bool,
}

impl Course {
    /// The drill these options play.
    pub fn of(options: &Options) -> Self {
        let (incident, case, _) = pick(options.seed);
        Self { seed: options.seed, scenario: options.scenario.clone(), incident, case }
    }

    /// The workload that is hit.
    pub fn workload(&self) -> &str {
        &self.case.workload
    }

    /// Says when there is nothing more to do.
    pub async fn follow(self, ledger: Option<Arc<Ledger>>, opening: Time, hints: mpsc::Sender<Text>) {
        let Some(ledger) = ledger else { return };
        let standing = loop {
            let standing = self.standing(&ledger.lines(), opening);
            if standing.is_finished {
                break standing;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        let said = if standing.over.is_some() { "it is over" } else { "time is up" };
        let _ = hints.send(format!("{said}: {{quit}} ends the drill and shows how it went").into()).await;
    }

    /// Where it stands.
    pub fn standing(&self, lines: &[Line], opening: Time) -> Standing {
        let begins = opening + self.case.begins;
        let base = self.base(lines, begins);
        let later = || lines.iter().enumerate().filter(|(_, line)| line.at > begins);
        let visible = later().find(|(index, _)| self.harms(lines, *index, WINDOW, base) >= LEAST).map(|(_, line)| line.at);
        let calm = |index: usize| {
            let late = visible.is_some_and(|visible| lines[index].at >= visible + CALM);
            late && self.harms(lines, index, CALM, base) < LEAST / 2
        };
        let over = later().find(|(index, _)| calm(*index)).map(|(_, line)| line.at);
        let last = lines.last().map_or(begins, |line| line.at);
        let end = over.unwrap_or(last).min(begins + LIMIT);
        Standing { begins, visible, over: over.filter(|over| *over <= end), end, is_finished: over.is_some() || last >= begins + LIMIT }
    }

    fn harm(&self, counts: Counts) -> u64 {
        match self.incident.harm {
            Harm::Failed => counts.failed,
            Harm::Slow => counts.slow,
        }
    }

    /// Share harmed before the release.
    fn base(&self, lines: &[Line], begins: Time) -> f64 {
        let Some(first) = lines.first() else { return 0.0 };
        let last = lines.iter().rev().find(|line| line.at <= begins).unwrap_or(first);
        let passed = last.all().since(first.all());
        share(self.harm(passed), passed.all)
    }

    /// How many requests the worst version has harmed in this time, if that is too large a share of them.
    fn harms(&self, lines: &[Line], index: usize, span: TimeDelta, base: f64) -> u64 {
        let before = before(lines, index, span);
        let of = |(tag, counts): (&String, &Counts)| {
            let passed = counts.since(before.versions.get(tag).copied().unwrap_or_default());
            let harm = self.harm(passed);
            if share(harm, passed.all) >= SHARE.max(TIMES * base) { harm } else { 0 }
        };
        lines[index].versions.iter().map(of).max().unwrap_or_default()
    }

    /// What came of it.
    pub fn report(&self, cluster: &Cluster) -> Report {
        let lines = cluster.ledger.as_ref().map(|ledger| ledger.lines()).unwrap_or_default();
        let standing = self.standing(&lines, cluster.opening);
        let acted = self.acted(cluster, &standing);
        let suffered = self.suffered(&lines, &standing, standing.end);
        let best = standing.visible.map(|visible| self.at_best(cluster.opening, &standing, visible));
        Report::new(self, &standing, acted, suffered, best)
    }

    /// Requests between the release and `until`.
    fn suffered(&self, lines: &[Line], standing: &Standing, until: Time) -> Counts {
        let at = |time: Time| lines.iter().rev().find(|line| line.at <= time).map(Line::all).unwrap_or_default();
        at(until).since(at(standing.begins))
    }

    /// The same seed once more, with the best answer at the first possible moment: what it harmed until the same end.
    fn at_best(&self, opening: Time, standing: &Standing, visible: Time) -> u64 {
        let answer = self.incident.best.events(&self.case, visible - opening);
        let lines = self.played(opening, answer, standing.end);
        self.harm(self.suffered(&lines, standing, standing.end))
    }

    /// The drill without a person, but perhaps with an answer, in a simulation of its own.
    fn played(&self, opening: Time, answer: Vec<Event>, until: Time) -> Vec<Line> {
        let mut scenario = self.scenario.clone();
        scenario.script.extend(answer);
        let ledger = Ledger::new(self.workload(), opening);
        let play = serve::Play { scenario: &scenario, opening, seed: self.seed, ledger: Some(ledger.clone()) };
        // No analysis asks this Prometheus, therefore its address is of no account.
        let mut sim = serve::simulate(&play, "", Arc::new(Tsdb::new(RETENTION)), Switch::default());
        sim.run_until(until + TimeDelta::seconds(1));
        ledger.lines()
    }

    /// The first write of the person to the workload that was hit.
    fn acted(&self, cluster: &Cluster, standing: &Standing) -> Option<Time> {
        let (namespace, name) = self.workload().split_once('/')?;
        let writes = cluster.world().audit.writes_since(standing.begins);
        let own = |entry: &&Entry| entry.user == PERSON && entry.namespace == namespace && entry.name == name;
        writes.iter().filter(own).find(|entry| !entry.dry_run && entry.code < 300).map(|entry| entry.at)
    }
}

/// The line that lies `span` before this one, or the first.
fn before(lines: &[Line], index: usize, span: TimeDelta) -> &Line {
    let from = lines[index].at - span;
    &lines[lines[..index].partition_point(|line| line.at < from)]
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{incident::Best, *};

    fn course(name: &str) -> Course {
        let seed = (1..).find(|seed| pick(*seed).0.name == name).unwrap();
        let options = Options { scenario: scenario(seed).unwrap(), speed: 1.0, seed, port: None, counted: None };
        Course::of(&options)
    }

    fn opening() -> Time {
        chrono::DateTime::from_timestamp(1_795_269_802, 0).unwrap()
    }

    /// A hundred requests a second to the old version; the new one gets a tenth from `begins` on, and harms this share of
    /// them between two moments after it.
    fn lines(course: &Course, share: f64, from: i64, until: i64, seconds: i64) -> Vec<Line> {
        let begins = course.case.begins.num_seconds();
        let (mut old, mut new) = (Counts::default(), Counts::default());
        let line = |second: i64| {
            let bad = (begins + from..begins + until).contains(&second);
            old.all += 90;
            new.all += if second >= begins { 10 } else { 0 };
            if bad && second % 2 == 0 {
                new.failed += (20.0 * share) as u64;
            }
            let versions = [(course.case.old.clone(), old), (course.case.new.clone(), new)].into();
            Line { at: opening() + TimeDelta::seconds(second), versions }
        };
        (0..seconds).map(line).collect()
    }

    #[test]
    fn every_kind_of_incident_comes_up_and_every_one_is_a_valid_scenario() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 1..200 {
            let scenario = scenario(seed).unwrap();
            assert!(scenario.workload(&workload(seed)).is_some());
            seen.insert(pick(seed).0.name);
        }
        assert_eq!(seen.len(), INCIDENTS.len());
    }

    #[test]
    fn the_same_seed_is_the_same_drill() {
        assert!((1..50).all(|seed| scenario(seed).unwrap() == scenario(seed).unwrap() && pick(seed).1 == pick(seed).1));
    }

    #[test]
    fn visible_when_the_rule_is_crossed_and_over_when_it_is_calm() {
        let course = course("error regression");
        let standing = course.standing(&lines(&course, 0.1, 10, 120, 400), opening());
        let after = |time: Option<Time>| (time.unwrap() - standing.begins).num_seconds();
        // Two failures every other second: five after the third.
        assert!((13..18).contains(&after(standing.visible)), "{standing:?}");
        assert!((140..155).contains(&after(standing.over)) && standing.is_finished, "{standing:?}");
    }

    #[test]
    fn a_little_is_not_visible_and_what_goes_on_is_not_over() {
        let course = course("error regression");
        let calm = course.standing(&lines(&course, 0.0, 0, 0, 400), opening());
        assert!(calm.visible.is_none() && calm.over.is_none() && !calm.is_finished, "{calm:?}");
        let endless = course.standing(&lines(&course, 0.2, 10, 2_000, 1_500), opening());
        assert!(endless.visible.is_some() && endless.over.is_none() && endless.is_finished, "{endless:?}");
        assert_eq!(endless.end, endless.begins + LIMIT);
    }

    /// Nobody does anything: every incident becomes visible, and the best answer at that moment saves what it should.
    #[test]
    fn every_incident_is_visible_and_the_best_answer_pays() {
        for incident in INCIDENTS {
            let course = course(incident.name);
            let until = opening() + course.case.begins + TimeDelta::minutes(6);
            let lines = course.played(opening(), Vec::new(), until);
            let standing = course.standing(&lines, opening());
            let visible = standing.visible.unwrap_or_else(|| panic!("{} is not visible", incident.name));
            let harmed = course.harm(course.suffered(&lines, &standing, standing.end));
            let best = course.at_best(opening(), &standing, visible);
            match incident.best {
                Best::Wait => assert!(best == harmed && standing.over.is_some(), "{}: {harmed} {best} {standing:?}", incident.name),
                _ => assert!(best * 2 < harmed && standing.over.is_none(), "{}: {harmed} {best} {standing:?}", incident.name),
            }
        }
    }

    #[test]
    fn a_report_says_what_it_cost_in_words_and_numbers() {
        let course = course("error regression");
        let lines = lines(&course, 0.1, 10, 120, 400);
        let standing = course.standing(&lines, opening());
        let suffered = course.suffered(&lines, &standing, standing.end);
        let acted = standing.visible.map(|visible| visible + TimeDelta::seconds(40));
        let report = Report::new(&course, &standing, acted, suffered, Some(12));
        let text = report.text();
        assert!(text.contains("40 s later") && text.contains("12 failed with this answer") && text.contains("saved"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.json().unwrap()).unwrap();
        assert_eq!(json["harmed"].as_i64().unwrap() - json["harmed_at_best"].as_i64().unwrap(), json["saved_at_best"].as_i64().unwrap());
        let idle = Report::new(&course, &standing, None, suffered, None).text();
        assert!(idle.contains("not on this workload") && idle.contains("nothing could have been better"), "{idle}");
    }
}
