/** The router as a program: what emperor/router-keeper.ts starts. */
import { parseArgs } from 'node:util';
import { systemClock } from '../base/clock.ts';
import { preferOwnSession } from '../linux/autogroup.ts';
import { RouterProcess } from './router-process.ts';

const { device, socket, launcher, ledger, denials, code, plain, spare } = parseArgs({
  options: {
    device: { type: 'string', default: '' },
    socket: { type: 'string', default: '' },
    launcher: { type: 'string', default: '' },
    ledger: { type: 'string', default: '' },
    denials: { type: 'string', default: '' },
    code: { type: 'string', default: '' },
    plain: { type: 'boolean', default: false },
    // Waits for a line at its stdin, and ends with whoever would write it.
    spare: { type: 'boolean', default: false },
  },
}).values;

// What is made here is root's alone.
process.umask(0o077);
process.title = `emperor-router${spare ? '-spare' : ''} ${device}`;
const router = await RouterProcess.prepare({
  ...{ device, socket, launcher, ledger, denials, code },
  say: (line) => void process.stderr.write(`${line}\n`),
  isPlain: plain,
  clock: systemClock,
});
if (!spare || (await isTold())) {
  process.title = `emperor-router ${device}`;
  // A packet waits for the packets' thread, and with it whoever waits for the packet: on a busy machine that is most of
  // what a round trip takes.
  preferOwnSession();
  await router.begin();
} else await router.abandon();

/** True once a line comes; without one there is nobody left to begin for. */
async function isTold(): Promise<boolean> {
  for await (const _ of process.stdin) return true;
  return false;
}
