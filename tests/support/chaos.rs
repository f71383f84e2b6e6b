//! A TCP proxy that behaves badly on demand, to be put in front of a server.
//!
//! What it does can be changed at any time and holds at once for open connections too. One task per connection.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

/// The most bytes that are passed on at once.
const CHUNK: usize = 16 << 10;
/// How many chunks may be on their way per direction.
const ON_THE_WAY: usize = 64;

/// How the proxy treats connections. The default passes everything on at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Conduct {
    pub(crate) mode: Mode,
    /// How long every chunk is on its way, in each direction.
    pub(crate) latency: Duration,
    /// Up to this much is added to the latency of a chunk, at random.
    pub(crate) jitter: Duration,
    /// The most bytes per second, per connection and direction.
    pub(crate) bandwidth: Option<u64>,
    /// The most bytes that one write passes on.
    pub(crate) slice: Option<usize>,
    /// A connection is reset once it has passed on this many bytes, both directions together.
    pub(crate) reset_after: Option<u64>,
}

/// Whether anything passes at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Pass,
    /// Open connections are reset and new ones refused.
    Cut,
    /// Connections are accepted and what they send is swallowed, for ever without an answer.
    Swallow,
}

impl Conduct {
    pub(crate) fn cut() -> Self {
        Self {
            mode: Mode::Cut,
            ..Self::default()
        }
    }

    pub(crate) fn swallow() -> Self {
        Self {
            mode: Mode::Swallow,
            ..Self::default()
        }
    }

    pub(crate) fn slow(latency: Duration, jitter: Duration) -> Self {
        Self {
            latency,
            jitter,
            ..Self::default()
        }
    }

    pub(crate) fn narrow(bandwidth: u64) -> Self {
        Self {
            bandwidth: Some(bandwidth),
            ..Self::default()
        }
    }

    pub(crate) fn sliced(slice: usize) -> Self {
        Self {
            slice: Some(slice),
            ..Self::default()
        }
    }

    pub(crate) fn reset_after(bytes: u64) -> Self {
        Self {
            reset_after: Some(bytes),
            ..Self::default()
        }
    }

    fn delay(&self) -> Duration {
        self.latency + self.jitter.mul_f64(rand::random::<f64>())
    }
}

/// What the proxy has seen.
#[derive(Debug, Default)]
struct Tally {
    open: AtomicUsize,
    accepted: AtomicUsize,
    bytes: AtomicU64,
}

/// A proxy in front of one server. It ends with its owner, and its connections with it.
pub(crate) struct Proxy {
    address: SocketAddr,
    conduct: watch::Sender<Conduct>,
    tally: Arc<Tally>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of `server`, on a port of its own.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), server).await
    }

    /// The same at a given address.
    pub(crate) async fn start_at(address: SocketAddr, server: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (conduct, watched) = watch::channel(Conduct::default());
        let tally = Arc::new(Tally::default());
        let accepting = tokio::spawn(accept(listener, server, watched, Arc::clone(&tally)));
        Self {
            address,
            conduct,
            tally,
            accepting,
        }
    }

    /// Where clients find it.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how it behaves, at once.
    pub(crate) fn set(&self, conduct: Conduct) {
        self.conduct.send_replace(conduct);
    }

    /// Lets everything pass again.
    pub(crate) fn heal(&self) {
        self.set(Conduct::default());
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.tally.open.load(Ordering::Relaxed)
    }

    /// How many connections were ever accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.tally.accepted.load(Ordering::Relaxed)
    }

    /// How many bytes were passed on, both directions together.
    pub(crate) fn bytes(&self) -> u64 {
        self.tally.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts connections; has no listener while it is cut, so that the system refuses them.
async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    mut conduct: watch::Receiver<Conduct>,
    tally: Arc<Tally>,
) {
    let address = listener.local_addr().unwrap();
    let mut listener = Some(listener);
    loop {
        if conduct.borrow_and_update().mode == Mode::Cut {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(address).await.ok();
        }
        let Some(open) = &listener else {
            tokio::select! {
                changed = conduct.changed() => if changed.is_err() { return },
                () = sleep(Duration::from_millis(20)) => {}
            }
            continue;
        };
        tokio::select! {
            changed = conduct.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                tally.accepted.fetch_add(1, Ordering::Relaxed);
                tally.open.fetch_add(1, Ordering::Relaxed);
                let (conduct, tally) = (conduct.clone(), Arc::clone(&tally));
                tokio::spawn(async move {
                    serve(client, server, conduct, &tally).await;
                    tally.open.fetch_sub(1, Ordering::Relaxed);
                });
            },
        }
    }
}

/// Serves one connection to its end.
async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    conduct: watch::Receiver<Conduct>,
    tally: &Tally,
) {
    if conduct.borrow().mode == Mode::Swallow {
        swallow(&mut client, conduct).await;
        return reset(client);
    }
    let Ok(mut upstream) = TcpStream::connect(server).await else {
        return reset(client);
    };
    let _ = (client.set_nodelay(true), upstream.set_nodelay(true));
    let passed = AtomicU64::new(0);
    let orderly = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = upstream.split();
        let way = |conduct: &watch::Receiver<Conduct>| Way {
            conduct: conduct.clone(),
            passed: &passed,
            tally,
        };
        let both = async {
            tokio::try_join!(
                way(&conduct).pass(from_client, to_server),
                way(&conduct).pass(from_server, to_client),
            )
        };
        tokio::select! {
            ended = both => ended.is_ok(),
            () = no_longer_passes(conduct.clone()) => false,
        }
    };
    if orderly {
        return;
    }
    if conduct.borrow().mode == Mode::Swallow {
        // The server's side stays open, as with a line that went dead.
        swallow(&mut client, conduct).await;
    }
    reset(client);
    reset(upstream);
}

/// Waits until nothing is to pass any more, or the proxy ends.
async fn no_longer_passes(mut conduct: watch::Receiver<Conduct>) {
    let _ = conduct.wait_for(|conduct| conduct.mode != Mode::Pass).await;
}

/// Takes what comes and answers nothing, as long as that is the conduct and the other side is there.
async fn swallow(client: &mut TcpStream, mut conduct: watch::Receiver<Conduct>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        tokio::select! {
            read = client.read(&mut buffer) => if !matches!(read, Ok(bytes) if bytes > 0) { return },
            over = conduct.wait_for(|conduct| conduct.mode != Mode::Swallow) => {
                drop(over);
                return;
            }
        }
    }
}

/// Ends a connection so that the other side gets a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
}

/// One direction of a connection.
struct Way<'c> {
    conduct: watch::Receiver<Conduct>,
    passed: &'c AtomicU64,
    tally: &'c Tally,
}

/// The connection is to be reset.
struct Reset;

impl Way<'_> {
    /// Passes on what comes until it ends.
    async fn pass(
        self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), Reset> {
        let (sender, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
        let reading = async {
            loop {
                let mut chunk = vec![0; CHUNK];
                let read = from.read(&mut chunk).await.map_err(|_| Reset)?;
                if read == 0 {
                    drop(sender);
                    return Ok(());
                }
                chunk.truncate(read);
                let at = Instant::now() + self.conduct.borrow().delay();
                sender.send((at, chunk)).await.map_err(|_| Reset)?;
            }
        };
        let writing = async {
            while let Some((at, chunk)) = due.recv().await {
                sleep_until(at).await;
                self.write(&mut to, &chunk).await?;
            }
            to.shutdown().await.map_err(|_| Reset)
        };
        tokio::try_join!(reading, writing).map(drop)
    }

    async fn write(&self, to: &mut (impl AsyncWrite + Unpin), chunk: &[u8]) -> Result<(), Reset> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let conduct = self.conduct.borrow().clone();
            let passed = self.passed.load(Ordering::Relaxed);
            let left = conduct.reset_after.map(|most| most.saturating_sub(passed));
            if left == Some(0) {
                return Err(Reset);
            }
            // About fifty pieces a second, so that a narrow line is even.
            let narrow = conduct.bandwidth.map(|rate| (rate / 50).max(1));
            let limits = [narrow, left, conduct.slice.map(|slice| slice as u64)];
            let most = limits.into_iter().flatten().min().unwrap_or(u64::MAX);
            let size = rest
                .len()
                .min(usize::try_from(most).unwrap_or(usize::MAX))
                .max(1);
            let (piece, behind) = rest.split_at(size);
            to.write_all(piece).await.map_err(|_| Reset)?;
            to.flush().await.map_err(|_| Reset)?;
            self.passed.fetch_add(size as u64, Ordering::Relaxed);
            self.tally.bytes.fetch_add(size as u64, Ordering::Relaxed);
            rest = behind;
            if let Some(rate) = conduct.bandwidth {
                sleep(Duration::from_secs_f64(size as f64 / rate as f64)).await;
            } else if conduct.slice.is_some() {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}
