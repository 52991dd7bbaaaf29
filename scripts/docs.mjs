// npm run docs: writes what is generated in docs/ anew, out of the tables in src/. Tests say when it is old.
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from './build.mjs';

const ROOT = resolve(import.meta.dirname, '..');
const LIFECYCLE = /(<!-- lifecycle: .*? -->\n)[\s\S]*?(<!-- \/lifecycle -->)/;

build();
const { optionsPage } = await import('../dist/config/render/options-page.js');
const { renderLifecycle } = await import('../dist/vassal/render-lifecycle.js');

writeFileSync(join(ROOT, 'docs/options.md'), optionsPage());
const architecture = join(ROOT, 'docs/architecture.md');
const page = readFileSync(architecture, 'utf8');
if (!LIFECYCLE.test(page)) throw new Error(`${architecture} has no place for the lifecycle table`);
writeFileSync(
  architecture,
  page.replace(LIFECYCLE, (_, begin, end) => begin + renderLifecycle() + end),
);
