/** `emperor schema`: the JSON schema of a vassal file, for panels and editors. */
import { vassalSchema } from '../../config/render/schema.ts';
import { EXIT } from '../exit.ts';
import { printJson } from '../output.ts';

export async function run(): Promise<number> {
  printJson(vassalSchema());
  return EXIT.done;
}
