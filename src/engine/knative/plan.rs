//! The exact writes of each verb: one JSON Patch each, whose `test` operations quote what was read.
//!
//! Weights must add up to 100 in every request, so the list of targets is written as a whole. It names revisions: a
//! target that follows the latest would move on by itself.

use serde_json::{Value, json};

use super::{dto::Target, facts::Facts, law, status::Situation};
use crate::{
    engine::{
        Goal, Plan, Refusal,
        workload::{draft::Draft, edit::Edit, rewrite},
    },
    intent::{Intent, Verb},
    model::{Rollout, Severity},
};

const TRAFFIC: &str = "/spec/traffic";
const TEMPLATE: &str = "/spec/template";
const REVISION_NAME: &str = "/spec/template/metadata/name";

/// # Errors
/// The law's refusal, or one that depends on the target.
pub fn plan(f: &Facts<'_>, rollout: &Rollout, intent: &Intent) -> Result<Plan, Refusal> {
    let here = law::check(f, intent.verb())?;
    let ask = Ask { f, here };
    let draft = match intent {
        Intent::Promote | Intent::PromoteFull => ask.set_weight(100)?,
        Intent::SetWeight { percent } => ask.set_weight(i64::from(*percent))?,
        Intent::Abort => ask.abort()?,
        Intent::Undo { to } => ask.undo(to.as_deref())?,
        Intent::Pause => ask.pause()?,
        Intent::Resume => ask.resume()?,
        Intent::SetImage { container, image } => ask.set_image(container, image)?,
        // The law lets none of these through.
        _ => return Err(Refusal::because("Knative knows no such action")),
    };
    Ok(draft.finish(rollout, f.root, intent))
}

struct Ask<'f, 'a> {
    f: &'f Facts<'a>,
    here: Situation,
}

impl<'a> Ask<'_, 'a> {
    /// Holds only for the spec and the revisions that were looked at.
    fn edit(&self) -> Edit<'a> {
        Edit::main(self.f.root).pinned().same("/status/latestReadyRevisionName")
    }

    fn rolled(&self) -> Goal {
        Goal::Rolled { after: self.f.root.meta.generation }
    }

    fn traffic(&self, targets: Vec<Value>) -> crate::engine::Write {
        self.edit().same(TRAFFIC).set(TRAFFIC, targets.into()).write()
    }

    /// Why no user can be sent to a revision: then Knative does nothing at all of a list that names it, if only under a tag.
    fn unready(&self, name: &str) -> Option<String> {
        let f = self.f;
        let latest = (name == f.latest() && name == f.created()).then(|| f.failed("ConfigurationsReady")).flatten();
        match f.revision(name) {
            Some(revision) if revision.ready == "False" => Some(format!("{name} is not ready: {}", revision.why)),
            None if !f.revisions.is_empty() => Some(format!("{name} is gone")),
            _ => latest.map(|condition| format!("{name} is not ready: {}", condition.message)),
        }
    }

    fn named<'t>(&'t self, target: &'t Value) -> &'t str {
        target["revisionName"].as_str().unwrap_or(self.f.latest())
    }

    /// All users to one revision, whatever becomes of the others: an address that would keep them where they are goes.
    fn all_to(&self, sentence: String, name: &str, back: String) -> Draft {
        let holds_up = |target: &Value| target["percent"] == 0 && self.unready(self.named(target)).is_some();
        let (gone, kept): (Vec<Value>, Vec<Value>) = targets(self.f, &[(name, 100)]).into_iter().partition(holds_up);
        let draft = Draft::new(sentence, self.traffic(kept), self.rolled(), format!("all users are on {name}"), back)
            .change("traffic", self.words(), format!("{name} 100 %"))
            .warn(Severity::Danger, self.unready(name).is_some(), self.unready(name).unwrap_or_default());
        gone.iter().fold(draft, |draft, target| {
            let tag = target["tag"].as_str().unwrap_or_default();
            let why = self.unready(self.named(target)).unwrap_or_default();
            draft.change(&format!("tag {tag}"), self.named(target), "removed").warn(
                Severity::Warning,
                true,
                format!("the address {tag} goes, as no user is moved while it is there: {why}"),
            )
        })
    }

    /// What users get, in words: `web-2 20 %, web-1 80 %`.
    fn words(&self) -> String {
        let live = self.f.live();
        let shares: Vec<String> = live.iter().filter(|(_, p)| **p > 0).map(|(name, p)| format!("{name} {p} %")).collect();
        if shares.is_empty() { "nobody".into() } else { shares.join(", ") }
    }

    fn set_weight(&self, percent: i64) -> Result<Draft, Refusal> {
        let f = self.f;
        let new = f.latest();
        if f.share(new) == percent {
            return Err(Refusal::because(format!("{new} has {percent} % of the users already")).instead("name another weight", None));
        }
        let old = f.old().ok_or_else(|| Refusal::because("there is no other revision with users").instead("look at its traffic", None))?;
        let targets = targets(f, &[(new, percent), (&old, 100 - percent)]);
        let sentence = format!("Sends {percent} % of the users to {new} and {} % to {old}, at once.", 100 - percent);
        let back = format!("abort: all users to {old}");
        Ok(self.shift(sentence, targets, format!("{new} {percent} %, {old} {} %", 100 - percent), back))
    }

    fn shift(&self, sentence: String, targets: Vec<Value>, to: String, back: String) -> Draft {
        let f = self.f;
        let dropped = f.live().values().filter(|p| **p > 0).count() > 2;
        let stuck = targets.iter().find_map(|target| self.unready(self.named(target)));
        let draft = Draft::new(sentence, self.traffic(targets), self.rolled(), "the route does what is asked", back)
            .change("traffic", self.words(), to)
            .warn(Severity::Warning, dropped, "more than two revisions have users: the others get none after this");
        match stuck {
            Some(why) => draft.warn(Severity::Danger, true, format!("no user is moved while a target or a tag is not ready: {why}")),
            None => draft,
        }
    }

    fn abort(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        let old = f.old().ok_or_else(|| Refusal::because("no other revision has users to share").instead("undo", Some(Verb::Undo)))?;
        let sentence =
            format!("Sends all users to {old}, at once. {} stays without users, and further revisions get none either.", f.latest());
        Ok(self.all_to(sentence, &old, format!("promote: all users to {}", f.latest())))
    }

    fn undo(&self, to: Option<&str>) -> Result<Draft, Refusal> {
        let f = self.f;
        if f.revisions.is_empty() {
            return Err(Refusal::because("the revisions of this Service are not loaded yet").instead("open it first", None));
        }
        let target = match to {
            Some(name) => f
                .revision(name)
                .ok_or_else(|| Refusal::because(format!("the revision {name} is gone")).instead("choose another one", None))?,
            None => f.revisions.iter().find(|r| f.share(&r.name) < 100 && r.ready == "True" && r.name != f.latest()).ok_or_else(|| {
                Refusal::because("there is no earlier revision that is ready").instead("set an image", Some(Verb::SetImage))
            })?,
        };
        if f.share(&target.name) == 100 {
            return Err(Refusal::because(format!("all users are on {} already", target.name)).instead("choose another one", None));
        }
        let sentence = format!(
            "Sends all users to {} ({}), at once; further revisions get none until someone promotes.",
            target.name,
            target.images.join(", ")
        );
        Ok(self.all_to(sentence, &target.name, format!("undo to {}", f.latest())))
    }

    /// Users by name: what comes next waits for a person.
    fn pause(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        if !f.follows() {
            return Err(Refusal::because("users are pinned by name already: the next revision gets none")
                .instead("promote it when it is ready", None));
        }
        let live = f.live();
        let (name, _) = live
            .iter()
            .find(|(_, p)| **p == 100)
            .ok_or_else(|| Refusal::because("users are not all on one revision").instead("set a weight", None))?;
        let sentence = format!("Pins all users to {name}: a revision that gets ready has none until someone promotes it.");
        let write = self.traffic(targets(f, &[(name, 100)]));
        Ok(Draft::new(sentence, write, self.rolled(), format!("users are pinned to {name}"), "resume, or promote").change(
            "traffic",
            "latest revision 100 %",
            format!("{name} 100 %"),
        ))
    }

    fn resume(&self) -> Result<Draft, Refusal> {
        let f = self.f;
        if f.follows() {
            return Err(Refusal::because("users follow the latest revision already").instead("it goes on by itself", None));
        }
        let mut all = tags(f, &[]);
        all.push(json!({"latestRevision": true, "percent": 100}));
        let sentence = "Lets users follow the latest revision: the next one gets all of them as soon as it is ready.";
        Ok(Draft::new(sentence, self.traffic(all), self.rolled(), "users follow the latest revision", "pause").change(
            "traffic",
            self.words(),
            "latest revision 100 %",
        ))
    }

    fn set_image(&self, container: &str, image: &str) -> Result<Draft, Refusal> {
        let f = self.f;
        let (edit, old) = rewrite::image(self.edit(), f.root, TEMPLATE, container, image)?;
        let named = f.root.value().pointer(REVISION_NAME).and_then(Value::as_str).map(str::to_owned);
        // A name is one revision's: with another image it would be refused.
        let edit = edit.remove_if_there(REVISION_NAME);
        let reach = if f.follows() { "gets all users as soon as it is ready" } else { "gets no users until someone promotes it" };
        let begins = if self.here == Situation::Starting { " The revision that is starting is replaced by it." } else { "" };
        let sentence = format!("Makes a new revision with {image} in container {container}; it {reach}.{begins}");
        let goal = Goal::Seen { after: f.root.meta.generation };
        let draft = Draft::new(sentence, edit.write(), goal, "a new revision is being made", format!("undo, or set {old} again")).change(
            &format!("image of {container}"),
            old.as_str(),
            image,
        );
        Ok(match named {
            Some(name) => draft.change("revision name", name, "generated"),
            None => draft,
        })
    }
}

/// The whole list: these shares by name, and every tag as it was, without users of its own.
fn targets(f: &Facts<'_>, shares: &[(&str, i64)]) -> Vec<Value> {
    let shares: Vec<(&str, i64)> = shares.iter().copied().filter(|(_, percent)| *percent > 0).collect();
    let mut all = tags(f, &shares);
    let tagged: Vec<String> = all.iter().filter(|t| t["percent"].as_i64().is_some_and(|p| p > 0)).map(name_of).collect();
    let rest = shares.iter().filter(|(name, _)| !tagged.iter().any(|t| t == name));
    all.extend(rest.map(|(name, percent)| json!({"revisionName": name, "latestRevision": false, "percent": percent})));
    all
}

fn name_of(target: &Value) -> String {
    target["revisionName"].as_str().unwrap_or_default().to_owned()
}

/// A tag is an address that somebody may use: it stays. One that names a revision carries that revision's share.
fn tags(f: &Facts<'_>, shares: &[(&str, i64)]) -> Vec<Value> {
    let mut given: Vec<&str> = Vec::new();
    let mut out = Vec::new();
    for target in f.svc.spec.traffic.iter().filter(|t| !t.tag.is_empty()) {
        let Target { revision_name, tag, .. } = target;
        let share = shares.iter().find(|(name, _)| name == revision_name && !given.contains(name));
        given.extend(share.map(|(name, _)| *name));
        let percent = share.map_or(0, |(_, percent)| *percent);
        out.push(match revision_name.is_empty() {
            true => json!({"tag": tag, "latestRevision": true, "percent": percent}),
            false => json!({"tag": tag, "revisionName": revision_name, "latestRevision": false, "percent": percent}),
        });
    }
    out
}
