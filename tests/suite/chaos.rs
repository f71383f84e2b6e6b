//! The proxy that tests put in front of servers does what it is told.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::chaos_proxy::{Conduct, Proxy};

const SOON: Duration = Duration::from_secs(10);

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn proxy() -> Proxy {
    Proxy::start(echo().await).await
}

/// Sends `bytes` and waits for them to come back.
async fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Duration> {
    let started = Instant::now();
    let (mut from, mut to) = stream.split();
    let mut back = vec![0; bytes.len()];
    let exchanged = async { tokio::try_join!(to.write_all(bytes), from.read_exact(&mut back)) };
    tokio::time::timeout(SOON, exchanged)
        .await
        .map_err(|_| ErrorKind::TimedOut)??;
    assert_eq!(back, bytes);
    Ok(started.elapsed())
}

#[tokio::test]
async fn a_healthy_proxy_passes_everything_on_in_order() {
    let proxy = proxy().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    round_trip(&mut stream, &bytes).await.unwrap();
    assert_eq!((proxy.accepted(), proxy.open()), (1, 1));
    assert_eq!(proxy.bytes(), 2 * bytes.len() as u64);
}

#[tokio::test]
async fn latency_delays_each_direction_and_ends_with_the_conduct() {
    let proxy = proxy().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Conduct::slow(
        Duration::from_millis(100),
        Duration::from_millis(20),
    ));
    let took = round_trip(&mut stream, b"hello").await.unwrap();
    assert!(took >= Duration::from_millis(200), "{took:?}");
    proxy.heal();
    let took = round_trip(&mut stream, b"hello").await.unwrap();
    assert!(took < Duration::from_millis(150), "{took:?}");
}

#[tokio::test]
async fn a_narrow_line_takes_as_long_as_its_bytes() {
    let proxy = proxy().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    proxy.set(Conduct::narrow(100_000));
    let took = round_trip(&mut stream, &[7; 50_000]).await.unwrap();
    assert!(took >= Duration::from_millis(450), "{took:?}");
}

#[tokio::test]
async fn slices_arrive_whole_in_the_end() {
    let proxy = proxy().await;
    proxy.set(Conduct::sliced(3));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    round_trip(&mut stream, &[9; 5_000]).await.unwrap();
}

#[tokio::test]
async fn a_cut_resets_open_connections_and_refuses_new_ones_until_it_heals() {
    let proxy = proxy().await;
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    round_trip(&mut stream, b"hello").await.unwrap();
    proxy.set(Conduct::cut());
    let read = tokio::time::timeout(SOON, stream.read_u8()).await.unwrap();
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.heal();
    let deadline = Instant::now() + SOON;
    let mut stream = loop {
        match TcpStream::connect(proxy.address()).await {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    round_trip(&mut stream, b"hello").await.unwrap();
}

#[tokio::test]
async fn what_is_swallowed_is_never_answered_and_resets_when_it_heals() {
    let proxy = proxy().await;
    let mut before = TcpStream::connect(proxy.address()).await.unwrap();
    round_trip(&mut before, b"hello").await.unwrap();
    proxy.set(Conduct::swallow());
    let mut new = TcpStream::connect(proxy.address()).await.unwrap();
    for stream in [&mut before, &mut new] {
        stream.write_all(b"hello").await.unwrap();
        let silence = tokio::time::timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(silence.is_err(), "{silence:?}");
    }
    proxy.heal();
    for stream in [&mut before, &mut new] {
        let read = tokio::time::timeout(SOON, stream.read_u8()).await.unwrap();
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test]
async fn a_connection_is_reset_after_so_many_bytes() {
    let proxy = proxy().await;
    proxy.set(Conduct::reset_after(1_000));
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    round_trip(&mut stream, &[1; 400]).await.unwrap();
    let error = round_trip(&mut stream, &[1; 400]).await.unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{error}"
    );
    assert_eq!(proxy.bytes(), 1_000);
}
