/** The router as a program: what emperor/router-keeper.ts starts. */
import { parseArgs } from 'node:util';
import { systemClock } from '../base/clock.ts';
import { preferOwnSession } from '../linux/autogroup.ts';
import { RouterProcess } from './router-process.ts';

const { device, socket, launcher, ledger, denials, plain } = parseArgs({
  options: {
    device: { type: 'string', default: '' },
    socket: { type: 'string', default: '' },
    launcher: { type: 'string', default: '' },
    ledger: { type: 'string', default: '' },
    denials: { type: 'string', default: '' },
    plain: { type: 'boolean', default: false },
  },
}).values;

// What is made here is root's alone.
process.umask(0o077);
process.title = `emperor-router ${device}`;
// A packet waits for the packets' thread, and with it whoever waits for the packet: on a busy machine that is most of
// what a round trip takes.
preferOwnSession();
await RouterProcess.start({
  ...{ device, socket, launcher, ledger, denials },
  say: (line) => void process.stderr.write(`${line}\n`),
  isPlain: plain,
  clock: systemClock,
});
