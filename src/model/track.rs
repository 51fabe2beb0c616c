//! The sides of a release and their pods.

use serde::Serialize;

use super::{Text, Time};

/// What a side is for. `Old` is any revision that serves nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Canary,
    /// The version that a rolling update brings.
    New,
    Preview,
    Active,
    Stable,
    Primary,
    Old,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::New => "new",
            Self::Preview => "preview",
            Self::Active => "active",
            Self::Stable => "stable",
            Self::Primary => "primary",
            Self::Old => "old",
        }
    }
}

/// Shares of all users' traffic, 0 to 1; four numbers that are never mixed.
/// The fourth, measured, comes from Prometheus: see [`super::metrics`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// What the steps ask for.
    pub desired: Option<f64>,
    /// What the routing object or, where it cannot be read, the controller says.
    pub applied: Option<f64>,
    /// Who says so: `istio`, `nginx`, `controller`, `service`.
    pub applied_by: Text,
    /// This side's part of all ready endpoints.
    pub replica_share: Option<f64>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// First the role shown, then any other it also has (`active` while still `stable`).
    pub roles: Vec<Role>,
    /// The version being released.
    pub is_new: bool,
    /// Revision number as the engine counts; not an identifier (undo renumbers).
    pub revision: Option<Text>,
    /// Pod template hash: the identifier.
    pub hash: Text,
    pub images: Vec<Text>,
    /// Pods wanted, existing, ready, and ready long enough.
    pub desired: u32,
    pub current: u32,
    pub ready: u32,
    pub available: u32,
    pub traffic: Traffic,
    /// When its pods are taken away.
    pub scale_down_at: Option<Time>,
    pub created: Option<Time>,
    /// Known only while the rollout is open.
    pub pods: Vec<Pod>,
}

impl Track {
    pub fn is(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    pub fn role(&self) -> Role {
        self.roles.first().copied().unwrap_or(Role::Old)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodHealth {
    Ready,
    Starting,
    Ending,
    Failing,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Pod {
    pub name: Text,
    pub health: PodHealth,
    /// What kubectl's STATUS column says.
    pub status: Text,
    /// Ready containers of all.
    pub containers: (u32, u32),
    pub restarts: u32,
    pub node: Option<Text>,
    pub created: Option<Time>,
    /// The last time a container ended, and why.
    pub last_end: Option<(Time, Text)>,
    /// Why it is not ready, one phrase.
    pub trouble: Option<Text>,
}
