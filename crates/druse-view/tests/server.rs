//! The server as a whole: its port, its end, and the programs that it starts.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use druse_view::{Options, Server, ViewError};

fn options(path: &Path) -> Options {
    Options { paths: vec![path.to_owned()], ..Options::default() }
}

/// The port and the token of an address.
fn parts(address: &str) -> (String, String) {
    let rest = address.strip_prefix("http://").unwrap();
    let (host, token) = rest.split_once("/?token=").unwrap();
    (host.to_owned(), token.to_owned())
}

fn ask(host: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_serves_on_the_loopback_interface_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::bind(options(dir.path())).unwrap();
    let (host, token) = parts(&server.address());
    assert!(host.starts_with("127.0.0.1:"));
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let served = std::thread::spawn(move || server.serve(&seen));
    let state = |token: &str| {
        ask(
            &host,
            &format!(
                "GET /api/state HTTP/1.1\r\nHost: {host}\r\nX-Druse-Token: {token}\r\nConnection: close\r\n\r\n"
            ),
        )
    };
    assert!(state(&token).starts_with("HTTP/1.1 200"), "{}", state(&token));
    assert!(state("0").starts_with("HTTP/1.1 403"));
    // A browser that is closed in the middle of a request.
    let mut gone = TcpStream::connect(&host).unwrap();
    gone.write_all(b"GET /3Dmol.js HTT").unwrap();
    drop(gone);
    assert!(ask(&host, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(state(&token).starts_with("HTTP/1.1 200"));
    stop.store(true, Ordering::Relaxed);
    served.join().unwrap().unwrap();
    assert!(TcpStream::connect(&host).is_err());
}

#[test]
fn a_port_in_use_and_a_path_that_is_not_there_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let Err(e) = Server::bind(Options { port, ..options(dir.path()) }) else { panic!("the port was free") };
    assert!(matches!(e, ViewError::PortInUse(p) if p == port), "{e}");
    let Err(e) = Server::bind(options(&dir.path().join("nothing"))) else { panic!("the path was there") };
    assert!(matches!(e, ViewError::NotFound(_)), "{e}");
}

#[cfg(unix)]
#[test]
fn programs_that_were_started_end_with_the_server() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let shown = dir.path().join("shown");
    std::fs::create_dir(&shown).unwrap();
    // Takes the place of the program: notes its arguments, and that its standard input has ended.
    let program = dir.path().join("program");
    let text = "#!/bin/sh\nhere=$(dirname \"$0\")\necho \"$@\" > \"$here/arguments\"\ncat > /dev/null\necho ended > \"$here/end\"\nexit 130\n";
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::bind(Options { program: vec![program.into()], ..options(&shown) }).unwrap();
    let (host, token) = parts(&server.address());
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let served = std::thread::spawn(move || server.serve(&seen));
    let post = |path: &str, body: &str| {
        ask(
            &host,
            &format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Druse-Token: {token}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ),
        )
    };
    let started = post("/api/sample", "{\"name\": \"new\", \"formula\": \"Fe2\", \"count\": 3, \"seed\": 7}");
    assert!(started.starts_with("HTTP/1.1 200"), "{started}");
    let second = post("/api/sample", "{\"name\": \"other\", \"formula\": \"Fe2\"}");
    assert!(second.contains("wait for it or cancel it"), "{second}");
    let arguments = dir.path().join("arguments");
    for _ in 0..200 {
        if arguments.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(!dir.path().join("end").exists());
    stop.store(true, Ordering::Relaxed);
    served.join().unwrap().unwrap();
    assert!(dir.path().join("end").exists());
    let words = std::fs::read_to_string(arguments).unwrap();
    assert!(words.starts_with("sample --formula=Fe2 --count=3 --seed=7 --format=jsonl --out="), "{words}");
    assert!(words.trim_end().ends_with("/new"), "{words}");
}
