//! api

mod token;

pub use token::{Denied, Scope, Token};
