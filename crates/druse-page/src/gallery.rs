//! Galleries of crystals in reports.

use crate::Crystal;
use crate::html::{escape, script_json};

/// One crystal of a gallery, or one that could not be drawn.
#[derive(Debug, Clone, Default)]
pub struct Card {
    /// Heading: a formula, say.
    pub title: String,
    /// A word beside the heading in a frame, such as `stable` or `invalid`; empty for none.
    pub mark: String,
    /// A sentence below: where the structure comes from, why it is here.
    pub caption: String,
    /// Key facts, as name and value with its unit.
    pub facts: Vec<(String, String)>,
    /// The crystal; `None` for a structure that is not one, whose reason is in the caption.
    pub crystal: Option<Crystal>,
}

/// Cards as a fragment of a page, which needs [`crate::gallery_assets`] once behind its last gallery. Without script, and
/// where nothing is drawn in three dimensions, a card has its facts, lattice and sites as text.
pub fn gallery(cards: &[Card]) -> String {
    let mut html = String::from("<ul class=\"gallery\">\n");
    for card in cards {
        html += &item(card);
    }
    html + "</ul>\n"
}

fn item(card: &Card) -> String {
    let drawn = if card.crystal.is_some() { " data-crystal" } else { "" };
    let mut html = format!("<li{drawn}>");
    if card.crystal.is_some() {
        html += "<button type=\"button\" class=\"picture\"></button>";
    }
    html += &format!("<h3>{}", escape(&card.title));
    if !card.mark.is_empty() {
        html += &format!(" <span class=\"mark\">{}</span>", escape(&card.mark));
    }
    html += "</h3>";
    if !card.caption.is_empty() {
        html += &format!("<p>{}</p>", escape(&card.caption));
    }
    if !card.facts.is_empty() {
        html += "<dl>";
        for (name, value) in &card.facts {
            html += &format!("<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
        }
        html += "</dl>";
    }
    if let Some(crystal) = &card.crystal {
        html += &format!(
            "<details><summary>Lattice and sites</summary><pre>{}</pre></details><script type=\"application/json\">{}</script>",
            escape(&crystal.text.join("\n")),
            script_json(&crystal.json())
        );
    }
    html + "</li>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use druse_testkit::prototypes::rock_salt;

    #[test]
    fn cards_say_everything_in_text() {
        let card = Card {
            title: "NaCl".into(),
            mark: "stable".into(),
            caption: "row 3 of <samples>".into(),
            facts: vec![("Density".into(), "2.16 g/cm³".into())],
            crystal: Some(Crystal::of(&rock_salt("Na", "Cl", 5.64))),
        };
        let html = gallery(&[card]);
        for part in [
            "<h3>NaCl <span class=\"mark\">stable</span></h3>",
            "row 3 of &lt;samples&gt;",
            "2.16 g/cm³",
            "a = b = c",
        ] {
            assert!(html.contains(part), "{part} is missing from {html}");
        }
    }

    #[test]
    fn no_text_leaves_its_element() {
        let mut crystal = Crystal::of(&rock_salt("Na", "Cl", 5.64));
        crystal.formula = "</script><script>alert(1)</script>".into();
        let card =
            Card { title: "<img src=x onerror=alert(1)>".into(), crystal: Some(crystal), ..Card::default() };
        let html = gallery(&[card]);
        assert_eq!(html.matches("<script").count(), 1, "{html}");
        assert_eq!(html.matches("</script").count(), 1);
        assert!(!html.contains("<img"));
    }

    #[test]
    fn a_failure_has_a_card_without_picture() {
        let html =
            gallery(&[Card { title: "row 7".into(), caption: "did not converge".into(), ..Card::default() }]);
        assert!(
            html.contains("did not converge") && !html.contains("data-crystal") && !html.contains("<button")
        );
    }
}
