//! What is wrong with a query, in the classes of Prometheus' API.

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The query makes no sense or asks for what is not supported: HTTP 400, `bad_data`.
    #[error("{0}")]
    BadData(String),
    /// It makes no sense with these samples: HTTP 422, `execution`.
    #[error("{0}")]
    Execution(String),
    /// It would take too long: HTTP 503, `timeout`.
    #[error("query timed out in expression evaluation")]
    Timeout,
}

impl Error {
    pub(super) fn execution(text: impl Into<String>) -> Self {
        Self::Execution(text.into())
    }

    /// Two series that were told apart by what was dropped.
    pub(super) fn same_labels() -> Self {
        Self::execution("vector cannot contain metrics with the same labelset")
    }
}
