//! PATCH: the four ways to say what changes.
