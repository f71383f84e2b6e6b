//! Commands that talk to a running service, over its admin listener.

use std::io::ErrorKind;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::request::Builder;
use ureq::http::{Request, StatusCode, header};

use super::Settings;
use super::failure::Failure;

/// An answer takes as long as the service allows a request, and a little on the way.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Where the service is.
#[derive(clap::Args)]
pub(super) struct Target {
    /// Admin listener of the service; by default the configured one
    #[arg(long, env = "VIEWFOLD_ADMIN_URL", value_name = "URL")]
    admin_url: Option<String>,
    /// Token to present
    #[arg(
        long,
        env = "VIEWFOLD_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,
}

/// A service to talk to.
pub(super) struct Client {
    url: String,
    token: Option<SecretString>,
    agent: ureq::Agent,
}

/// What the service answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

impl Target {
    /// The service meant by the options, else by the configuration.
    pub(super) fn client(&self, settings: &Settings) -> Result<Client, Failure> {
        let given = self.admin_url.as_deref().filter(|url| !url.is_empty());
        let url = match given {
            Some(url) if url.contains("://") => url.trim_end_matches('/').to_owned(),
            Some(url) => format!("http://{}", url.trim_end_matches('/')),
            None => configured(settings)?,
        };
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIMEOUT))
            .build();
        Ok(Client {
            url,
            token: token.map(SecretString::from),
            agent: agent.into(),
        })
    }
}

/// The configured listener as a client on the same host reaches it.
fn configured(settings: &Settings) -> Result<String, Failure> {
    let mut address = settings.load()?.admin.listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address.is_ipv4() {
            true => std::net::Ipv4Addr::LOCALHOST.into(),
            false => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(format!("http://{address}"))
}

impl Client {
    /// Reads `path` (with its query).
    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Request::get(self.url(path)), String::new())
    }

    /// The same with further headers.
    pub(super) fn get_with(
        &self,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Answer, Failure> {
        let add = |request: Builder, (name, value): &(&str, String)| request.header(*name, value);
        let request = headers.iter().fold(Request::get(self.url(path)), add);
        self.send(request, String::new())
    }

    /// Posts JSON to `path`.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Request::post(self.url(path)), body.to_string())
    }

    /// Posts JSON to `path` as the request called `name`: sent again when its answer is lost, it has no second
    /// effect.
    pub(super) fn post_named(
        &self,
        path: &str,
        name: &str,
        body: &Value,
    ) -> Result<Answer, Failure> {
        let request = Request::post(self.url(path)).header("idempotency-key", name);
        self.send(request, body.to_string())
    }

    /// Deletes what `path` names, with a body.
    pub(super) fn delete(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        self.send(Request::delete(self.url(path)), body.to_string())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn send(&self, mut request: Builder, body: String) -> Result<Answer, Failure> {
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(token) = &self.token {
            let value = format!("Bearer {}", token.expose_secret());
            request = request.header(header::AUTHORIZATION, value);
        }
        let request = request
            .body(body)
            .map_err(|error| Failure::Usage(format!("request to {}: {error}", self.url)))?;
        let unreachable = |error: ureq::Error| {
            let text = format!(
                "failed to reach viewfold at {}: {error}; is it running? \
                 --admin-url or VIEWFOLD_ADMIN_URL names another place",
                self.url
            );
            match was_sent(&error) {
                true => Failure::Lost(text),
                false => Failure::Away(text),
            }
        };
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let body = response.body_mut().read_to_string().map_err(unreachable)?;
        Ok(Answer {
            status: response.status(),
            body,
        })
    }
}

/// Whether the request may have arrived.
fn was_sent(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Io(error) => error.kind() != ErrorKind::ConnectionRefused,
        ureq::Error::Timeout(at) => !matches!(at, ureq::Timeout::Resolve | ureq::Timeout::Connect),
        ureq::Error::Protocol(_) => true,
        _ => false,
    }
}

impl Answer {
    /// The answer of a command that changes something: what it names has to exist.
    pub(super) fn accepted(self) -> Result<String, Failure> {
        match self.status {
            StatusCode::NOT_FOUND => Err(Failure::Refused(self.detail())),
            _ => self.success(),
        }
    }

    /// The answer as JSON when it is a success; else what the problem means for a command.
    pub(super) fn success(self) -> Result<String, Failure> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let text = self.detail();
        Err(match self.status {
            StatusCode::BAD_REQUEST => Failure::Usage(text),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Refused(format!(
                "{text}; --token or VIEWFOLD_TOKEN presents a token"
            )),
            StatusCode::CONFLICT => Failure::Refused(text),
            _ => Failure::Failed(text),
        })
    }

    /// What the service said about a failure.
    pub(super) fn detail(&self) -> String {
        let problem: Option<Value> = serde_json::from_str(&self.body).ok();
        let detail = problem.as_ref().and_then(|p| p["detail"].as_str());
        match detail {
            Some(detail) => detail.to_owned(),
            None => format!("the service answered {}", self.status),
        }
    }
}

/// Reads what the service answered.
pub(super) fn read<T: DeserializeOwned>(body: &str) -> Result<T, Failure> {
    serde_json::from_str(body).map_err(|error| {
        Failure::Failed(format!(
            "failed to read the answer: {error}; is it a viewfold of this version?"
        ))
    })
}

/// Text as one segment of a path: every byte that a URL cannot hold is escaped, and what is escaped
/// already (as in the text of a key) stays as it is.
pub(super) fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            b'-' | b'.' | b'_' | b'~' | b'%' | b',' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_passes_as_it_is_written_and_anything_else_is_escaped() {
        assert_eq!(segment("a%2Cb,1"), "a%2Cb,1");
        assert_eq!(segment("a b/ü?"), "a%20b%2F%C3%BC%3F");
    }

    #[test]
    fn answers_become_the_exit_codes_of_the_contract() {
        let code = |status: u16| {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                body: r#"{"detail":"d"}"#.into(),
            };
            answer
                .success()
                .map_or_else(|failure| failure.code(), |_| 0)
        };
        assert_eq!([200, 202].map(code), [0, 0]);
        assert_eq!([400].map(code), [2]);
        assert_eq!([401, 403, 409].map(code), [3, 3, 3]);
        assert_eq!([404, 500, 503].map(code), [1, 1, 1]);
    }
}
