// Bundles src/ for every browser that knows ES2020: dist/tag.js for any shop, dist/tag.<platform>.js for a shop of which
// the relay has been told the platform: the same without what listens to other platforms' own code.
// dist/build.json holds the sources' hash: tests/unit/test_tag_build.py recomputes it, so that a stale build is found
// without Node. The hash: for each file below src in the order of its path, the path, a zero byte, the contents, a zero
// byte; then the version of package.json; the first 16 digits of its SHA-256.
// The core is the tag that knows no other vendor: what lies in sources/ is left out, and what only serves it.
// It is only measured, without the two lines of comment that every file begins with; build.json names its size, and that
// of every file, in bytes with brotli 11.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

const here = new URL(".", import.meta.url);
const { version, license } = JSON.parse(readFileSync(new URL("package.json", here), "utf8"));

/** sources/index.js of the core: the same interface, nobody listens, what is recorded is not merged. */
const NO_SOURCES = `
  import { record } from "../recorder.js";
  export { checkConsent as look } from "../recorder.js";
  export const SOURCES = [];
  export const platformConsent = (kept) => kept;
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

/** Platforms whose shops the tag knows by code of their own. */
const PLATFORMS = ["shopify", "woocommerce", "magento", "bigcommerce"];

/**
 * Has Chrome compile every function when the script is compiled. Nearly all of them run when the page loads, and those
 * found out one by one are read twice: a quarter of the script's time on a slow phone.
 */
const COMPILE_HINT = "//# allFunctionsCalledOnLoad\n";

/** @param platform "auto" for all of them */
async function bundle(platform, plugins = []) {
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
    define: {
      __BACKFLOW_VERSION__: JSON.stringify(version),
      ...Object.fromEntries(
        PLATFORMS.map((one) => [`__${one.toUpperCase()}__`, `${platform === "auto" || platform === one}`]),
      ),
    },
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

const sizes = { core: brotli(await bundle("auto", [withoutSources])) };
for (const platform of ["auto", ...PLATFORMS, "other"]) {
  const tag = `/*! backflow.js ${version} ${license} */\n${COMPILE_HINT}${await bundle(platform)}\n`;
  writeFileSync(new URL(platform === "auto" ? "dist/tag.js" : `dist/tag.${platform}.js`, here), tag);
  sizes[platform] = brotli(tag);
}
writeFileSync(new URL("dist/build.json", here), `${JSON.stringify({ version, sources: sourcesHash(), sizes }, null, 2)}\n`);
console.log(`backflow.js ${version}, bytes with brotli 11:`, sizes);
