//! Sync windows: the times in which a project of Argo CD lets its applications be synced.
//!
//! As its controller does: an open `deny` holds, else an open `allow` lets, else a closed `allow` holds. A window's
//! schedule is read on the wall clock of its time zone, UTC where it names none that is known.

use chrono::{Duration, Offset};
use chrono_tz::Tz;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};

use crate::{engine::workload::dto::dto, model::Time, settings::wildcard};

dto! {
    Project { spec: ProjectSpec, }
    ProjectSpec { sync_windows: Vec<Window>, }
    Window {
        kind: String,
        schedule: String,
        duration: String,
        applications: Vec<String>,
        namespaces: Vec<String>,
        clusters: Vec<String>,
        manual_sync: bool,
        time_zone: String,
        and_operator: bool,
    }
    Destination { name: String, server: String, namespace: String, }
}

/// What the windows say now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Say {
    Sync,
    /// No sync, or only one by hand; until when, where that can be told.
    Held {
        until: Option<Time>,
        by_hand: bool,
    },
    /// One of them cannot be read; Argo CD then does not sync either.
    Unreadable(String),
}

/// Whether the controller may sync an application now.
pub fn say(project: &Project, application: &str, to: &Destination, now: Time) -> Say {
    let windows = project.spec.sync_windows.iter().filter(|window| window.is_about(application, to));
    let seen: Result<Vec<_>, String> = windows.map(|window| Ok((window, window.at(now)?))).collect();
    match seen {
        Ok(seen) => decide(&seen),
        Err(why) => Say::Unreadable(why),
    }
}

fn decide(windows: &[(&Window, State)]) -> Say {
    let of = |kind: &'static str| windows.iter().filter(move |(window, _)| window.kind == kind);
    let denied: Vec<_> = of("deny").filter_map(|(window, state)| Some((*window, state.open_until()?))).collect();
    if !denied.is_empty() {
        let until = denied.iter().map(|(_, until)| *until).max();
        return Say::Held { until, by_hand: denied.iter().all(|(window, _)| window.manual_sync) };
    }
    let mut closed: Vec<_> = Vec::new();
    for (window, state) in of("allow") {
        match state {
            State::Open { .. } => return Say::Sync,
            State::Closed { opens } => closed.push((*window, *opens)),
        }
    }
    if closed.is_empty() {
        return Say::Sync;
    }
    let until = closed.iter().filter_map(|(_, opens)| *opens).min();
    Say::Held { until, by_hand: closed.iter().all(|(window, _)| window.manual_sync) }
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open { until: Time },
    Closed { opens: Option<Time> },
}

impl State {
    fn open_until(self) -> Option<Time> {
        match self {
            Self::Open { until } => Some(until),
            Self::Closed { .. } => None,
        }
    }
}

impl Window {
    /// Any of what it names, or with its operator all of it; the controller asks in this order.
    fn is_about(&self, application: &str, to: &Destination) -> bool {
        let any = |patterns: &[String], names: &[&str]| {
            patterns.iter().any(|pattern| names.iter().any(|name| !name.is_empty() && wildcard(pattern, name)))
        };
        let named: Vec<bool> = [
            (&self.applications, vec![application]),
            (&self.clusters, vec![to.name.as_str(), to.server.as_str()]),
            (&self.namespaces, vec![to.namespace.as_str()]),
        ]
        .into_iter()
        .filter(|(patterns, _)| !patterns.is_empty())
        .map(|(patterns, names)| any(patterns, &names))
        .collect();
        if self.and_operator { !named.is_empty() && named.iter().all(|fits| *fits) } else { named.contains(&true) }
    }

    fn at(&self, now: Time) -> Result<State, String> {
        let schedule = cron(&self.schedule)?;
        let length = humantime::parse_duration(&self.duration).ok().and_then(|d| Duration::from_std(d).ok());
        let length = length.ok_or_else(|| format!("its duration {:?} cannot be read", self.duration))?;
        let offset = self.offset(now);
        let wall = now + offset;
        let next = schedule.find_next_occurrence(&(wall - length), false).ok();
        Ok(match next {
            Some(start) if start < wall => State::Open { until: start + length - offset },
            _ => State::Closed { opens: next.map(|start| start - offset) },
        })
    }

    fn offset(&self, now: Time) -> Duration {
        let zone: Tz = self.time_zone.parse().unwrap_or(Tz::UTC);
        Duration::seconds(now.with_timezone(&zone).offset().fix().local_minus_utc().into())
    }
}

fn cron(schedule: &str) -> Result<Cron, String> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(schedule).map_err(|_| format!("its schedule {schedule:?} cannot be read"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(windows: &Value, now: &str) -> Say {
        let project: Project = serde_json::from_value(json!({"spec": {"syncWindows": windows}})).unwrap();
        let to = Destination { name: "prod".into(), server: "https://kubernetes.default.svc".into(), namespace: "shop".into() };
        say(&project, "shop-web", &to, time(now))
    }

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn held(until: &str, by_hand: bool) -> Say {
        Say::Held { until: Some(time(until)), by_hand }
    }

    fn window(kind: &str, more: &Value) -> Value {
        let mut window = json!({"kind": kind, "schedule": "0 22 * * *", "duration": "8h", "applications": ["*"]});
        more.as_object().unwrap().iter().for_each(|(key, value)| window[key] = value.clone());
        window
    }

    const NIGHT: &str = "2026-11-21T23:30:00Z";
    const DAY: &str = "2026-11-21T12:00:00Z";

    #[test]
    fn an_open_deny_holds_and_an_open_allow_lets() {
        let none = json!({});
        assert_eq!(said(&json!([]), NIGHT), Say::Sync);
        assert_eq!(said(&json!([window("deny", &none)]), NIGHT), held("2026-11-22T06:00:00Z", false));
        assert_eq!(said(&json!([window("deny", &none)]), DAY), Say::Sync);
        assert_eq!(said(&json!([window("allow", &none)]), NIGHT), Say::Sync);
        assert_eq!(said(&json!([window("allow", &none)]), DAY), held("2026-11-21T22:00:00Z", false));
        assert_eq!(said(&json!([window("allow", &none), window("deny", &none)]), NIGHT), held("2026-11-22T06:00:00Z", false));
    }

    #[test]
    fn by_hand_only_where_every_window_says_so() {
        let manual = json!({"manualSync": true});
        assert_eq!(said(&json!([window("deny", &manual)]), NIGHT), held("2026-11-22T06:00:00Z", true));
        assert_eq!(said(&json!([window("deny", &manual), window("deny", &json!({}))]), NIGHT), held("2026-11-22T06:00:00Z", false));
    }

    #[test]
    fn its_edges_are_those_of_the_controller() {
        let deny = json!([window("deny", &json!({}))]);
        assert_eq!(said(&deny, "2026-11-21T22:00:00Z"), Say::Sync, "at the very start `next` is not before now");
        assert_eq!(said(&deny, "2026-11-21T22:00:01Z"), held("2026-11-22T06:00:00Z", false));
        assert_eq!(said(&deny, "2026-11-22T06:00:00Z"), Say::Sync);
    }

    #[test]
    fn the_wall_clock_of_its_zone_counts() {
        let berlin = json!([window("deny", &json!({"timeZone": "Europe/Berlin"}))]);
        assert_eq!(said(&berlin, "2026-11-21T21:30:00Z"), held("2026-11-22T05:00:00Z", false));
        let nowhere = json!([window("deny", &json!({"timeZone": "Nowhere/At_all"}))]);
        assert_eq!(said(&nowhere, "2026-11-21T21:30:00Z"), Say::Sync, "read as UTC");
    }

    #[test]
    fn whom_a_window_is_about() {
        for (more, about) in [
            (json!({"applications": ["shop-*"]}), true),
            (json!({"applications": ["pay-*"]}), false),
            (json!({"applications": [], "namespaces": ["shop"]}), true),
            (json!({"applications": ["pay"], "clusters": ["prod"]}), true),
            (json!({"applications": ["pay"], "clusters": ["prod"], "andOperator": true}), false),
            (json!({"applications": ["shop-web"], "namespaces": ["shop"], "clusters": ["https://*"], "andOperator": true}), true),
            (json!({"applications": []}), false),
        ] {
            assert_eq!(said(&json!([window("deny", &more)]), NIGHT) != Say::Sync, about, "{more}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let odd = |more: Value| matches!(said(&json!([window("deny", &more)]), NIGHT), Say::Unreadable(_));
        assert!(odd(json!({"schedule": "at night"})));
        assert!(odd(json!({"schedule": "0 0 22 * * *"})), "seconds are not the controller's");
        assert!(odd(json!({"duration": "long"})));
    }
}
