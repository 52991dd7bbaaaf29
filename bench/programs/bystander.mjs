// An idle Node process: prints the delay of its event loop, measured as the emperor measures its own, when
// stdin ends. What it shows beside a start, no process of the machine can avoid.
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 50;

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
const beyond = (ns) => Math.max(0, ns / 1e6 - RESOLUTION_MS);

delay.enable();
process.stdin.resume();
process.stdin.on('end', () => {
  console.log(JSON.stringify({ p99: beyond(delay.percentile(99)), max: beyond(delay.max) }));
  delay.disable();
});
