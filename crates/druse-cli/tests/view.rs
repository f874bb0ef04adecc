//! `druse view` as a program: its address, its mistakes, and that what it starts ends with it.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{command, druse};

/// A running server.
struct Served {
    child: Child,
    host: String,
    token: String,
}

impl Served {
    fn over(dir: &Path) -> Self {
        let arguments = ["view", dir.to_str().unwrap(), "--no-open"];
        let mut child =
            command(dir).args(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let rest = line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("no address: {line}"));
        let (host, token) = rest.split_once("/?token=").unwrap();
        Self { child, host: host.to_owned(), token: token.to_owned() }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let (host, token, length) = (&self.host, &self.token, body.len());
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-Druse-Token: {token}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

fn within<T>(what: &str, mut of: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = of() {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_prints_its_address_and_ends_by_an_interrupt() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::over(dir.path());
    assert!(served.ask("GET", "/", "").contains("<title>druse</title>"));
    assert!(served.ask("GET", "/api/state", "").contains("\"rows\":0"));
    served.signal("-INT");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[test]
fn mistakes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    druse(dir.path(), &["view", "nothing"]).fails(2, &["nothing", "no such file or folder"]);
    druse(dir.path(), &["view", ".", "--train", "nothing.csv"]).fails(2, &["nothing.csv"]);
    druse(dir.path(), &["view", ".", "--model", "nothing.safetensors"]).fails(2, &["nothing.safetensors"]);
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    druse(dir.path(), &["view", ".", "--port", &port]).fails(1, &[&port, "another program", "--port"]);
}

#[test]
fn sampling_ends_with_the_server() {
    for signal in ["-INT", "-KILL"] {
        let dir = tempfile::tempdir().unwrap();
        let mut served = Served::over(dir.path());
        let asked = r#"{"name": "new", "formula": "LiFeO2", "count": 100000, "seed": 3}"#;
        let started = served.ask("POST", "/api/sample", asked);
        assert!(started.starts_with("HTTP/1.1 200"), "{started}");
        // The model runs out of templates before it has so many; what fails counts, too.
        let files = ["new/structures.jsonl", "new/failures.jsonl"].map(|name| dir.path().join(name));
        let size = || files.iter().map(|file| fs::metadata(file).map_or(0, |m| m.len())).sum::<u64>();
        within("no structure came", || (size() > 0).then_some(()));
        within("the page has no row of it", || {
            let state = served.ask("GET", "/api/state", "");
            (state.contains("\"state\":\"running\"") && !state.contains("\"rows\":0,\"runs\"")).then_some(())
        });
        served.signal(signal);
        served.child.wait().unwrap();
        // The lock of the folder is free as soon as its writer has ended.
        let lock = ["sample", "--formula", "LiFeO2", "--count", "1", "--out", "new", "--resume"];
        within("sampling goes on", || (!druse(dir.path(), &lock).stderr.contains("in use")).then_some(()));
        let before = size();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(size(), before, "{signal}");
    }
}
