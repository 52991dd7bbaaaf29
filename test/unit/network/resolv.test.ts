import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { judgeNameServers } from '../../../src/network/preflight.ts';
import { hostNameServers, nameServersOf } from '../../../src/network/resolv.ts';

const of = (own: string, upstream = '') => nameServersOf({ own, upstream });

describe('nameServersOf()', () => {
  test('reads each server of resolv.conf once', () => {
    const text =
      '# nameserver 9.9.9.9\nsearch example.org\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \n';
    expect(of(`${text}nameserver 192.0.2.1\n`).reachable).toEqual(['192.0.2.1', '2001:db8::1']);
  });

  test('takes those that systemd-resolved asks where only the host can ask its own', () => {
    const upstream = 'nameserver 192.0.2.1\nnameserver fe80::1%eth0\n';
    expect(of('nameserver 127.0.0.53\noptions edns0\n', upstream)).toEqual({
      own: ['127.0.0.53'],
      reachable: ['192.0.2.1'],
    });
    expect(of('nameserver ::1\nnameserver 192.0.2.7\n', upstream).reachable).toEqual(['192.0.2.7']);
  });

  test('has none where there is none', () => {
    expect(of('nameserver 127.0.0.1\n', 'nameserver 127.0.0.53\n').reachable).toEqual([]);
    expect(of('').reachable).toEqual([]);
  });
});

describe('hostNameServers()', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'emperor-resolv-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  test('sees that a file has come, and that it has changed', () => {
    const files = { own: join(directory, 'resolv.conf'), upstream: join(directory, 'none') };
    expect(hostNameServers(files).reachable).toEqual([]);
    writeFileSync(files.own, 'nameserver 192.0.2.1\n');
    expect(hostNameServers(files).reachable).toEqual(['192.0.2.1']);
    writeFileSync(files.own, 'nameserver 192.0.2.1\nnameserver 192.0.2.2\n');
    expect(hostNameServers(files).reachable).toEqual(['192.0.2.1', '192.0.2.2']);
  });
});

describe('judgeNameServers()', () => {
  test('warns of a resolver that vassals cannot reach, unless `dns` names one', () => {
    const loopback = of('nameserver 127.0.0.53\n');
    expect(judgeNameServers(loopback, [])).toEqual({
      topic: 'name servers',
      verdict: 'warning',
      message: 'the host asks 127.0.0.53, which vassals cannot reach',
      fix: 'set `dns` in emperor.ini',
    });
    expect(judgeNameServers(loopback, ['9.9.9.9'])).toMatchObject({ verdict: 'ok', fix: null });
    expect(judgeNameServers(of(''), [])).toMatchObject({ message: 'the host has none' });
  });
});
