"""The look of report.html: the house colours, dawn by default and dusk where the reader's system is dark."""

from __future__ import annotations


STYLE = """
:root{--ground:#f7f5f0;--surface:#efece4;--text:#23272f;--quiet:#565d6b;--line:#d8d3c7;--amber:#8a5200;--teal:#0f6b63;
--blue:#2456b8;--bad:#a8322f;--hit:15,107,99;--miss:168,50,47}
@media(prefers-color-scheme:dark){:root{--ground:#11151c;--surface:#171c25;--text:#d7dce4;--quiet:#8a94a6;--line:#2a3341;
--amber:#f0b35a;--teal:#56c2b5;--blue:#6ea8fe;--bad:#ef6b6b;--hit:86,194,181;--miss:239,107,107}}
body{margin:0;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:62rem;margin:0 auto;padding:2rem 1.2rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}
.lead{font-size:1.25rem}.lead strong{color:var(--amber)}.why,figcaption,caption{color:var(--quiet);font-size:.87em}
ul{padding-left:1.2rem;margin:.5rem 0}.notices li{color:var(--bad)}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}.wide{overflow-x:auto}caption{text-align:left}
th,td{padding:.22rem .7rem .22rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{font-weight:600;color:var(--quiet)}
.confusion td{text-align:right;padding:.3rem .6rem}.confusion th{padding-right:.6rem}
.hit{background:rgba(var(--hit),calc(var(--share)*.45))}.miss{background:rgba(var(--miss),calc(var(--share)*.9))}
.pictures{display:flex;flex-wrap:wrap;gap:1.5rem;margin-top:1.5rem}figure{margin:0;width:22rem}svg{width:100%}
svg.bar{width:160px;height:14px;display:block;margin-top:4px}
.axis,.whisker{stroke:var(--quiet);fill:none;stroke-width:1}.label{fill:var(--quiet);font-size:11px}
.line{stroke:var(--amber);fill:none;stroke-width:2}.reference{stroke:var(--line);fill:none;stroke-dasharray:4 4}
.interval{stroke:var(--amber);stroke-width:5;opacity:.35}.value{fill:var(--amber)}.bin{fill:var(--amber);opacity:.7}
.dot{fill:var(--blue);opacity:.55}.mark-trivial{stroke:var(--quiet);stroke-width:2}.mark-strong{stroke:var(--teal);stroke-width:2}
@media print{body{background:#fff;color:#000}}
""".replace("\n", "")
