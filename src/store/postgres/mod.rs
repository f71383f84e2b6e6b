//! store/postgres
