//! Which worker gets a packet, and whether it is wanted at all: pure functions of the headers.
