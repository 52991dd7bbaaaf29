/** `emperor shutdown [--stop-vassals]`: returns once the emperor has let go of everything. */
import type { Call } from '../call.ts';
import { EXIT } from '../exit.ts';
import { reach } from '../reach.ts';

export async function run({ options, globals }: Call): Promise<number> {
  const client = await reach(globals);
  await client.shutdown({ stopVassals: options.flag('stopVassals') });
  return EXIT.done;
}
