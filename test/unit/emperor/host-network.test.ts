import { expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { silentLog } from '../../../src/base/log.ts';
import { HostNetwork } from '../../../src/emperor/host-network.ts';
import { emperorOf } from '../../support/configuration.ts';

const ROUTER = 'tuntap-router = emperor0 /run/r\ntuntap-router-address = 10.203.0.1/16\n';

test('NAT that is switched off while it is being set up is off in the end', async () => {
  let config = emperorOf(`${ROUTER}nat = auto\n`);
  const put: string[] = [];
  let goOn = () => {};
  const held = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const host = new HostNetwork({
    device: 'emperor0',
    config: () => config,
    log: silentLog,
    clock: systemClock,
    async run(command, input) {
      // It reads the host's settings before it puts the table.
      if (command[0] === 'sh') await held;
      if (command[0] === 'nft') put.push(input?.includes('masquerade') ? 'on' : 'off');
      return '';
    },
  });
  const on = host.applyNat();
  config = emperorOf(`${ROUTER}nat = off\n`);
  const off = host.applyNat();
  goOn();
  await Promise.all([on, off]);
  expect(put.at(-1)).toBe('off');
});
