//! The look of pages: no fonts, scripts or pictures from elsewhere.

/// Style sheet of all pages, for light and dark screens and for paper.
pub const CSS: &str = "
:root{color-scheme:light dark;--page:#fbfbfa;--card:#fff;--ink:#1c2430;--soft:#5d6877;--line:#e1e4e9;--grid:#eceff3;
--gen:#2457c5;--ref:#b9c0ca;--ref-line:#8b95a3;--good:#e6f2e8;--bad:#a3371f}
@media(prefers-color-scheme:dark){:root{--page:#14171c;--card:#1c2027;--ink:#e6e9ee;--soft:#9aa5b3;--line:#313843;
--grid:#272d36;--gen:#86aaff;--ref:#4a5461;--ref-line:#77828f;--good:#1f3325;--bad:#f09a83}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',sans-serif}
main{max-width:1180px;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.15rem;margin:2.5rem 0 .75rem}
p{margin:.25rem 0}
.soft,figcaption,td.basis,small{color:var(--soft)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:1rem 0}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.75rem;margin:1.25rem 0}
.tile,figure,.scroll{background:var(--card);border:1px solid var(--line);border-radius:8px}
.tile{padding:.75rem 1rem}.tile b{display:block;font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(340px,1fr));gap:1rem}
.charts .wide{grid-column:1/-1}
figure{margin:0;padding:.75rem .75rem .5rem}
figcaption{font-size:.85rem;min-height:2.7rem}figcaption b{color:var(--ink);font-size:.95rem;font-weight:600}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}
.grid{stroke:var(--grid)}.axis{stroke:var(--line)}
.ref{fill:var(--ref);stroke:none}.ref-line{fill:none;stroke:var(--ref-line)}
.gen{fill:var(--gen)}.gen-line{fill:none;stroke:var(--gen);stroke-width:2;stroke-linejoin:round}
.legend{display:flex;gap:1.25rem;margin:.25rem 0 .75rem;font-size:.9rem}
.legend i{display:inline-block;width:.9rem;height:.9rem;border-radius:2px;vertical-align:-.12rem;margin-right:.4rem}
.legend .g{background:var(--gen)}.legend .r{background:var(--ref)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.4rem .75rem;border-bottom:1px solid var(--line);vertical-align:top}
tr:last-child td{border-bottom:0}
th{font-weight:600;color:var(--soft);white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.i{white-space:nowrap;font-variant-numeric:tabular-nums}
td.basis{min-width:20rem}
td.best{background:var(--good);font-weight:600}
.bad{color:var(--bad)}
.pairs{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(30rem,100%),1fr));gap:1rem;margin:1rem 0}
.pair{border:1px solid var(--line);border-radius:10px;padding:.5rem}
.pair .gallery{grid-template-columns:1fr 1fr;gap:.5rem;margin:0;height:100%}
.parity{max-width:32rem}figure+.scroll{margin-top:1rem}
.same{stroke:var(--ref-line);stroke-width:1.5;stroke-dasharray:6 4}
.dot{fill:var(--gen);fill-opacity:.55}
.fell{fill:none;stroke:var(--ref-line);stroke-width:1.5}
.funnel text{font-size:12px;fill:var(--ink)}
details{margin-top:.25rem;font-size:.85rem}summary{cursor:pointer;color:var(--soft)}
details table{font-size:.8rem}details td,details th{padding:.1rem .5rem}
@media print{.charts figure,.tile,.pair,.parity{break-inside:avoid}.pairs{grid-template-columns:1fr 1fr}details{display:none}}
";
