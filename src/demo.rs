//! Parts of a make-believe cluster: what stands in for real traffic where no pod runs any code.

pub mod traffic;
