import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';

const built = (name: string) => new URL(`../../../dist/linux/${name}.js`, import.meta.url).href;

/** Runs `script` in a network namespace of its own with a tun emperor0 in it; returns what it printed, as JSON. */
function inNamespace(script: string): unknown {
  const text = `import { createTun, setOffload, TCP_OFFLOADS } from '${built('tun')}';
    import { hasFeature, setFeature } from '${built('ethtool')}';
    const fd = createTun({ name: 'emperor0', offload: 0 });
    ${script}`;
  const args = ['--net', process.execPath, '--input-type=module', '-e', text];
  return JSON.parse(execFileSync('unshare', args, { encoding: 'utf8' }));
}

it('setFeature() makes a tun take large packets of one id whole, once it takes large packets', () => {
  const found = inNamespace(`
    const name = 'tx-tcp-mangleid-segmentation';
    const seen = [hasFeature('emperor0', name), setFeature('emperor0', name, true)];
    seen.push(hasFeature('emperor0', name));
    setOffload(fd, TCP_OFFLOADS);
    seen.push(hasFeature('emperor0', name), hasFeature('emperor0', 'tx-tcp-segmentation'));
    setFeature('emperor0', name, false);
    seen.push(hasFeature('emperor0', name));
    console.log(JSON.stringify(seen));`);
  expect(found).toEqual([false, true, false, true, true, false]);
});

it('setFeature() tells of a feature that nobody knows, and of a device that is not there', () => {
  const found = inNamespace(`
    let code;
    try { setFeature('emperor1', 'tx-tcp-segmentation', true); } catch (error) { code = error.code; }
    console.log(JSON.stringify([setFeature('emperor0', 'tx-nonsense', true), code]));`);
  expect(found).toEqual([false, 'ENODEV']);
});
