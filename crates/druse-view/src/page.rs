//! The files of the page.

/// A file that is served as it is.
pub(crate) struct PageFile {
    pub path: &'static str,
    pub kind: &'static str,
    pub content: &'static str,
}

/// The page.
pub(crate) const INDEX: &str = include_str!("../page/index.html");

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! script {
    ($name:literal) => {
        PageFile {
            path: concat!("/", $name),
            kind: SCRIPT,
            content: include_str!(concat!("../page/", $name)),
        }
    };
}

/// Scripts and styles.
pub(crate) const FILES: [PageFile; 17] = [
    PageFile { path: "/3Dmol.js", kind: SCRIPT, content: druse_page::THREE_D_MOL_JS },
    PageFile {
        path: "/3Dmol-LICENSE.txt",
        kind: "text/plain; charset=utf-8",
        content: druse_page::THREE_D_MOL_LICENSE,
    },
    PageFile { path: "/crystal.js", kind: SCRIPT, content: druse_page::CRYSTAL_JS },
    PageFile { path: "/crystal.css", kind: STYLE, content: druse_page::CRYSTAL_CSS },
    PageFile { path: "/page.css", kind: STYLE, content: include_str!("../page/page.css") },
    PageFile { path: "/icon.svg", kind: "image/svg+xml", content: include_str!("../page/icon.svg") },
    script!("app.js"),
    script!("chart.js"),
    script!("detail.js"),
    script!("dom.js"),
    script!("filter.js"),
    script!("gallery.js"),
    script!("pictures.js"),
    script!("runs.js"),
    script!("sample.js"),
    script!("server.js"),
    script!("table.js"),
];
