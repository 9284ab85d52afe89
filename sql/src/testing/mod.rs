//! SQL pipelines with records in and records out, as cases: no server, no directory, no clock.
