// The network's figures: the router as the product runs it, kernel veth and uWSGI's own router, between the same
// namespaces in one run. Each figure is the median of ROUNDS short runs, the ways taking turns, so that whatever else
// the machine does hits all of them alike.
import { bulk, exchanges, roundTrip, smallPackets } from './network-tools.mjs';
import { NetworkWorld, WAYS, WAYS6 } from './network-world.mjs';
import { row } from './table.mjs';
import { median } from './world.mjs';

const ROUNDS = 3;
const GIGA = 1e9;
/** What uWSGI's router is to be outdone by, and what small packets are to come through where veth allows it. */
const TIMES_UWSGI = 20;
const SMALL_PACKETS = 110_000;

const PATHS = [
  { what: 'host to vassal', from: 'host', to: 'a', ofVeth: 0.5 },
  { what: 'vassal to host', from: 'a', to: 'host', ofVeth: 0.5 },
  { what: 'vassal to vassal', from: 'a', to: 'b', ofVeth: 0.6 },
  { what: 'vassal to the world by masquerade', from: 'a', to: 'world', ofVeth: 0.6 },
];

/** Measures everything; `scale` is of the seconds that a run takes. */
export async function network(scale) {
  const seconds = Math.max(1, Math.round(2 * scale));
  const world = new NetworkWorld();
  try {
    await world.open();
    for (const path of PATHS) await bulkRows(world, path, seconds);
    await bulk6Rows(world, seconds);
    await roundTripRows(world);
    await exchangeRows(world, seconds);
    await smallPacketRows(world, seconds);
    await ruleRows(world);
  } finally {
    await world.close();
  }
}

/** How often a client of uWSGI's had to be started again, because its router had dropped it. */
let mended = 0;

/** Has all ways that there are take turns; returns what each made, without the runs in which nothing came through. */
async function turns(world, ways, measure) {
  const names = Object.keys(ways).filter((name) => name !== 'uwsgi' || world.uwsgi.host);
  const found = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const name of names) {
      if (name === 'uwsgi') mended += await world.mendUwsgi();
      const result = await measure(ways[name]);
      if (result !== null) found[name].push(result);
    }
  }
  return found;
}

const rateOf = (runs = []) =>
  runs.length === 0 ? undefined : median(runs.map(({ rate }) => rate));

async function bulkRows(world, { what, from, to, ofVeth }, seconds) {
  const found = await turns(world, WAYS, (way) =>
    bulk(world, { from, to, address: way(from, to), seconds }),
  );
  const [ours, veth, uwsgi] = ['ours', 'veth', 'uwsgi'].map((name) => rateOf(found[name]));
  row(`bulk TCP, ${what}`, ours / GIGA, { unit: 'Gbit/s', digits: 2, peer: veth / GIGA });
  row('  of kernel veth', ours / veth, { unit: '×', digits: 2, bound: ['>=', ofVeth] });
  if (uwsgi) {
    const bound = ['>=', TIMES_UWSGI];
    row("  of uWSGI's router", ours / uwsgi, { unit: '×', digits: 1, bound, peer: veth / uwsgi });
  }
  if (found.uwsgi && !uwsgi) console.log("  uWSGI's router has dropped its peer in every run");
  row('  segments sent again', median(found.ours.map(({ retransmits }) => retransmits)), {
    unit: '',
    peer: median(found.veth.map(({ retransmits }) => retransmits)),
  });
}

async function bulk6Rows(world, seconds) {
  const found = await turns(world, WAYS6, (way) =>
    bulk(world, { from: 'a', to: 'b', address: way(), seconds }),
  );
  const [ours, veth] = [rateOf(found.ours), rateOf(found.veth)];
  row('bulk TCP over IPv6, vassal to vassal', ours / GIGA, {
    unit: 'Gbit/s',
    digits: 2,
    peer: veth / GIGA,
  });
  row('  of kernel veth', ours / veth, { unit: '×', digits: 2 });
}

async function roundTripRows(world) {
  const found = await turns(world, WAYS, (way) =>
    roundTrip(world, { from: 'a', address: way('a', 'host') }),
  );
  const ours = median(found.ours);
  row('ping of the host, mean', ours, { unit: 'ms', digits: 3, peer: median(found.veth) });
  if (!found.uwsgi) return;
  row("  of uWSGI's", ours / median(found.uwsgi), { unit: '×', digits: 2, bound: ['<=', 0.7] });
}

async function exchangeRows(world, seconds) {
  const found = await turns(world, WAYS, (way) =>
    exchanges(world, { from: 'a', to: 'b', address: way('a', 'b'), seconds }),
  );
  const [ours, veth, uwsgi] = ['ours', 'veth', 'uwsgi'].map((name) => median(found[name] ?? []));
  row('TCP requests answered, vassal to vassal', ours, { unit: '/s', peer: veth });
  if (uwsgi) row("  of uWSGI's router", ours / uwsgi, { unit: '×', digits: 2 });
}

async function smallPacketRows(world, seconds) {
  const found = await turns(world, WAYS, (way) =>
    smallPackets(world, { from: 'a', to: 'b', address: way('a', 'b'), seconds }),
  );
  const [ours, veth] = [median(found.ours), median(found.veth)];
  row('UDP of 64 bytes delivered, vassal to vassal', ours, {
    unit: '/s',
    bound: ['>=', Math.round(Math.min(SMALL_PACKETS, veth / 2))],
    peer: veth,
  });
  if (!found.uwsgi) return;
  row("  by uWSGI's router", median(found.uwsgi) ?? 0, { unit: '/s' });
  row("  clients that uWSGI's router has dropped so far", mended, { unit: '' });
}

const RULES = 10_000;
const RULE_ROUNDS = 5;
/** What the router's time is told for: large packets are of many sizes, small ones of one. */
const KINDS = {
  bulk: { what: 'bulk TCP', of: 'MB', amount: ({ bytes }) => bytes / 1e6 },
  small: { what: 'UDP of 64 bytes', of: 'packet', amount: ({ packets }) => packets },
};

/**
 * What so many rules cost, none of which speaks of the packets that are measured: of the rate, and of what the router
 * computes, in which the noise of other programs is not.
 */
async function ruleRows(world) {
  const found = { 0: { bulk: [], small: [] }, [RULES]: { bulk: [], small: [] } };
  for (let round = 0; round < RULE_ROUNDS; round += 1) {
    for (const count of [0, RULES]) {
      await applyRules(world, count);
      for (const kind of Object.keys(KINDS))
        found[count][kind].push(await rateAndTime(world, kind));
    }
  }
  await applyRules(world, 0);
  const percent = { unit: '%', digits: 1, bound: ['<', 5] };
  for (const [kind, { what, of }] of Object.entries(KINDS)) {
    const [none, many] = [0, RULES].map((count) => ({
      rate: median(found[count][kind].map(({ rate }) => rate)),
      timeUs: median(found[count][kind].map(({ timeUs }) => timeUs)),
    }));
    row(`${RULES} rules: cost of ${what}, in rate`, (1 - many.rate / none.rate) * 100, percent);
    row("  in the router's time", (many.timeUs / none.timeUs - 1) * 100, percent);
    row(`  the router's time for a ${of}, and without rules`, many.timeUs, {
      unit: 'µs',
      digits: 2,
      peer: none.timeUs,
    });
  }
}

async function rateAndTime(world, kind) {
  const run = { from: 'a', to: 'b', address: WAYS.ours('a', 'b'), seconds: 1 };
  const { amount } = KINDS[kind];
  const before = await world.routerWork();
  const rate = kind === 'bulk' ? (await bulk(world, run)).rate : await smallPackets(world, run);
  const after = await world.routerWork();
  return { rate, timeUs: (after.cpuNs - before.cpuNs) / 1000 / (amount(after) - amount(before)) };
}

/** Half of them in each chain. */
async function applyRules(world, count) {
  const numbers = Array.from({ length: count / 2 }, (_, i) => `10.${i >> 8}.${i & 255}.7`);
  await world.setRules({
    out: numbers.map((address) => `deny 10.203.0.0/16 ${address}`),
    in: numbers.map((address) => `deny ${address} 10.203.0.0/16`),
  });
}
