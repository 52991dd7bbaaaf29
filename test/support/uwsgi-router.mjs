// A router of uWSGI vassals as a process of its own, so that it can run in another network namespace, be measured and
// be killed. It makes its device and says `ready`. Lines in: {"chains":…}, {"stats":true}; each gets one line back.
// The end of its input ends it.
//
// node uwsgi-router.mjs '{"device":…,"address":"10.99.0.1/24","socketPath":…,"socketMode":…,"owners":[]}'
import { createInterface } from 'node:readline';
import { parseCidr } from '../../dist/firewall/prefix.js';
import { parseRule } from '../../dist/firewall/rule.js';
import { createPlainTun } from '../../dist/linux/tun.js';
import { startUwsgiRouter } from '../../dist/router/uwsgi-router.js';

const { device, address, socketPath, socketMode, owners } = JSON.parse(process.argv[2]);
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

const owned = [];
const gone = [];
const router = await startUwsgiRouter({
  device: createPlainTun(device),
  socketPath,
  ...(socketMode === undefined ? {} : { socketMode }),
  network: parseCidr({ text: address, offset: 0 }),
  chains: chainsOf({ in: [], out: [] }),
  owners: owners ?? [],
  onOwner: (owner) => owned.push(owner),
  onDeviceGone: (why) => gone.push(why),
});
say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.chains) await router.setChains(chainsOf(request.chains));
  say({ ...router.stats(), owned, gone, rssBytes: rssBytes(), cpu: process.cpuUsage() });
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

function chainsOf({ in: inward, out }) {
  const rulesOf = (texts) => texts.map((text) => parseRule(text).rule);
  return {
    in: { rules: rulesOf(inward), policy: 'allow' },
    out: { rules: rulesOf(out), policy: 'allow' },
  };
}
