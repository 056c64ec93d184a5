//! Listeners: bind, accept with back-off and limits, stop gracefully.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use rustix::net::sockopt::set_tcp_congestion;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

use crate::{
    config::{ConnectionLimits, Endpoint},
    connection::{self, Budget, Limits, Patience, Service},
    quota::{Admission, Admitted, Slot},
    workers::Workers,
};

/// Why a listener cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host has no address.
    #[error("cannot listen on {endpoint}: the host name has no address ({error})")]
    Unresolved {
        /// The listener.
        endpoint: Endpoint,
        /// What the resolver says.
        error: io::Error,
    },
    /// Another process listens there.
    #[error("cannot listen on {endpoint}: the port is in use by another process")]
    InUse {
        /// The listener.
        endpoint: Endpoint,
    },
    /// The operating system refuses.
    #[error("cannot listen on {endpoint}: {error}")]
    Refused {
        /// The listener.
        endpoint: Endpoint,
        /// What it says.
        error: io::Error,
    },
}

/// A listener that is bound. Clients that connect wait until it is served.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) name: Arc<str>,
    pub(crate) address: SocketAddr,
    listener: TcpListener,
}

/// Binds a listener.
pub(crate) fn bind(endpoint: &Endpoint, limits: &ConnectionLimits) -> Result<Bound, BindError> {
    let addresses =
        resolve(endpoint).map_err(|error| BindError::Unresolved { endpoint: endpoint.clone(), error })?;
    let mut refusal = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match listen(address, limits) {
            Ok((listener, address)) => {
                return Ok(Bound { name: endpoint.name.as_str().into(), address, listener });
            }
            Err(error) => refusal = error,
        }
    }
    Err(match refusal.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { endpoint: endpoint.clone() },
        _ => BindError::Refused { endpoint: endpoint.clone(), error: refusal },
    })
}

/// The empty host is every address: of both families where the machine has both.
fn resolve(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    if endpoint.host.is_empty() {
        return Ok(["::", "0.0.0.0"]
            .iter()
            .filter_map(|host| Some(SocketAddr::new(host.parse().ok()?, endpoint.port)))
            .collect());
    }
    Ok((endpoint.host.as_str(), endpoint.port).to_socket_addrs()?.collect())
}

fn listen(address: SocketAddr, limits: &ConnectionLimits) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A restarted broker must get its port back at once.
    socket.set_reuse_address(true)?;
    // Set before listening: the window of a connection is settled while it is accepted.
    if let Some(size) = limits.receive_buffer {
        socket.set_recv_buffer_size(size)?;
    }
    if address.ip().is_loopback() {
        without_pacing(&socket, address);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits.backlog)?;
    let listener = TcpListener::from_std(socket.into())?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// Reno, the congestion control that every kernel lets every process choose, for connections that cannot be congested.
/// Where BBR is the system's default it would pace them, with a timer for each segment, which costs several times what
/// sending does (ADR 12). Set before listening: a connection that began with BBR keeps its timers.
fn without_pacing(socket: &Socket, address: SocketAddr) {
    if let Err(error) = set_tcp_congestion(socket, "reno") {
        tracing::debug!(%address, %error, "the congestion control stays the system's");
    }
}

/// The listeners in service.
#[derive(Debug)]
pub(crate) struct Server {
    stop: watch::Sender<bool>,
    acceptors: JoinSet<()>,
    workers: Arc<Workers>,
}

/// Pauses after a failed accept: from the first to the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

impl Server {
    /// Starts to accept.
    pub(crate) fn serve<S: Service>(
        bound: Vec<Bound>,
        workers: Workers,
        service: &Arc<S>,
        limits: &ConnectionLimits,
        admission: &Arc<Admission>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let shared = Arc::new(Limits {
            frame_bytes: limits.request_bytes,
            idle: limits.idle,
            budget: Budget::new(limits.queued_bytes, limits.request_bytes),
            patience: Patience::default(),
        });
        let workers = Arc::new(workers);
        let mut acceptors = JoinSet::new();
        for bound in bound {
            acceptors.spawn(accept(Acceptor {
                bound,
                workers: Arc::clone(&workers),
                service: Arc::clone(service),
                admission: Arc::clone(admission),
                limits: Arc::clone(&shared),
                send_buffer: limits.send_buffer,
                stop: stopped.clone(),
            }));
        }
        Self { stop, acceptors, workers }
    }

    /// Stops accepting, lets connections answer what they have accepted, closes them.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.acceptors.join_next().await.is_some() {}
        match Arc::into_inner(self.workers) {
            Some(workers) => workers.stop().await,
            None => tracing::error!("connections are not waited for: a listener still gives some out"),
        }
    }
}

struct Acceptor<S> {
    bound: Bound,
    workers: Arc<Workers>,
    service: Arc<S>,
    admission: Arc<Admission>,
    limits: Arc<Limits>,
    send_buffer: Option<usize>,
    stop: watch::Receiver<bool>,
}

async fn accept<S: Service>(acceptor: Acceptor<S>) {
    let mut stop = acceptor.stop.clone();
    let mut back_off = BACK_OFF.0;
    loop {
        let accepted = tokio::select! {
            accepted = next_connection(&acceptor) => accepted,
            _ = stop.changed() => break,
        };
        match accepted {
            Ok((stream, address, slot)) => {
                back_off = BACK_OFF.0;
                admit(&acceptor, stream, address, slot);
            }
            Err(error) => {
                tracing::warn!(listener = %acceptor.bound.name, %error, "cannot accept a connection");
                sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF.1);
            }
        }
    }
}

/// At `max.connections` one client is kept in hand until there is a place for it, as by Kafka's acceptor, and others wait
/// in the backlog. No place is kept for who may come: it may be another listener's client that comes.
async fn next_connection<S>(acceptor: &Acceptor<S>) -> io::Result<(TcpStream, SocketAddr, Slot)> {
    let (stream, address) = acceptor.bound.listener.accept().await?;
    let pause = acceptor.admission.pause();
    if !pause.is_zero() {
        sleep(pause).await;
    }
    let slot = acceptor.admission.slot().await;
    Ok((stream, address, slot))
}

fn admit<S: Service>(acceptor: &Acceptor<S>, stream: TcpStream, address: SocketAddr, slot: Slot) {
    let place = match acceptor.admission.place(address.ip()) {
        Admitted::Served(place) => place,
        Admitted::TooMany => {
            tracing::warn!(%address, "too many connections from this address, closed");
            return;
        }
        Admitted::TooOften(wait) => {
            tracing::debug!(%address, "connections from this address come too often, closed later");
            tokio::spawn(async move {
                sleep(wait).await;
                drop((stream, slot));
            });
            return;
        }
    };
    let prepared = prepare(&stream, acceptor.send_buffer).and_then(|()| stream.into_std());
    let stream = match prepared {
        Ok(stream) => stream,
        Err(error) => return tracing::debug!(%address, %error, "connection ended before it began"),
    };
    let listener = Arc::clone(&acceptor.bound.name);
    let service = Arc::clone(&acceptor.service);
    let limits = Arc::clone(&acceptor.limits);
    let stop = acceptor.stop.clone();
    acceptor.workers.serve(move || async move {
        match TcpStream::from_std(stream) {
            Ok(stream) => connection::run(stream, address, listener, service, limits, stop).await,
            Err(error) => tracing::warn!(%address, %error, "a connection cannot be served"),
        }
        drop((place, slot));
    });
}

fn prepare(stream: &TcpStream, send_buffer: Option<usize>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new())?;
    if let Some(size) = send_buffer {
        socket.set_send_buffer_size(size)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt::tcp_congestion;

    use super::*;

    #[tokio::test]
    async fn a_listener_on_loopback_does_not_pace_and_others_do_what_the_system_does() {
        let limits = ConnectionLimits {
            idle: None,
            request_bytes: 1 << 20,
            queued_bytes: 1 << 20,
            send_buffer: None,
            receive_buffer: None,
            backlog: 1,
        };
        let control = |host: &str| {
            let (listener, _) =
                listen(SocketAddr::new(host.parse().expect("an address"), 0), &limits).expect("a listener");
            tcp_congestion(&listener).expect("its congestion control")
        };
        let of_system = std::net::TcpListener::bind("0.0.0.0:0").expect("a listener");
        let of_system = tcp_congestion(&of_system).expect("its congestion control");
        assert_eq!(control("127.0.0.1"), "reno");
        assert_eq!(control("0.0.0.0"), of_system);
    }
}
