//! Tests against real servers. Each fails loudly when its server is missing.

mod kafka;
