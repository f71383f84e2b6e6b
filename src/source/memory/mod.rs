//! source/memory
