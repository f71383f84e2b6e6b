//! store/memory
