//! What an error of the server or the connection means.

use redis::{ErrorKind, RedisError};

use super::settings::RESPONSE_TIMEOUT;
use crate::fault::Fault;

/// What the server says while it cannot do what it could do a moment later. Searched for in the
/// whole message: older servers wrap the error of a command inside a script.
const PASSING: [&str; 13] = [
    "LOADING",
    "BUSY",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "NOREPLICAS",
    "UNKILLABLE",
    "ASK ",
    "max number of clients",
    "read only replica",
];

/// What the server says about who we are or what we may do.
const DENIED: [&str; 6] = [
    "NOAUTH",
    "WRONGPASS",
    "NOPERM",
    "invalid password",
    "no permission",
    "user executing the script",
];

/// Classifies an error. Its message never holds a value: scripts are the only commands.
pub(super) fn classify(error: &RedisError) -> Fault {
    if error.is_timeout() {
        let seconds = RESPONSE_TIMEOUT.as_secs();
        return Fault::transient(format!(
            "redis gave no answer within {seconds} s; the outcome is unknown"
        ));
    }
    let text = message(error);
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if let Some((_, kind)) = text.split_once("WRONGTYPE ") {
        return wrong_type(kind);
    }
    if says(&DENIED) || error.kind() == ErrorKind::AuthenticationFailed && !says(&PASSING) {
        return Fault::misconfigured(format!(
            "redis refuses this user: {text}; check the url and the user's access rules"
        ));
    }
    match error.kind() {
        ErrorKind::InvalidClientConfig => {
            Fault::misconfigured(format!("redis cannot be used as configured: {text}"))
        }
        ErrorKind::Server(_) | ErrorKind::Extension if says(&PASSING) => {
            Fault::transient(format!("redis is not ready: {text}"))
        }
        ErrorKind::Server(_) | ErrorKind::Extension if says(&["MOVED", "CROSSSLOT"]) => {
            Fault::misconfigured(format!(
                "redis is a cluster, and this node does not hold all keys: {text}; \
                 use the address of a proxy or of a single server"
            ))
        }
        ErrorKind::Server(_) | ErrorKind::Extension if says(&["script", "unknown command"]) => {
            Fault::bug(format!("redis could not run a script: {text}"))
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            Fault::bug(format!("redis answered in an unexpected form: {text}"))
        }
        _ => Fault::transient(format!("redis is unreachable: {text}")),
    }
}

/// Whether the connection is better not used again: it is broken, may still owe answers, or
/// leads to a server that is no longer the one to write to.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_timeout()
        || error.is_io_error()
        || ["READONLY", "MASTERDOWN", "NOAUTH"]
            .iter()
            .any(|word| message(error).contains(word))
}

fn wrong_type(kind: &str) -> Fault {
    let which = match kind {
        "row" | "latest orders" | "cursors" | "meta" | "pages" | "live" | "intent" => kind,
        _ => "view",
    };
    Fault::misconfigured(format!(
        "a {which} key in redis holds a value of another type; \
         something else uses the same prefix: remove that key or choose another prefix"
    ))
}

/// The error on one line, as far as people need it.
fn message(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => error.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultKind;

    fn server(code: &str, detail: &str) -> Fault {
        classify(&redis::make_extension_error(
            code.to_owned(),
            Some(detail.to_owned()),
        ))
    }

    #[test]
    fn a_server_that_is_busy_is_not_the_fault_of_any_event() {
        for (code, detail) in [
            ("LOADING", "Redis is loading the dataset in memory"),
            ("BUSY", "Redis is busy running a script"),
            ("READONLY", "You can't write against a read only replica."),
            ("OOM", "command not allowed when used memory > 'maxmemory'."),
            ("MISCONF", "Redis is configured to save RDB snapshots"),
            ("NOREPLICAS", "Not enough good replicas to write."),
            ("CLUSTERDOWN", "The cluster is down"),
            ("TRYAGAIN", "Multiple keys request during rehashing of slot"),
            ("MASTERDOWN", "Link with MASTER is down"),
            ("ERR", "max number of clients reached"),
            (
                "ERR",
                "Error running script (call to f_1): @user_script:7: -OOM command not allowed",
            ),
            (
                "@user_script:",
                "7: -READONLY You can't write against a read only replica.",
            ),
        ] {
            assert_eq!(server(code, detail).kind, FaultKind::Transient, "{code}");
        }
    }

    #[test]
    fn a_user_without_rights_is_told_what_to_change() {
        for (code, detail) in [
            ("NOAUTH", "Authentication required."),
            ("WRONGPASS", "invalid username-password pair"),
            (
                "NOPERM",
                "this user has no permissions to run the 'hset' command",
            ),
            (
                "ERR",
                "The user executing the script can't run this command or subcommand",
            ),
            (
                "ERR",
                "ACL failure in script: User x has no permissions to run the 'hset' command",
            ),
        ] {
            assert_eq!(
                server(code, detail).kind,
                FaultKind::Misconfigured,
                "{code}"
            );
        }
    }

    #[test]
    fn a_key_of_another_type_is_named_by_its_kind() {
        let fault = server("WRONGTYPE", "cursors");
        assert_eq!(fault.kind, FaultKind::Misconfigured);
        assert!(fault.message.contains("cursors key"), "{fault}");
        assert_eq!(
            server("WRONGTYPE", "Operation against a key").kind,
            FaultKind::Misconfigured
        );
    }

    #[test]
    fn our_own_broken_script_is_a_bug() {
        let fault = server(
            "ERR",
            "user_script:3: attempt to index a nil value script: 12ab",
        );
        assert_eq!(fault.kind, FaultKind::Bug);
    }

    #[test]
    fn a_lost_connection_is_transient() {
        let error = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(classify(&error.into()).kind, FaultKind::Transient);
    }
}
