// Markdown as GitHub shows it, as a page of its own: node .ci/pictures.mjs MODULES IN.md OUT.html TITLE [open]
// GitHub's style and Mermaid come from npm; the page says in its attributes how high it is and what could not be drawn.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const [modules, from, to, title, folds] = process.argv.slice(2);
const { marked } = await import(pathToFileURL(join(modules, "marked/lib/marked.esm.js")).href);
const style = readFileSync(join(modules, "github-markdown-css/github-markdown-light.css"), "utf8");
const body = marked.parse(readFileSync(from, "utf8"), { gfm: true, async: false });
writeFileSync(to, `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<style>${style}
body { margin: 0; background: #f6f8fa; font-family: -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; }
main { width: 900px; margin: 24px auto; border: 1px solid #d1d9e0; border-radius: 6px; background: #fff; }
header { padding: 8px 16px; background: #f6f8fa; border-bottom: 1px solid #d1d9e0; border-radius: 6px 6px 0 0; font-size: 14px; color: #59636e; }
header b { color: #1f2328; }
.markdown-body { padding: 16px; font-size: 14px; }
pre.mermaid { background: #fff; }
</style></head><body><main>
<header>${title}</header>
<article class="markdown-body">${body}</article>
</main>
<script src="${pathToFileURL(join(modules, "mermaid/dist/mermaid.min.js")).href}"></script>
<script type="module">
const folded = [...document.querySelectorAll("details:not([open])")];
for (const each of folded) each.open = true;
for (const code of document.querySelectorAll("code.language-mermaid")) {
  const drawn = document.createElement("pre");
  drawn.className = "mermaid";
  drawn.textContent = code.textContent;
  code.parentElement.replaceWith(drawn);
}
// GitHub's own limits: strict, and at most 50 000 characters.
mermaid.initialize({ startOnLoad: false, securityLevel: "strict", maxTextSize: 50000, theme: "default", gantt: { useWidth: 850 } });
try { await mermaid.run(); } catch (error) { document.documentElement.dataset.failed = String(error.message ?? error).slice(0, 200); }
if (${JSON.stringify(folds !== "open")}) for (const each of folded) each.open = false;
document.documentElement.dataset.height = String(Math.ceil(document.querySelector("main").getBoundingClientRect().height) + 48);
</script></body></html>
`);
