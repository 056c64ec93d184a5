//! `listeners`, `advertised.listeners` and the protocol map: texts to addresses.
//!
//! Opens nothing and asks no name service.

use std::fmt;

use super::value;

/// One entry of a list of listeners: `name://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Name of the listener, in upper case.
    pub name: String,
    /// Host name or address; empty for every address of the machine.
    pub host: String,
    /// Port; 0 for a free one.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.name, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.name, self.host, self.port)
        }
    }
}

/// Why the listeners of a configuration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenerError {
    /// An entry is not `name://host:port`.
    #[error("{key}: {entry:?} is not of the form NAME://host:port")]
    Malformed {
        /// The key that holds the entry.
        key: &'static str,
        /// The entry.
        entry: String,
    },
    /// Two entries have the same name.
    #[error("{key}: the listener name {name} stands there twice")]
    NameTwice {
        /// The key that holds the entries.
        key: &'static str,
        /// The name.
        name: String,
    },
    /// Two entries have the same port.
    #[error("listeners: port {0} stands there twice")]
    PortTwice(u16),
    /// A listener's name is in no map of protocols.
    #[error("listeners: no security protocol is given for {0}; add it to listener.security.protocol.map")]
    NoProtocol(String),
    /// Only plaintext exists.
    #[error(
        "listeners: {name} asks for {protocol}; only PLAINTEXT is built so far, so it is not opened at all"
    )]
    Unsupported {
        /// Name of the listener.
        name: String,
        /// The protocol that it asks for.
        protocol: String,
    },
    /// Nothing to listen on is left.
    #[error("listeners: no listener for clients is given")]
    None,
    /// A listener is advertised that does not exist.
    #[error("advertised.listeners: there is no listener of the name {0}")]
    AdvertisedUnknown(String),
    /// Clients cannot connect to "every address".
    #[error("advertised.listeners: {0} is no address that a client can connect to; name one")]
    NotRoutable(Endpoint),
}

/// Where to listen and what to tell clients, entry by entry the same listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listeners {
    /// What to bind.
    pub bind: Vec<Endpoint>,
    /// What clients are told; port 0 is the bound port.
    pub advertised: Vec<Endpoint>,
    /// Where the controller would be reached, where that is given. It is not bound.
    pub controller: Option<Endpoint>,
}

/// The texts from which the listeners follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    pub(super) listeners: &'a str,
    pub(super) advertised: Option<&'a str>,
    pub(super) protocols: &'a str,
    pub(super) controller_names: &'a str,
    /// What an empty host is advertised as.
    pub(super) host_name: &'a str,
}

pub(super) fn resolve(given: Given<'_>) -> Result<Listeners, ListenerError> {
    let controller =
        |name: &str| value::list(given.controller_names).any(|other| other.eq_ignore_ascii_case(name));
    let mut bind = parse_list("listeners", given.listeners)?;
    check_ports(&bind)?;
    let bound_controller = bind.extract_if(.., |endpoint| controller(&endpoint.name)).next();
    bind.retain(|endpoint| !controller(&endpoint.name));
    if bind.is_empty() {
        return Err(ListenerError::None);
    }
    for endpoint in &bind {
        check_protocol(&endpoint.name, given.protocols)?;
    }
    let mut told = match given.advertised {
        Some(text) => parse_list("advertised.listeners", text)?,
        None => Vec::new(),
    };
    let told_controller = told.extract_if(.., |endpoint| controller(&endpoint.name)).next();
    told.retain(|endpoint| !controller(&endpoint.name));
    let advertised = bind
        .iter()
        .map(|endpoint| advertise(endpoint, &told, given.host_name))
        .collect::<Result<Vec<_>, _>>()?;
    match told.into_iter().find(|endpoint| bind.iter().all(|bound| bound.name != endpoint.name)) {
        Some(unknown) => Err(ListenerError::AdvertisedUnknown(unknown.name)),
        None => {
            let mut controller = told_controller.or(bound_controller);
            if let Some(endpoint) = controller.as_mut().filter(|endpoint| endpoint.host.is_empty()) {
                endpoint.host = given.host_name.to_owned();
            }
            Ok(Listeners { bind, advertised, controller })
        }
    }
}

fn advertise(bound: &Endpoint, told: &[Endpoint], host_name: &str) -> Result<Endpoint, ListenerError> {
    let mut endpoint = told.iter().find(|other| other.name == bound.name).unwrap_or(bound).clone();
    if endpoint.host.is_empty() {
        endpoint.host = host_name.to_owned();
    }
    if matches!(endpoint.host.as_str(), "0.0.0.0" | "::") {
        return Err(ListenerError::NotRoutable(endpoint));
    }
    Ok(endpoint)
}

fn check_ports(bind: &[Endpoint]) -> Result<(), ListenerError> {
    for (index, endpoint) in bind.iter().enumerate() {
        if endpoint.port != 0 && bind[..index].iter().any(|other| other.port == endpoint.port) {
            return Err(ListenerError::PortTwice(endpoint.port));
        }
    }
    Ok(())
}

fn check_protocol(name: &str, protocols: &str) -> Result<(), ListenerError> {
    let protocol = value::list(protocols)
        .filter_map(|pair| pair.split_once(':'))
        .find(|(listener, _)| listener.trim().eq_ignore_ascii_case(name))
        .map(|(_, protocol)| protocol.trim().to_ascii_uppercase());
    match protocol.as_deref() {
        Some("PLAINTEXT") => Ok(()),
        Some(other) => Err(ListenerError::Unsupported { name: name.to_owned(), protocol: other.to_owned() }),
        None => Err(ListenerError::NoProtocol(name.to_owned())),
    }
}

fn parse_list(key: &'static str, text: &str) -> Result<Vec<Endpoint>, ListenerError> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for entry in value::list(text) {
        let endpoint =
            parse(entry).ok_or_else(|| ListenerError::Malformed { key, entry: entry.to_owned() })?;
        if endpoints.iter().any(|other| other.name == endpoint.name) {
            return Err(ListenerError::NameTwice { key, name: endpoint.name });
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

fn parse(entry: &str) -> Option<Endpoint> {
    let (name, address) = entry.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    let named =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    named.then_some(())?;
    Some(Endpoint { name: name.to_ascii_uppercase(), host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const PROTOCOLS: &str = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,OUT:PLAINTEXT";

    fn given<'a>(listeners: &'a str, advertised: Option<&'a str>) -> Given<'a> {
        Given {
            listeners,
            advertised,
            protocols: PROTOCOLS,
            controller_names: "CONTROLLER",
            host_name: "here",
        }
    }

    fn shown(endpoints: &[Endpoint]) -> String {
        endpoints.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn listeners_resolve_to_what_is_bound_and_what_is_told() {
        let rows = [
            ("PLAINTEXT://127.0.0.1:9092", None, "PLAINTEXT://127.0.0.1:9092", "PLAINTEXT://127.0.0.1:9092"),
            ("PLAINTEXT://:9092,CONTROLLER://:9093", None, "PLAINTEXT://:9092", "PLAINTEXT://here:9092"),
            ("plaintext://[::1]:9092", None, "PLAINTEXT://[::1]:9092", "PLAINTEXT://[::1]:9092"),
            (
                "PLAINTEXT://0.0.0.0:0, OUT://:9094",
                Some("PLAINTEXT://localhost:9092,OUT://example.org:19094,CONTROLLER://localhost:9093"),
                "PLAINTEXT://0.0.0.0:0,OUT://:9094",
                "PLAINTEXT://localhost:9092,OUT://example.org:19094",
            ),
        ];
        for (listeners, advertised, bind, told) in rows {
            let resolved = resolve(given(listeners, advertised)).unwrap();
            assert_eq!((shown(&resolved.bind).as_str(), shown(&resolved.advertised).as_str()), (bind, told));
        }
    }

    #[test]
    fn the_controller_is_reached_where_the_configuration_says_and_never_bound() {
        let rows = [
            ("PLAINTEXT://:1", None, None),
            ("PLAINTEXT://:1,CONTROLLER://:9193", None, Some("CONTROLLER://here:9193")),
            ("PLAINTEXT://:1,CONTROLLER://a:9193", Some("PLAINTEXT://a:1"), Some("CONTROLLER://a:9193")),
            (
                "PLAINTEXT://:1,CONTROLLER://:9193",
                Some("PLAINTEXT://a:1,CONTROLLER://b:9293"),
                Some("CONTROLLER://b:9293"),
            ),
        ];
        for (listeners, advertised, controller) in rows {
            let resolved = resolve(given(listeners, advertised)).unwrap();
            assert_eq!(resolved.controller.map(|endpoint| endpoint.to_string()).as_deref(), controller);
            assert_eq!(resolved.bind.len(), 1);
        }
    }

    #[test]
    fn listeners_that_cannot_work_are_refused_with_the_reason() {
        let rows = [
            ("127.0.0.1:9092", None, "listeners: \"127.0.0.1:9092\" is not of the form NAME://host:port"),
            (
                "PLAINTEXT://:99999",
                None,
                "listeners: \"PLAINTEXT://:99999\" is not of the form NAME://host:port",
            ),
            (
                "PLAINTEXT://:1,PLAINTEXT://:2",
                None,
                "listeners: the listener name PLAINTEXT stands there twice",
            ),
            ("PLAINTEXT://:1,OUT://:1", None, "listeners: port 1 stands there twice"),
            (
                "OTHER://:1",
                None,
                "listeners: no security protocol is given for OTHER; add it to listener.security.protocol.map",
            ),
            (
                "SSL://:1",
                None,
                "listeners: SSL asks for SSL; only PLAINTEXT is built so far, so it is not opened at all",
            ),
            ("CONTROLLER://:1", None, "listeners: no listener for clients is given"),
            (
                "PLAINTEXT://:1",
                Some("OUT://a:1"),
                "advertised.listeners: there is no listener of the name OUT",
            ),
            (
                "PLAINTEXT://0.0.0.0:1",
                None,
                "advertised.listeners: PLAINTEXT://0.0.0.0:1 is no address that a client can connect to; name one",
            ),
        ];
        for (listeners, advertised, message) in rows {
            let error = resolve(given(listeners, advertised)).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
