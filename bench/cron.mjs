// Jobs: what ten thousand of them cost the emperor while they wait, beside the same vassals without any.
import { row } from './table.mjs';
import { cpuSeconds, sleep, until, World } from './world.mjs';

const JOBS_PER_VASSAL = 100;
const SLEEP = '[vassal]\ncommand = /opt/sleep\n';
const MINUTES_OF_DAY = 1440;
/** Until then V8 collects the heap of the start, or of the change. */
const SETTLED_MS = 30_000;
/** At least one full minute begins meanwhile. */
const SECONDS = 60;

export async function cron(scale) {
  const number = Math.max(10, Math.round(100 * scale));
  const jobs = number * JOBS_PER_VASSAL;
  const world = new World();
  try {
    for (let i = 0; i < number; i += 1) world.write(`v${i}`, SLEEP);
    await world.start();
    await world.untilRunning(number);
    const without = await share(world, SECONDS);
    for (let i = 0; i < number; i += 1) world.write(`v${i}`, SLEEP + linesOf(i, jobs));
    await until(async () => (await world.ask('/v1/cron')).length === jobs, `${jobs} jobs`);
    const cost = await share(world, Math.max(SECONDS, Math.round(4 * SECONDS * scale)));
    row(`${jobs} daily jobs of ${number} vassals: share of a core`, cost, {
      ...{ unit: '%', digits: 2, bound: ['<', 2], peer: without },
    });
    console.log(`  ${await runsOf(world)} of them have run meanwhile`);
  } finally {
    await world.close();
  }
}

/** Each once a day, evenly over the day: a few in each minute. */
function linesOf(vassal, jobs) {
  const lines = Array.from({ length: JOBS_PER_VASSAL }, (_, index) => {
    const at = Math.floor(((vassal * JOBS_PER_VASSAL + index) * MINUTES_OF_DAY) / jobs);
    return `cron = ${at % 60} ${Math.floor(at / 60)} * * * true job ${index}\n`;
  });
  return lines.join('');
}

/** Percent of a core that the emperor takes, once it has come to rest. */
async function share(world, seconds) {
  await sleep(SETTLED_MS);
  const { pid } = await world.stats();
  const [from, begin] = [cpuSeconds(pid), performance.now()];
  await sleep(seconds * 1000);
  return ((cpuSeconds(pid) - from) / (performance.now() - begin)) * 1000 * 100;
}

async function runsOf(world) {
  return (await world.ask('/v1/cron')).reduce((sum, { runs }) => sum + runs, 0);
}
