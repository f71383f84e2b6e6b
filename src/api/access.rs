//! What a listener asks of whoever comes: tokens, and how much at once.

use super::jwt::JwtSettings;
use super::token::Token;

/// How often one client may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests per second, in the long run. At least 1.
    pub per_second: u32,
    /// Requests at once, after a pause. At least 1.
    pub burst: u32,
}

/// The terms of one listener.
#[derive(Clone, Debug)]
pub struct Access {
    /// Configured tokens.
    pub tokens: Vec<Token>,
    /// Whose JWTs are accepted as well.
    pub jwt: Option<JwtSettings>,
    /// How often one token, or one address without a token, may ask. None: as often as it likes.
    pub rate_limit: Option<RateLimit>,
    /// How many requests are worked on at the same time; more are turned away at once.
    pub max_concurrent: usize,
    /// Web pages of these origins may read answers. None: no other origin's.
    pub cors_origins: Vec<String>,
}

impl Default for Access {
    /// Open to everybody who can reach the listener.
    fn default() -> Self {
        Self {
            tokens: Vec::new(),
            jwt: None,
            rate_limit: None,
            // More than stores have connections, and few enough that memory and sockets suffice.
            max_concurrent: 256,
            cors_origins: Vec::new(),
        }
    }
}

impl Access {
    /// Whether anybody may pass without a token.
    pub fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.jwt.is_none()
    }
}

impl From<&[Token]> for Access {
    fn from(tokens: &[Token]) -> Self {
        Self {
            tokens: tokens.to_vec(),
            ..Self::default()
        }
    }
}

impl<const N: usize> From<&[Token; N]> for Access {
    fn from(tokens: &[Token; N]) -> Self {
        tokens.as_slice().into()
    }
}
