/**
 * A program of the doctor's, run in a network namespace of its own that ends with it: makes a tun, brings it up and
 * tries how packets go, as the router does. Prints a SelfTest, or fails with why there can be no router.
 */
import { runTool } from '../../base/run-tool.ts';
import { createTun } from '../../linux/tun.ts';
import { selfTest } from '../../router/self-test.ts';

const NAME = 'doctor0';

const fd = createTun({ name: NAME, offload: 0 });
await runTool(['ip', 'link', 'set', 'dev', NAME, 'up']);
process.stdout.write(JSON.stringify(selfTest(fd)));
