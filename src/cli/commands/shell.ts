/** `emperor shell NAME`: a login shell of the vassal on a new pty of its own. */
import { attach, EXIT_OURS } from '../attach.ts';
import { type Call, onlyWord } from '../call.ts';
import { reach } from '../reach.ts';
import { reportError } from '../report.ts';

export async function run(call: Call): Promise<number> {
  try {
    const target = await (await reach(call.globals)).execTarget(onlyWord(call));
    const command = [target.shell, '-l'];
    return attach(target, { label: 'shell', kind: 'session', hasTty: true, command });
  } catch (error) {
    await reportError(error);
    return EXIT_OURS;
  }
}
