//! Texts in pages.

/// Text with the characters that mean something in HTML replaced, in content and in quoted attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// JSON that can stand in a `<script type="application/json">`: no text in it ends the element.
pub fn script_json(json: &str) -> String {
    json.replace('<', "\\u003c")
}
