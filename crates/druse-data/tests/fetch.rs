//! Download against a small server in this process, and from a mirror folder.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::put;
use druse_data::fetch::{
    FetchError, FetchOptions, FileStatus, Manifest, NamedSet, Progress, RemoteFile, fetch, git_blob_id,
};
use tempfile::tempdir;

/// What the server does with the n-th request.
#[derive(Clone, Copy)]
enum Behavior {
    /// Answers in full, honours `Range`.
    Whole,
    /// Promises everything and hangs up after this many bytes.
    Cut(usize),
    /// Ignores `Range`.
    NoRange,
    /// This status and no content.
    Status(u16),
}

/// Serves `content` on a free port; gives the address and the `Range` headers it was asked for.
fn serve(content: Vec<u8>, behavior: Vec<Behavior>) -> (String, Arc<Mutex<Vec<Option<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/set/train.csv", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for how in behavior {
            let Ok((stream, _)) = listener.accept() else { return };
            let range = requested_range(&stream);
            // Noted before the answer: a client that has its answer may look at once.
            seen.lock().unwrap().push(range.clone());
            answer(stream, &content, how, range);
        }
    });
    (url, asked)
}

/// Reads the head of a request; the value of its `Range`.
fn requested_range(stream: &TcpStream) -> Option<String> {
    let mut range = None;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range:") {
            range = Some(value.trim().to_owned());
        }
        if line.is_empty() {
            break;
        }
    }
    range
}

fn answer(mut stream: TcpStream, content: &[u8], how: Behavior, range: Option<String>) {
    let start = match (&range, how) {
        (Some(range), Behavior::Whole | Behavior::Cut(_)) => {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
        }
        _ => 0,
    };
    let status = match how {
        Behavior::Status(status) => format!("{status} Refused"),
        _ if start >= content.len() => "416 Range Not Satisfiable".to_owned(),
        _ if start > 0 => {
            format!(
                "206 Partial Content\r\nContent-Range: bytes {start}-{}/{}",
                content.len() - 1,
                content.len()
            )
        }
        _ => "200 OK".to_owned(),
    };
    let body: &[u8] = if status.starts_with('2') { &content[start..] } else { &[] };
    let sent = match how {
        Behavior::Cut(n) => &body[..n.min(body.len())],
        _ => body,
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    // The client may have hung up.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
}

fn blob(content: &[u8]) -> String {
    let folder = tempdir().unwrap();
    git_blob_id(&put(folder.path(), "x", content)).unwrap()
}

fn manifest(url: &str, git_blob: String) -> Manifest {
    let file = RemoteFile { path: "set/train.csv".into(), url: url.into(), git_blob };
    Manifest { sets: vec![NamedSet { name: "my-set".into(), about: String::new(), files: vec![file] }] }
}

fn quick() -> FetchOptions {
    FetchOptions {
        pause: Duration::ZERO,
        timeout: Duration::from_secs(5),
        retries: 2,
        ..FetchOptions::default()
    }
}

fn get(manifest: &Manifest, out: &Path, options: &FetchOptions) -> Result<FileStatus, FetchError> {
    fetch(manifest, "my-set", out, options, &mut |_| {}).map(|f| f.files[0].1)
}

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(|k| k.to_le_bytes()).collect()
}

#[test]
fn git_blob_ids_are_those_of_git() {
    assert_eq!(blob(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
    assert_eq!(blob(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
}

#[test]
fn a_download_is_verified_and_named_at_the_end() {
    let out = tempdir().unwrap();
    let (url, asked) = serve(content(), vec![Behavior::Whole]);
    let manifest = manifest(&url, blob(&content()));
    let mut last = None;
    let mut record = |p: Progress<'_>| last = Some((p.path.to_owned(), p.bytes, p.total));
    let fetched = fetch(&manifest, "My_Set", out.path(), &quick(), &mut record).unwrap();
    assert_eq!(fetched.files, [(out.path().join("set/train.csv"), FileStatus::Downloaded { resumed_at: 0 })]);
    assert_eq!(fs::read(&fetched.files[0].0).unwrap(), content());
    let length = content().len() as u64;
    assert_eq!(last, Some(("set/train.csv".to_owned(), length, Some(length))));
    assert_eq!(fs::read_dir(out.path().join("set")).unwrap().count(), 1, "no part is left");
    assert_eq!(*asked.lock().unwrap(), [None]);
    // The server is gone: a file that is there is not asked for.
    assert_eq!(get(&manifest, out.path(), &quick()).unwrap(), FileStatus::Present);
}

#[test]
fn a_broken_connection_goes_on_where_it_ended() {
    let out = tempdir().unwrap();
    let (url, asked) = serve(content(), vec![Behavior::Cut(100_000), Behavior::Status(503), Behavior::Whole]);
    let manifest = manifest(&url, blob(&content()));
    get(&manifest, out.path(), &quick()).unwrap();
    assert_eq!(fs::read(out.path().join("set/train.csv")).unwrap(), content());
    let resumed = Some("bytes=100000-".to_owned());
    assert_eq!(*asked.lock().unwrap(), [None, resumed.clone(), resumed]);
}

#[test]
fn an_interrupted_download_is_taken_up_by_the_next_call() {
    let out = tempdir().unwrap();
    let cut = vec![Behavior::Cut(1000), Behavior::Cut(1000), Behavior::Cut(1000), Behavior::Whole];
    let (url, _) = serve(content(), cut);
    let manifest = manifest(&url, blob(&content()));
    let error = get(&manifest, out.path(), &quick()).unwrap_err();
    assert!(matches!(error, FetchError::Network { kept: 3000, .. }), "{error}");
    assert!(!out.path().join("set/train.csv").exists());
    assert_eq!(get(&manifest, out.path(), &quick()).unwrap(), FileStatus::Downloaded { resumed_at: 3000 });
    assert_eq!(fs::read(out.path().join("set/train.csv")).unwrap(), content());
}

#[test]
fn a_server_without_ranges_sends_it_all_again() {
    let out = tempdir().unwrap();
    put(out.path(), "set/train.csv.part", &content()[..5000]);
    let (url, _) = serve(content(), vec![Behavior::NoRange]);
    get(&manifest(&url, blob(&content())), out.path(), &quick()).unwrap();
    assert_eq!(fs::read(out.path().join("set/train.csv")).unwrap(), content());
}

#[test]
fn a_part_that_is_whole_or_wrong_is_dealt_with() {
    let out = tempdir().unwrap();
    put(out.path(), "set/train.csv.part", content());
    let (url, _) = serve(content(), vec![Behavior::Whole]);
    get(&manifest(&url, blob(&content())), out.path(), &quick()).unwrap();

    let out = tempdir().unwrap();
    put(out.path(), "set/train.csv.part", [7; 400]);
    let (url, asked) = serve(content(), vec![Behavior::Whole, Behavior::Whole]);
    get(&manifest(&url, blob(&content())), out.path(), &quick()).unwrap();
    assert_eq!(fs::read(out.path().join("set/train.csv")).unwrap(), content());
    assert_eq!(*asked.lock().unwrap(), [Some("bytes=400-".to_owned()), None]);
}

#[test]
fn wrong_content_and_refusals_are_errors() {
    let out = tempdir().unwrap();
    let (url, _) = serve(b"something else".to_vec(), vec![Behavior::Whole]);
    let error = get(&manifest(&url, blob(&content())), out.path(), &quick()).unwrap_err();
    assert!(matches!(error, FetchError::Hash { .. }), "{error}");
    assert_eq!(fs::read_dir(out.path().join("set")).unwrap().count(), 0, "nothing wrong is left behind");

    let (url, asked) = serve(content(), vec![Behavior::Status(404)]);
    let error = get(&manifest(&url, blob(&content())), out.path(), &quick()).unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 404, .. }), "{error}");
    assert_eq!(asked.lock().unwrap().len(), 1, "a missing file is not asked for again");

    put(out.path(), "set/train.csv", "the user's own");
    let error = get(&manifest(&url, blob(&content())), out.path(), &quick()).unwrap_err();
    assert!(matches!(error, FetchError::InTheWay { .. }), "{error}");
    assert_eq!(fs::read(out.path().join("set/train.csv")).unwrap(), b"the user's own");
}

#[test]
fn a_mirror_folder_replaces_the_network() {
    let mirror = tempdir().unwrap();
    let url = "http://127.0.0.1:9/never";
    for place in ["set/train.csv", "data/set/train.csv"] {
        let out = tempdir().unwrap();
        let file = put(mirror.path(), place, content());
        let options = FetchOptions { from: Some(mirror.path().to_owned()), ..quick() };
        assert_eq!(get(&manifest(url, blob(&content())), out.path(), &options).unwrap(), FileStatus::Copied);
        assert_eq!(fs::read(out.path().join("set/train.csv")).unwrap(), content());

        let wrong = tempdir().unwrap();
        let error = get(&manifest(url, blob(b"other")), wrong.path(), &options).unwrap_err();
        assert!(matches!(error, FetchError::Hash { .. }), "{error}");
        assert!(!wrong.path().join("set/train.csv").exists());
        fs::remove_file(file).unwrap();
        let error = get(&manifest(url, blob(&content())), wrong.path(), &options).unwrap_err();
        assert!(matches!(&error, FetchError::NotInMirror { tried, .. } if tried.len() == 2), "{error}");
    }
}

#[test]
fn names_and_paths_are_checked() {
    let built_in = Manifest::built_in();
    let names: Vec<&str> = built_in.sets.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["mp-20", "perov-5", "carbon-24"]);
    for file in built_in.sets.iter().flat_map(|s| &s.files) {
        assert!(
            file.git_blob.len() == 40 && file.git_blob.bytes().all(|b| b.is_ascii_hexdigit()),
            "{file:?}"
        );
        assert!(file.url.starts_with("https://") && file.url.ends_with(&file.path), "{file:?}");
    }
    let error = built_in.set("mp-21").unwrap_err().to_string();
    assert!(error.contains("mp-20, perov-5, carbon-24"), "{error}");

    let mut bad = manifest("http://127.0.0.1:9/", blob(b""));
    for path in ["../evil.csv", "/etc/evil", "a/../../b", ""] {
        bad.sets[0].files[0].path = path.into();
        let out = tempdir().unwrap();
        assert!(matches!(get(&bad, out.path(), &quick()).unwrap_err(), FetchError::BadPath { .. }), "{path}");
    }
}
