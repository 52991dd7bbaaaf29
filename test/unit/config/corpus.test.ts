/**
 * Nasty files in test/fixtures/config, each with what is said of it beside it. `vassal-*` are the operator's,
 * `tenant-*` a tenant's own, `emperor-*` are read as emperor.ini. `npx vitest -u` writes the .expected files anew;
 * read the difference before it is committed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { renderDiagnostics } from '../../../src/config/render/diagnostics.ts';
import {
  emperorOf,
  loadEmperor,
  resolveTenant,
  resolve as resolveVassal,
} from '../../support/configuration.ts';

const CORPUS = resolve(import.meta.dirname, '../../fixtures/config');
const FILES: Readonly<Record<string, string>> = {
  '/v/good.ini': '[vassal]\nhostname = included\n',
  '/v/circle.ini': '[vassal]\ninclude = circle.ini\n',
  '/v/broken.ini': 'lost = 1\n[vassal]\nhostnam = x\n',
  '/v/plain.txt': 'root:x:0:0\n',
};
const EMPEROR = emperorOf(
  'tuntap-router = emperor0 /run/tuntap.socket\n[class small]\nexec-as-root = echo secret of the operator\n',
);

function judge(name: string) {
  const text = readFileSync(join(CORPUS, name), 'utf8');
  const file = `/v/${name}`;
  if (name.startsWith('emperor-')) return loadEmperor(text, { file, files: FILES });
  if (name.startsWith('tenant-')) return resolveTenant(text, { file, emperor: EMPEROR });
  return resolveVassal(text, { file, emperor: EMPEROR, files: FILES });
}

const names = readdirSync(CORPUS).filter((name) => name.endsWith('.ini'));

describe('the corpus', () => {
  test('is there, and each file says what is expected of it', () => {
    const without = names.filter((name) => !existsSync(expectedFile(name)));
    expect([names.length > 25, without]).toEqual([true, []]);
  });

  test.each(names)('%s is answered by exactly its diagnostics', async (name) => {
    const { diagnostics } = judge(name);
    const text = renderDiagnostics(diagnostics) || 'no diagnostics\n';
    await expect(text).toMatchFileSnapshot(expectedFile(name));
    expect(text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  test.each(names)('%s is valid exactly if it has no errors', (name) => {
    const result = judge(name);
    const isValid = !result.diagnostics.some(({ severity }) => severity === 'error');
    expect(
      ('vassal' in result ? result.vassal : 'config' in result && result.config) !== undefined,
    ).toBe(isValid);
  });
});

function expectedFile(name: string): string {
  return join(CORPUS, name.replace(/\.ini$/, '.expected'));
}
