//! The verdict: honest at every look, quick where it matters, and silent where nothing was measured.

#[path = "verdict/honesty.rs"]
mod honesty;
#[path = "verdict/judge.rs"]
mod judge;
#[path = "verdict/release.rs"]
pub mod release;
#[path = "verdict/rules.rs"]
mod rules;
