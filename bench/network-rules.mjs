// What 10,000 rules cost, none of which speaks of the packets that are measured. They come and go while one connection
// runs, and a slice of its time with them is compared with the one beside it without them, so that whatever else the
// machine does hits both alike. Figures are medians of what many such pairs say; in the place of a peer stands how far
// they can be trusted, so that a miss is the machine's where it does not let us tell 5 % from nothing.
import { parseRule } from '../dist/firewall/rule.js';
import { bulk, smallPackets } from './network-tools.mjs';
import { WAYS } from './network-world.mjs';
import { row } from './table.mjs';
import { median, sleep, until } from './world.mjs';

const RULES = 10_000;
/** How long a connection runs, and for how long of that slices are taken. */
const SECONDS = 18;
const SLICES_MS = 16_000;
/** Shorter ones would be more, but the kernel tells a thread's time by its ticks. */
const SLICE_MS = 120;
/** By then the router's control thread is done with a change, and TCP is as fast as before. */
const SETTLE_MS = 60;

/** What the thread's time is told for: large packets are of many sizes, small ones of one. */
const KINDS = [
  { what: 'bulk TCP', run: bulk, of: 'MB', amount: ({ bytes }) => bytes / 1e6 },
  { what: 'UDP of 64 bytes', run: smallPackets, of: 'packet', amount: ({ packets }) => packets },
];

/** Measures what they cost in rate, and in what the packets' thread computes. */
export async function ruleRows(world) {
  const chains = { none: chainsOf(0), many: chainsOf(RULES) };
  for (const kind of KINDS) {
    const pairs = await pairsOf(world, kind, chains);
    const costRow = (what, { percent, giveOrTake }) =>
      row(what, percent, { unit: '%', digits: 1, bound: ['<', 5], peer: giveOrTake });
    const inRate = costOf(pairs.map(({ none, many }) => none.rate / many.rate));
    costRow(`${RULES} rules: cost of ${kind.what} in rate, give or take`, inRate);
    const inTime = costOf(pairs.map(({ none, many }) => many.timeUs / none.timeUs));
    costRow("  in time of the packets' thread, give or take", inTime);
    const timeUs = (which) => median(pairs.map((pair) => pair[which].timeUs));
    row(`  that time for a ${kind.of}, and without rules`, timeUs('many'), {
      unit: 'µs',
      digits: 2,
      peer: timeUs('none'),
    });
  }
}

/** The median of ratios as what is above 1, and half of the range in which it is with 95 % (by the signs alone). */
function costOf(ratios) {
  const sorted = [...ratios].sort((a, b) => a - b);
  const reach = Math.sqrt(sorted.length);
  const at = (place) => sorted[Math.min(Math.max(Math.floor(place), 0), sorted.length - 1)];
  const [low, high] = [at(sorted.length / 2 - reach), at(sorted.length / 2 + reach)];
  return { percent: (median(ratios) - 1) * 100, giveOrTake: ((high - low) / 2) * 100 };
}

/** Half of them in each chain. */
function chainsOf(count) {
  const addresses = Array.from({ length: count / 2 }, (_, i) => `10.${i >> 8}.${i & 255}.7`);
  const chainOf = (textOf) => ({
    rules: addresses.map((address) => parseRule(textOf(address)).rule),
    policy: 'allow',
  });
  return {
    out: chainOf((address) => `deny 10.203.0.0/16 ${address}`),
    in: chainOf((address) => `deny ${address} 10.203.0.0/16`),
  };
}

/** Slices of one connection, two by two; each pair begins with the rules that the one before has ended with. */
async function pairsOf(world, kind, chains) {
  const ends = { from: 'a', to: 'b', address: WAYS.ours('a', 'b') };
  const before = world.routerWork().bytes;
  const connection = kind.run(world, { ...ends, seconds: SECONDS });
  await until(() => world.routerWork().bytes > before + 1e6, `${kind.what} flows`);
  const pairs = [];
  await world.setChains(chains.none);
  let [first, second] = ['none', 'many'];
  for (const end = performance.now() + SLICES_MS; performance.now() < end; ) {
    const pair = { [first]: await slice(world, kind) };
    // Both, so that the control thread has had as much to do before a slice of either.
    for (const which of [first, second]) await world.setChains(chains[which]);
    await sleep(SETTLE_MS);
    pair[second] = await slice(world, kind);
    // A connection that stood still, because something else had the machine, says nothing.
    if (pair.none.rate > 0 && pair.many.rate > 0) pairs.push(pair);
    [first, second] = [second, first];
  }
  await world.setChains(chains.none);
  await connection;
  return pairs;
}

async function slice(world, { amount }) {
  const before = world.routerWork();
  await sleep(SLICE_MS);
  const after = world.routerWork();
  const moved = amount(after) - amount(before);
  return {
    rate: moved / (after.atMs - before.atMs),
    timeUs: (after.cpuNs - before.cpuNs) / 1000 / moved,
  };
}
