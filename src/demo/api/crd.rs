//! CustomResourceDefinitions: kinds that come and go.
