//! Wiring of the one executable.
