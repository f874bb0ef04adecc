//! What the page asks for.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use druse_page::Crystal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::ViewError;
use crate::export::{ExportFormat, export};
use crate::guard::Guard;
use crate::jobs::{self, Jobs};
use crate::page;
use crate::store::Store;

/// Rows of one answer at most.
const MOST_ROWS: usize = 20_000;
/// Crystals of one answer at most.
const MOST_CRYSTALS: usize = 60;
/// Points of a curve at most.
const MOST_POINTS: usize = 2000;

/// Where pages, scripts, styles, data and pictures may come from: this server alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What requests are answered from.
pub(crate) struct App {
    pub guard: Guard,
    pub store: Arc<Store>,
    pub jobs: Jobs,
}

type Shared = State<Arc<App>>;

/// All routes, behind the guard.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/api/state", get(state))
        .route("/api/rows", get(rows))
        .route("/api/row", get(row))
        .route("/api/crystals", get(crystals))
        .route("/api/nearest", get(nearest))
        .route("/api/export", post(exported))
        .route("/api/runs", get(runs))
        .route("/api/curves", get(curves))
        .route("/api/sample", get(offer).post(sample))
        .route("/api/command", post(command))
        .route("/api/cancel", post(cancel));
    let files = page::FILES.iter().fold(Router::new(), |router, file| {
        router.route(file.path, get(|| async { ([(header::CONTENT_TYPE, file.kind)], file.content) }))
    });
    api.merge(files)
        .route("/", get(index))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guarded))
        .with_state(app)
}

fn problem(status: StatusCode, text: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text.to_owned()).into_response()
}

impl IntoResponse for ViewError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Missing(_) | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        problem(status, &self.to_string())
    }
}

fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
}

/// Nobody passes without the token, under another name, or from another page.
async fn guarded(State(app): Shared, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let mut response = match app.guard.check_origin(headers) {
        Err(refusal) => problem(StatusCode::FORBIDDEN, refusal.reason()),
        // The address that was printed: its token becomes a cookie, so that it is in no further address.
        Ok(()) if request.uri().path() == "/" && request.uri().query().is_some() => {
            let given = Query::<Token>::try_from_uri(request.uri()).ok().and_then(|q| q.0.token);
            match given.is_some_and(|token| app.guard.is_token(&token)) {
                true => {
                    let cookie = app.guard.set_cookie();
                    (
                        StatusCode::SEE_OTHER,
                        [(header::LOCATION, "/".to_owned()), (header::SET_COOKIE, cookie)],
                    )
                        .into_response()
                }
                false => problem(StatusCode::FORBIDDEN, crate::guard::Refusal::Token.reason()),
            }
        }
        Ok(()) => match app.guard.check_token(headers) {
            Err(refusal) => problem(StatusCode::FORBIDDEN, refusal.reason()),
            Ok(()) => next.run(request).await,
        },
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let policy = header::HeaderName::from_static("cross-origin-resource-policy");
    response.headers_mut().insert(policy, HeaderValue::from_static("same-origin"));
    response
}

async fn index() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], page::INDEX).into_response()
}

/// Work that reads files or computes, off the threads that answer.
async fn work(
    app: Arc<App>,
    of: impl FnOnce(&App) -> Result<Response, ViewError> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || of(&app)).await {
        Ok(Ok(response)) => response,
        Ok(Err(e)) => e.into_response(),
        Err(e) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("this failed: {e}")),
    }
}

/// The JSON of a request's body.
fn body<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, ViewError> {
    serde_json::from_slice(bytes)
        .map_err(|e| ViewError::Refused(format!("the request is not understood: {e}")))
}

async fn state(State(app): Shared) -> Response {
    work(app, |app| {
        let mut all = app.store.summary();
        all["version"] = env!("CARGO_PKG_VERSION").into();
        all["runs"] = app.store.runs.list();
        all["jobs"] = app.jobs.list(&app.store);
        Ok(answer(&all))
    })
    .await
}

#[derive(Deserialize)]
struct Range {
    from: usize,
    to: usize,
    #[serde(default)]
    described: bool,
}

async fn rows(State(app): Shared, Query(range): Query<Range>) -> Response {
    if !range.described {
        app.store.look_at();
    }
    work(app, move |app| {
        let to = range.to.min(range.from.saturating_add(MOST_ROWS));
        Ok(answer(&app.store.columns(range.from..to.max(range.from), range.described)))
    })
    .await
}

#[derive(Deserialize)]
struct One {
    row: usize,
}

async fn row(State(app): Shared, Query(One { row }): Query<One>) -> Response {
    app.store.look_at();
    work(app, move |app| {
        let full = app.store.full(row)?;
        let found = full.description.unwrap_or_default();
        let item = &full.item;
        Ok(answer(&json!({
            "id": item.id,
            "set": full.set,
            "file": item.file.display().to_string(),
            "line": item.line,
            "formula": item.composition().map(|c| c.reduced_formula()),
            "cell": item.composition().map(|c| c.formula()),
            "failure": item.reason(),
            "warnings": item.warnings,
            "valid": found.valid,
            "reason": found.reason,
            "space_group": found.space_group,
            "symbol": found.symbol,
            "novel": found.novel,
            "known_as": found.known_as,
            "properties": item.properties(),
            "density": item.structure().map(druse_crystal::Structure::density),
            "volume": item.structure().map(|s| s.lattice.volume()),
            "crystal": item.structure().map(Crystal::of),
        })))
    })
    .await
}

#[derive(Deserialize)]
struct Several {
    rows: String,
}

async fn crystals(State(app): Shared, Query(Several { rows }): Query<Several>) -> Response {
    app.store.look_at();
    work(app, move |app| {
        let rows: Vec<usize> = rows.split(',').filter_map(|n| n.parse().ok()).take(MOST_CRYSTALS).collect();
        let all: Vec<Value> = rows
            .iter()
            .map(|&row| json!({ "row": row, "crystal": app.store.structure(row).map(|s| Crystal::of(&s)) }))
            .collect();
        Ok(answer(&all.into()))
    })
    .await
}

async fn nearest(State(app): Shared, Query(One { row }): Query<One>) -> Response {
    work(app, move |app| {
        let known = match app.store.known() {
            None => {
                return Err(ViewError::Refused(
                    "the known structures are not read yet, or none were given".into(),
                ));
            }
            Some(Err(problem)) => return Err(ViewError::Refused(problem.to_owned())),
            Some(Ok(known)) => known,
        };
        let structure = app
            .store
            .structure(row)
            .ok_or_else(|| ViewError::Missing(format!("row {row} has no structure")))?;
        let found = known
            .nearest(&structure)
            .ok_or_else(|| ViewError::Missing("there is no known structure".into()))?;
        Ok(answer(&json!({
            "id": found.id,
            "rms": found.rms,
            "fingerprint": found.fingerprint,
            "composition": found.composition,
            "density": found.structure.density(),
            "crystal": Crystal::of(found.structure),
        })))
    })
    .await
}

#[derive(Deserialize)]
struct Export {
    rows: Vec<usize>,
    format: ExportFormat,
}

async fn exported(State(app): Shared, bytes: Bytes) -> Response {
    work(app, move |app| {
        let Export { rows, format } = body(&bytes)?;
        let file = export(&app.store, &rows, format)?;
        let named = format!("attachment; filename=\"{}\"", file.name);
        let left_out = file.left_out.to_string();
        let headers = [
            (header::CONTENT_TYPE, file.kind.to_owned()),
            (header::CONTENT_DISPOSITION, named),
            (header::HeaderName::from_static("x-left-out"), left_out),
        ];
        Ok((headers, file.content).into_response())
    })
    .await
}

async fn runs(State(app): Shared) -> Response {
    answer(&app.store.runs.list())
}

#[derive(Deserialize)]
struct Curves {
    run: usize,
    #[serde(default)]
    points: Option<usize>,
}

async fn curves(State(app): Shared, Query(asked): Query<Curves>) -> Response {
    work(app, move |app| {
        let points = asked.points.unwrap_or(500).clamp(1, MOST_POINTS);
        let found = app.store.runs.curves(asked.run, points);
        found
            .map(|curves| answer(&curves))
            .ok_or_else(|| ViewError::Missing(format!("there is no run {}", asked.run)))
    })
    .await
}

async fn offer(State(app): Shared) -> Response {
    answer(&app.jobs.offer(&app.store))
}

async fn sample(State(app): Shared, bytes: Bytes) -> Response {
    work(app, move |app| {
        let request: jobs::Request = body(&bytes)?;
        app.jobs.start(&request, &app.store)?;
        Ok(answer(&json!({ "started": true })))
    })
    .await
}

async fn command(State(app): Shared, bytes: Bytes) -> Response {
    work(app, move |app| {
        let request: jobs::Request = body(&bytes)?;
        Ok(answer(&json!({ "command": app.jobs.command_line(&request, &app.store)? })))
    })
    .await
}

#[derive(Deserialize)]
struct Cancel {
    job: usize,
}

async fn cancel(State(app): Shared, bytes: Bytes) -> Response {
    work(app, move |app| {
        let Cancel { job } = body(&bytes)?;
        app.jobs.cancel(job)?;
        Ok(answer(&json!({ "cancelled": true })))
    })
    .await
}

#[cfg(test)]
mod tests;
