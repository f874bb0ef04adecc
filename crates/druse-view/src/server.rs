//! The server.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::ViewError;
use crate::guard::Guard;
use crate::jobs::Jobs;
use crate::routes::{App, router};
use crate::store::Store;

/// What is shown, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Files and folders to show. Runs that are started from the page write into the first folder.
    pub paths: Vec<PathBuf>,
    /// Port on the loopback interface; 0 for a free one.
    pub port: u16,
    /// Known structures, which those that are shown are compared with.
    pub train: Option<PathBuf>,
    /// Checkpoints that can be sampled from, besides the model that ships and the training runs that are shown.
    pub models: Vec<PathBuf>,
    /// The program whose command `sample` is started from the page, with its first arguments; empty for none.
    pub program: Vec<OsString>,
}

/// A server that has its port.
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
}

impl Server {
    /// Takes the port and begins to read the paths.
    ///
    /// # Errors
    /// [`ViewError::NotFound`] for a path that is not there; [`ViewError::PortInUse`], [`ViewError::Bind`];
    /// [`ViewError::Random`].
    pub fn bind(options: Options) -> Result<Self, ViewError> {
        if let Some(missing) =
            options.paths.iter().chain(&options.train).chain(&options.models).find(|p| !p.exists())
        {
            return Err(ViewError::NotFound(missing.clone()));
        }
        let port = options.port;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|source| match source.kind() {
                std::io::ErrorKind::AddrInUse => ViewError::PortInUse(port),
                _ => ViewError::Bind { port, source },
            })?;
        listener.set_nonblocking(true).map_err(ViewError::Runtime)?;
        let port = listener.local_addr().map_err(ViewError::Runtime)?.port();
        let jobs = Jobs::new(options.program, &options.paths, options.models);
        let store = Arc::new(Store::new(options.paths, options.train));
        store.start();
        Ok(Self { listener, app: Arc::new(App { guard: Guard::new(port)?, store, jobs }) })
    }

    /// The address for the person, with the token in it.
    pub fn address(&self) -> String {
        self.app.guard.address()
    }

    /// Serves until `stop` is set; then ends the runs that were started from the page.
    ///
    /// # Errors
    /// [`ViewError::Runtime`].
    pub fn serve(self, stop: &AtomicBool) -> Result<(), ViewError> {
        let Self { listener, app } = self;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_io()
            .enable_time()
            .build()
            .map_err(ViewError::Runtime)?;
        let served = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = router(Arc::clone(&app));
            let served = tokio::spawn(async move { axum::serve(listener, router).await });
            while !stop.load(Ordering::Relaxed) && !served.is_finished() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            served.abort();
            Ok(())
        });
        app.store.stop();
        app.jobs.stop();
        // Requests that are being answered are not waited for.
        runtime.shutdown_timeout(Duration::from_millis(200));
        served.map_err(ViewError::Runtime)
    }
}
