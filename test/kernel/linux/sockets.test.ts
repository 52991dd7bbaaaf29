import { execFileSync, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flock } from '../../../src/linux/flock.ts';
import { peerCredentials } from '../../../src/linux/peercred.ts';
import { sdNotify } from '../../../src/linux/sd-notify.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'emperor-linux-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('sdNotify()', () => {
  const listen = async (address: string) => {
    // One write for the line: print() makes two of it under PYTHONUNBUFFERED.
    const script = `import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(${address})
os.write(1, b'bound')
print(s.recv(100).decode(), end='')`;
    const child = spawn('python3', ['-c', script]);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    return new Promise<string>((resolve) => {
      let text = '';
      child.stdout.on('data', (chunk) => {
        text += chunk;
      });
      child.stdout.on('end', () => resolve(text));
    });
  };

  it('reaches a path', async () => {
    const path = join(directory, 'notify');
    const heard = listen(JSON.stringify(path));
    await expect
      .poll(() => {
        try {
          sdNotify(path, 'READY=1\nSTATUS=governs');
          return true;
        } catch {
          return false;
        }
      })
      .toBe(true);
    expect(await heard).toBe('READY=1\nSTATUS=governs');
  });

  it('reaches an abstract name', async () => {
    const name = `emperor-test-${process.pid}`;
    const heard = listen(`'\\0${name}'`);
    await expect
      .poll(() => {
        try {
          sdNotify(`@${name}`, 'READY=1');
          return true;
        } catch {
          return false;
        }
      })
      .toBe(true);
    expect(await heard).toBe('READY=1');
  });

  it('says that nobody listens', () => {
    expect(() => sdNotify(join(directory, 'nothing'), 'READY=1')).toThrow(/ENOENT/);
  });
});

describe('flock()', () => {
  it('has one exclusive holder, until its descriptor is closed', () => {
    const path = join(directory, 'lock');
    const first = openSync(path, 'w');
    const second = openSync(path, 'w');
    expect(flock(first, 'exclusive')).toBe(true);
    expect(flock(second, 'exclusive')).toBe(false);
    expect(flock(second, 'shared')).toBe(false);
    closeSync(first);
    expect(flock(second, 'exclusive')).toBe(true);
    expect(flock(second, 'unlock')).toBe(true);
    closeSync(second);
  });
});

describe('peerCredentials()', () => {
  it('tells who connected', () => {
    const script = `
      import net from 'node:net';
      import { peerCredentials } from '${new URL('../../../dist/linux/peercred.js', import.meta.url).href}';
      const path = ${JSON.stringify(join(directory, 'socket'))};
      const server = net.createServer((peer) => {
        console.log(JSON.stringify([peerCredentials(peer._handle.fd), process.pid]));
        peer.destroy();
        server.close();
      });
      server.listen(path, () => net.connect(path).resume());`;
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script]);
    const [credentials, pid] = JSON.parse(out.toString());
    expect(credentials).toEqual({ pid, uid: process.getuid?.(), gid: process.getgid?.() });
  });

  it('says that a descriptor is no socket', () => {
    const fd = openSync('/dev/null', 'r');
    expect(() => peerCredentials(fd)).toThrow(/ENOTSOCK/);
    closeSync(fd);
  });
});
