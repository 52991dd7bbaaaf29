import { execFileSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hasVnetHeader, tunName } from '../../../src/linux/tun.ts';

const BUILT = new URL('../../../dist/linux/tun.js', import.meta.url).href;

/** Runs `script` in a network namespace of its own; returns what it printed last, as JSON. */
function inNamespace(script: string): unknown {
  const text = `import * as tun from '${BUILT}';
    import { execFileSync } from 'node:child_process';
    import { closeSync, readFileSync } from 'node:fs';
    const link = () => execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' });
    ${script}`;
  const args = ['--net', process.execPath, '--input-type=module', '-e', text];
  return JSON.parse(execFileSync('unshare', args, { encoding: 'utf8' }));
}

describe('createTun()', () => {
  it('makes an interface that lives as long as its descriptor', () => {
    const found = inNamespace(`
      const fd = tun.createTun({ name: 'emperor0', offload: tun.TCP_OFFLOADS });
      const before = link();
      const told = [tun.tunName(fd), tun.hasVnetHeader(fd)];
      const flags = readFileSync('/proc/self/fdinfo/' + fd, 'utf8');
      closeSync(fd);
      console.log(JSON.stringify({ before, after: link(), told, flags }));`);
    expect(found).toMatchObject({
      before: expect.stringContaining('emperor0:'),
      after: expect.not.stringContaining('emperor0:'),
      told: ['emperor0', true],
    });
    // O_RDWR, O_NONBLOCK, O_CLOEXEC
    const flags = /flags:\t(\d+)/.exec((found as { flags: string }).flags)?.[1];
    expect(Number.parseInt(flags ?? '', 8) & 0o2004003).toBe(0o2004002);
  });

  it('sees a header of another length', () => {
    expect(
      inNamespace(`
      const fd = tun.createTun({ name: 'emperor0', offload: 0 });
      tun.setVnetHeaderBytes(fd, 10);
      const other = tun.hasVnetHeader(fd);
      tun.setVnetHeaderBytes(fd, tun.VNET_HEADER_BYTES);
      console.log(JSON.stringify([other, tun.hasVnetHeader(fd)]));`),
    ).toEqual([false, true]);
  });

  it('takes no descriptor where it fails', () => {
    expect(
      inNamespace(`
      const codes = [];
      const first = tun.createTun({ name: 'emperor0', offload: 0 });
      for (const options of [
        { name: 'emperor0', offload: 0 },
        { name: 'sixteen-bytes-00', offload: 0 },
        { name: '', offload: 0 },
        { name: 'emperor1', offload: 0x4000_0000 },
      ]) try { tun.createTun(options); } catch (error) { codes.push(error.code); }
      const second = tun.createTun({ name: 'emperor2', offload: 0 });
      console.log(JSON.stringify({ codes, next: second - first, links: link() }));`),
    ).toMatchObject({
      codes: ['EBUSY', 'EINVAL', 'EINVAL', 'EINVAL'],
      next: 1,
      links: expect.not.stringContaining('emperor1:'),
    });
  });
});

describe('tunName()', () => {
  it('refuses what is no tun, and a tun that was never made', () => {
    const none = openSync('/dev/null', 'r');
    const unmade = openSync('/dev/net/tun', 'r+');
    expect(() => tunName(none)).toThrow(/ENOTTY/);
    expect(() => tunName(unmade)).toThrow(/ioctl/);
    expect(() => hasVnetHeader(unmade)).toThrow(/ioctl/);
    for (const fd of [none, unmade]) closeSync(fd);
  });
});
