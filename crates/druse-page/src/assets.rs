//! The files that pages embed.

/// 3Dmol.js, minified; defines the global `$3Dmol`.
pub const THREE_D_MOL_JS: &str = include_str!("../assets/3dmol/3Dmol-min.js");

/// The licence of [`THREE_D_MOL_JS`] (BSD 3-Clause, and those of the code in it).
pub const THREE_D_MOL_LICENSE: &str = include_str!("../assets/3dmol/LICENSE");

/// How a crystal is drawn; defines the global `DruseCrystal`: `picture(crystal)` for small pictures, painted without the
/// graphics card, `view(element)` for the large one that is turned. Needs [`THREE_D_MOL_JS`] before it, which has the colors.
pub const CRYSTAL_JS: &str = concat!(
    include_str!("../assets/geometry.js"),
    include_str!("../assets/flat.js"),
    include_str!("../assets/crystal.js")
);

/// Style of a crystal, its legend and its switches.
pub const CRYSTAL_CSS: &str = include_str!("../assets/crystal.css");

/// Draws the cards of [`crate::gallery`]. Needs [`CRYSTAL_JS`] before it and stands behind the galleries.
pub const GALLERY_JS: &str = include_str!("../assets/gallery.js");

/// Style of [`crate::gallery`].
pub const GALLERY_CSS: &str = include_str!("../assets/gallery.css");

/// Style and scripts that a page of its own with crystals needs once: the licence's notice, 3Dmol and `DruseCrystal`.
pub fn crystal_assets() -> String {
    format!(
        "<style>{CRYSTAL_CSS}</style>\n<!-- 3Dmol.js 2.5.5, BSD-3-Clause:\n{}\n-->\n<script>{THREE_D_MOL_JS}</script>\n<script>{CRYSTAL_JS}</script>\n",
        THREE_D_MOL_LICENSE.replace("--", "- -")
    )
}

/// Style and scripts that a page with galleries needs once, behind the last of them.
pub fn gallery_assets() -> String {
    format!("{}<style>{GALLERY_CSS}</style>\n<script>{GALLERY_JS}</script>\n", crystal_assets())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_can_stand_in_a_page() {
        for script in [THREE_D_MOL_JS, CRYSTAL_JS, GALLERY_JS] {
            // Either would end the element or begin one that hides its end.
            assert!(!script.contains("</script") && !script.contains("<!--"));
        }
        for style in [CRYSTAL_CSS, GALLERY_CSS] {
            assert!(!style.contains("</style") && !style.contains("url(") && !style.contains("@import"));
        }
        assert!(THREE_D_MOL_LICENSE.contains("Redistributions in binary form must reproduce"));
        assert!(gallery_assets().contains("Redistributions in binary form must reproduce"));
    }
}
