/** Says on stderr why a command failed, and returns the exit status that belongs to it. */
import { type Diagnostic, EmperorError, messageOf } from '../base/errors.ts';
import { EXIT, statusOfError } from './exit.ts';
import { say } from './output.ts';
import { printableLines } from './printable.ts';

export async function reportError(error: unknown): Promise<number> {
  const status = statusOfError(error);
  if (status === undefined) {
    say(error instanceof Error ? (error.stack ?? error.message) : String(error));
    say('emperor: this is a bug of emperor; please report it with the lines above');
    return EXIT.bug;
  }
  if (error instanceof EmperorError) await sayDiagnostics(error.diagnostics);
  say(`emperor: ${printableLines(messageOf(error))}`);
  return status;
}

/** The renderer is loaded only where there is something to render. */
export async function sayDiagnostics(diagnostics: readonly Diagnostic[]): Promise<void> {
  if (diagnostics.length === 0) return;
  const { renderDiagnostics } = await import('../config/render/diagnostics.ts');
  say(renderDiagnostics(diagnostics).trimEnd());
}
