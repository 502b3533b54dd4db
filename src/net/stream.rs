//! A connection's TCP socket, and how its reader waits: asleep in the runtime's epoll, or by
//! looking at the socket itself all the time.
//!
//! All above it is the same for both: TLS, WebSocket, timers, back-off. A polled socket is not
//! known to epoll. Finding nothing, it asks to be looked at again at once, so that the ingest
//! thread never sleeps while there is a connection, and a frame costs one system call. Between
//! looks the runtime serves its other tasks, its timers and REST. Runs on the ingest thread.

use crate::config::IngestMode;
use anyhow::Context as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async_tls_with_config};

pub type Socket = WebSocketStream<MaybeTlsStream<Stream>>;

pub enum Stream {
    Asleep(TcpStream),
    Polled(std::net::TcpStream),
}

/// Connects to a `ws://` or `wss://` URL.
pub async fn connect(
    url: &str,
    mode: IngestMode,
    config: WebSocketConfig,
) -> anyhow::Result<Socket> {
    let request = url.into_client_request()?;
    let host = request.uri().host().context("the URL has no host")?;
    let tls = request.uri().scheme_str() == Some("wss");
    let port = request
        .uri()
        .port_u16()
        .unwrap_or(if tls { 443 } else { 80 });
    let tcp = TcpStream::connect(format!("{host}:{port}")).await?;
    tcp.set_nodelay(true)?;
    let stream = match mode {
        IngestMode::Tokio => Stream::Asleep(tcp),
        IngestMode::BusyPoll => Stream::Polled(tcp.into_std()?), // non-blocking still
    };
    let (socket, _) = client_async_tls_with_config(request, stream, Some(config), None).await?;
    Ok(socket)
}

/// What a system call on a polled socket gave; nothing yet = it is to be tried at the next pass.
fn at_once<T>(cx: &Context<'_>, mut call: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
    loop {
        match call() {
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            result => return Poll::Ready(result),
        }
    }
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Asleep(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Stream::Polled(tcp) => {
                let read = at_once(cx, || tcp.read(buffer.initialize_unfilled()));
                read.map_ok(|n| buffer.advance(n))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Asleep(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Polled(tcp) => at_once(cx, || tcp.write(bytes)),
        }
    }

    /// A TCP socket keeps nothing back.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Asleep(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Polled(tcp) => match tcp.shutdown(Shutdown::Write) {
                Err(e) if e.kind() == ErrorKind::NotConnected => Poll::Ready(Ok(())),
                result => Poll::Ready(result),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{SinkExt, StreamExt};
    use std::net::TcpListener;
    use std::time::Duration;
    use tokio_tungstenite::tungstenite::{self, Message};

    /// A server that sends back the first message, after a while, and then ends.
    fn echo() -> (String, std::thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("ws://{}/path", listener.local_addr().expect("an address"));
        let server = std::thread::spawn(move || {
            let (tcp, _) = listener.accept().expect("a client");
            let mut ws = tungstenite::accept(tcp).expect("a handshake");
            let message = ws.read().expect("a message");
            std::thread::sleep(Duration::from_millis(20));
            ws.send(message).expect("the client reads");
        });
        (url, server)
    }

    #[tokio::test]
    async fn both_kinds_carry_messages_and_see_the_end() {
        for mode in [IngestMode::Tokio, IngestMode::BusyPoll] {
            let (url, server) = echo();
            let config = WebSocketConfig::default();
            let mut socket = connect(&url, mode, config).await.expect("connected");
            // More than the kernel takes at once, so that a write meets a full socket, too.
            let text = "x".repeat(8 << 20);
            socket
                .send(Message::text(text.clone()))
                .await
                .expect("sent");
            let back = socket.next().await.expect("a message").expect("a message");
            assert!(back == Message::text(text), "{mode:?}");
            assert!(
                !matches!(socket.next().await, Some(Ok(_))),
                "{mode:?}: it is over"
            );
            server.join().expect("the server");
        }
    }

    #[tokio::test]
    async fn a_polled_socket_lets_timers_run() {
        let (url, server) = echo();
        let config = WebSocketConfig::default();
        let connecting = connect(&url, IngestMode::BusyPoll, config);
        let mut socket = connecting.await.expect("connected");
        let silent = tokio::time::timeout(Duration::from_millis(30), socket.next()).await;
        assert!(silent.is_err(), "nothing was sent");
        socket.send(Message::text("end")).await.expect("sent");
        let back = socket.next().await.expect("a message").expect("a message");
        assert_eq!(back, Message::text("end"));
        server.join().expect("the server");
    }

    #[tokio::test]
    async fn a_url_without_a_server_is_an_error() {
        let gone = TcpListener::bind("127.0.0.1:0")
            .expect("a port")
            .local_addr();
        for url in [
            format!("ws://{}", gone.expect("an address")),
            "ws:///x".to_owned(),
        ] {
            let connected = connect(&url, IngestMode::Tokio, WebSocketConfig::default()).await;
            assert!(connected.is_err(), "{url}");
        }
    }
}
