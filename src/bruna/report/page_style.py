"""The style sheet of the report page: light and dark, phone and desk, screen and print."""

CSS = """
:root{--bg:#f4f6f8;--card:#fff;--ink:#1d2833;--muted:#566270;--line:#dde3e8;--accent:#2a6592;--soft:#e8f0f6;
--remark:#fff6e5;--remark-line:#e08a2e}
@media (prefers-color-scheme:dark){:root{--bg:#12171c;--card:#1b222a;--ink:#e6ebf0;--muted:#9aa7b3;--line:#303a44;
--accent:#7db7e0;--soft:#22303c;--remark:#2c2618;--remark-line:#e0a04e}figure img{filter:brightness(.88)}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:64px}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;overflow-wrap:break-word}
header,nav,main,footer{max-width:1660px;margin:0 auto;padding:0 24px}
header{padding-top:36px}
h1{font-size:2.1rem;line-height:1.15;margin:0 0 8px;letter-spacing:-.02em}
h2{font-size:1.4rem;margin:0 0 12px;letter-spacing:-.01em}
h3{font-size:1.1rem;margin:26px 0 8px}
h4{font-size:1rem;margin:0 0 6px}
p{margin:0 0 14px;max-width:75ch}
.lead{color:var(--muted);font-size:1.1rem}
.origin{color:var(--muted);font-size:.9rem;display:flex;flex-wrap:wrap;gap:2px 20px;max-width:none}
.origin code,td code{font:.85em ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere}
h2.group{font-size:.82rem;font-weight:600;letter-spacing:.05em;text-transform:uppercase;color:var(--muted);
margin:22px 0 8px}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(134px,1fr));gap:10px;margin:0 0 14px}
.tile{background:var(--card);border:1px solid var(--line);border-top:3px solid var(--accent);border-radius:10px;
padding:10px 12px;display:grid;grid-row:span 3;grid-template-rows:subgrid;row-gap:0;align-content:start}
.label{font-size:.85rem;font-weight:600;line-height:1.3}
.value{font-size:1.7rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums;letter-spacing:-.02em}
.interval{display:block;font-size:.82rem;font-weight:500;letter-spacing:0;color:var(--muted)}
.note{color:var(--muted);font-size:.78rem;line-height:1.35}
.tiles.small{grid-template-columns:repeat(auto-fill,minmax(104px,1fr))}
.small .tile{border-top-width:1px;padding:8px 12px}
.small .value{font-size:1.15rem}
.small .label{font-weight:500;color:var(--muted)}
nav{position:sticky;top:0;z-index:2;display:flex;gap:8px;padding-top:10px;padding-bottom:10px;margin-bottom:8px;
overflow-x:auto;background:var(--bg)}
nav a{color:var(--accent);background:var(--soft);text-decoration:none;border-radius:99px;padding:5px 14px;
font-size:.9rem;white-space:nowrap}
nav a:hover{text-decoration:underline}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px}
nav a:focus-visible{outline-offset:-2px}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:24px;margin:0 0 20px}
.remark{background:var(--remark);border-left:4px solid var(--remark-line);border-radius:0 8px 8px 0;
padding:10px 16px;max-width:90ch}
.scroll{overflow-x:auto;max-width:100%}
figure{display:inline-block;vertical-align:top;max-width:100%;margin:12px 16px 28px 0}
figure img{display:block;max-width:100%;max-height:94vh;width:auto;height:auto;border-radius:8px;
background:#fff;border:1px solid var(--line)}
figcaption{color:var(--muted);font-size:.9rem;margin-top:8px;width:0;min-width:min(100%,85ch)}
table{border-collapse:collapse;margin:4px 0 20px;font-size:.93rem;font-variant-numeric:tabular-nums}
caption{caption-side:top;text-align:left;color:var(--muted);font-size:.9rem;padding:0 0 6px}
th,td{padding:6px 12px;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}
td.long{white-space:normal;min-width:16em;overflow-wrap:anywhere}
thead th{vertical-align:bottom;color:var(--muted);font-weight:600;font-size:.85rem}
thead th.words{white-space:normal}
thead th.group{text-align:center;color:var(--ink);border-bottom:2px solid var(--line);border-left:1px solid var(--line)}
thead td{border:0}
tbody th{font-weight:500;position:sticky;left:0;background:var(--card)}
tbody tr:hover>*{background:var(--soft)}
th.n,td.n{text-align:right}
tr.strong>*{font-weight:700;border-top:2px solid var(--line)}
details{border:1px solid var(--line);border-radius:10px;margin:0 0 12px}
summary{cursor:pointer;padding:10px 16px;font-weight:600;color:var(--accent);border-radius:10px}
.inside{padding:6px 16px 10px}
.columns{columns:320px;column-gap:28px;margin:0 0 12px}
.settings{break-inside:avoid;margin-bottom:18px}
dl{display:grid;grid-template-columns:minmax(0,max-content) minmax(0,1fr);gap:2px 16px;margin:0;
font:.82rem/1.5 ui-monospace,Menlo,Consolas,monospace}
dt{color:var(--muted);overflow-wrap:anywhere}
dd{margin:0;overflow-wrap:anywhere}
footer{color:var(--muted);font-size:.85rem;padding-bottom:40px}
@media (max-width:900px){th,td{padding:6px 8px}}
@media (max-width:640px){figure img{min-width:var(--least)}
header,nav,main,footer{padding-left:12px;padding-right:12px}header{padding-top:20px}
h1{font-size:1.6rem}section{padding:16px 12px}.tiles{grid-template-columns:1fr 1fr;gap:8px}.value{font-size:1.45rem}
caption{max-width:82vw;white-space:normal}th,td{padding:5px 8px}
.tiles.small{grid-template-columns:1fr 1fr 1fr}.small .tile{padding:6px 8px}.small .label{font-size:.75rem}
tbody th{white-space:normal;min-width:112px}.inside{padding:6px 10px}.columns{columns:240px}}
@media print{body{background:#fff}section{border:0;padding:0;break-inside:auto}figure,table{break-inside:avoid}
nav{display:none}}
"""
