// npm run docs: writes what is generated in docs/ anew, out of the tables in src/ and test/. Tests say when it is old.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from './build.mjs';

const ROOT = resolve(import.meta.dirname, '..');
build();
const { optionsPage } = await import('../dist/config/render/options-page.js');
const { renderLifecycle } = await import('../dist/vassal/render-lifecycle.js');

writeFileSync(join(ROOT, 'docs/options.md'), optionsPage());
place('architecture.md', 'lifecycle', renderLifecycle());
const attempts = join(ROOT, 'test/security/attempts/attacker.py');
place(
  'security.md',
  'attempts',
  execFileSync('python3', ['-B', attempts, 'table'], { encoding: 'utf8' }),
);

/** Puts `text` between the marks of that name. */
function place(page, name, text) {
  const path = join(ROOT, 'docs', page);
  const before = readFileSync(path, 'utf8');
  const between = new RegExp(`(<!-- ${name}: .*? -->\\n)[\\s\\S]*?(<!-- /${name} -->)`);
  if (!between.test(before)) throw new Error(`${path} has no place for ${name}`);
  writeFileSync(
    path,
    before.replace(between, (_, begin, end) => begin + text + end),
  );
}
