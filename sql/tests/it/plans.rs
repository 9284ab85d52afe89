//! Continuous queries as topologies.
