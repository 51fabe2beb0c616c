//! rolltop: `top` for rollouts.
//!
//! Data flows one way. Kubernetes watches ([`cluster`]) and Prometheus queries ([`prometheus`]) send
//! messages ([`msg`]); an engine ([`engine`]) turns objects ([`object`]) into the words of the product
//! ([`model`]); one reducer ([`state`]) keeps them; views ([`ui`]) read `&State` and draw. A key becomes a
//! command ([`intent`]), a command an intent, the engine makes a plan of it, the guard ([`guard`]) lets it
//! through as a card a person must confirm, and only then exists the `Approved<Plan>` that [`act`] carries
//! out. What an action did is never painted by the action: it comes back through the watches.
//!
//! The walls:
//! - Views own no clock and do no I/O; `now` is an argument everywhere.
//! - Engines are pure. One root object makes one rollout, so a change costs one normalisation.
//! - Only [`act::Writer`] can write, only its existence gives a [`guard::Grant`], and only with a grant does
//!   the guard approve. `rolltop watch` builds no writer: there is no per-key check to forget.
//! - Text from a cluster becomes [`model::Text`] on arrival and cannot steer a terminal.
//!
//! Where this differs from the first map of the house, and why:
//! - Objects are kept as pruned JSON text and parsed by the engine that reads them: a thousand rollouts stay
//!   small, and a plan can quote the original value exactly. A fleet reads of a large pod template only its outline; the
//!   whole of it, and the text of workloads that do not move, are packed ([`object::packed`]).
//! - The list-watch loop is our own over kube's client: bookmarks are evidence of life, every reconnection
//!   is paced, and a 410 always ends in a new list, none of which kube's runtime offers.
//! - The engine takes one root object and the objects around it, and names versions to go back to
//!   ([`engine::Engine::revisions`]): the reducer never guesses from what happens to run.
//! - Without a profile in the settings Prometheus is asked for Istio and ingress-nginx in one query per
//!   series, and each rollout is read by its own router.
//! - A plan's conditions pin the release, not only the field it changes: finishing or aborting a release
//!   leaves its spec as it was.
//! - An engine says which objects are rollouts and which are parts of one ([`engine::survey`]); engines are asked in
//!   the order of their table, so that one workload is shown once. It also names what it reads and writes
//!   ([`engine::rights`]): manifests, the demo's person and the tests' roles are made from that, and the guard lets no
//!   plan write elsewhere.
//! - What the settings say about objects, such as phases for routes without a controller, travels with the objects
//!   ([`object::Objects::conventions`]), so that engines stay functions of what they are given.
//! - Whether GitOps takes a write back is said once for all engines, from the write itself ([`engine::gitops`]).
//! - Two questions are asked while a card is read that are no dry run of a patch: a gate that would be opened through the
//!   API server's proxy ([`engine::Call`]), and pods that users would be sent to ([`engine::Probe`]).
//! - The verdict's requests are counted, not read off rates: one range query a refresh subtracts counters of all releases in
//!   flight from what they were a step before, so that blocks never share a request ([`prometheus::counting`]).
//! - A feature flag lives outside the cluster ([`engine::flag`]): its card is a plan like any other, but its request, and the
//!   reading back that stands for a dry run and for the watches, go to its own server. Only the writer has a client for that.
//! - Logs are followed only while somebody looks: the reducer says whose ([`state::podlogs`]), the reading room follows them
//!   ([`cluster::follow_logs`]), and no more is kept than a person would scroll through.
//! - All tasks tell the time by [`clock`], which `rolltop demo --speed` scales; views and engines still get `now`.
//! - [`demo`] is a cluster in the process: a store under an API server's rules, controllers over it in virtual time,
//!   a traffic model and a Prometheus, all behind loopback HTTP. Nothing outside that room knows of it. Its token also
//!   travels in the server's path, as Kubernetes' own clients send none where there is no TLS.
//! - A person may arm the guard ([`guard::arming`]): their consent is given beforehand, for one abort of one release, or, where a
//!   policy says so in words and only headless, for one step on ([`guard::promotion`]). What is armed stands in a Lease; the plan of the act
//!   spends it in its first write. Whether a roll-back helped is [`verdict::recovery`]'s.
//! - What a session can do to a cluster, everything or nothing, is [`hands`].
//! - [`notify`] tells people who are not looking: it sees what the reducer knows and writes to nothing but its own outbox.
//! - [`session`] joins the reading tasks once, for the screen ([`run`]) and for headless commands
//!   ([`headless`]).

pub mod act;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod demo;
pub mod engine;
pub mod guard;
pub mod hands;
pub mod headless;
pub mod intent;
pub mod journal;
pub mod keys;
pub mod model;
pub mod msg;
pub mod notify;
pub mod object;
pub mod prometheus;
pub mod report;
pub mod run;
pub mod secret;
pub mod session;
pub mod settings;
pub mod state;
pub mod term;
pub mod timeline;
pub mod traffic;
pub mod ui;
pub mod verdict;
pub mod web;
