/** Every command of README.md, in order, as a reader types it; the lines `# …` below one are its output. */
import { execFileSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor } from '../support/emperor.ts';
import { ROOT } from '../support/newcomer.ts';

const PATIENCE_MS = 5000;

interface Example {
  readonly command: string;
  /** `…` stands for anything, a line of it for any lines. */
  readonly output: readonly string[];
}

/** Commands of the ```sh blocks, here-documents with their text. */
function examplesOf(page: string): readonly Example[] {
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block);
  return blocks.flatMap((block) => {
    const examples: { command: string; output: string[] }[] = [];
    let end: string | null = null;
    for (const line of block.trimEnd().split('\n')) {
      const last = examples.at(-1);
      if (last && end !== null) {
        last.command += `\n${line}`;
        if (line === end) end = null;
      } else if (last && line.startsWith('# ')) {
        last.output.push(line.slice(2));
      } else {
        examples.push({ command: line, output: [] });
        end = /<<'?(\w+)'?/.exec(line)?.[1] ?? null;
      }
    }
    return examples;
  });
}

function patternOf(output: readonly string[]): RegExp {
  const lines = output.map((line) =>
    line === '…'
      ? '[^]*'
      : line
          .trim()
          .split('…')
          .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/ +/g, ' +'))
          .join('.*'),
  );
  return new RegExp(`^\\s*${lines.join('\\s*?\\n\\s*')}\\s*$`);
}

describe('README.md', () => {
  const examples = examplesOf(readFileSync(join(ROOT, 'README.md'), 'utf8'));
  const isOfNpm = ({ command }: Example) => command.startsWith('npm ');
  let emperor: TestEmperor;

  beforeAll(async () => {
    emperor = new TestEmperor();
    symlinkSync(join(ROOT, 'bin'), join(emperor.directory, 'bin'));
    await emperor.start();
  });
  afterAll(() => emperor.close());

  const run = (command: string) =>
    execFileSync('sh', ['-c', command], {
      cwd: emperor.directory,
      encoding: 'utf8',
      env: { ...process.env, EMPEROR_SOCKET: join(emperor.directory, 'run/emperor.sock') },
    });

  test('has commands and shows output', () => {
    expect(examples.length).toBeGreaterThan(10);
    expect(examples.filter(({ output }) => output.length > 0).length).toBeGreaterThan(3);
  });

  test('names npm scripts that package.json has', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    const names = examples
      .filter(isOfNpm)
      .map(({ command }) => /^npm (?:run )?([\w:]+)/.exec(command)?.[1]);
    expect(names).toContain('start');
    for (const name of names) expect(scripts).toHaveProperty([name ?? '']);
  });

  test.each(examples.filter((example) => !isOfNpm(example)))('$command', async (example) => {
    const { command, output } = example;
    // What a command has printed may reach the log a moment later than its reader asks.
    const deadline = performance.now() + PATIENCE_MS;
    let printed = run(command);
    while (output.length > 0 && !patternOf(output).test(printed) && performance.now() < deadline) {
      printed = run(command);
    }
    if (output.length > 0) expect(printed).toMatch(patternOf(output));
  });
});
