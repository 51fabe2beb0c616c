//! The one door to writing.

/// Proof that a writer exists. Only the act room makes one; a watch session has none.
#[derive(Debug)]
pub struct Grant(());
