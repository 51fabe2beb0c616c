//! What engines over Kubernetes' own workloads share: pods and their troubles, pod templates and images, the marks of
//! GitOps owners, and patches that quote what was read.

pub mod autoscaler;
pub mod bare;
pub mod containers;
pub mod draft;
pub mod dto;
pub mod edit;
pub mod image;
pub mod owner;
pub mod pods;
pub mod revision;
pub mod rewrite;
pub mod selector;
pub mod template;
