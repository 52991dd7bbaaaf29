import { execFileSync, spawn } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { releaseLease, takeReadLease } from '../../../src/linux/fcntl.ts';
import { readUnderLease } from '../../../src/linux/lease.ts';
import { until } from '../../support/wait.ts';

const LIMIT = { maxBytes: 1000 };
let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-lease-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const at = (name: string) => join(directory, name);
const read = (name: string) => readUnderLease(at(name), LIMIT);
const reasonOf = (name: string) => {
  const result = read(name);
  return result.kind === 'refused' ? result.reason : result.kind;
};

describe('readUnderLease()', () => {
  it('reads a file that nobody writes', () => {
    writeFileSync(at('a'), 'text');
    expect(read('a')).toMatchObject({ kind: 'content', bytes: Buffer.from('text'), leased: true });
  });

  it('says busy as long as a writer of another process has the file open', async () => {
    writeFileSync(at('a'), 'old');
    const writer = spawn('sh', [
      '-c',
      'exec > "$0"; echo half; echo opened >&2; read x; echo whole',
      at('a'),
    ]);
    await new Promise((resolve) => writer.stderr.once('data', resolve));
    expect(read('a')).toEqual({ kind: 'busy' });
    writer.stdin.end('\n');
    await new Promise((resolve) => writer.once('exit', resolve));
    expect(read('a')).toMatchObject({ kind: 'content', bytes: Buffer.from('half\nwhole\n') });
  });

  it('gives its lease back, so that writers never wait', () => {
    writeFileSync(at('a'), 'text');
    for (let i = 0; i < 100; i += 1) {
      read('a');
      const fd = openSync(at('a'), 'a');
      writeSync(fd, '.');
      closeSync(fd);
    }
    expect(read('a')).toMatchObject({ stat: { size: 104n } });
  });

  it('survives that a writer breaks the lease while it is held', async () => {
    writeFileSync(at('a'), 'text');
    const fd = openSync(at('a'), 'r');
    takeReadLease(fd);
    const writer = spawn('sh', ['-c', 'echo new > "$0"', at('a')]);
    const { ino } = fstatSync(fd);
    await until('the kernel has sent its signal', () => isBeingBroken(ino));
    releaseLease(fd);
    closeSync(fd);
    expect(await new Promise((resolve) => writer.once('exit', resolve))).toBe(0);
    expect(read('a')).toMatchObject({ bytes: Buffer.from('new\n') });
  });

  it('never returns a half-written text, whatever the moment', async () => {
    const whole = 'x'.repeat(900);
    writeFileSync(at('a'), whole);
    const script = `import os
for i in range(3000):
  with open(${JSON.stringify(at('a'))}, 'w') as f:
    for j in range(9):
      f.write('x' * 100)
      f.flush()`;
    const writer = spawn('python3', ['-c', script]);
    let isOver = false;
    writer.once('exit', () => {
      isOver = true;
    });
    const lengths = new Set<number>();
    let reads = 0;
    while (!isOver) {
      const result = read('a');
      if (result.kind === 'content') {
        lengths.add(result.bytes.length);
        reads += 1;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect([...lengths]).toEqual([900]);
    expect(reads).toBeGreaterThan(10);
  });

  it('says missing where there is nothing', () => {
    expect(read('nothing')).toEqual({ kind: 'missing' });
  });

  it('refuses a FIFO without waiting for its writer', () => {
    execFileSync('mkfifo', [at('fifo')]);
    expect(reasonOf('fifo')).toBe('fifo');
  });

  it('refuses a device without opening it', () => {
    execFileSync('mknod', [at('null'), 'c', '1', '3']);
    expect(reasonOf('null')).toBe('device');
  });

  it('refuses a directory and a socket', async () => {
    mkdirSync(at('directory'));
    expect(reasonOf('directory')).toBe('directory');
    const server = createServer().listen(at('socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    expect(reasonOf('socket')).toBe('socket');
    server.close();
  });

  it('refuses what is larger than the limit, sparse files too', () => {
    writeFileSync(at('big'), 'x'.repeat(1001));
    expect(reasonOf('big')).toBe('too-large');
    execFileSync('truncate', ['-s', '1T', at('sparse')]);
    expect(reasonOf('sparse')).toBe('too-large');
    writeFileSync(at('fits'), 'x'.repeat(1000));
    expect(reasonOf('fits')).toBe('content');
  });

  it('follows a link within the directory, however it is spelled', () => {
    mkdirSync(at('releases'));
    writeFileSync(at('releases/7.ini'), 'seven');
    symlinkSync('releases/7.ini', at('relative'));
    symlinkSync(at('releases/7.ini'), at('absolute'));
    symlinkSync('absolute', at('twice'));
    for (const name of ['relative', 'absolute', 'twice']) {
      expect(read(name), name).toMatchObject({ bytes: Buffer.from('seven') });
    }
  });

  it('refuses links that lead out, to themselves, or to anything but a file', () => {
    symlinkSync('/etc/shadow', at('out'));
    symlinkSync('../../etc/shadow', at('up'));
    symlinkSync('/proc/self/environ', at('magic'));
    symlinkSync('.', at('here'));
    symlinkSync('loop', at('loop'));
    symlinkSync('nowhere', at('dangling'));
    execFileSync('mkfifo', [at('fifo')]);
    symlinkSync('fifo', at('to-fifo'));
    expect(['out', 'up', 'magic', 'here', 'loop', 'dangling', 'to-fifo'].map(reasonOf)).toEqual([
      'symlink-out',
      'symlink-out',
      'symlink-out',
      'symlink-out',
      'symlink-broken',
      'symlink-broken',
      'fifo',
    ]);
  });

  it('never reads outside while links are swapped under it', async () => {
    mkdirSync(at('in'));
    writeFileSync(at('in/secret'), 'inside');
    mkdirSync(at('out'));
    writeFileSync(at('out/secret'), 'outside');
    const inside = at('in');
    symlinkSync('secret', join(inside, 'a.ini'));
    const script = `import os
d = ${JSON.stringify(inside)}
for i in range(20000):
  os.symlink(['secret', '../out/secret'][i % 2], d + '/new')
  os.rename(d + '/new', d + '/a.ini')`;
    const swapper = spawn('python3', ['-c', script]);
    let isOver = false;
    swapper.once('exit', () => {
      isOver = true;
    });
    const seen = new Set<string>();
    while (!isOver) {
      const result = readUnderLease(join(inside, 'a.ini'), LIMIT);
      seen.add(result.kind === 'content' ? result.bytes.toString() : result.kind);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(seen).toContain('inside');
    expect(seen).not.toContain('outside');
  });

  it('reads the old or the new text of a file that is renamed over', () => {
    writeFileSync(at('a'), 'old');
    writeFileSync(at('b'), 'new');
    renameSync(at('b'), at('a'));
    expect(read('a')).toMatchObject({ bytes: Buffer.from('new') });
  });
});

/** Tells whether a writer waits in open(2) for the lease of a file: proc_locks(5). */
function isBeingBroken(ino: number): boolean {
  const locks = readFileSync('/proc/locks', 'utf8').split('\n');
  return locks.some((line) => line.includes(`:${ino} `) && /LEASE +BREAKING/.test(line));
}
