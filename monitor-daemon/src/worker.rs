//! Worker threads: one engine each, fed by a capture.
