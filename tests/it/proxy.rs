//! A TCP proxy between the daemon and a real server that does what networks do: refuse, hang,
//! crawl, tear, lose the answers. A connection that lost a byte stays lost, as a real one would:
//! the daemon has to give it up by itself.

use crate::disk::Draw;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Pass,
    /// Nobody listens, and what was connected is cut off.
    Refuse,
    /// Connections are taken, and everything sent on them is swallowed.
    Hang,
    /// So many bytes a second in each direction.
    Slow(u64),
    /// Each connection is cut within its first kilobytes, in the middle of a transfer.
    Tear,
    /// What is asked reaches the server; the answers are swallowed.
    NoAnswer,
}

/// How often the threads look at the mode.
const LOOK: Duration = Duration::from_millis(10);

struct Shared {
    upstream: String,
    mode: Mutex<Mode>,
    ended: AtomicBool,
    draw: Mutex<Draw>,
    /// Connections that a mode broke.
    broken: AtomicU64,
}

pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of `upstream`, as `127.0.0.1:5432`.
    pub fn start(upstream: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            mode: Mutex::new(Mode::Pass),
            ended: AtomicBool::new(false),
            draw: Mutex::new(Draw::new(u64::from(address.port()))),
            broken: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || accept(listener, address, &theirs));
        Proxy { address, shared }
    }

    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// Connections that were broken so far.
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(SeqCst)
    }

    /// `url` with this proxy's address in place of the server's.
    pub fn before(&self, url: &str) -> String {
        url.replacen(&self.shared.upstream, &self.address.to_string(), 1)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
    }
}

/// `127.0.0.1:5432` of `postgres://user@127.0.0.1:5432/database`.
pub fn address_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap();
    authority
        .rsplit_once('@')
        .map_or(authority, |(_, address)| address)
}

impl Shared {
    fn mode(&self) -> Mode {
        *self.mode.lock().unwrap()
    }
}

fn accept(listener: TcpListener, address: SocketAddr, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    while !shared.ended.load(SeqCst) {
        if shared.mode() == Mode::Refuse {
            listener = None;
            std::thread::sleep(LOOK);
            continue;
        }
        let Some(bound) = &listener else {
            listener = TcpListener::bind(address).ok();
            continue;
        };
        bound.set_nonblocking(true).unwrap();
        match bound.accept() {
            Ok((client, _)) => {
                client.set_nonblocking(false).unwrap();
                let shared = Arc::clone(shared);
                std::thread::spawn(move || carry(client, shared));
            }
            Err(_) => std::thread::sleep(LOOK),
        }
    }
}

/// One connection: both directions share its fate.
struct Wire {
    shared: Arc<Shared>,
    client: TcpStream,
    server: TcpStream,
    dead: AtomicBool,
    /// It has lost bytes towards the server, or the client, and passes no more of them.
    deaf: [AtomicBool; 2],
    /// Bytes until it is torn.
    tear_after: AtomicU64,
}

fn carry(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(&shared.upstream) else {
        return; // the server is away: the client sees the end of its connection
    };
    let tear_after = shared.draw.lock().unwrap().below(4_000);
    let wire = Arc::new(Wire {
        shared,
        client,
        server,
        dead: AtomicBool::new(false),
        deaf: [AtomicBool::new(false), AtomicBool::new(false)],
        tear_after: AtomicU64::new(tear_after),
    });
    for socket in [&wire.client, &wire.server] {
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
    }
    let theirs = Arc::clone(&wire);
    std::thread::spawn(move || theirs.pump(1));
    wire.pump(0);
}

impl Wire {
    /// Towards the server (0) or the client (1), until either side is gone.
    fn pump(&self, direction: usize) {
        let (mut from, mut to) = match direction {
            0 => (&self.client, &self.server),
            _ => (&self.server, &self.client),
        };
        let mut chunk = [0; 16 << 10];
        while !self.dead.load(SeqCst) && !self.shared.ended.load(SeqCst) {
            let mode = self.shared.mode();
            if mode == Mode::Refuse {
                self.shared.broken.fetch_add(1, SeqCst);
                break;
            }
            let most = match mode {
                Mode::Slow(rate) => (rate as usize / 20).clamp(1, chunk.len()),
                _ => chunk.len(),
            };
            let n = match from.read(&mut chunk[..most]) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    continue;
                }
                Err(_) => break,
            };
            if !self.pass(self.shared.mode(), direction, &chunk[..n], &mut to) {
                break;
            }
        }
        self.dead.store(true, SeqCst);
        for socket in [&self.client, &self.server] {
            // An error only says that it is closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// False where the connection is over.
    fn pass(&self, mode: Mode, direction: usize, bytes: &[u8], to: &mut &TcpStream) -> bool {
        match mode {
            Mode::Hang => self.deafen(direction),
            Mode::NoAnswer if direction == 1 => self.deafen(direction),
            Mode::Slow(rate) => {
                let pause = bytes.len() as f64 / rate as f64;
                std::thread::sleep(Duration::from_secs_f64(pause));
            }
            Mode::Tear => {
                let left = self.tear_after.load(SeqCst);
                if bytes.len() as u64 >= left {
                    self.shared.broken.fetch_add(1, SeqCst);
                    let _ = to.write_all(&bytes[..left as usize]);
                    return false;
                }
                self.tear_after.store(left - bytes.len() as u64, SeqCst);
            }
            _ => {}
        }
        self.deaf[direction].load(SeqCst) || to.write_all(bytes).is_ok()
    }

    fn deafen(&self, direction: usize) {
        if !self.deaf[direction].swap(true, SeqCst) {
            self.shared.broken.fetch_add(1, SeqCst);
        }
    }
}

/// A server that answers each line with itself.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let (mut from, mut to) = (client.try_clone().unwrap(), client);
                let _ = std::io::copy(&mut from, &mut to);
            });
        }
    });
    address
}

#[test]
fn each_mode_does_what_it_says() {
    let proxy = Proxy::start(&echo());
    let connect = || {
        let socket = TcpStream::connect(proxy.address)?;
        socket.set_read_timeout(Some(Duration::from_millis(300)))?;
        Ok::<_, std::io::Error>(socket)
    };
    let ask = |socket: &mut TcpStream, n: usize| {
        let mut answer = vec![0; n];
        socket.write_all(&vec![7; n])?;
        socket.read_exact(&mut answer).map(|()| answer)
    };
    let mut kept = connect().unwrap();
    assert_eq!(ask(&mut kept, 3).unwrap(), [7; 3]);
    for mode in [Mode::Hang, Mode::NoAnswer] {
        proxy.set(mode);
        let mut socket = connect().unwrap();
        assert!(ask(&mut socket, 3).is_err());
        proxy.set(Mode::Pass);
        assert!(ask(&mut socket, 3).is_err(), "what lost bytes stays lost");
        assert_eq!(
            ask(&mut kept, 3).unwrap(),
            [7; 3],
            "it sent nothing meanwhile"
        );
    }
    proxy.set(Mode::Slow(1_000));
    let began = std::time::Instant::now();
    assert_eq!(ask(&mut kept, 200).unwrap(), [7; 200]);
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "200 bytes there, 200 back"
    );
    proxy.set(Mode::Tear);
    let mut socket = connect().unwrap();
    let torn = (0..100).find(|_| ask(&mut socket, 100).is_err());
    assert!(torn.is_some_and(|n| n <= 40), "{torn:?}");
    proxy.set(Mode::Refuse);
    std::thread::sleep(5 * LOOK);
    assert!(ask(&mut kept, 3).is_err() && connect().is_err());
    proxy.set(Mode::Pass);
    std::thread::sleep(5 * LOOK);
    assert_eq!(ask(&mut connect().unwrap(), 3).unwrap(), [7; 3]);
    assert_eq!(
        address_of("postgres://u:p@127.0.0.1:5432/x"),
        "127.0.0.1:5432"
    );
    assert_eq!(address_of("ws://127.0.0.1:9"), "127.0.0.1:9");
}
