//! Requests without a browser.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use axum::response::Response;
use druse_crystal::formats::{self, Format};
use druse_data::{JsonlRecord, write_jsonl_record};
use druse_testkit::prototypes::{prototype, prototypes};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::places::{FAILURES_FILE, SAMPLING_FILE, STRUCTURES_FILE};

/// A server's routes over a folder, without a server.
struct Site {
    app: Arc<App>,
    runtime: tokio::runtime::Runtime,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.app.store.stop();
    }
}

impl Site {
    fn over(folder: &Path, train: Option<&Path>) -> Self {
        let paths = vec![folder.to_owned()];
        let store = Arc::new(Store::new(paths.clone(), train.map(Path::to_owned)));
        store.start();
        let jobs = Jobs::new(vec!["druse-is-not-here".into()], &paths, Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Self { app: Arc::new(App { guard: Guard::new(4000).unwrap(), store, jobs }), runtime }
    }

    fn send(&self, request: Request<Body>) -> Response {
        self.runtime.block_on(async { router(Arc::clone(&self.app)).oneshot(request).await.unwrap() })
    }

    /// A request of the page itself.
    fn own(&self, method: &str, path: &str, body: String) -> (StatusCode, Vec<u8>, Response) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "127.0.0.1:4000")
            .header("origin", "http://127.0.0.1:4000")
            .header("x-druse-token", self.app.guard.token())
            .body(Body::from(body))
            .unwrap();
        let (parts, body) = self.send(request).into_parts();
        let bytes = self.runtime.block_on(to_bytes(body, 1 << 26)).unwrap().to_vec();
        (parts.status, bytes, Response::from_parts(parts, Body::empty()))
    }

    fn get(&self, path: &str) -> Value {
        let (status, bytes, _) = self.own("GET", path, String::new());
        assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&bytes));
        serde_json::from_slice(&bytes).unwrap()
    }

    fn text(&self, method: &str, path: &str, body: Value) -> (StatusCode, String) {
        let (status, bytes, _) = self.own(method, path, body.to_string());
        (status, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The state, once everything is read and described.
    fn settled(&self, rows: usize) -> Value {
        let begun = Instant::now();
        loop {
            let state = self.get("/api/state");
            let all = state["rows"].as_u64() == Some(rows as u64) && state["described"] == state["rows"];
            if all
                && state["looked"] == true
                && state["sets"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(|s| s["read"] == true || !s["problem"].is_null())
            {
                return state;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "not settled at {rows} rows: {state}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn line(id: &str, name: &str, properties: Value) -> Vec<u8> {
    let properties = properties.as_object().unwrap().clone().into_iter().collect();
    let record =
        JsonlRecord { id: id.into(), formula: String::new(), structure: prototype(name), properties };
    let mut bytes = Vec::new();
    write_jsonl_record(&mut bytes, &record).unwrap();
    bytes
}

/// A sampling run of two structures and a failure.
fn run() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let lines = [
        line("0", "NaCl", json!({"index": 0, "log_probability": -1.5})),
        line("2", "BaTiO3", json!({"index": 2})),
    ];
    fs::write(dir.path().join(STRUCTURES_FILE), lines.concat()).unwrap();
    fs::write(dir.path().join(SAMPLING_FILE), "{\"count\": 3}").unwrap();
    let failed = "{\"index\": 1, \"formula\": \"NaCl\", \"reason\": \"the cell has no volume\"}\n";
    fs::write(dir.path().join(FAILURES_FILE), failed).unwrap();
    dir
}

#[test]
fn nobody_passes_without_token_name_and_origin() {
    let dir = run();
    let site = Site::over(dir.path(), None);
    let token = site.app.guard.token().to_owned();
    let ask = |path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        site.send(request.body(Body::empty()).unwrap())
    };
    let host = ("host", "127.0.0.1:4000");
    let with = ("x-druse-token", token.as_str());
    for path in ["/", "/app.js", "/3Dmol.js", "/api/state", "/api/row?row=0", "/nothing"] {
        assert_eq!(ask(path, &[host]).status(), StatusCode::FORBIDDEN, "{path} without token");
        assert_eq!(ask(path, &[host, ("x-druse-token", "0")]).status(), StatusCode::FORBIDDEN, "{path}");
        for refused in
            [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")]
        {
            assert_eq!(
                ask(path, &[host, with, refused]).status(),
                StatusCode::FORBIDDEN,
                "{path} {refused:?}"
            );
        }
        assert_eq!(
            ask(path, &[("host", "evil.example:4000"), with]).status(),
            StatusCode::FORBIDDEN,
            "{path}"
        );
        assert_eq!(ask(path, &[with]).status(), StatusCode::FORBIDDEN, "{path} without host");
    }
    assert_eq!(ask("/?token=wrong", &[host]).status(), StatusCode::FORBIDDEN);
    assert_eq!(ask("/?x=1", &[host, with]).status(), StatusCode::FORBIDDEN);
    let entered = ask(&format!("/?token={token}"), &[host]);
    assert_eq!(entered.status(), StatusCode::SEE_OTHER);
    let cookie = entered.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let page = ask("/", &[host, ("cookie", pair)]);
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("http") && !policy.contains("unsafe"),
        "{policy}"
    );
}

#[test]
fn every_file_of_the_page_is_there_and_names_nothing_else() {
    let dir = run();
    let site = Site::over(dir.path(), None);
    let (_, page, _) = site.own("GET", "/", String::new());
    let page = String::from_utf8(page).unwrap();
    for part in page.split("\"/").skip(1) {
        let path = format!("/{}", part.split('"').next().unwrap());
        let (status, content, _) = site.own("GET", &path, String::new());
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(!content.is_empty());
    }
    for file in &page::FILES {
        for import in file.content.split("from './").skip(1).filter(|_| !file.path.contains("3Dmol")) {
            let path = format!("/{}", import.split('\'').next().unwrap());
            assert!(page::FILES.iter().any(|other| other.path == path), "{} imports {path}", file.path);
        }
    }
    for path in ["/../Cargo.toml", "/..%2f..%2fetc/passwd", "/api/../../etc/passwd", "/page/app.js"] {
        let (status, _, _) = site.own("GET", path, String::new());
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[test]
fn rows_of_a_run_come_with_their_failures() {
    let dir = run();
    let site = Site::over(dir.path(), None);
    let state = site.settled(3);
    assert_eq!(state["sets"][0]["kind"], "run");
    let rows = site.get("/api/rows?from=0&to=100");
    assert_eq!(rows["columns"]["formula"], json!(["NaCl", "BaTiO3", "NaCl"]));
    assert_eq!(rows["columns"]["failure"], json!([null, null, "the cell has no volume"]));
    assert_eq!(rows["properties"]["log_probability"], json!([-1.5, null, null]));
    let found = site.get("/api/rows?from=0&to=100&described=true");
    assert_eq!(found["columns"]["space_group"], json!([225, 221, null]));
    assert_eq!(found["columns"]["valid"], json!([true, true, null]));
    let row = site.get("/api/row?row=1");
    assert_eq!((row["formula"].as_str(), row["line"].as_u64()), (Some("BaTiO3"), Some(2)));
    assert_eq!(row["crystal"]["frac"].as_array().unwrap().len(), 5);
    let failed = site.get("/api/row?row=2");
    assert_eq!(
        (failed["failure"].as_str(), &failed["crystal"]),
        (Some("the cell has no volume"), &Value::Null)
    );
    let crystals = site.get("/api/crystals?rows=0,2,x,99");
    assert_eq!(crystals.as_array().unwrap().len(), 3);
    assert_eq!(crystals[1]["crystal"], Value::Null);
    for path in ["/api/row?row=3", "/api/nearest?row=0", "/api/curves?run=0", "/api/row?row=-1", "/api/row"] {
        let (status, _) = site.text("GET", path, Value::Null);
        assert!(status.is_client_error(), "{path}: {status}");
    }
}

#[test]
fn a_run_in_progress_is_followed() {
    let dir = run();
    let site = Site::over(dir.path(), None);
    site.settled(3);
    let next = line("3", "Cu", json!({"index": 3}));
    let mut file = fs::OpenOptions::new().append(true).open(dir.path().join(STRUCTURES_FILE)).unwrap();
    file.write_all(&next[..40]).unwrap();
    std::thread::sleep(Duration::from_millis(600));
    assert_eq!(site.get("/api/state")["rows"], 3);
    file.write_all(&next[40..]).unwrap();
    let state = site.settled(4);
    assert_eq!(state["epoch"], 0);
    assert_eq!(site.get("/api/row?row=3")["formula"], "Cu");
    // A finished run puts its structures in order: another file, whose rows are read anew.
    let ordered = [line("3", "Cu", json!({})), line("0", "NaCl", json!({}))].concat();
    fs::write(dir.path().join("new"), ordered).unwrap();
    fs::rename(dir.path().join("new"), dir.path().join(STRUCTURES_FILE)).unwrap();
    let state = site.settled(3);
    assert!(state["epoch"].as_u64() > Some(0), "{state}");
    assert_eq!(site.get("/api/row?row=0")["formula"], "Cu");
}

#[test]
fn an_empty_folder_is_shown_and_filled_later() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site::over(dir.path(), None);
    assert_eq!(site.settled(0)["sets"], json!([]));
    let cif = formats::write(&prototype("quartz"), Format::Cif, "quartz");
    fs::write(dir.path().join("quartz.cif"), cif).unwrap();
    let state = site.settled(1);
    assert_eq!(state["sets"][0]["kind"], "data");
    let damaged = dir.path().join("inner");
    fs::create_dir(&damaged).unwrap();
    fs::write(damaged.join("table.csv"), "a,b\n1,2\n").unwrap();
    let begun = Instant::now();
    loop {
        let state = site.get("/api/state");
        let problems: Vec<&Value> = state["sets"].as_array().unwrap().iter().map(|s| &s["problem"]).collect();
        if problems.iter().any(|p| !p.is_null()) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{state}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn chosen_rows_are_exported_in_every_format() {
    let dir = run();
    let site = Site::over(dir.path(), None);
    site.settled(3);
    let export = |rows: Value, format: &str| {
        let (status, bytes, response) =
            site.own("POST", "/api/export", json!({ "rows": rows, "format": format }).to_string());
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&bytes));
        let name = response.headers()["content-disposition"].to_str().unwrap().to_owned();
        (name, bytes, response.headers()["x-left-out"].to_str().unwrap().to_owned())
    };
    let out = tempfile::tempdir().unwrap();
    for (format, file, count) in
        [("cif", "structures.cif", 2), ("extxyz", "structures.extxyz", 2), ("csv", "structures.csv", 3)]
    {
        let (name, bytes, left_out) = export(json!([0, 1, 2]), format);
        assert!(name.contains(file), "{name}");
        assert_eq!(left_out, if format == "csv" { "0" } else { "1" });
        let path = out.path().join(file);
        fs::write(&path, bytes).unwrap();
        // What is exported, druse reads.
        let listing = druse_data::list(&path, &druse_data::ListOptions::default()).unwrap();
        assert_eq!(listing.len(), count, "{format}");
        let formulas: Vec<String> =
            listing.items.iter().take(2).map(|i| i.composition().unwrap().reduced_formula()).collect();
        assert_eq!(formulas, ["NaCl", "BaTiO3"], "{format}");
    }
    let (name, bytes, _) = export(json!([0, 1, 2]), "poscar");
    assert!(name.contains("structures.zip") && bytes.starts_with(b"PK"));
    let (name, bytes, _) = export(json!([1]), "poscar");
    assert!(name.contains("2-BaTiO3.vasp"), "{name}");
    let parsed = formats::read_str(std::str::from_utf8(&bytes).unwrap(), Format::Poscar).unwrap();
    assert_eq!(parsed[0].structure.len(), 5);
    for refused in [
        json!({"rows": [], "format": "cif"}),
        json!({"rows": [2], "format": "cif"}),
        json!({"rows": [9], "format": "cif"}),
        json!({"rows": [0], "format": "exe"}),
        json!(3),
    ] {
        let (status, text) = site.text("POST", "/api/export", refused.clone());
        assert!(status.is_client_error() && !text.is_empty(), "{refused}");
    }
}

#[test]
fn the_nearest_known_structure_is_told() {
    let (dir, known) = (run(), tempfile::tempdir().unwrap());
    let path = known.path().join("known.jsonl");
    let lines: Vec<Vec<u8>> = prototypes().into_iter().map(|(name, _)| line(name, name, json!({}))).collect();
    fs::write(&path, lines.concat()).unwrap();
    let site = Site::over(dir.path(), Some(&path));
    site.settled(3);
    let near = site.get("/api/nearest?row=1");
    assert_eq!((near["id"].as_str(), near["crystal"]["formula"].as_str()), (Some("BaTiO3"), Some("BaTiO3")));
    assert!(near["rms"].as_f64().unwrap() < 1e-6);
    let found = site.get("/api/rows?from=0&to=9&described=true");
    assert_eq!(found["columns"]["is_novel"], json!([false, false, null]));
    assert_eq!(found["columns"]["known_as"][0], "NaCl");
}

#[test]
fn screenings_have_their_structures_and_reasons() {
    let dir = tempfile::tempdir().unwrap();
    let relaxed = dir.path().join("relaxed");
    fs::create_dir(&relaxed).unwrap();
    fs::write(relaxed.join(STRUCTURES_FILE), line("salt", "NaCl", json!({"relax_energy": -6.5}))).unwrap();
    let rows = [
        json!({"rank": 1, "index": 0, "id": "salt", "formula": "NaCl", "fell": null, "e_above_hull": 0.01, "novel": true,
            "decomposition": [{"id": "a", "formula": "NaCl", "fraction": 1.0}]}),
        json!({"rank": null, "index": 1, "id": "bad", "formula": "NaCl2", "e_above_hull": null,
            "fell": {"gate": "validity", "kind": "close", "reason": "two sites are 0.1 Å apart"}}),
    ];
    fs::write(dir.path().join("screen.jsonl"), rows.map(|row| format!("{row}\n")).concat()).unwrap();
    let site = Site::over(dir.path(), None);
    let state = site.settled(2);
    assert_eq!(state["sets"][0]["kind"], "screen");
    let table = site.get("/api/rows?from=0&to=9");
    assert_eq!(table["properties"]["e_above_hull"], json!([0.01, null]));
    assert_eq!(table["properties"]["decomposition"][0], "1.000 NaCl");
    assert_eq!(table["columns"]["failure"], json!([null, "two sites are 0.1 Å apart"]));
    let row = site.get("/api/row?row=0");
    assert_eq!(
        (row["properties"]["rank"].as_u64(), row["crystal"]["frac"].as_array().map(Vec::len)),
        (Some(1), Some(2))
    );
}

#[test]
fn sampling_is_refused_with_words_where_it_cannot_be() {
    let dir = run();
    let site = Site::over(dir.path(), None);
    let offer = site.get("/api/sample");
    assert_eq!(offer["problem"], Value::Null);
    let (status, text) =
        site.text("POST", "/api/command", json!({"name": "new", "formula": "LiFeO2", "count": 4}));
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("druse sample --formula=LiFeO2 --count=4"), "{text}");
    for path in ["/api/sample", "/api/command"] {
        for refused in
            [json!({"name": "../new", "formula": "Fe"}), json!({"name": "a", "out": "/tmp"}), json!([])]
        {
            let (status, text) = site.text("POST", path, refused.clone());
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}: {text}");
        }
    }
    let (_, text) = site.text("POST", "/api/sample", json!({"name": "new", "formula": "Fe"}));
    assert!(text.contains("does not start"), "{text}");
    assert_eq!(site.text("POST", "/api/cancel", json!({"job": 0})).0, StatusCode::NOT_FOUND);
    let names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}
