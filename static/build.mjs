// Bundles src/ into dist/tag.js, one file for every browser that knows ES2018.
// The leading comment names the sources' hash: tests/unit/test_tag_build.py recomputes it, so that a stale
// build is found without Node. The hash: for each file below src in the order of its path, the path, a zero byte,
// the contents, a zero byte; then the version of package.json.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const here = new URL(".", import.meta.url);
const { version, license } = JSON.parse(readFileSync(new URL("package.json", here), "utf8"));

function sourcesHash() {
  const hash = createHash("sha256");
  const paths = readdirSync(new URL("src", here), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.replaceAll("\\", "/").split("/src/").pop() ?? "")
    .sort();
  for (const path of paths) hash.update(`${path}\0`).update(readFileSync(new URL(`src/${path}`, here))).update("\0");
  return hash.update(version).digest("hex");
}

const result = await build({
  absWorkingDir: new URL(".", here).pathname,
  entryPoints: ["src/main.js"],
  bundle: true,
  minify: true,
  write: false,
  format: "iife",
  target: "es2018",
  charset: "utf8",
  legalComments: "none",
  tsconfigRaw: {}, // that of the type check would add "use strict"
  define: { __BACKFLOW_VERSION__: JSON.stringify(version) },
});
// A second pass is worth 4 % of what travels: esbuild does not inline across functions.
const { code } = await minify(result.outputFiles[0].text, {
  ecma: 2018,
  toplevel: true,
  compress: { passes: 3 },
  format: { comments: false },
});
const tag = `/*! backflow.js ${version} ${license} sources=${sourcesHash()} */\n${code}\n`;
writeFileSync(new URL("dist/tag.js", here), tag);

const raw = Buffer.from(tag);
console.log(`dist/tag.js ${version}: raw ${raw.length}, gzip ${gzipSync(raw, { level: 9 }).length}, brotli ${brotliCompressSync(raw).length} bytes`);
