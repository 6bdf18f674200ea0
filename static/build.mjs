// Bundles src/ into dist/tag.js, one file for every browser that knows ES2020.
// The leading comment names the sources' hash: tests/unit/test_tag_build.py recomputes it, so that a stale
// build is found without Node. The hash: for each file below src in the order of its path, the path, a zero byte,
// the contents, a zero byte; then the version of package.json; the first 16 digits of its SHA-256.
// The core is the tag that knows no other vendor: what lies in sources/ is left out, and what only serves it.
// It is only measured; the comment names its size in bytes with brotli 11.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const here = new URL(".", import.meta.url);
const { version, license } = JSON.parse(readFileSync(new URL("package.json", here), "utf8"));

/** sources/index.js of the core: the same interface, nobody listens, what is recorded is not merged. */
const NO_SOURCES = `
  import { record } from "../recorder.js";
  export const SOURCES = [];
  export const PLATFORMS = {};
  export const klaviyoState = () => {};
  export const seen = (type, call, name) => record(type, call, [name]);
`;
const withoutSources = {
  name: "without-sources",
  setup: (building) =>
    building.onLoad({ filter: /\/src\/sources\/index\.js$/ }, () => ({ contents: NO_SOURCES })),
};

function sourcesHash() {
  const hash = createHash("sha256");
  const paths = readdirSync(new URL("src", here), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.replaceAll("\\", "/").split("/src/").pop() ?? "")
    .sort();
  for (const path of paths) hash.update(`${path}\0`).update(readFileSync(new URL(`src/${path}`, here))).update("\0");
  return hash.update(version).digest("hex").slice(0, 16);
}

async function bundle(plugins) {
  const result = await build({
    absWorkingDir: new URL(".", here).pathname,
    entryPoints: ["src/main.js"],
    bundle: true,
    minifySyntax: true,
    write: false,
    format: "iife",
    target: "es2020",
    charset: "utf8",
    legalComments: "none",
    tsconfigRaw: {}, // that of the type check would add "use strict"
    define: { __BACKFLOW_VERSION__: JSON.stringify(version) },
    plugins,
  });
  const { code } = await minify(result.outputFiles[0].text, {
    ecma: 2020,
    toplevel: true,
    compress: { passes: 4, unsafe: true, unsafe_arrows: true, unsafe_methods: true, keep_fargs: false, pure_getters: true },
    format: { comments: false },
  });
  return code;
}

const brotli = (text) =>
  brotliCompressSync(text, {
    params: {
      [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT,
      [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
      [constants.BROTLI_PARAM_SIZE_HINT]: Buffer.byteLength(text),
    },
  }).length;

const core = brotli(await bundle([withoutSources]));
const tag = `/*! backflow.js ${version} ${license} sources=${sourcesHash()} core=${core} */\n${await bundle([])}\n`;
writeFileSync(new URL("dist/tag.js", here), tag);

console.log(`dist/tag.js ${version}: raw ${Buffer.byteLength(tag)}, gzip ${gzipSync(tag, { level: 9 }).length}, brotli ${brotli(tag)} bytes`);
console.log(`the core, without sources: brotli ${core} bytes`);
