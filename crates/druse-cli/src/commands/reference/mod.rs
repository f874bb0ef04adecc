//! `druse reference`: the pages of `docs/reference`, as `cargo xtask` writes them.

mod cli;
mod config;
mod json;

use clap::{CommandFactory, Subcommand};

use super::schema::{self, Page};
use crate::Cli;
use crate::answer::Done;
use crate::console;
use crate::models::registry;

/// Pages of the reference.
#[derive(Subcommand)]
pub enum ReferenceCommand {
    /// Every command with its options.
    Cli,
    /// Every key of the configuration.
    Config,
    /// What `--json` writes for every command.
    Json,
    /// The same as a JSON Schema.
    JsonSchema,
}

/// Runs the command.
pub fn run(command: &ReferenceCommand) -> crate::Outcome {
    let page = match command {
        ReferenceCommand::Cli => cli::page(Cli::command()),
        ReferenceCommand::Config => config::page(registry()),
        ReferenceCommand::Json => json::page(&schema::results()),
        ReferenceCommand::JsonSchema => format!("{:#}\n", schema::results()),
    };
    console::data(&page)?;
    Ok(Done::with(Page { page }))
}

/// Text as a cell of a Markdown table: one line, bars and angle brackets as themselves.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut inside_code = false;
    let mut out = String::new();
    for c in words.join(" ").chars() {
        match c {
            '`' => inside_code = !inside_code,
            // In a table a bar ends the cell even in code.
            '|' => out.push('\\'),
            '<' | '*' | '_' if !inside_code => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Breaks a paragraph at 100 columns.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut width = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        match width {
            0 => {}
            _ if width + 1 + length > 100 => {
                out.push('\n');
                width = 0;
            }
            _ => {
                out.push(' ');
                width += 1;
            }
        }
        out += word;
        width += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_paragraphs_keep_their_text() {
        assert_eq!(cell("a\n | `x_<y>|` b_c <d>"), "a \\| `x_<y>\\|` b\\_c \\<d>");
        let text = "word ".repeat(60);
        let lines: Vec<String> = wrapped(&text).lines().map(str::to_owned).collect();
        assert!(lines.iter().all(|line| line.len() <= 100 && !line.ends_with(' ')), "{lines:?}");
        assert_eq!(lines.join(" "), text.trim_end());
    }
}
