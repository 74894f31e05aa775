"""Style and script of the page. Both stand in the page itself, whose policy knows them by their digests."""

from __future__ import annotations

CSS = """
:root{color-scheme:light dark;
--page:#ffffff;--panel:#f4f6f8;--text:#1a1d21;--muted:#56606a;--line:#ccd3da;--link:#0a53a8;
--ok:#d6f0de;--on-ok:#0b4a24;--fail:#b3261e;--on-fail:#ffffff;--lost:#6b2fa0;--on-lost:#ffffff;
--todo:#e9edf0;--on-todo:#4a545e;--na:#fcefc4;--on-na:#574200}
@media (prefers-color-scheme:dark){:root{
--page:#14171a;--panel:#1d2226;--text:#e6e9ec;--muted:#a7b0b9;--line:#3a424a;--link:#86bcff;
--ok:#17492b;--on-ok:#c9f2d6;--fail:#c4352b;--on-fail:#ffffff;--lost:#7d44b3;--on-lost:#ffffff;
--todo:#2a3036;--on-todo:#b9c1c9;--na:#4a3b0a;--on-na:#ffe9a8}}
*{box-sizing:border-box}
[hidden]{display:none!important}
html{scroll-padding-top:1rem}
body{margin:0 auto;padding:1rem 1.25rem 3rem;max-width:82rem;background:var(--page);color:var(--text);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0 1rem}
h2{font-size:1.2rem;margin:2.25rem 0 .75rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
p{margin:.5rem 0;max-width:50rem}
a{color:var(--link)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
code{font:.9em ui-monospace,monospace;unicode-bidi:isolate}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;margin:0;padding:0}
ul{padding-left:1.25rem}
.word{display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:baseline;margin:.5rem 0;padding:.5rem .75rem;
border:1px solid var(--line);border-left:.5rem solid;border-radius:.25rem;background:var(--panel);max-width:none}
.word b{font-size:1.1rem}
.word.ok{border-left-color:var(--on-ok)}
.word.FAIL{border-left-color:var(--fail)}
.note,.meta,caption,figcaption{color:var(--muted);font-size:.9rem}
dl{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:.75rem 0}
dl div{min-width:0}
.facts{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;margin:.75rem 0;padding:0;font-size:.95rem}
dt{color:var(--muted);font-size:.85rem}
dd{margin:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin:.25rem 0}
caption{text-align:left;padding:.25rem 0}
th,td{padding:.3rem .6rem;border:1px solid var(--line);text-align:left;vertical-align:top;font-weight:400;
overflow-wrap:normal}
thead th{background:var(--panel);font-weight:600}
td.n,th.n,td.line{white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
td.long{min-width:20rem;overflow-wrap:anywhere}
.tag{display:inline-block;min-width:3.4rem;padding:0 .4rem;border:1px solid transparent;border-radius:.2rem;
text-align:center;font-size:.9rem;font-weight:600;white-space:nowrap}
.ok,.FAIL,.LOST,.todo,.na,.known{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.tag.ok,td.ok,.ok a{background:var(--ok);color:var(--on-ok)}
.tag.FAIL,td.FAIL,.FAIL a{background:var(--fail);color:var(--on-fail)}
.tag.LOST,td.LOST,.LOST a{background:var(--lost);color:var(--on-lost)}
.tag.todo,td.todo,.todo a{background:var(--todo);color:var(--on-todo)}
.tag.na,td.na,.na a,.tag.known,td.known,.known a{background:var(--na);color:var(--on-na)}
.map th{padding:.25rem .5rem}
.map td{padding:0;min-width:4.8rem;font-size:.85rem;text-align:center;white-space:nowrap;color:var(--muted)}
.map td a{display:block;padding:.25rem .4rem;text-decoration:none}
.map td a:hover{text-decoration:underline}
.map td a:focus-visible{outline-offset:-3px;outline-color:currentColor}
.map .FAIL a,.map .LOST a{font-weight:700}
.map td:not([class]){padding:.25rem .4rem}
.map th[scope=row]{position:sticky;left:0;background:var(--page);white-space:nowrap}
.map thead th{vertical-align:bottom}
.map thead th:first-child{position:sticky;left:0}
.map tbody+tbody{border-top:2px solid var(--muted)}
.skip{position:absolute;margin:0}
.skip a:not(:focus){position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.off>*{visibility:hidden}
.map td.off{background:none}
form{display:flex;flex-wrap:wrap;gap:.75rem 1.5rem;align-items:end;margin:.75rem 0}
fieldset{display:flex;flex-wrap:wrap;gap:.35rem .5rem;border:0;margin:0;padding:0}
legend{padding:0;margin-bottom:.25rem}
legend,.field{color:var(--muted);font-size:.9rem}
.kind{display:inline-flex;align-items:center;gap:.4rem;padding:.2rem .5rem;border:1px solid var(--line);
border-radius:.25rem}
.kind:has(:checked){border-color:var(--link);box-shadow:inset 0 0 0 1px var(--link)}
html:not(.js) .script{display:none}
input,button{font:inherit;color:inherit}
input[type=search]{display:block;width:min(22rem,80vw);margin-top:.25rem}
input[type=search],button{padding:.25rem .6rem;border:1px solid var(--muted);border-radius:.25rem;
background:var(--page)}
button{cursor:pointer}
button:hover{background:var(--panel)}
.case{content-visibility:auto;contain-intrinsic-size:auto 2.4rem;border:1px solid var(--line);border-bottom-width:0}
.case:last-of-type{border-bottom-width:1px}
.case:has(:target){box-shadow:inset .25rem 0 0 var(--link)}
summary{cursor:pointer;padding:.3rem .6rem}
summary:focus-visible{outline-offset:-3px}
.case summary>*{display:inline-block;margin:0 .6rem 0 0;vertical-align:baseline}
.case h3{font-size:1rem;font-weight:400;max-width:100%}
svg.strip{vertical-align:middle}
.strip line{stroke:var(--link);stroke-width:2}
.strip .rail{stroke:var(--line);stroke-width:1}
.strip .median{stroke:var(--text);stroke-width:3}
.each{margin:.75rem 0}
.excluded h3{font-size:1rem;margin:1rem 0 .25rem}
.excluded p{max-width:none;font-size:.9rem}
.body{padding:.25rem 1rem 1rem;scroll-margin-top:4rem}
.failure{overflow-x:auto;margin:.75rem 0;padding:.5rem .75rem;background:var(--panel);border:1px solid var(--line);
border-left:.25rem solid var(--fail);font:.85rem/1.45 ui-monospace,monospace;overflow-wrap:normal}
.again code{display:inline-block;padding:.25rem .5rem;background:var(--panel);border:1px solid var(--line);
border-radius:.25rem;user-select:all}
.again{display:flex;flex-wrap:wrap;gap:.35rem .5rem;align-items:center;max-width:none}
footer{margin-top:3rem;padding-top:.75rem;border-top:1px solid var(--line)}
@media (max-width:40rem){body{padding:.75rem .75rem 2rem}h1{font-size:1.35rem}
.body{padding:.25rem .6rem .75rem}dl{gap:.4rem 1.25rem}
th,td{padding:.25rem .4rem}.strip{display:none}}
@media print{html{font-size:8pt}body{max-width:none;padding:0}nav,.script,.skip,.case button{display:none}
.scroll{overflow:visible}.failure{white-space:pre-wrap;overflow-wrap:anywhere}.case{content-visibility:visible}tr,summary,h2,h3{break-inside:avoid}h2,h3{break-after:avoid}
.map{width:100%}.map td,.map th{font-size:.75rem;min-width:0;white-space:normal;position:static}a{color:inherit}
.excluded::details-content,.each::details-content{content-visibility:visible;block-size:auto}}
"""

SCRIPT = """
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const form = byId("filter"), text = byId("text"), shown = byId("shown");
  const boxes = [...form.querySelectorAll("input[type=checkbox]")];
  const links = new Map();
  for (const link of document.querySelectorAll(".map td a")) links.set(link.hash.slice(1), link.parentNode);
  const lines = [...document.querySelectorAll(".map tr")];
  const cases = [...document.querySelectorAll("details.case")].map((box) => ({
    box, kind: box.dataset.kind, cell: links.get(box.querySelector(".body").id), words: null,
  }));
  document.documentElement.classList.add("js");

  function wordsOf(item) {
    if (item.words === null) {
      const why = item.box.querySelector(".why");
      item.words = (item.box.firstElementChild.textContent + " " + (why ? why.textContent : "")).toLowerCase();
    }
    return item.words;
  }

  function apply() {
    const asked = text.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const kinds = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    const columns = new Set();
    let count = 0;
    for (const item of cases) {
      const on = (!kinds.size || kinds.has(item.kind)) && asked.every((word) => wordsOf(item).includes(word));
      if (item.box.hidden === on) {
        item.box.hidden = !on;
        if (item.cell) item.cell.classList.toggle("off", !on);
      }
      if (on && item.cell) columns.add(item.cell.cellIndex);
      count += on;
    }
    const all = count === cases.length;
    for (const line of lines) {
      for (let i = 1; i < line.cells.length; i++) line.cells[i].hidden = !all && !columns.has(i);
      line.hidden = !all && line.parentNode.tagName === "TBODY" && !line.querySelector("td:not(.off) a");
    }
    shown.textContent = all ? cases.length + " cases" : count + " of " + cases.length + " cases";
  }

  function keep() {
    const state = new URLSearchParams();
    for (const box of boxes) if (box.checked) state.append("verdict", box.value);
    if (text.value) state.append("text", text.value);
    try { history.replaceState(null, "", "#" + state); } catch { /* a page that may not change its address */ }
  }

  function ready(box) {
    const code = box.querySelector(".again code");
    if (!code || box.querySelector("button")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(code);
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = document.execCommand("copy") ? "Copied" : "Selected";
      }
    });
    code.after(button);
  }

  function go() {
    const name = location.hash.slice(1);
    const target = byId(name), box = target && target.closest("details");
    if (box) {
      if (box.hidden) clear();
      box.open = true;
      target.scrollIntoView();
    } else if (/^(verdict|text)=/.test(name)) {
      const state = new URLSearchParams(name);
      for (const box of boxes) box.checked = state.getAll("verdict").includes(box.value);
      text.value = state.get("text") || "";
      apply();
    }
  }

  function clear() {
    for (const box of boxes) box.checked = false;
    text.value = "";
    apply();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => { apply(); keep(); });
  byId("clear").addEventListener("click", () => { clear(); keep(); text.focus(); });
  byId("open").addEventListener("click", () => { for (const item of cases) item.box.open = !item.box.hidden; });
  byId("close").addEventListener("click", () => { for (const item of cases) item.box.open = false; });
  document.addEventListener("toggle", (event) => {
    if (event.target.matches("details.case[open]")) ready(event.target);
  }, true);
  document.querySelectorAll("details.case[open]").forEach(ready);
  addEventListener("hashchange", go);
  apply();
  go();
})();
"""
