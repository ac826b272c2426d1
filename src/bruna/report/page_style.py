"""The style sheet of the report page: light and dark, phone and desk, screen and print."""

CSS = """
:root{--bg:#f4f6f8;--card:#fff;--ink:#1d2833;--muted:#5b6875;--line:#dde3e8;--accent:#2f6f9f;--soft:#e8f0f6;
--remark:#fff6e5;--remark-line:#e08a2e}
@media (prefers-color-scheme:dark){:root{--bg:#12171c;--card:#1b222a;--ink:#e6ebf0;--muted:#9aa7b3;--line:#303a44;
--accent:#7db7e0;--soft:#22303c;--remark:#2c2618;--remark-line:#e0a04e}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif}
header,main,footer{max-width:1660px;margin:0 auto;padding:0 24px}
header{padding-top:40px}
h1{font-size:2.1rem;line-height:1.15;margin:0 0 8px;letter-spacing:-.02em}
h2{font-size:1.4rem;margin:0 0 12px;letter-spacing:-.01em}
h3{font-size:1rem;margin:0 0 6px}
p{margin:0 0 14px;max-width:75ch}
.lead{color:var(--muted);font-size:1.1rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin:24px 0}
.tile{background:var(--card);border:1px solid var(--line);border-top:3px solid var(--accent);border-radius:10px;
padding:14px 16px;display:flex;flex-direction:column}
.label{color:var(--muted);font-size:.85rem}
.value{font-size:2rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums;letter-spacing:-.02em}
.note{color:var(--muted);font-size:.8rem;line-height:1.35}
nav{display:flex;flex-wrap:wrap;gap:8px;margin:0 0 24px}
nav a{color:var(--accent);background:var(--soft);text-decoration:none;border-radius:99px;padding:5px 14px;
font-size:.9rem}
nav a:hover{text-decoration:underline}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:24px;margin:0 0 20px;
scroll-margin-top:12px}
.remark{background:var(--remark);border-left:4px solid var(--remark-line);border-radius:0 8px 8px 0;
padding:10px 16px;max-width:none}
.scroll{overflow-x:auto;max-width:100%;-webkit-overflow-scrolling:touch}
.scroll:focus-visible{outline:2px solid var(--accent)}
figure{margin:8px 0 26px}
figure img{display:block;max-width:100%;height:auto;margin:0 auto;border-radius:8px;background:#fff;
border:1px solid var(--line)}
figcaption{color:var(--muted);font-size:.9rem;margin-top:8px;max-width:85ch}
table{border-collapse:collapse;margin:4px 0 20px;font-size:.93rem;font-variant-numeric:tabular-nums}
caption{caption-side:top;text-align:left;color:var(--muted);font-size:.9rem;padding:0 0 6px}
th,td{padding:6px 14px;text-align:left;white-space:nowrap;border-bottom:1px solid var(--line)}
thead th{color:var(--muted);font-weight:600;font-size:.85rem}
thead th.group{text-align:center;color:var(--ink);border-bottom:2px solid var(--line);border-left:1px solid var(--line)}
thead td{border:0}
tbody th{font-weight:500;position:sticky;left:0;background:var(--card)}
tbody tr:hover>*{background:var(--soft)}
th.n,td.n{text-align:right}
tr.strong>*{font-weight:700;border-top:2px solid var(--line)}
details{border:1px solid var(--line);border-radius:10px;margin:0 0 12px}
summary{cursor:pointer;padding:10px 16px;font-weight:600;color:var(--accent)}
.inside{padding:6px 16px 10px}
.columns{columns:320px;column-gap:28px}
.settings{break-inside:avoid;margin-bottom:18px}
dl{display:grid;grid-template-columns:minmax(0,max-content) minmax(0,1fr);gap:2px 16px;margin:0;
font:.82rem/1.5 ui-monospace,Menlo,Consolas,monospace}
dt{color:var(--muted);overflow-wrap:anywhere}
dd{margin:0;overflow-wrap:anywhere}
footer{color:var(--muted);font-size:.85rem;padding-bottom:40px}
@media (max-width:640px){header,main,footer{padding-left:12px;padding-right:12px}header{padding-top:24px}
h1{font-size:1.6rem}section{padding:16px 14px}.tiles{grid-template-columns:1fr 1fr;gap:8px}
.tile{padding:10px 12px}.value{font-size:1.5rem}th,td{padding:5px 9px}
tbody th{white-space:normal;min-width:120px}}
@media print{body{background:#fff}section{border:0;padding:0;break-inside:auto}figure,table{break-inside:avoid}
nav{display:none}}
"""
