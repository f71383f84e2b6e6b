//! source/kafka
