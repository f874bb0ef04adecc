//! From `docs/` to pages, by mdBook.

use std::path::{Path, PathBuf};

use mdbook_driver::MDBook;
use mdbook_driver::book::Book;
use mdbook_driver::errors::Result as BookResult;
use mdbook_preprocessor::{Preprocessor, PreprocessorContext};

use super::links;

/// Where the site is written.
pub(super) fn output(root: &Path) -> PathBuf {
    root.join("target/site")
}

/// Builds the book of `docs/` and returns the number of its pages.
///
/// # Errors
/// One message for each link that leads nowhere and each page of `docs/` that the table of contents lacks, or what
/// stopped the renderer.
pub(super) fn build(root: &Path) -> Result<usize, Vec<String>> {
    let docs = root.join("docs");
    let stopped = |e: mdbook_driver::errors::Error| vec![format!("{e:#}")];
    let mut book = MDBook::load(&docs).map_err(stopped)?;
    let mut problems = links::of_sources(root);
    let chapters: Vec<PathBuf> = book
        .iter()
        .filter_map(|item| match item {
            mdbook_driver::book::BookItem::Chapter(chapter) => chapter.source_path.clone(),
            _ => None,
        })
        .collect();
    for page in links::markdown_files(&docs) {
        let page = page.strip_prefix(&docs).unwrap_or(&page);
        if page != Path::new("SUMMARY.md") && !chapters.iter().any(|chapter| chapter == page) {
            problems.push(format!("docs/SUMMARY.md does not list docs/{}", page.display()));
        }
    }
    let repository =
        book.config.get::<String>("output.html.git-repository-url").ok().flatten().unwrap_or_default();
    book.config.build.build_dir = output(root);
    book.with_preprocessor(OutsideLinks { repository });
    book.build().map_err(stopped)?;
    problems.extend(links::of_pages(&output(root)));
    if problems.is_empty() { Ok(chapters.len()) } else { Err(problems) }
}

/// Links that leave `docs/` lead to the repository, since the site has the pages of `docs/` alone.
struct OutsideLinks {
    repository: String,
}

impl Preprocessor for OutsideLinks {
    fn name(&self) -> &str {
        "links out of docs"
    }

    fn run(&self, _: &PreprocessorContext, mut book: Book) -> BookResult<Book> {
        book.for_each_chapter_mut(|chapter| {
            let folder = chapter.source_path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
            chapter.content = links::rewritten(&chapter.content, |target| {
                let outside = links::within_repository(folder, target)?;
                Some(format!("{}/blob/main/{outside}", self.repository))
            });
        });
        Ok(book)
    }
}
