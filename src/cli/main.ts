/** The command line; bin/emperor starts it. No await at its top, since it becomes CommonJS. */
import { VERSION } from '../base/version.ts';
import { print, say } from './output.ts';
import { parseAndRun } from './program.ts';
import { reportError } from './report.ts';

void parseAndRun(process.argv.slice(2), {
  version: VERSION,
  printHelp: print,
  sayError: (text) => say(text.trimEnd()),
  async run(spec, call) {
    try {
      const module = await spec.load?.();
      return (await module?.run(call)) ?? 0;
    } catch (error) {
      return reportError(error);
    }
  },
}).then((status) => {
  process.exitCode = status;
});
