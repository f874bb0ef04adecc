//! Links of Markdown sources and of rendered pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag};

/// Folders without documentation of the project's own.
const PASSED_OVER: &[&str] = &["target", "node_modules", ".git"];

/// Pages that the renderer makes of all others: their links are those of the others.
const GENERATED: &[&str] = &["print.html", "toc.html", "404.html"];

/// The links of Markdown text, with where each stands.
fn of_text(text: &str) -> Vec<(std::ops::Range<usize>, String)> {
    let parser = Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES);
    parser
        .into_offset_iter()
        .filter_map(|(event, range)| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some((range, dest_url.into_string()))
            }
            _ => None,
        })
        .collect()
}

fn is_external(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:") || target.starts_with("data:")
}

/// Markdown text with other targets, where `replace` gives one.
pub(super) fn rewritten(text: &str, replace: impl Fn(&str) -> Option<String>) -> String {
    let mut out = text.to_owned();
    for (range, target) in of_text(text).into_iter().rev() {
        let link = &text[range.clone()];
        if let (Some(new), Some(at)) = (replace(&target), link.rfind(&format!("]({target}"))) {
            let begin = range.start + at + 2;
            out.replace_range(begin..begin + target.len(), &new);
        }
    }
    out
}

/// Where a link of a page in a folder of `docs/` leads in the repository, if that is outside of `docs/`.
pub(super) fn within_repository(folder: &Path, target: &str) -> Option<String> {
    if is_external(target) || target.starts_with('#') {
        return None;
    }
    let mut parts = vec!["docs".to_owned()];
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir => drop(parts.pop()?),
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            _ => {}
        }
    }
    (parts.first().map(String::as_str) != Some("docs")).then(|| parts.join("/"))
}

/// All Markdown files below a folder, sorted.
pub(super) fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    files(folder, "md")
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() {
            if !PASSED_OVER.contains(&name.as_str()) {
                found.extend(files(&path, extension));
            }
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What is wrong with the links between files of the repository: one message for each that names no file.
pub(super) fn of_sources(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for file in markdown_files(root) {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let folder = file.parent().unwrap_or(root);
        for (range, target) in of_text(&text) {
            let path = target.split('#').next().unwrap_or_default();
            if !is_external(&target) && !path.is_empty() && !folder.join(path).exists() {
                let line = text[..range.start].lines().count();
                let file = file.strip_prefix(root).unwrap_or(&file).display();
                problems.push(format!("{file}, line {line}: no file `{target}`"));
            }
        }
    }
    problems
}

/// The values of an attribute in a page.
fn attributes<'t>(html: &'t str, name: &str) -> Vec<&'t str> {
    let key = format!(" {name}=\"");
    html.split(&key).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// What is wrong with the links of rendered pages: files and anchors that are not there.
pub(super) fn of_pages(site: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let anchors = |page: &Path| -> BTreeSet<String> {
        let html = fs::read_to_string(page).unwrap_or_default();
        attributes(&html, "id").into_iter().map(str::to_owned).collect()
    };
    for page in files(site, "html") {
        let name = page.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if GENERATED.contains(&name.as_str()) {
            continue;
        }
        let html = fs::read_to_string(&page).unwrap_or_default();
        let folder = page.parent().unwrap_or(site);
        let shown = page.strip_prefix(site).unwrap_or(&page).display();
        for target in attributes(&html, "href").into_iter().chain(attributes(&html, "src")) {
            let target = target.replace("&amp;", "&");
            if is_external(&target) {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = if path.is_empty() { page.clone() } else { folder.join(path) };
            if !file.exists() {
                problems.push(format!("{shown}: no page `{target}`"));
            } else if !anchor.is_empty() && !anchors(&file).contains(anchor) {
                problems.push(format!("{shown}: no place `#{anchor}` in `{}`", file.display()));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_docs_are_told_from_those_within() {
        let top = Path::new("");
        assert_eq!(within_repository(top, "../models/README.md#x"), Some("models/README.md#x".to_owned()));
        assert_eq!(within_repository(Path::new("howto"), "../../README.md"), Some("README.md".to_owned()));
        assert_eq!(within_repository(Path::new("howto"), "../guide.md"), None);
        assert_eq!(within_repository(top, "https://example.org/../x"), None);
        assert_eq!(within_repository(top, "#here"), None);
    }

    #[test]
    fn only_the_target_of_a_link_is_rewritten() {
        let text = "see [a](../b.md) and `](../b.md)`, [c](d.md)\n";
        let new = rewritten(text, |target| target.starts_with("..").then(|| "X".to_owned()));
        assert_eq!(new, "see [a](X) and `](../b.md)`, [c](d.md)\n");
    }
}
