//! The reference of the commands, from clap's definitions of them.

use clap::{Arg, Command};

use super::{cell, wrapped};

const HEAD: &str = "\
# Commands

Made by `cargo xtask cli-reference` from the program's own definitions; `druse COMMAND --help` says
the same. [The guide](../guide.md) explains what the commands are for.
";

/// The page.
pub fn page(mut program: Command) -> String {
    program.build();
    let mut text = HEAD.to_owned();
    let mut commands = Vec::new();
    collect(&mut program, &mut commands);
    text += "\n| command | |\n| --- | --- |\n";
    for command in &commands {
        let name = command.get_bin_name().unwrap_or_default();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text += &format!("| [`{name}`](#{}) | {} |\n", name.replace(' ', "-"), cell(&about));
    }
    text += "\n## Options of every command\n\n";
    text += &table("option", program.get_arguments().filter(|a| is_listed(a) && a.is_global_set()));
    for command in &mut commands {
        text += &section(command);
    }
    text
}

/// The commands that do something, in the order of the help.
fn collect(command: &mut Command, into: &mut Vec<Command>) {
    for inner in command.get_subcommands_mut().filter(|c| c.get_name() != "help" && !c.is_hide_set()) {
        if inner.has_subcommands() {
            collect(inner, into);
        } else {
            into.push(inner.clone());
        }
    }
}

fn is_listed(argument: &Arg) -> bool {
    !argument.is_hide_set() && !["help", "version"].contains(&argument.get_id().as_str())
}

fn section(command: &mut Command) -> String {
    let usage = command.render_usage().to_string();
    let usage: Vec<&str> = usage.trim_start_matches("Usage:").lines().map(str::trim).collect();
    let mut text = format!("\n## {}\n\n", command.get_bin_name().unwrap_or_default());
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string);
    for paragraph in about.unwrap_or_default().split("\n\n") {
        text += &format!("{}\n\n", wrapped(paragraph));
    }
    text += &format!("```text\n{}\n```\n", usage.join("\n"));
    let own = || command.get_arguments().filter(|a| is_listed(a) && !a.is_global_set());
    let [positional, options] =
        [true, false].map(|wanted| table_of(own().filter(move |a| a.is_positional() == wanted), wanted));
    text += &positional;
    text += &options;
    if let Some(examples) = command.get_after_help() {
        text += &format!("\n```text\n{}\n```\n", examples.to_string().trim_end());
    }
    text
}

fn table_of<'a>(arguments: impl Iterator<Item = &'a Arg>, positional: bool) -> String {
    let mut arguments = arguments.peekable();
    match arguments.peek() {
        None => String::new(),
        Some(_) => format!("\n{}", table(if positional { "argument" } else { "option" }, arguments)),
    }
}

fn table<'a>(head: &str, arguments: impl Iterator<Item = &'a Arg>) -> String {
    let mut text = format!("| {head} | |\n| --- | --- |\n");
    for argument in arguments {
        let name = format!("`{}`", name(argument));
        text += &format!("| {} | {} |\n", cell(&name), meaning(argument));
    }
    text
}

/// The argument as it is written: `-q, --quiet`, `--count <N>`, `[PATH]`.
fn name(argument: &Arg) -> String {
    match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(_)) => format!("-{short}, {argument}"),
        _ => argument.to_string(),
    }
}

fn meaning(argument: &Arg) -> String {
    let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut parts = vec![cell(&help)];
    if argument.get_action().takes_values() && !argument.is_hide_possible_values_set() {
        let values = argument.get_possible_values();
        let shown = values.iter().filter(|value| !value.is_hide_set()).map(|value| {
            let help = value.get_help().map(|h| format!(" ({})", cell(&h.to_string()))).unwrap_or_default();
            format!("`{}`{help}", value.get_name())
        });
        let shown: Vec<String> = shown.collect();
        if !shown.is_empty() {
            parts.push(format!("Values: {}.", shown.join(", ")));
        }
    }
    let defaults: Vec<_> = argument.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() && !argument.is_hide_default_value_set() {
        let between = argument.get_value_delimiter().map_or(" ".to_owned(), String::from);
        parts.push(format!("Default: `{}`.", defaults.join(&between)));
    }
    // Of several parts each is a sentence.
    if let [help, _, ..] = &mut parts[..]
        && !help.is_empty()
        && !help.ends_with(['.', ':'])
    {
        help.push('.');
    }
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}
