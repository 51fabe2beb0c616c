//! Label and field selectors: which objects a list or a watch is about.

pub mod fields;
pub mod labels;

use self::{fields::Field, labels::Requirement};
use super::Call;
use crate::demo::{refusal::Refusal, store::Stored};

/// All of these must hold.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Field>,
    /// The namespace of the path.
    namespace: Option<String>,
}

impl Selector {
    /// What a call asks for.
    ///
    /// # Errors
    /// 400 in the words of the real server.
    pub fn of(call: &Call) -> Result<Self, Refusal> {
        let mut fields = fields::parse(&call.target.kind, call.asks("fieldSelector").unwrap_or_default()).map_err(Refusal::bad_request)?;
        let labels = labels::parse(call.asks("labelSelector").unwrap_or_default()).map_err(Refusal::bad_request)?;
        // A watch of one object by its path.
        fields.extend(call.target.name.as_deref().map(Field::name));
        Ok(Self { labels, fields, namespace: call.target.namespace.clone() })
    }

    /// Whether it leaves anything out within its namespace.
    pub fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    pub fn matches(&self, object: &Stored) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| *namespace == *object.key.namespace)
            && self.labels.iter().all(|requirement| requirement.matches(|key| object.label(key)))
            && fields::all(&self.fields, object)
    }
}
