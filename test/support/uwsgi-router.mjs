// A router of uWSGI vassals as a process of its own, so that it can run in another network namespace, be measured and
// be killed. It makes its device and says `ready`. Lines in: {"chains":…}, {"stats":true}; each gets one line back.
// The end of its input ends it.
//
// node uwsgi-router.mjs '{"device":…,"address":"10.99.0.1/24","socketPath":…,"socketMode":…,"owners":[]}'
import { constants, openSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseCidr } from '../../dist/firewall/prefix.js';
import { parseRule } from '../../dist/firewall/rule.js';
import { libcCall } from '../../dist/linux/libc.js';
import { startUwsgiRouter } from '../../dist/router/uwsgi-router.js';

const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;

const { device, address, socketPath, socketMode, owners } = JSON.parse(process.argv[2]);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const owned = [];
const router = await startUwsgiRouter({
  device: openTun(device),
  socketPath,
  ...(socketMode === undefined ? {} : { socketMode }),
  network: parseCidr({ text: address, offset: 0 }),
  chains: chainsOf({ in: [], out: [] }),
  owners: owners ?? [],
  onOwner: (owner) => owned.push(owner),
});
say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.chains) await router.setChains(chainsOf(request.chains));
  say({ ...router.stats(), owned, rssBytes: rssBytes(), cpu: process.cpuUsage() });
}
await router.close();

/** -1 where no descriptor is left to look with. */
function rssBytes() {
  try {
    return process.memoryUsage.rss();
  } catch (error) {
    if (error.code === 'EMFILE') return -1;
    throw error;
  }
}

function openTun(name) {
  const fd = openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK);
  const request = Buffer.alloc(40);
  request.write(name, 0);
  request.writeUInt16LE(IFF_TUN | IFF_NO_PI, 16);
  libcCall('int ioctl(int, unsigned long, void *)')(fd, TUNSETIFF, request);
  return fd;
}

function chainsOf({ in: inward, out }) {
  const rulesOf = (texts) => texts.map((text) => parseRule(text).rule);
  return {
    in: { rules: rulesOf(inward), policy: 'allow' },
    out: { rules: rulesOf(out), policy: 'allow' },
  };
}
