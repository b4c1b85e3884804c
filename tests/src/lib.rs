//! What the end-to-end tests share: namespaces, real programs, the daemon under test.
