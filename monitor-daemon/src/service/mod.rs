//! What makes a process a service: logging, signals, start and stop in order.
