//! The fields of Services and DestinationRules that this engine reads.

use crate::engine::workload::dto::{Metadata, Words, dto};

dto! {
    Marked { metadata: Metadata, }
    DestinationRule { spec: DestinationRuleSpec, }
    DestinationRuleSpec { host: String, subsets: Vec<Subset>, }
    Subset { name: String, labels: Words, }
}
