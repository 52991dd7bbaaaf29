/** The network as operators and panels see it: net, firewall check, status, metrics, totals that survive. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestEmperor } from '../support/emperor.ts';
import { isAlive } from '../support/proc.ts';

const IDLE = '[vassal]\ncommand = sleep 1000\ntuntap-device = tun0\n';

describe('an emperor with a router', () => {
  let emperor: TestEmperor;

  beforeAll(async () => {
    emperor = new TestEmperor({ router: true });
    await emperor.start();
    emperor.apply('a', IDLE);
  });
  afterAll(() => emperor.close());

  test('its router runs in the namespace that is the host, and a vassal reaches the host', () => {
    expect(isAlive(emperor.routerPid)).toBe(true);
    const answer = emperor.cli('exec', 'a', '--', 'sh', '-c', 'cat /proc/net/fib_trie');
    expect(answer.stdout).toContain('10.77.0.2');
  });
});
